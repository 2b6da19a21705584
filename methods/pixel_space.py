"""Known pixels, imposed on the picture itself: decode, put them in, encode.

A constraint on latent cells (null_space.py) keeps the encoding of a picture whose hole held something else. That leaks
into the cells beside the hole, because a VAE's field is wide. Here the predicted clean latent is decoded, the known
pixels replace those of the same place, and the result is encoded again:

    x̂0 = E(m·D(x0) + (1 − m)·y)     m: 1 in the hole; y: the picture; D, E: the VAE

Compare the pixel consistency of ReSample (Song et al., ICLR 2024), which optimises the latent where this encodes once.
With a membrane, the hole is first moved to meet the known pixels at its edge (Pérez et al. 2003). A projection costs a
decoding and an encoding, so it is done in some steps only; between two, known cells keep the values of the last.
"""

from dataclasses import dataclass, replace

from ..graph_runtime import BadInput
from ..graph_runtime.core.light.later import Tensor, torch
from ..pictures.paste import even_out
from .sampling.constraints import Constraint, PictureSpace, RunFacts, Vae
from .sampling.rows import expand_rows
from .sampling.schedule import DenoisingStep


@dataclass(frozen=True, eq=False)
class PixelSpace(Constraint):
    """The projection, in some of the last steps.

    Attributes:
        image: y, `[b h w 3]` in [0, 1]; what it holds in the hole is not looked at.
        mask: the hole is where this is above 0, `[b h w]`.
        cells: cells with any pixel of the hole, `[b 1 lh lw]`.
        vae: of the model.
        last_steps: projections begin so many reverse steps before the end.
        share: they begin with this share of the run's steps instead; None: with `last_steps`.
        times: how many there are, spread evenly over those steps; None: one in each.
        membrane: move the hole to meet the known pixels.
    """

    image: Tensor
    mask: Tensor
    cells: Tensor
    vae: Vae
    last_steps: int = 4
    share: float | None = None
    times: int | None = None
    membrane: bool = False

    @property
    def models(self) -> tuple[Vae, ...]:
        """The one that is wired to it."""
        return (self.vae,)

    def begin(self, start: Tensor) -> "PixelSpace":
        """The constraint with the batch of z_T = `start` `[b c lh lw]`.

        Raises:
            BadInput: the shapes do not agree.
        """
        if self.cells.shape[2:] != start.shape[2:]:
            raise BadInput(
                "constraint",
                found=f"a picture of {self.cells.shape[3]}×{self.cells.shape[2]} latent cells",
                expected=f"the run's own grid, {start.shape[3]}×{start.shape[2]}",
                fix="make constraint and noise from pictures of one size",
            )
        host = self.image[:1, 0, 0, 0].expand(start.shape[0])
        image, mask = (expand_rows(value, host, "constraint") for value in (self.image, self.mask))
        return replace(self, image=image, mask=mask, cells=expand_rows(self.cells, start, "constraint"))

    def within(self, run: RunFacts) -> "PixelSpaceRun":
        """The constraint at work in a run of so many steps."""
        return PixelSpaceRun(self, run.pictures[self.vae.fingerprint], self.steps_of(run.steps))

    def steps_of(self, steps: int) -> list[int]:
        """The numbers of the reverse steps, of so many, that it projects in."""
        wanted = self.last_steps if self.share is None else round(self.share * steps)
        last = min(max(1, wanted), steps)
        times = last if self.times is None else min(self.times, last)
        return [steps - last + number * last // times for number in range(times)]


class PixelSpaceRun(Constraint):
    """The projection in one run: it remembers what it encoded last."""

    def __init__(self, settings: PixelSpace, pictures: PictureSpace, steps: list[int]) -> None:
        self._settings, self._pictures, self._steps = settings, pictures, set(steps)
        self._known: Tensor | None = None

    def apply(self, x0: Tensor, step: DenoisingStep) -> Tensor:
        """x̂0 `[b c lh lw]`: the projection in its steps, the last one's known cells in those between."""
        if step.reverse_step in self._steps:
            self._known = self._project(x0)
            return self._known
        if self._known is None:
            return x0
        return (1 - self._settings.cells) * self._known + self._settings.cells * x0

    def _project(self, x0: Tensor) -> Tensor:
        made = self._pictures.decode(x0)
        known, hole = self._settings.image.to(made), self._settings.mask > 0
        if self._settings.membrane:
            made = even_out(made, known, hole)
        return self._pictures.encode(torch.where(hole[..., None], made, known)).to(x0)

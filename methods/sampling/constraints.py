"""Constraints: what is known about the result, imposed at every step.

A constraint may change the predicted clean latent (`apply`) and the latent after the update (`after_step`). `begin`
binds it to a run: device, dtype, batch, and z_T; `within` tells it the run's length, and how to see the picture. Those
of the papers are ../null_space.py and ../blended_diffusion.py; ../pixel_space.py looks at pixels.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from ...graph_runtime import BadInput
from ...graph_runtime.core.light.later import Tensor
from .rows import expand_rows
from .schedule import DenoisingStep


class Vae(Protocol):
    """The description of a VAE, as far as methods look at it."""

    @property
    def label(self) -> str:
        """A name for messages."""

    @property
    def fingerprint(self) -> str:
        """Changes whenever the weights, or the way they are used, change."""


class PictureSpace(Protocol):
    """A VAE at work for the length of a run."""

    def decode(self, latent: Tensor) -> Tensor:
        """The pictures `[b h w 3]` in [0, 1] of scaled latents `[b c lh lw]`, on the CPU."""

    def encode(self, image: Tensor) -> Tensor:
        """The scaled latents `[b c lh lw]` of pictures `[b h w 3]`, on the CPU."""


@dataclass(frozen=True, eq=False)
class RunFacts:
    """What a constraint may ask of its run.

    Attributes:
        steps: reverse steps, those that time travel repeats included.
        pictures: the VAEs that its constraints asked for, by fingerprint.
    """

    steps: int
    pictures: Mapping[str, PictureSpace] = field(default_factory=dict)


class Constraint:
    """Base of all constraints; it changes nothing itself."""

    @property
    def models(self) -> tuple[Vae, ...]:
        """The VAEs that it needs during the run, in memory beside the denoiser."""
        return ()

    def within(self, run: RunFacts) -> "Constraint":
        """This constraint, begun already, for a run of that length."""
        return self

    def begin(self, start: Tensor) -> "Constraint":
        """This constraint for a run from z_T = `start` `[b c lh lw]`.

        Raises:
            BadInput: its latents are not of that shape.
        """
        return self

    def apply(self, x0: Tensor, step: DenoisingStep) -> Tensor:
        """The predicted clean latent `[b c lh lw]` with its known part imposed."""
        return x0

    def after_step(self, z: Tensor, step: DenoisingStep) -> Tensor:
        """The latent after the update `[b c lh lw]` with its known part imposed."""
        return z


@dataclass(frozen=True, eq=False)
class InTurn(Constraint):
    """Two constraints, the second applied to what the first made of each step."""

    first: Constraint
    then: Constraint

    @property
    def models(self) -> tuple[Vae, ...]:
        """The VAEs of both."""
        return (*self.first.models, *self.then.models)

    def begin(self, start: Tensor) -> "InTurn":
        """Both for a run from z_T = `start` `[b c lh lw]`."""
        return replace(self, first=self.first.begin(start), then=self.then.begin(start))

    def within(self, run: RunFacts) -> "InTurn":
        """Both for a run of that length."""
        return replace(self, first=self.first.within(run), then=self.then.within(run))

    def apply(self, x0: Tensor, step: DenoisingStep) -> Tensor:
        """The predicted clean latent after both."""
        return self.then.apply(self.first.apply(x0, step), step)

    def after_step(self, z: Tensor, step: DenoisingStep) -> Tensor:
        """The latent after both."""
        return self.then.after_step(self.first.after_step(z, step), step)


def in_turn(first: Constraint, then: Constraint | None) -> Constraint:
    """`first`, and after it `then` if there is one."""
    return first if then is None else InTurn(first, then)


def match_run(start: Tensor, known: Tensor, hole: Tensor) -> tuple[Tensor, Tensor]:
    """A known latent and its mask with the device, dtype and batch of a run.

    Args:
        start: z_T `[b c lh lw]`.
        known: `[n c lh lw]`, where b is a multiple of n.
        hole: 1 = repaint `[n 1 lh lw]`.

    Raises:
        BadInput: a shape does not agree.
    """
    if known.shape[1:] != start.shape[1:]:
        raise BadInput(
            "constraint",
            found=f"a known latent of shape {list(known.shape)}",
            expected=f"the run's own shape, {list(start.shape)}",
            fix="make constraint and noise from the same latent",
        )
    if hole.shape[1] != 1 or hole.shape[2:] != start.shape[2:]:
        raise BadInput(
            "constraint",
            found=f"a latent mask of shape {list(hole.shape)}",
            expected=f"[b, 1, {start.shape[2]}, {start.shape[3]}]",
            fix="use mask.to_latent with the same vae",
        )
    return expand_rows(known, start, "constraint"), expand_rows(hole, start, "constraint")

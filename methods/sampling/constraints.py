"""Constraints: what is known about the result, imposed at every step.

A constraint may change the predicted clean latent (`apply`) and the latent after the update (`after_step`). `begin`
binds it to a run: device, dtype, batch, and z_T. Those of the papers are ../null_space.py and ../blended_diffusion.py.
"""

from torch import Tensor

from ...graph_runtime import BadInput
from .rows import expand_rows
from .schedule import DenoisingStep


class Constraint:
    """Base of all constraints; it changes nothing itself."""

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

"""Constraints: what is known about the answer, imposed at every step.

A constraint sees the predicted clean latent (`apply`) and the latent after the update (`after_step`), and touches
either. `begin` binds it to a run: device, precision, batch, and z_T.
"""

from torch import Tensor

from ...graph_runtime import BadInput
from .rows import spread
from .schedule import Move


class Constraint:
    """Base of all constraints; this one demands nothing."""

    def begin(self, start: Tensor) -> "Constraint":
        """This constraint for a run that starts at z_T = `start` `[b c lh lw]`.

        Raises:
            BadInput: its latents are not of that shape.
        """
        return self

    def apply(self, x0: Tensor, move: Move) -> Tensor:
        """The predicted clean latent with what is known put in."""
        return x0

    def after_step(self, z: Tensor, move: Move) -> Tensor:
        """The latent after the update with what is known put in."""
        return z


def fit_to(start: Tensor, known: Tensor, hole: Tensor) -> tuple[Tensor, Tensor]:
    """A known latent and its mask with device, precision and batch of `start`; row i of n serves n times as many rows.

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
    return spread(known, start, "constraint"), spread(hole, start, "constraint")

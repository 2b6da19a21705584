"""Constraints: what is known about the answer, imposed at every step.

A constraint sees the predicted clean latent (`apply`) and the latent after the update (`after_step`), and touches
either. `begin` binds it to a run: device, precision, batch, and z_T.
"""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...graph_runtime import BadInput
from .ddim import Move


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


@dataclass(frozen=True, eq=False)
class NullSpace(Constraint):
    """x̂0 = Ml·Ey + (1 − Ml)·x0 (Kakinuma et al. 2024, eq. 5; DDNM, Wang et al. 2023, eq. 13 with A = Ml).

    Attributes:
        known: Ey `[b c lh lw]`.
        hole: 1 − Ml, 1 = repaint `[b 1 lh lw]`.
    """

    known: Tensor
    hole: Tensor

    def begin(self, start: Tensor) -> "NullSpace":
        """Device, precision and batch of the run."""
        return NullSpace(*fit_to(start, self.known, self.hole))

    def apply(self, x0: Tensor, move: Move) -> Tensor:
        """Eq. (5)."""
        return (1 - self.hole) * self.known + self.hole * x0


@dataclass(frozen=True, eq=False)
class Blended(Constraint):
    """After each update the known part is put back at that noise level: z ← Ml·(√ap·E + √(1−ap)·z_T) + (1 − Ml)·z.

    Blended latent diffusion (Avrahami et al. 2023), with the noise that the run began with, as diffusers' inpainting
    pipeline for 4-channel models does it. A rival, for comparison.

    Attributes:
        known: E `[b c lh lw]`.
        hole: 1 = repaint `[b 1 lh lw]`.
        start: z_T, once the run has begun.
    """

    known: Tensor
    hole: Tensor
    start: Tensor | None = None

    def begin(self, start: Tensor) -> "Blended":
        """Device, precision and batch of the run, and its z_T."""
        known, hole = fit_to(start, self.known, self.hole)
        return replace(self, known=known, hole=hole, start=start)

    def after_step(self, z: Tensor, move: Move) -> Tensor:
        """The known part at the level that the move has reached."""
        assert self.start is not None
        known = math.sqrt(move.ap) * self.known + math.sqrt(1 - move.ap) * self.start
        return (1 - self.hole) * known + self.hole * z


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


def spread(value: Tensor, like: Tensor, port: str) -> Tensor:
    """`value` with device, precision and number of rows of `like`: each row serves as many neighbouring rows.

    Raises:
        BadInput: the rows do not divide.
    """
    rows, wanted = value.shape[0], like.shape[0]
    if wanted % rows:
        raise BadInput(
            port,
            found=f"{rows} rows for a batch of {wanted}",
            expected="one row, or as many as there are pictures",
            fix="load as many pictures as masks, and make the noise from their latent",
        )
    value = value.to(device=like.device, dtype=like.dtype)
    return value if rows == wanted else torch.repeat_interleave(value, wanted // rows, dim=0)

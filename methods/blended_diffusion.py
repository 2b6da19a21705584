"""Blended latent diffusion, a baseline for inpainting with a plain model.

Avrahami, Fried & Lischinski, "Blended Latent Diffusion", SIGGRAPH 2023.

After each update the known part of the noisy latent is replaced by the picture's own latent at that noise level. The
model thus sees correct surroundings, but the predicted clean latent is never corrected. The noise is the run's z_T at
every step, as in diffusers' inpainting pipeline for 4-channel models.
"""

import math
from dataclasses import dataclass, replace

from ..graph_runtime.core.light.later import Tensor
from .sampling.constraints import Constraint, match_run
from .sampling.schedule import DenoisingStep


@dataclass(frozen=True, eq=False)
class Blended(Constraint):
    """z ← (1 − hole)·(√ᾱ′·E + √(1−ᾱ′)·z_T) + hole·z after each update.

    Attributes:
        known: E `[b c lh lw]`, scaled.
        hole: 1 = repaint `[b 1 lh lw]`.
        start: z_T `[b c lh lw]`; None until the run begins.
    """

    known: Tensor
    hole: Tensor
    start: Tensor | None = None

    def begin(self, start: Tensor) -> "Blended":
        """The constraint with the device, precision and batch of z_T = `start`, which it keeps.

        Raises:
            BadInput: the shapes do not agree.
        """
        known, hole = match_run(start, self.known, self.hole)
        return replace(self, known=known, hole=hole, start=start)

    def after_step(self, z: Tensor, step: DenoisingStep) -> Tensor:
        """The latent with its known part at the noise level that the update has reached."""
        assert self.start is not None
        known = math.sqrt(step.alpha_bar_next) * self.known + math.sqrt(1 - step.alpha_bar_next) * self.start
        return (1 - self.hole) * known + self.hole * z

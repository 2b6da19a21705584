"""Zero-shot inpainting by latent null-space replacement.

Kakinuma et al. 2024, after DDNM: Wang, Yu & Zhang, "Zero-Shot Image Restoration Using Denoising Diffusion Null-Space
Model", ICLR 2023.

A latent x splits into the part that a mask keeps, Ml·x, and its null space, (1 − Ml)·x. At every step the known part
of the predicted clean latent is replaced by the encoding of the masked picture, so only the null space is generated.
This works with any pretrained model: nothing is trained, and one model evaluation per step is enough.

Algorithm 1, with y the picture whose hole is 0 in [−1, 1], Ey its encoding, and ᾱ′ the next, less noisy ᾱ:

    Ml = 1 − dilate(to_latent_grid(hole))                          §3     nodes/mask/latent.py, to_latent
    ε  = model(z, t);  x0 = (z − √(1−ᾱ)·ε) / √ᾱ                    (3)    sampling/ddim.py, DdimSchedule.predict
    x̂0 = Ml·Ey + (1 − Ml)·x0                                       (5)    here
    z  = √ᾱ′·x̂0 + √(1 − ᾱ′ − σ²)·ε + σ·n                           (6)    sampling/ddim.py, DdimSchedule.advance

ε in (6) is the model's own, not recomputed from x̂0. The loop is sampling/loop.py; the workflow is
workflows/zero_shot_inpaint_strict.json.
"""

from dataclasses import dataclass

from torch import Tensor

from .sampling.constraints import Constraint, match_run
from .sampling.schedule import DenoisingStep


@dataclass(frozen=True, eq=False)
class NullSpace(Constraint):
    """Eq. (5) as a constraint on the predicted clean latent (DDNM, eq. 13 with A = Ml).

    Attributes:
        known: Ey `[b c lh lw]`, scaled.
        hole: 1 − Ml, 1 = repaint `[b 1 lh lw]`.
    """

    known: Tensor
    hole: Tensor

    def begin(self, start: Tensor) -> "NullSpace":
        """The constraint with the device, precision and batch of z_T = `start` `[b c lh lw]`.

        Raises:
            BadInput: the shapes do not agree.
        """
        return NullSpace(*match_run(start, self.known, self.hole))

    def apply(self, x0: Tensor, step: DenoisingStep) -> Tensor:
        """x̂0 = Ml·Ey + (1 − Ml)·x0, `[b c lh lw]` (eq. 5)."""
        return (1 - self.hole) * self.known + self.hole * x0

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

The dilation may shrink along the run (not in the paper): the model first makes what joins well to its surroundings, and
in the end more of the surroundings is the picture's own.

ε in (6) is the model's own, not recomputed from x̂0. The loop is sampling/loop.py; the workflow is
workflows/inpaint/zero_shot_inpaint_strict.json.
"""

from dataclasses import dataclass, replace

from ..graph_runtime.core.light.later import Tensor
from ..pictures.masks.latent import grow_cells
from .sampling.constraints import Constraint, RunFacts, match_run
from .sampling.schedule import DenoisingStep


@dataclass(frozen=True, eq=False)
class NullSpace(Constraint):
    """Eq. (5) as a constraint on the predicted clean latent (DDNM, eq. 13 with A = Ml).

    Attributes:
        known: Ey `[b c lh lw]`, scaled.
        hole: 1 − Ml, 1 = repaint `[b 1 lh lw]`.
        grow_first: cells by which the hole grows at the first step.
        grow_last: the same at the last step; between, it changes evenly and is rounded.
        steps: reverse steps of the run; 0 until it begins.
    """

    known: Tensor
    hole: Tensor
    grow_first: int = 0
    grow_last: int = 0
    steps: int = 0

    def begin(self, start: Tensor) -> "NullSpace":
        """The constraint with the device, precision and batch of z_T = `start` `[b c lh lw]`.

        Raises:
            BadInput: the shapes do not agree.
        """
        known, hole = match_run(start, self.known, self.hole)
        return replace(self, known=known, hole=hole)

    def within(self, run: RunFacts) -> "NullSpace":
        """The constraint for a run of so many steps."""
        return replace(self, steps=run.steps)

    def hole_at(self, step: DenoisingStep) -> Tensor:
        """1 − Ml at a step `[b 1 lh lw]`."""
        if not (self.grow_first or self.grow_last):
            return self.hole
        share = step.reverse_step / (self.steps - 1) if self.steps > 1 else 1.0
        return grow_cells(self.hole, round(self.grow_first + share * (self.grow_last - self.grow_first)))

    def apply(self, x0: Tensor, step: DenoisingStep) -> Tensor:
        """x̂0 = Ml·Ey + (1 − Ml)·x0, `[b c lh lw]` (eq. 5)."""
        hole = self.hole_at(step)
        return (1 - hole) * self.known + hole * x0

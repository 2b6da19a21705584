"""MasaCtrl, a baseline for editing: mutual self-attention.

Cao et al., "MasaCtrl: Tuning-Free Mutual Self-Attention Control for Consistent Image Synthesis and Editing", ICCV 2023.

A source branch draws the picture while the edit is sampled beside it. From a step and a layer on, the edit's
self-attention keeps its own queries but takes keys and values from the source, so it finds the picture's textures in a
layout of its own. Nothing is tuned.

Other steps: the source begins at the noise of DDIM inversion (inversion/ddim.py); rows that take keys and values from
other rows are attention/gather.py.
"""

from dataclasses import dataclass
from typing import Any

from ..graph_runtime import BadInput
from .attention.branches import EDIT_C, EDIT_U, SOURCE_C, SOURCE_U, guidance_with
from .attention.control import AttentionControl
from .attention.gather import Borrowing, GatheredRun, Kind, self_attentions
from .conditioning import Conditioning
from .sampling.branch import Chain


@dataclass(frozen=True, eq=False)
class MutualSelfAttention(AttentionControl):
    """softmax(Q_edit K_srcᵀ/√d) V_src in self-attention, both halves, from a step and a layer on (eq. 3).

    Attributes:
        source: the conditioning of the source branch.
        start_step: first reverse step, from 0; the paper uses 4 of 50.
        start_layer: first self-attention in the order of calling, from 0; the paper uses 10 of 16.
    """

    source: Conditioning
    start_step: int = 4
    start_layer: int = 10

    def require(self, denoiser: Any, steps: int) -> None:
        """Raise BadInput where no step is left for it."""
        if self.start_step >= steps:
            raise BadInput(
                "attention",
                found=f"start_step {self.start_step} in attention.mutual_self, of {steps} steps",
                expected=f"at most {steps - 1}",
                fix="lower start_step there (the paper begins at 4 of 50), or use more steps",
            )

    def require_layers(self, count: int) -> None:
        """Raise BadInput where a UNet of so many self-attentions has none left for it."""
        if self.start_layer >= count:
            raise BadInput(
                "attention",
                found=f"start_layer {self.start_layer} in attention.mutual_self",
                expected=f"at most {count - 1}: this UNet has {count} self-attentions",
                fix=f"set start_layer to about {count * 5 // 8} there; of Stable Diffusion's 16 the paper "
                "leaves out 10",
            )

    def begin(self) -> "_MutualRun":
        """The control for one run."""
        return _MutualRun(self)


class _MutualRun(GatheredRun):
    def __init__(self, control: MutualSelfAttention):
        super().__init__()
        self._control = control
        self._rows_of_source = {EDIT_U: SOURCE_U, EDIT_C: SOURCE_C}

    def installed(self, denoiser: Any) -> Any:
        self._control.require_layers(self_attentions(denoiser))
        return super().installed(denoiser)

    def companions(self, picture: Chain, steps: int) -> list[Chain]:
        self._control.require(None, steps)
        guidance = guidance_with(picture, self._control.source, None)
        if len(guidance.halves(0)) == 1:  # one row serves both halves
            self._rows_of_source = {EDIT_U: SOURCE_C, EDIT_C: SOURCE_C}
            if guidance.scale == 0 and guidance.differs:
                self._rows_of_source = {EDIT_U: SOURCE_U, EDIT_C: SOURCE_U}
        return [Chain("source", picture.z.clone(), guidance)]

    def plan(self, step: int) -> dict[Kind, Borrowing]:
        if step < self._control.start_step:
            return {}
        lent = self._rows_of_source
        return {"self": Borrowing(key=lent, value=lent, first_layer=self._control.start_layer)}

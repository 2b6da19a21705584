"""MasaCtrl, a baseline for editing: mutual self-attention.

Cao et al., "MasaCtrl: Tuning-Free Mutual Self-Attention Control for Consistent Image Synthesis and Editing", ICCV 2023.

A source branch redraws the picture while the edit is sampled beside it. From a given step and layer on, the edit's
self-attention keeps its own queries but takes keys and values from the source, so it uses the picture's textures in a
new layout. Nothing is tuned.

Other steps: the source begins at the noise of DDIM inversion (inversion/ddim.py); keys and values from other rows are
    implemented in attention/gather.py.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ..graph_runtime import BadInput
from ..graph_runtime.core.light.later import nn
from .attention.branches import EDIT_C, EDIT_U, SOURCE_C, SOURCE_U, source_branch
from .attention.control import AttentionControl
from .attention.gather import AttentionKind, AttentionSources, GatheredRun, self_attentions
from .conditioning import Conditioning
from .sampling.branch import Branch


@dataclass(frozen=True, eq=False)
class MutualSelfAttention(AttentionControl):
    """softmax(Q_edit K_srcᵀ/√d) V_src in self-attention, both halves, from a given step and layer on (eq. 3).

    Attributes:
        source: the conditioning of the source branch.
        start_step: first reverse step, from 0; the paper uses 4 of 50.
        start_layer: first self-attention in the order of calling, from 0; the paper uses 10 of 16.
    """

    source: Conditioning
    start_step: int = 4
    start_layer: int = 10

    @property
    def conditionings(self) -> dict[str, Conditioning]:
        """The source's."""
        return {"source": self.source}

    def require_steps(self, steps: int) -> None:
        """Raise BadInput if a run of that many steps ends before start_step."""
        if self.start_step >= steps:
            raise BadInput(
                "attention",
                found=f"start_step {self.start_step} in attention.mutual_self, of {steps} steps",
                expected=f"at most {steps - 1}",
                fix="lower start_step there (the paper begins at 4 of 50), or use more steps",
            )

    def require_layers(self, count: int) -> None:
        """Raise BadInput if a UNet has no more than start_layer self-attentions."""
        if self.start_layer >= count:
            raise BadInput(
                "attention",
                found=f"start_layer {self.start_layer} in attention.mutual_self",
                expected=f"at most {count - 1}: this UNet has {count} self-attentions",
                fix=f"set start_layer to about {count * 5 // 8} there; the paper skips 10 of Stable Diffusion's 16",
            )

    def begin(self) -> "_MutualRun":
        """The control for one run."""
        return _MutualRun(self)


class _MutualRun(GatheredRun):
    def __init__(self, control: MutualSelfAttention) -> None:
        super().__init__()
        self._control = control
        self._row_sources = {EDIT_U: SOURCE_U, EDIT_C: SOURCE_C}

    @contextmanager
    def installed(self, unet: nn.Module) -> Iterator[None]:
        self._control.require_layers(self_attentions(unet))
        with super().installed(unet):
            yield

    def companions(self, edit: Branch, steps: int) -> list[Branch]:
        self._control.require_steps(steps)
        source = source_branch(edit, self._control.source)
        guidance = source.guidance
        if len(guidance.halves(0)) == 1:  # one row serves both halves
            self._row_sources = {EDIT_U: SOURCE_C, EDIT_C: SOURCE_C}
            if guidance.scale == 0 and guidance.differs:
                self._row_sources = {EDIT_U: SOURCE_U, EDIT_C: SOURCE_U}
        return [source]

    def plan(self, reverse_step: int) -> dict[AttentionKind, AttentionSources]:
        if reverse_step < self._control.start_step:
            return {}
        first = self._control.start_layer
        return {"self": AttentionSources(key=self._row_sources, value=self._row_sources, first_layer=first)}

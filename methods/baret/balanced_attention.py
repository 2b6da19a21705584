"""BARET's balanced attention (BAM): self-attention as in the reconstruction, cross-attention as in the transition."""

from dataclasses import dataclass

from ...graph_runtime.core.light.later import Tensor
from ..attention.branches import (
    EDIT_C,
    RECONSTRUCTION,
    TRANSITION,
    ExpectedInputs,
    reconstruction_branch,
    steps_until,
    tuning_like_edit,
)
from ..attention.control import AttentionControl
from ..attention.gather import AttentionKind, AttentionSources, GatheredRun, Layers
from ..inversion.tuning import Tuned
from ..sampling.branch import Branch
from ..sampling.guidance import Guidance


@dataclass(frozen=True, eq=False)
class BalancedAttention(AttentionControl):
    """Balanced attention injection (BAM): V from the target text, the maps from elsewhere, conditional half only.

        self-attention   softmax(Q_rec K_recᵀ/√d) V_edit   in the first int(self_until·T) steps
        cross-attention  softmax(Q_tr  K_trᵀ /√d) V_edit   in the first int(cross_until·T) steps

    Attributes:
        reconstruction: e_t; its branch gives the maps of self-attention.
        transition: ẽ_t; its branch gives the maps of cross-attention.
        self_until: share of the steps, from the noisiest; the paper uses 0.2 to 0.4.
        cross_until: share of the steps, from the noisiest; the paper uses 0.4 to 0.8.
        layers: the part of the UNet in which this is done.
    """

    reconstruction: Tuned
    transition: Tuned
    self_until: float = 0.3
    cross_until: float = 0.6
    layers: Layers = "all"

    @property
    def inversion_key(self) -> str:
        """Identifies its inversion."""
        return self.reconstruction.inversion_key

    @property
    def start(self) -> Tensor:
        """z*_T `[b c lh lw]`, from which the edit begins."""
        return self.reconstruction.start

    @property
    def expects(self) -> ExpectedInputs:
        """The inputs that the sampler must get together with it."""
        return ExpectedInputs(self.reconstruction.text_hash, self.reconstruction.guidance_scale)

    def begin(self) -> "_BalancedAttentionRun":
        """The control for one run."""
        return _BalancedAttentionRun(self)


class _BalancedAttentionRun(GatheredRun):
    def __init__(self, control: BalancedAttention) -> None:
        super().__init__()
        self._control = control
        self._self = self._cross = 0

    def companions(self, edit: Branch, steps: int) -> list[Branch]:
        control, guidance = self._control, edit.guidance
        self._self, self._cross = steps_until(control.self_until, steps), steps_until(control.cross_until, steps)
        branches: list[Branch] = []
        if guidance.scale == 0 or guidance.cond is None:
            return []  # the edit has no conditional half
        if self._cross:
            tuning = tuning_like_edit(control.transition, edit)
            transition = Guidance(guidance.cond, guidance.uncond, guidance.scale, True, guidance.extra, tuning)
            branches.append(Branch("transition", edit.z.clone(), transition, until=self._cross))
        if self._self:
            branches.append(reconstruction_branch("reconstruction", edit, control.reconstruction, self._self))
        return branches

    def plan(self, reverse_step: int) -> dict[AttentionKind, AttentionSources]:
        sources: dict[AttentionKind, AttentionSources] = {}
        layers = self._control.layers
        if reverse_step < self._self:
            sources["self"] = AttentionSources({EDIT_C: RECONSTRUCTION}, {EDIT_C: RECONSTRUCTION}, layers=layers)
        if reverse_step < self._cross:
            sources["cross"] = AttentionSources({EDIT_C: TRANSITION}, {EDIT_C: TRANSITION}, layers=layers)
        return sources

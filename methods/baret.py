"""BARET: edit a real picture with nothing but a text that describes the result.

Qiao et al., "BARET: Balanced Attention based Real image Editing driven by Target-text Inversion", 2023.

1. Target-text inversion (TTIS): the picture is inverted to noise with DDIM under the target text, whose embedding is
   then tuned at every step, e_t, until guidance leads back to the picture.
2. Progressive transition (PTS): ẽ_t = λ·e_t + (1 − λ)·e_tgt fades from the picture to the target text.
3. Balanced attention (BAM): while the target text is sampled, self-attention takes its maps from the reconstruction
   (e_t) and cross-attention from the transition (ẽ_t), each for a share of the steps.

Here: `target_text_recipe`, `transition_weights` with `blend`, and `BalancedAttention`. Shared with other methods: DDIM
inversion (inversion/ddim.py), the optimisation (inversion/tuning.py), attention with the queries and keys of other rows
(attention/gather.py), the loop (sampling/loop.py). Workflows: baret_edit.json, and baret_rigid.json with λ = 1.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from .attention.branches import (
    EDIT_C,
    RECONSTRUCTION,
    TRANSITION,
    ExpectedInputs,
    reconstruction_branch,
    steps_until,
    tuning_like_edit,
)
from .attention.control import AttentionControl
from .attention.gather import AttentionKind, AttentionSources, GatheredRun, Layers
from .inversion.tuning import Tuned, TuningRecipe
from .sampling.branch import Branch
from .sampling.guidance import Guidance


def target_text_recipe(
    guidance_scale: float = 7.5,
    iterations: int = 5,
    learning_rate: float = 1e-3,
    stop_start: float = 1e-5,
    stop_step: float = 2e-5,
    carry: bool = True,
) -> TuningRecipe:
    """How e_t is tuned (TTIS): Adam's rate is constant, and at step i a loss below start + step·i ends it."""
    return TuningRecipe(
        guidance_scale,
        iterations,
        lambda step: learning_rate,
        lambda step: stop_start + stop_step * step,
        carry,
        "cond",
    )


def transition_weights(start: float, end: float, total: int) -> list[float]:
    """λ_i = start + (end − start)·i/(T − 1) for T = `total` steps, noisiest first; 1 is the tuned embedding (PTS).

    The paper goes from 0.8 to 0.1 for non-rigid edits, and keeps 1 for rigid ones.
    """
    return [start + (end - start) * number / max(1, total - 1) for number in range(total)]


def blend(tuned: Tensor, target: Tensor, weights: list[float]) -> Tensor:
    """ẽ_t = λ_i·e_t + (1 − λ_i)·e_tgt (PTS), exact at 0 and 1.

    Args:
        tuned: e_t, noisiest first `[T b n d]`.
        target: e_tgt `[b n d]` or `[1 n d]`.
        weights: λ_i, one for each step.

    Returns:
        The transition embeddings `[T b n d]`.
    """
    rows = []
    for value, weight in zip(tuned, weights, strict=True):
        rows.append(
            value if weight == 1 else target.expand_as(value) if weight == 0 else weight * value + (1 - weight) * target
        )
    return torch.stack(rows)


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
        """What its inversion was made with."""
        return self.reconstruction.inversion_key

    @property
    def start(self) -> Tensor:
        """z*_T `[b c lh lw]`, where the edit begins."""
        return self.reconstruction.start

    @property
    def expects(self) -> ExpectedInputs:
        """The other inputs that the sampler needs with it."""
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

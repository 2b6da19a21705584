"""Prompt-to-prompt, a baseline for editing: words of the prompt are replaced while their attention maps stay.

Hertz et al., "Prompt-to-Prompt Image Editing with Cross Attention Control", 2022.

A source branch redraws the picture under its own prompt while the edit is sampled beside it. Cross-attention takes
the source's map for every word that both prompts share and for words that replace others (algorithm 1); words that
are only added keep their own map. For a share of the steps, self-attention takes the source's maps too, at 32 × 32
and below.

Other steps: for a real picture the source branch is reconstructed with null-text inversion (null_text.py); map
    columns from other rows are implemented in attention/gather.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ..graph_runtime.core.light.later import Tensor
from ..graph_runtime.core.tensor_store import content_key
from .attention.branches import (
    EDIT_C,
    SOURCE_C,
    ExpectedInputs,
    like_edit,
    reconstruction_branch,
    source_branch,
    steps_until,
)
from .attention.control import AttentionControl
from .attention.gather import AttentionKind, AttentionSources, GatheredRun, MapReplacement
from .conditioning import Conditioning
from .inversion.tuning import Tuned
from .sampling.branch import Branch

#: Queries up to which self-attention maps are replaced, as in the published code of null-text inversion.
LARGEST = 32 * 32


@dataclass(frozen=True, eq=False)
class PromptToPrompt(AttentionControl):
    """Maps of the source branch in the edit's conditional half: whole maps in self-attention, per word in
    cross-attention.

    Attributes:
        source: the text that the picture was inverted with.
        target: the text of the edit.
        tuning: of the empty text, from null-text inversion; without it the source is sampled from the same noise.
        self_until: share of the steps, from the noisiest, in which self-attention uses the source's maps.
        cross_until: share of the steps in which cross-attention uses the source's maps for the words in both texts.
    """

    source: Conditioning
    target: Conditioning
    tuning: Tuned | None = None
    self_until: float = 0.5
    cross_until: float = 0.8

    @property
    def inversion_key(self) -> str:
        """Identifies its inversion; empty without one."""
        return "" if self.tuning is None else self.tuning.inversion_key

    @property
    def start(self) -> Tensor | None:
        """z*_T `[b c lh lw]`, from which the edit begins; None without an inversion."""
        return None if self.tuning is None else self.tuning.start

    @property
    def expects(self) -> ExpectedInputs:
        """The inputs that the sampler must get together with it."""
        scale = 0.0 if self.tuning is None else self.tuning.guidance_scale
        return ExpectedInputs(content_key(self.target.cond).hex(), scale, True, self.tuning)

    @property
    def conditionings(self) -> dict[str, Conditioning]:
        """The source's and the target's."""
        return {"source": self.source, "target": self.target}

    def begin(self) -> "_PromptRun":
        """The control for one run."""
        return _PromptRun(self)


class _PromptRun(GatheredRun):
    def __init__(self, control: PromptToPrompt) -> None:
        super().__init__()
        self._control = control
        self._self = self._cross = 0
        self._maps = MapReplacement(SOURCE_C, *aligned(control.source.tokens or (), control.target.tokens or ()))

    def companions(self, edit: Branch, steps: int) -> list[Branch]:
        control = self._control
        self._self, self._cross = steps_until(control.self_until, steps), steps_until(control.cross_until, steps)
        until = max(self._self, self._cross)
        if not until or edit.guidance.scale == 0:
            return []
        if control.tuning is None:
            return [source_branch(edit, control.source, until)]
        cond = like_edit(control.source.cond, edit, "source")
        return [reconstruction_branch("source", edit, control.tuning, until, cond)]

    def plan(self, reverse_step: int) -> dict[AttentionKind, AttentionSources]:
        sources: dict[AttentionKind, AttentionSources] = {}
        if reverse_step < self._self:
            sources["self"] = AttentionSources({EDIT_C: SOURCE_C}, {EDIT_C: SOURCE_C}, largest=LARGEST)
        if reverse_step < self._cross:
            sources["cross"] = AttentionSources(maps={EDIT_C: self._maps})
        return sources


def aligned(source: Sequence[int], target: Sequence[int]) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """For each token of the target, the source token whose map it uses.

    Equal runs of tokens are matched. Replacing tokens use the maps of the replaced ones in order, stretched if the
    numbers differ. Added tokens keep their own map.

    Args:
        source: token ids `[m]`.
        target: token ids `[n]`.

    Returns:
        For each token of the target, the position in the source `[n]`, and 1, or 0 where it keeps its own map `[n]`.
    """
    import difflib

    columns, share = [0] * len(target), [0.0] * len(target)
    matcher = difflib.SequenceMatcher(None, list(source), list(target), autojunk=False)
    for kind, left, right, start, end in matcher.get_opcodes():
        if kind in ("insert", "delete"):
            continue
        for position in range(start, end):
            columns[position] = left + (position - start) * (right - left) // (end - start)
            share[position] = 1.0
    return tuple(columns), tuple(share)

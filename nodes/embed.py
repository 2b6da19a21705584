"""Embeddings between those that an inversion tuned and those of a text."""

from typing import Annotated, NamedTuple

from pydantic import Field

from ..graph_runtime import BadInput, Context, node
from ..graph_runtime.core.tensor_store import content_key
from ..graph_runtime.core.values import only_shape
from ..methods.baret.transition import blend, transition_weights
from .checks.before_run import Facts, Known, Params, rehearse
from .ports import ConditioningPort, TunedPort

Weight = Annotated[float, Field(ge=0, le=1)]


class Blended(NamedTuple):
    """Per-step embeddings."""

    tuning: TunedPort


def _check_transition(known: Known, params: Params) -> Facts:
    return rehearse(transition, known, params)


@node("embed.transition", version=1, check=_check_transition)
def transition(
    tuning: TunedPort,
    conditioning: ConditioningPort,
    start: Weight = 0.8,
    end: Weight = 0.1,
    ctx: Context | None = None,
) -> Blended:
    """Fade from the tuned embedding to the target text's, step by step (BARET, progressive transition).

    ẽ_t = λ·e_t + (1 − λ)·e_tgt, λ from `start` at the noisiest step to `end` at the last: 0.8 → 0.1 for non-rigid
    edits, 1 → 1 for rigid ones.

    Args:
        tuning: from invert.target_text.
        conditioning: the target text.
        start: weight of the tuned embedding at the noisiest step.
        end: weight of the tuned embedding at the last step.

    Raises:
        BadInput: a tuning of the empty text, or of another width than the text's.
    """
    if tuning.half != "cond":
        raise BadInput(
            "tuning",
            found="a tuning of the empty text",
            expected="one of the target text",
            fix="use invert.target_text instead of invert.null_text",
        )
    target = conditioning.cond
    if target.shape[1:] != tuning.embeddings.shape[2:]:
        raise BadInput(
            "conditioning",
            found=f"embeddings of {list(target.shape[1:])}",
            expected=f"{list(tuning.embeddings.shape[2:])}, as the tuning has",
            fix="take the text encoder of the model that was inverted with",
        )
    if ctx is not None and not only_shape(target) and tuning.text_hash not in ("", content_key(target).hex()):
        ctx.warn(
            "the tuning was made under another text than the one that is connected here: connect one "
            "condition.text to both"
        )
    if only_shape(target) or only_shape(tuning.embeddings):  # arithmetic of shapes imports torch._dynamo
        return Blended(tuning.with_embeddings(tuning.embeddings))
    weights = transition_weights(start, end, len(tuning.embeddings))
    return Blended(tuning.with_embeddings(blend(tuning.embeddings, target.to(tuning.embeddings), weights)))

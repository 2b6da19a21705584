"""Conditions: what the denoiser is told."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor

from ..graph_runtime import BadInput, Context, node
from ._condition import Conditioning as Told
from ._condition import ConditioningFacts, encode_text
from ._ports import Conditioning, Text, TextEncoder, describe
from ._tensors import plain_mode


class Conditioned(NamedTuple):
    """What the denoiser is told."""

    conditioning: Conditioning


def _check_text(known: Mapping[str, Any], params: Mapping[str, Any]) -> Mapping[str, Any]:
    encoder = known.get("text_encoder")
    if encoder is None or not getattr(encoder, "known", False):
        return {}
    return {"conditioning": ConditioningFacts(encoder.hidden_size, 0, encoder.label)}


@node("condition.text", version=1, check=_check_text)
def text(text_encoder: TextEncoder, ctx: Context, text: Text | None = None, prompt: str = "",
         negative: str = "") -> Conditioned:
    """Embed a prompt and a negative prompt with CLIP.

    Where both are the same text, the sampler needs one model evaluation a step instead of two.

    Args:
        text_encoder: tokenizer and encoder of the model that will sample.
        text: a text from another node (a caption); it overrides prompt.
        prompt: what the picture should show; empty leaves it to the picture itself.
        negative: what the picture should not show; the unconditional half of guidance.

    Raises:
        BadInput: a text that is no Unicode (half of a surrogate pair).
    """
    if not hasattr(text_encoder, "hidden_size"):
        raise BadInput("text_encoder", found=describe(text_encoder), expected="the description of a text encoder",
                       fix="wire the text_encoder output of a model node")
    wanted = prompt if text is None else text
    if not isinstance(wanted, str):
        raise BadInput("text", found=describe(wanted), expected="one text", fix="wire the output of caption.blip")
    for port, words in (("prompt" if text is None else "text", wanted), ("negative", negative)):
        _require_unicode(port, words)
    embeddings: dict[str, Tensor] = {}  # equal texts are one tensor
    with plain_mode(), ctx.lease(text_encoder) as module:
        for words in (wanted, negative):
            if words in embeddings:
                continue
            embeddings[words], rest = encode_text(module, words)
            if rest:
                ctx.warn(f"the encoder reads {embeddings[words].shape[1] - 2} tokens; it does not see the end of the "
                         f"text: {rest!r}")
    return Conditioned(Told(embeddings[wanted], embeddings[negative], name=text_encoder.label))


def _require_unicode(port: str, words: str) -> None:
    try:
        words.encode("utf-8")
    except UnicodeEncodeError as error:
        raise BadInput(port, found=f"half a character ({words[error.start]!a}) at position {error.start + 1}",
                       expected="Unicode text", fix="type the text again, or save its file as UTF-8") from error

"""Cross-attention to a single token, collapsed: computed once per run instead of at every step.

The softmax over one key is 1, so the output is Wo(Wv(e)) + bias for every query, whatever queries and keys are. (For
the same reason a LoRA on `attn2.to_q` or `attn2.to_k` of such a model learns nothing.)
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from ...graph_runtime.core.processors import layered


class CollapsedProcessor:
    """An attention processor for one token; with any other number of tokens the one it stands for does the work.

    Args:
        before: the processor that was there.
    """

    def __init__(self, before: Any):
        self.before = before
        self._known: tuple[Tensor, Tensor] | None = None  # what was told, and what it comes to

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> Tensor:
        """`[b q d]` queries, of which only the number counts, and `[b 1 d']` -> `[b q d]`."""
        told = encoder_hidden_states
        if told is None or told.shape[1] != 1 or attention_mask is not None or hidden_states.ndim != 3:
            output: Tensor = self.before(attn, hidden_states, encoder_hidden_states, attention_mask, *args, **kwargs)
            return output
        known = self._known
        if known is None or known[0] is not told:
            known = self._known = (told, attn.to_out[1](attn.to_out[0](attn.to_v(told))))
        return known[1].expand(-1, hidden_states.shape[1], -1)


def collapsible(attention: Any) -> bool:
    """True for a plain cross-attention: nothing is added to, or done with, what it gives out."""
    return (
        not attention.residual_connection
        and attention.rescale_output_factor == 1
        and attention.norm_cross is None
        and attention.spatial_norm is None
        and attention.group_norm is None
    )


@contextmanager
def collapsed(unet: Any) -> Iterator[None]:
    """Collapse a UNet's cross-attentions for the length of the block, and put back what was there whatever happens."""
    with layered(unet, "collapse", _wrap):
        yield


def _wrap(name: str, attention: Any, before: Any) -> Any:
    return CollapsedProcessor(before) if name.endswith(".attn2") and collapsible(attention) else before


class OneTokenProcessor:
    """Cross-attention to one token: Wo(Wv(e)) for every query, whatever queries and keys are."""

    def __call__(self, attn: Any, hidden_states: Tensor, encoder_hidden_states: Tensor, **_: Any) -> Tensor:
        """`[b q d]` queries (only their number counts) and `[b 1 d]` -> `[b q d]`."""
        value = attn.to_out[1](attn.to_out[0](attn.to_v(encoder_hidden_states)))
        return value.expand(-1, hidden_states.shape[1], -1)

"""Cross-attention to a single token, collapsed: computed once per run instead of at every step.

The softmax over one key is 1, so the output is Wo(Wv(e)) + bias for every query, whatever the queries and keys. (For
the same reason a LoRA on `attn2.to_q` or `attn2.to_k` of such a model learns nothing.)
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ...graph_runtime.core.light.later import Tensor, nn
from ...graph_runtime.core.processors import wrapped_processors
from .gather import Processor

if TYPE_CHECKING:
    from diffusers.models.attention_processor import Attention


class CollapsedProcessor:
    """An attention processor for one token; with any other number of tokens the earlier processor is called.

    Args:
        before: the earlier processor.
    """

    def __init__(self, before: Processor) -> None:
        self.before = before
        self._known: tuple[Tensor, Tensor] | None = None  # embeddings, and the output for them

    def __call__(
        self,
        attn: "Attention",
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        *args: object,
        **kwargs: object,
    ) -> Tensor:
        """`[b q d]` queries, of which only the number counts, and `[b 1 d']` -> `[b q d]`."""
        token = encoder_hidden_states
        if token is None or token.shape[1] != 1 or attention_mask is not None or hidden_states.ndim != 3:
            return self.before(attn, hidden_states, encoder_hidden_states, attention_mask, *args, **kwargs)
        known = self._known
        if known is None or known[0] is not token:
            known = self._known = (token, attn.to_out[1](attn.to_out[0](attn.to_v(token))))
        return known[1].expand(-1, hidden_states.shape[1], -1)


def collapsible(attention: "Attention") -> bool:
    """True for a plain cross-attention: its output is not added to, scaled or normalised."""
    return (
        not attention.residual_connection
        and attention.rescale_output_factor == 1
        and attention.norm_cross is None
        and attention.spatial_norm is None
        and attention.group_norm is None
    )


@contextmanager
def collapsed(unet: nn.Module) -> Iterator[None]:
    """Collapse a UNet's cross-attentions for the length of the block, and always restore them."""
    with wrapped_processors(unet, "collapse", _wrap):
        yield


def _wrap(name: str, attention: "Attention", before: Processor) -> Processor:
    return CollapsedProcessor(before) if name.endswith(".attn2") and collapsible(attention) else before


class OneTokenProcessor:
    """Cross-attention to one token: Wo(Wv(e)) for every query, whatever the queries and keys."""

    def __call__(self, attn: "Attention", hidden_states: Tensor, encoder_hidden_states: Tensor, **_: object) -> Tensor:
        """`[b q d]` queries (only their number counts) and `[b 1 d]` -> `[b q d]`."""
        value: Tensor = attn.to_out[1](attn.to_out[0](attn.to_v(encoder_hidden_states)))
        return value.expand(-1, hidden_states.shape[1], -1)

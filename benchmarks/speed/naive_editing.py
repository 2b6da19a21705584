"""A naive BARET: three branches with both halves of guidance at every step; the baseline of speed/editing.py."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

NAIVE_ROWS = 6
REC_C, TR_C, ED_C = 1, 3, 5  # rows: reconstruction, transition, edit; unconditional first


class NaiveProcessor:
    """Every row projected; the edit's queries and keys overwritten; scaled_dot_product_attention."""

    def __init__(self, windows: dict[str, bool]):
        self.windows = windows

    def __call__(
        self, attn: Any, hidden_states: Tensor, encoder_hidden_states: Tensor | None = None, *_: Any, **__: Any
    ) -> Tensor:
        """`[6 n d]` -> `[6 n d]`."""
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        kind, lender = ("self", REC_C) if encoder_hidden_states is None else ("cross", TR_C)
        query, key, value = (
            part.unflatten(-1, (attn.heads, -1)).transpose(1, 2)
            for part in (attn.to_q(hidden_states), attn.to_k(context), attn.to_v(context))
        )
        mixed = self.attend(query, key, value, lender if self.windows[kind] else None)
        output: Tensor = attn.to_out[0](mixed.transpose(1, 2).flatten(2))
        return output

    def attend(self, query: Tensor, key: Tensor, value: Tensor, lender: int | None) -> Tensor:
        """Attention in which the edit uses the lender's map."""
        if lender is not None:
            query, key = query.clone(), key.clone()
            query[ED_C], key[ED_C] = query[lender], key[lender]
        return F.scaled_dot_product_attention(query, key, value)


class MappedProcessor(NaiveProcessor):
    """The same with explicit attention maps, as in the published code of prompt-to-prompt."""

    def attend(self, query: Tensor, key: Tensor, value: Tensor, lender: int | None) -> Tensor:
        """Attention through explicit maps."""
        maps = torch.softmax(query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5, dim=-1)
        if lender is not None:
            maps[ED_C] = maps[lender]
        return maps @ value


@torch.no_grad()
def naive_edit(
    unet: Any,
    plan: Any,
    start: Tensor,
    conditioning: Any,
    tuning: Any,
    between: Any,
    scale: float,
    windows: tuple[float, float],
    kind: Any,
) -> Tensor:
    """The edited latent; six rows at every step."""
    state = {"self": True, "cross": True}
    before = dict(unet.attn_processors)
    unet.set_attn_processor({name: kind(state) for name in before})
    z = [start, start, start]
    steps = len(plan.timesteps)
    try:
        for i, t in enumerate(plan.timesteps):
            state["self"], state["cross"] = (i < int(share * steps + 1e-9) for share in windows)
            words = torch.cat(
                [
                    conditioning.uncond,
                    tuning.embeddings[i],
                    conditioning.uncond,
                    between.embeddings[i],
                    conditioning.uncond,
                    conditioning.cond,
                ]
            )
            rows = torch.cat([one for one in z for _ in range(2)])
            outputs = unet(rows, t, encoder_hidden_states=words).sample
            a = plan.alpha_bars[i]
            ap = plan.alpha_bars[i + 1] if i + 1 < steps else plan.final_alpha_bar
            for chain in range(3):
                u, c = outputs[2 * chain : 2 * chain + 1], outputs[2 * chain + 1 : 2 * chain + 2]
                e = u + scale * (c - u)
                z[chain] = ap**0.5 * (z[chain] - (1 - a) ** 0.5 * e) / a**0.5 + (1 - ap) ** 0.5 * e
    finally:
        unet.set_attn_processor(before)
    return z[2]

"""What the denoiser is told: embeddings for the conditional and the unconditional half, and extra input channels."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ._models import TextModule


@dataclass(frozen=True)
class ConditioningFacts:
    """What is known of a conditioning before it is made: enough to refuse a wrong pairing while checking."""

    width: int
    extra: int = 0
    name: str = "conditioning"

    @property
    def facts(self) -> "ConditioningFacts":
        """Itself, so that a check can treat it as the conditioning."""
        return self


@dataclass(frozen=True, eq=False)
class Conditioning:
    """Embeddings and extra channels, on the CPU.

    Attributes:
        cond: conditional embeddings `[b n d]`.
        uncond: unconditional ones `[b n d]`; the same tensor where they do not differ.
        extra: channels that are joined to the latents `[b c lh lw]` (masked picture, mask), or None.
        drew_posterior: True when `extra` took the posterior's tensor of the run's noise, which the sampler then skips.
        name: whose embeddings they are, for messages.
    """

    cond: Tensor
    uncond: Tensor
    extra: Tensor | None = None
    drew_posterior: bool = False
    name: str = "conditioning"

    @property
    def facts(self) -> "ConditioningFacts":
        """Width of the embeddings and number of extra channels."""
        return ConditioningFacts(self.cond.shape[-1], 0 if self.extra is None else self.extra.shape[1], self.name)

    @property
    def differs(self) -> bool:
        """True when the two halves differ, so that guidance means something."""
        return self.cond is not self.uncond and not torch.equal(self.cond, self.uncond)


def encode_text(module: TextModule, text: str) -> tuple[Tensor, str]:
    """CLIP embeddings of a text, `[1 n d]` on the CPU, and what of it was cut off at the last token.

    As Stable Diffusion uses them: padded to the encoder's length, last hidden state after its final layer norm.
    """
    encoder: Any = module.encoder
    length = min(module.tokenizer.model_max_length, encoder.config.max_position_embeddings)
    tokens = module.tokenizer(text, padding="max_length", max_length=length, truncation=True, return_tensors="pt")
    device = next(encoder.parameters()).device
    attention_mask = tokens.attention_mask.to(device) if getattr(encoder.config, "use_attention_mask", False) else None
    embeddings = encoder(tokens.input_ids.to(device), attention_mask=attention_mask)[0]
    return to_host(embeddings), _cut_off(module.tokenizer, text, length)


def _cut_off(tokenizer: Any, text: str, length: int) -> str:
    ids = tokenizer(text, padding=False, truncation=False, verbose=False).input_ids
    return tokenizer.decode(ids[length - 1:-1]).strip() if len(ids) > length else ""


def to_host(value: Tensor) -> Tensor:
    """A value as it travels between nodes: on the CPU, float64 if it is, else float32."""
    return value.detach().to("cpu", torch.float64 if value.dtype == torch.float64 else torch.float32)

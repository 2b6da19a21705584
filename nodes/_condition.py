"""What the denoiser is told: embeddings for the conditional and the unconditional half, and extra input channels."""

import threading
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from ._facts import same_values
from ._text_encoder import TextModule

Kind = Literal["text", "exemplar"]
_TOKENIZING = threading.Lock()  # its first call may still take off what its own file set


@dataclass(frozen=True)
class ConditioningFacts:
    """What is known of a conditioning whose shape is not: enough to refuse a wrong pairing while checking."""

    width: int
    extra: int = 0
    name: str = "conditioning"
    kind: Kind = "text"

    partial = True  # not the conditioning itself, see `_facts.rehearse`

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
        kind: what was embedded, which decides the order of a model's extra channels.
        tokens: of the conditional text, start, end and padding included, or None where there is no text.
    """

    cond: Tensor
    uncond: Tensor
    extra: Tensor | None = None
    drew_posterior: bool = False
    name: str = "conditioning"
    kind: Kind = "text"
    tokens: tuple[int, ...] | None = None

    @property
    def facts(self) -> "ConditioningFacts":
        """Width of the embeddings, number of extra channels, and what was embedded."""
        extra = 0 if self.extra is None else self.extra.shape[1]
        return ConditioningFacts(self.cond.shape[-1], extra, self.name, self.kind)

    @property
    def differs(self) -> bool:
        """True when the two halves differ, so that guidance means something."""
        return self.cond is not self.uncond and not same_values(self.cond, self.uncond)


def encode_text(module: TextModule, text: str) -> tuple[Tensor, tuple[int, ...], str]:
    """CLIP embeddings of a text, `[1 n d]` on the CPU, its tokens, and what of it was cut off at the last token.

    As Stable Diffusion uses them: padded to the encoder's length, last hidden state after its final layer norm.
    """
    encoder: Any = module.encoder
    length = min(module.tokenizer.model_max_length, encoder.config.max_position_embeddings)
    ids, rest = tokenize(module.tokenizer, text, length)
    device = next(encoder.parameters()).device
    padded = (*ids, *[module.tokenizer.pad_token_id] * (length - len(ids)))
    tokens = torch.tensor([padded], device=device)
    seen = torch.arange(length, device=device)[None] < len(ids)
    attention_mask = seen.long() if getattr(encoder.config, "use_attention_mask", False) else None
    return to_host(module.read(tokens, attention_mask)), padded, rest


def tokenize(tokenizer: Any, text: str, length: int) -> tuple[list[int], str]:
    """At most `length` tokens of a text, start and end included, unpadded; and the words that were cut off.

    Asked to pad or truncate, a tokenizer changes itself, and other threads with it: it is asked for neither.
    """
    with _TOKENIZING:
        ids = list(tokenizer(text, padding=False, truncation=False, verbose=False).input_ids)
        if len(ids) <= length:
            return ids, ""
        return [*ids[:length - 1], ids[-1]], tokenizer.decode(ids[length - 1:-1]).strip()


def inpaint_channels(masked: Tensor, hole: Tensor, layout: Kind) -> Tensor:
    """The five channels that inpainting UNets take beside the latent, in the order of their family.

    Args:
        masked: latent of the masked picture, zm `[b 4 lh lw]`.
        hole: 1 = repaint, `[b 1 lh lw]`.
        layout: `text` for Stable Diffusion inpainting, [hole, zm]; `exemplar` for Paint by Example, [zm, 1 − hole].
    """
    return torch.cat([hole, masked] if layout == "text" else [masked, 1 - hole], dim=1)


def to_host(value: Tensor) -> Tensor:
    """A value as it travels between nodes: on the CPU, float64 if it is, else float32."""
    precision = torch.float64 if value.dtype == torch.float64 else torch.float32
    return value.detach().to("cpu", precision).contiguous()

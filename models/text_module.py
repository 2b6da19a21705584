"""CLIP's text model with its tokenizer, as a module."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from .tokens.tokenizer import Tokenizer

if TYPE_CHECKING:
    from transformers import CLIPTextModel


class _WideMask(TorchFunctionMode):
    """Makes transformers 4 mask a float64 encoder in float64: a float32 mask cannot hold the smallest float64."""

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: Iterable[type],
        args: tuple[object, ...] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        wide = {"dtype": torch.float64} if func is torch.full else {}
        return func(*args, **{**wide, **(kwargs or {})})


class TextModule(nn.Module):
    """A tokenizer and its text encoder, leased together."""

    def __init__(self, tokenizer: Tokenizer, encoder: "CLIPTextModel", masks_padding: bool = False) -> None:
        super().__init__()
        self.tokenizer, self.encoder, self.masks_padding = tokenizer, encoder, masks_padding

    def read(self, tokens: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """The last hidden state `[b n d]` of tokens `[b n]`, after the final layer norm."""
        double = next(self.encoder.parameters()).dtype == torch.float64
        with _WideMask() if double else nullcontext():
            found: Tensor = self.encoder(tokens, attention_mask=attention_mask)[0]
        return found

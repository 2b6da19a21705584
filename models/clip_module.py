"""A whole CLIP with its tokenizer, as a module."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from .text_encoder import tokenize
from .tokens.tokenizer import Tokenizer

if TYPE_CHECKING:
    from transformers import CLIPModel


class ClipModule(nn.Module):
    """A CLIP with its tokenizer: pictures and texts as vectors in one space."""

    def __init__(self, model: "CLIPModel", tokenizer: Tokenizer) -> None:
        super().__init__()
        self.model, self.tokenizer = model, tokenizer

    def pictures(self, pixels: Tensor) -> Tensor:
        """`[b 3 s s]`, normalised, to `[b d]`."""
        seen: Tensor = self.model.visual_projection(self.model.vision_model(pixels).pooler_output)
        return seen

    def texts(self, words: list[str]) -> Tensor:
        """`[b d]`; longer texts than the encoder reads are cut off."""
        length = self.model.text_model.config.max_position_embeddings
        rows = []
        for text in words:
            ids, _ = tokenize(self.tokenizer, text, length)
            rows.append(ids + [self.tokenizer.pad] * (length - len(ids)))
        tokens = torch.tensor(rows, device=next(self.model.parameters()).device)
        read: Tensor = self.model.text_projection(self.model.text_model(tokens).pooler_output)
        return read

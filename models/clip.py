"""A whole CLIP (Radford et al. 2021), text model included, as a description: a model for metrics."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from torch import Tensor, nn

from ..graph_runtime import ModelError
from .image_encoder import ImageEncoderComponent
from .text_encoder import tokenize

if TYPE_CHECKING:
    from transformers import CLIPModel, CLIPTokenizer


class ClipModule(nn.Module):
    """A CLIP with its tokenizer: pictures and texts as vectors in one space."""

    def __init__(self, model: "CLIPModel", tokenizer: "CLIPTokenizer") -> None:
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
            rows.append(ids + [self.tokenizer.pad_token_id] * (length - len(ids)))
        tokens = torch.tensor(rows, device=next(self.model.parameters()).device)
        read: Tensor = self.model.text_projection(self.model.text_model(tokens).pooler_output)
        return read


@dataclass(frozen=True)
class ClipComponent(ImageEncoderComponent):
    """A CLIPModel with its tokenizer."""

    component: ClassVar[Literal["clip"]] = "clip"
    noun = "clip"
    facts = ("image_size", "mean", "std")

    def check(self) -> None:
        """Refuse anything but a whole CLIP."""
        kind = self.architecture.first or "CLIPModel"
        if kind != "CLIPModel":
            raise ModelError(
                "source",
                found=f"a {kind} in {self.origin.name}",
                expected="a CLIPModel",
                fix="use openai/clip-vit-base-patch32 or openai/clip-vit-large-patch14",
            )
        super().check()

    def _read(self) -> nn.Module:
        from transformers import CLIPModel, CLIPTokenizer

        tokenizer = CLIPTokenizer.from_pretrained(str(self.origin.tokenizer_folder()), local_files_only=True)
        return ClipModule(self._from_pretrained(CLIPModel), tokenizer)

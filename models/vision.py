"""Encoders that metrics see with: a whole CLIP, and a DINO vision transformer, as descriptions."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..graph_runtime import ModelError
from .configs import MAX_WIDTH
from .paint_by_example.component import SeeingPart
from .paint_by_example.encoder import preprocess_exemplar
from .text_encoder import tokenize

BATCH = 32


class ClipModule(nn.Module):
    """A CLIP with its tokenizer: pictures and texts as vectors of one space."""

    def __init__(self, model: Any, tokenizer: Any):
        super().__init__()
        self.model, self.tokenizer = model, tokenizer

    def pictures(self, pixels: Tensor) -> Tensor:
        """`[b 3 s s]`, normalised, to `[b d]`."""
        seen: Tensor = self.model.visual_projection(self.model.vision_model(pixels).pooler_output)
        return seen

    def texts(self, words: list[str]) -> Tensor:
        """`[b d]`; what is longer than the encoder reads is cut off."""
        length = self.model.config.text_config.max_position_embeddings
        rows = []
        for text in words:
            ids, _ = tokenize(self.tokenizer, text, length)
            rows.append(ids + [self.tokenizer.pad_token_id] * (length - len(ids)))
        tokens = torch.tensor(rows, device=next(self.model.parameters()).device)
        read: Tensor = self.model.text_projection(self.model.text_model(tokens).pooler_output)
        return read


class DinoModule(nn.Module):
    """A vision transformer; a picture is its class token after the last norm (Caron et al. 2021)."""

    def __init__(self, model: Any):
        super().__init__()
        self.model = model

    def pictures(self, pixels: Tensor) -> Tensor:
        """`[b 3 s s]`, normalised, to `[b d]`."""
        seen: Tensor = self.model(pixels).last_hidden_state[:, 0]
        return seen


@dataclass(frozen=True)
class ClipPart(SeeingPart):
    """A CLIPModel with its tokenizer."""

    part = "clip"
    noun = "clip"
    facts = ("image_size", "mean", "std")

    def check(self) -> None:
        """Only whole CLIPs."""
        kind = self.settings.texts("architectures", ("CLIPModel",))[0]
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


@dataclass(frozen=True)
class DinoPart(SeeingPart):
    """A vision transformer that was trained without labels."""

    part = "dino"
    noun = "dino"
    facts = ("image_size", "mean", "std", "kind")

    @property
    def kind(self) -> str:
        """`vit` or `dinov2`."""
        return self.settings.text("model_type", "vit")

    def check(self) -> None:
        """Only plain vision transformers."""
        if self.kind not in ("vit", "dinov2"):
            raise ModelError(
                "source",
                found=f"a {self.kind} in {self.origin.name}",
                expected="a ViT or a DINOv2",
                fix="use facebook/dino-vits16 or facebook/dinov2-small",
            )
        super().check()

    @property
    def image_size(self) -> int:
        """Side of the pictures it sees, pixels: what its preprocessor crops to, else what it was trained on."""
        crop = self.preprocessor.values.get("crop_size")
        if isinstance(crop, dict) and isinstance(crop.get("height"), int):
            return int(crop["height"])
        return self.settings.whole("image_size", 224, 1, MAX_WIDTH)

    def _read(self) -> nn.Module:
        return DinoModule(self._from_pretrained(_HeadlessLoader(self.kind)))


class _HeadlessLoader:
    """transformers' own loader of a vision transformer, without pooler and classifier, which nobody asks."""

    def __init__(self, kind: str):
        self._kind = kind

    def from_pretrained(self, *args: Any, **kwargs: Any) -> tuple[nn.Module, dict[str, Any]]:
        """The module, and the library's report on its weights."""
        from transformers import Dinov2Model, ViTModel

        loader: Any = ViTModel if self._kind == "vit" else Dinov2Model
        headless = {"add_pooling_layer": False} if self._kind == "vit" else {}
        module, report = loader.from_pretrained(*args, **headless, **kwargs)
        extra = [key for key in report["unexpected_keys"] if not str(key).startswith(("pooler.", "classifier."))]
        return module, {**report, "unexpected_keys": extra}


@torch.no_grad()
def picture_vectors(module: Any, seeing: Any, images: list[Tensor]) -> Tensor:
    """Vectors `[b d]`, float64 on the CPU, of pictures `[h w 3]` of any sizes: short side fitted, middle cut out."""
    parameter = next(module.parameters())
    rows = []
    for start in range(0, len(images), BATCH):
        pixels = torch.cat(
            [
                preprocess_exemplar(image[None], seeing.image_size, "crop", seeing.mean, seeing.std)
                for image in images[start : start + BATCH]
            ]
        )
        rows.append(module.pictures(pixels.to(parameter.device, parameter.dtype)).cpu().double())
    return torch.cat(rows)


def unit(vectors: Tensor) -> Tensor:
    """Vectors of length one."""
    return F.normalize(vectors, dim=-1)

"""A DINO vision transformer (Caron et al. 2021; Oquab et al. 2023) as a description: what metrics compare with."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from ..graph_runtime import ModelError
from .config import MAX_WIDTH
from .image_encoder import ImageEncoderComponent


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
class DinoComponent(ImageEncoderComponent):
    """A vision transformer that was trained without labels."""

    component = "dino"
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

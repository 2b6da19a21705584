"""A DINO vision transformer (Caron et al. 2021; Oquab et al. 2023) as a description: a model for metrics."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from torch import Tensor, nn

from ..graph_runtime import ModelError
from .encoder_configs import Dinov2Config, VisionConfig, VitConfig
from .image_encoder import CropSize, ImageEncoderComponent, read_vision

if TYPE_CHECKING:
    from transformers import Dinov2Model, ViTModel


class DinoModule(nn.Module):
    """A vision transformer; a picture is its class token after the last norm (Caron et al. 2021)."""

    def __init__(self, model: "ViTModel | Dinov2Model") -> None:
        super().__init__()
        self.model = model

    def pictures(self, pixels: Tensor) -> Tensor:
        """`[b 3 s s]`, normalised, to `[b d]`."""
        seen: Tensor = self.model(pixels).last_hidden_state[:, 0]
        return seen


@dataclass(frozen=True)
class DinoComponent(ImageEncoderComponent):
    """A vision transformer that was trained without labels."""

    component: ClassVar[Literal["dino"]] = "dino"
    noun = "dino"
    unused_weights = ("pooler.", "classifier.")
    facts = ("kind", "vision", "image_size", "mean", "std")

    @property
    def kind(self) -> str:
        """`vit` or `dinov2`."""
        return self.architecture.model_type or "vit"

    def check(self) -> None:
        """Refuse anything but a plain vision transformer."""
        if self.kind not in ("vit", "dinov2"):
            raise ModelError(
                "source",
                found=f"a {self.kind} in {self.origin.name}",
                expected="a ViT or a DINOv2",
                fix="use facebook/dino-vits16 or facebook/dinov2-small",
            )
        super().check()

    @property
    def vision(self) -> VisionConfig:
        """The configuration of its layers."""
        return read_vision(VitConfig if self.kind == "vit" else Dinov2Config, self.config, self.where)

    @property
    def image_size(self) -> int:
        """Side of its input in pixels: the crop size of its preprocessor, else the size it was trained on."""
        crop = self._normalisation.crop_size
        return crop.height if isinstance(crop, CropSize) and crop.height else self.vision.image_size

    def _read(self) -> nn.Module:
        from transformers import Dinov2Model, ViTModel

        if self.kind == "vit":
            return DinoModule(self._from_pretrained(ViTModel, add_pooling_layer=False))
        return DinoModule(self._from_pretrained(Dinov2Model))

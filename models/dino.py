"""A DINO vision transformer (Caron et al. 2021; Oquab et al. 2023) as a description: a model for metrics."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from ..graph_runtime import ModelError
from ..graph_runtime.core.light.later import Tensor, nn, torch
from .config import refused
from .encoder_configs import MAX_PATCHES, Dinov2Config, VisionConfig, VitConfig
from .image_encoder import CropSize, ImageEncoderComponent, read_vision
from .weights import StoredTensor, fill, list_stored, read_all, without_weights

if TYPE_CHECKING:
    pass

#: Rules from older names to those of transformers 5; every matching rule is applied.
RENAMED = tuple(
    (re.compile(pattern), name)
    for pattern, name in (
        (r"^(vit|dinov2)\.", ""),
        (r"^encoder\.layer\.", "layers."),
        (r"\.attention\.attention\.query\.", ".attention.q_proj."),
        (r"\.attention\.attention\.key\.", ".attention.k_proj."),
        (r"\.attention\.attention\.value\.", ".attention.v_proj."),
        (r"\.attention\.output\.dense\.", ".attention.o_proj."),
        (r"\.intermediate\.dense\.", ".mlp.fc1."),
        (r"^(layers\.\d+)\.output\.dense\.", r"\1.mlp.fc2."),
        (r"\.mlp\.weights_out\.", ".mlp.down_proj."),
    )
)


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
        vision, side = self.vision, self.image_size
        fixed = self.kind == "vit" and side != vision.image_size
        if fixed or not 1 <= (side // vision.patch_size) ** 2 <= MAX_PATCHES:
            expected = (
                str(vision.image_size) if fixed else f"1 to {MAX_PATCHES:,} patches of {vision.patch_size} pixels"
            )
            raise refused("crop_size", side, expected, f"preprocessor_config.json of {self.origin.name}")

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
        from transformers import Dinov2Config, Dinov2Model, ViTConfig, ViTModel

        arguments = self.vision.arguments()
        model: ViTModel | Dinov2Model
        with without_weights():
            if self.kind == "vit":
                model = ViTModel(ViTConfig(**arguments), add_pooling_layer=False)
            else:
                model = Dinov2Model(Dinov2Config(**arguments))
        names = {newest_name(name): name for name in model.state_dict()}
        stored = list_stored(self.origin.weights(self.component).files)
        newest = _fit_gates({newest_name(key): value for key, value in stored.items()}, names)
        found = {names.get(key, key): value for key, value in newest.items()}
        from .dino_module import DinoModule

        return DinoModule(fill(model, found, self.label, unused=self.unused_weights))


def newest_name(key: str) -> str:
    """A name as transformers 5 has it; published files and the modules of version 4 have older names."""
    for pattern, name in RENAMED:
        key = pattern.sub(name, key)
    return key


def _fit_gates(found: Mapping[str, StoredTensor], names: Mapping[str, str]) -> Mapping[str, StoredTensor | Tensor]:
    """The two halves of a gated MLP's first layer, which older files and modules keep as one."""
    fitted: dict[str, StoredTensor | Tensor] = dict(found)
    for key in found:
        whole = re.sub(r"\.(gate|up)_proj\.", ".weights_in.", key)
        if ".weights_in." not in whole:
            continue
        gate, up = (re.sub(r"\.weights_in\.", f".{half}_proj.", whole) for half in ("gate", "up"))
        if whole in found and gate in names:
            fitted[gate], fitted[up] = read_all({whole: found[whole]})[whole].chunk(2)
            del fitted[whole]
        elif key == gate and up in found and whole in names:
            halves = read_all({gate: found[gate], up: found[up]})
            fitted[whole] = torch.cat([halves[gate], halves[up]])
            del fitted[gate], fitted[up]
    return fitted

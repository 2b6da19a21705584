"""What all encoders of pictures share: the size of their input, its preprocessing, and vectors of pictures."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from ..graph_runtime.core.digests import sha256
from .component import Component
from .config import MAX_WIDTH, Settings


def vision_config(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The vision model's part of a configuration, of a whole CLIP or of a vision model alone."""
    inner = config.get("vision_config")
    return inner if isinstance(inner, Mapping) else config


def build_vision_config(config: Mapping[str, Any]) -> Any:
    """transformers' configuration of a CLIP vision model."""
    from transformers import CLIPVisionConfig

    known = vision_config(config)
    return CLIPVisionConfig(
        **{
            key: value
            for key, value in known.items()
            if key not in ("architectures", "model_type", "torch_dtype", "dtype", "proj_size")
        }
    )


class ImageEncoderComponent(Component):
    """What both kinds of exemplar encoder say of the pictures they see."""

    @property
    def vision(self) -> Settings:
        """The vision model's configuration."""
        return Settings(vision_config(self.config), f"{self.component}/config.json of {self.origin.name}")

    @property
    def image_size(self) -> int:
        """Side of the pictures it sees, pixels."""
        return self.vision.whole("image_size", 224, 1, MAX_WIDTH)

    @property
    def fingerprint(self) -> str:
        """Hash of the class, the files' state, the precision, and of what pictures go through."""
        seen = (self.image_size, self.mean, self.std) if self.known else ()
        return sha256(f"{super().fingerprint}|{seen}")

    @property
    def preprocessor(self) -> Settings:
        """What the model says of its pictures; empty where it says nothing."""
        said = self.origin.optional("feature_extractor") if hasattr(self.origin, "optional") else {}
        return Settings(said, f"preprocessor_config.json of {self.origin.name}")

    @property
    def mean(self) -> tuple[float, ...]:
        """What is taken off the pictures, by channel."""
        return self._channels("image_mean", CLIP_MEAN, -100)

    @property
    def std(self) -> tuple[float, ...]:
        """What pictures are divided by, by channel."""
        return self._channels("image_std", CLIP_STD, 1e-6)

    def _channels(self, key: str, default: tuple[float, ...], low: float) -> tuple[float, ...]:
        settings = self.preprocessor
        if key not in settings.values:
            return default
        found = settings.numbers(key, low, 100, 3)
        if len(found) != 3:
            raise settings.refused(key, found, "three numbers")
        return found


BATCH = 32


@torch.no_grad()
def picture_vectors(module: Any, seeing: Any, images: list[Tensor]) -> Tensor:
    """Vectors `[b d]`, float64 on the CPU, of pictures `[h w 3]` of any sizes: short side fitted, middle cut out."""
    parameter = next(module.parameters())
    rows = []
    for start in range(0, len(images), BATCH):
        pixels = torch.cat(
            [
                preprocess_images(image[None], seeing.image_size, "crop", seeing.mean, seeing.std)
                for image in images[start : start + BATCH]
            ]
        )
        rows.append(module.pictures(pixels.to(parameter.device, parameter.dtype)).cpu().double())
    return torch.cat(rows)


def unit(vectors: Tensor) -> Tensor:
    """Vectors of length one."""
    return F.normalize(vectors, dim=-1)


Preprocess = Literal["crop", "stretch"]


#: What CLIP's pictures are normalised by (Radford et al. 2021), where a model does not say.
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)


CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


def preprocess_images(
    image: Tensor,
    size: int,
    how: Preprocess = "crop",
    mean: Sequence[float] = CLIP_MEAN,
    std: Sequence[float] = CLIP_STD,
) -> Tensor:
    """Pictures `[b h w 3]` in [0, 1] -> what CLIP sees, `[b 3 size size]`, normalised.

    crop: the short side becomes `size`, then the middle is cut out, as diffusers' pipeline does (transformers'
    CLIPImageProcessor). stretch: both sides become `size`, as the published training does. Bicubic, in 8 bits, by
    Pillow, as both do.
    """
    rows = [_resized(row, size, how) for row in image]
    pixels = torch.stack(rows).permute(0, 3, 1, 2).to(torch.float64) / 255
    centre, spread = (torch.tensor(list(values), dtype=torch.float64)[:, None, None] for values in (mean, std))
    return ((pixels - centre) / spread).to(image.dtype if image.dtype == torch.float64 else torch.float32)


def _resized(row: Tensor, size: int, how: Preprocess) -> Tensor:
    import numpy as np

    levels = (row.detach().cpu().clamp(0, 1) * 255).round().to(torch.uint8).numpy()
    picture = Image.fromarray(levels)
    width, height = picture.size
    if how == "stretch":
        picture = picture.resize((size, size), Image.Resampling.BICUBIC)
    else:
        short, long = min(width, height), max(width, height)
        along = int(size * long / short)
        picture = picture.resize((size, along) if width <= height else (along, size), Image.Resampling.BICUBIC)
        left, top = (picture.width - size) // 2, (picture.height - size) // 2
        picture = picture.crop((left, top, left + size, top + size))
    return torch.from_numpy(np.asarray(picture).copy())

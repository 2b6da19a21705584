"""What all image encoders share: input size, preprocessing, and vectors of pictures."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Protocol, TypeVar

import numpy as np
from PIL import Image
from pydantic import Field, StrictFloat

from ..graph_runtime.core.digests import sha256
from ..graph_runtime.core.light.later import F, Tensor, nn, torch
from ..graph_runtime.core.values import without_gradients
from .component import Component, Origin
from .config import Config, ConfigFile, read_config
from .encoder_configs import ClipVisionConfig, Side, VisionConfig, section
from .protocols import ImageEncoderDescription

if TYPE_CHECKING:
    from transformers import CLIPVisionConfig

Preprocess = Literal["crop", "stretch"]
V = TypeVar("V", bound=VisionConfig)
BATCH = 32
#: CLIP's normalisation (Radford et al. 2021), for models whose files state none.
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
_Mean = Annotated[StrictFloat, Field(ge=-100, le=100)]
_Std = Annotated[StrictFloat, Field(ge=1e-6, le=100)]


def build_vision_config(config: Config, where: str = "config.json") -> "CLIPVisionConfig":
    """transformers' configuration of a CLIP vision model, from the file of a whole CLIP or of the vision model alone.

    Raises:
        ModelError: a value is of another type or out of bounds.
    """
    from transformers import CLIPVisionConfig

    return CLIPVisionConfig(**read_vision(ClipVisionConfig, config, where).arguments())


def read_vision(kind: type[V], config: Config, where: str) -> V:
    """The vision model's part of a configuration, checked.

    Raises:
        ModelError: a value is of another type or out of bounds, or sizes contradict each other.
    """
    return read_config(kind, section(config, "vision_config", alone=True), where)


class CropSize(ConfigFile):
    """`crop_size` as an object."""

    height: Side | None = None


class PreprocessorConfig(ConfigFile):
    """The parts of `preprocessor_config.json` that affect pixels."""

    crop_size: CropSize | Side | None = None

    image_mean: Annotated[tuple[_Mean, ...], Field(min_length=3, max_length=3)] = CLIP_MEAN
    image_std: Annotated[tuple[_Std, ...], Field(min_length=3, max_length=3)] = CLIP_STD


class ImageEncoderComponent(Component):
    """An image encoder: the side of its input in pixels, and its normalisation."""

    vision_config: ClassVar[type[VisionConfig]] = ClipVisionConfig  # the schema of its vision model's configuration

    @classmethod
    def state(cls, origin: Origin) -> str:
        """State of its files, the preprocessor's included."""
        return super().state(origin) + origin.stamp("feature_extractor")

    def check(self) -> None:
        """Refuse a configuration that this encoder cannot be used with, naming the value."""
        super().check()
        self.require_weights(self.vision.least, "num_hidden_layers", self.vision.num_hidden_layers)

    @property
    def vision(self) -> VisionConfig:
        """The configuration of its vision model."""
        return read_vision(self.vision_config, self.config, self.where)

    @property
    def image_size(self) -> int:
        """Side of its input pictures, in pixels."""
        return self.vision.image_size

    @property
    def fingerprint(self) -> str:
        """Hash of the class, the files' state, the precision, and the preprocessing."""
        seen = (self.image_size, self.mean, self.std) if self.known else ()
        return sha256(f"{super().fingerprint}|{seen}")

    @property
    def preprocessor(self) -> Config:
        """The settings of the model's preprocessor; empty if there is no such file."""
        return self.origin.optional("feature_extractor")

    @property
    def _normalisation(self) -> PreprocessorConfig:
        return read_config(PreprocessorConfig, self.preprocessor, f"preprocessor_config.json of {self.origin.name}")

    @property
    def mean(self) -> tuple[float, ...]:
        """What is subtracted from the pictures, by channel."""
        return self._normalisation.image_mean

    @property
    def std(self) -> tuple[float, ...]:
        """What the pictures are divided by, by channel."""
        return self._normalisation.image_std


def preprocess_images(
    image: Tensor,
    size: int,
    how: Preprocess = "crop",
    mean: Sequence[float] = CLIP_MEAN,
    std: Sequence[float] = CLIP_STD,
) -> Tensor:
    """Pictures `[b h w 3]` in [0, 1] -> input of CLIP `[b 3 size size]`, normalised.

    crop: the short side becomes `size`, then the centre is cut out, as in diffusers' pipeline (transformers'
        CLIPImageProcessor). stretch: both sides become `size`, as in the published training. Both resize bicubically
        in 8 bits with Pillow, as here.
    """
    rows = [_resized(row, size, how) for row in image]
    pixels = torch.stack(rows).permute(0, 3, 1, 2).to(torch.float64) / 255
    centre, spread = (torch.tensor(list(values), dtype=torch.float64)[:, None, None] for values in (mean, std))
    return ((pixels - centre) / spread).to(image.dtype if image.dtype == torch.float64 else torch.float32)


def _resized(row: Tensor, size: int, how: Preprocess) -> Tensor:
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


class EncodesPictures(Protocol):
    """A module that turns pictures into vectors, such as `ClipModule` and `DinoModule`."""

    def parameters(self) -> Iterator[nn.Parameter]:
        """The parameters of the module."""

    def pictures(self, pixels: Tensor) -> Tensor:
        """`[b 3 s s]`, normalised, to `[b d]`."""


@without_gradients
def picture_vectors(module: EncodesPictures, encoder: ImageEncoderDescription, images: list[Tensor]) -> Tensor:
    """Vectors `[b d]`, float64 on the CPU, of pictures `[h w 3]` of any sizes: short side resized, centre cut out."""
    parameter = next(module.parameters())
    rows = []
    for start in range(0, len(images), BATCH):
        pixels = torch.cat(
            [
                preprocess_images(image[None], encoder.image_size, "crop", encoder.mean, encoder.std)
                for image in images[start : start + BATCH]
            ]
        )
        rows.append(module.pictures(pixels.to(parameter.device, parameter.dtype)).cpu().double())
    return torch.cat(rows)


def unit(vectors: Tensor) -> Tensor:
    """Scale vectors to length one."""
    return F.normalize(vectors, dim=-1)

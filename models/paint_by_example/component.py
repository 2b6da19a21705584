"""Exemplar encoders as descriptions: trained ones from a Paint-by-Example model, and new ones around a CLIP."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...graph_runtime import ModelError
from ...graph_runtime.core.light.later import nn
from ..component import Origin, is_single_file
from ..config import Config, ConfigFile, Width, read_config
from ..image_encoder import ImageEncoderComponent, build_vision_config
from ..weights import fill, fit_names, list_stored, without_weights

if TYPE_CHECKING:
    from transformers import CLIPVisionModel


class ExemplarEncoderConfig(ConfigFile):
    """`image_encoder/config.json`."""

    proj_size: Width | None = None
    projection_dim: Width = 768


@dataclass(frozen=True)
class ExemplarEncoderComponent(ImageEncoderComponent):
    """A trained exemplar encoder: CLIP's vision model, mapper, projection and learned vector."""

    component = "image_encoder"
    noun = "exemplar encoder"
    facts = ("width", "vision", "mean", "std")

    @property
    def width(self) -> int:
        """Width of its single token, the input of the denoiser's cross-attention."""
        settings = read_config(ExemplarEncoderConfig, self.config, self.where)
        return settings.projection_dim if settings.proj_size is None else settings.proj_size

    def check(self) -> None:
        """Refuse anything but a Paint-by-Example encoder."""
        kind = self.architecture.first or "PaintByExampleImageEncoder"
        if kind != "PaintByExampleImageEncoder":
            raise ModelError(
                "source",
                found=f"a {kind} as the image encoder of {self.origin.name}",
                expected="a PaintByExampleImageEncoder",
                fix="use Fantasy-Studio/Paint-by-Example, or train one with train.exemplar",
            )
        super().check()

    def _read(self) -> nn.Module:
        from .encoder import ExemplarEncoder, fit_encoder

        with without_weights():
            module = ExemplarEncoder(build_vision_config(self.config, self.where), self.width)
        if is_single_file(self.origin):
            return fill(module, fit_encoder(self.origin.stored(self.component), module), self.label)
        stored = list_stored(self.origin.weights(self.component).files)
        return fill(module, fit_encoder(stored, module), self.label)


@dataclass(frozen=True)
class NewExemplarEncoderComponent(ImageEncoderComponent):
    """An untrained exemplar encoder: a CLIP's vision model, with a new mapper and projection from a seed.

    Attributes:
        width: of its single token, the future input of the denoiser's cross-attention.
        seed: of the new weights.
    """

    width: int = 768
    seed: int = 0

    component = "clip"
    noun = "new exemplar encoder"
    facts = ("vision", "mean", "std")

    @property
    def label(self) -> str:
        """`new exemplar encoder around dollhouse-clip`."""
        return f"{self.noun} around {self.origin.name}"

    @property
    def fingerprint(self) -> str:
        """Hash of the class, the files' state, the precision, and the new weights."""
        return f"{super().fingerprint}-{self.width}-{self.seed}"

    def _read(self) -> nn.Module:
        from .encoder import new_encoder

        return new_encoder(read_vision(self.origin, self.config), self.width, self.seed)


def read_vision(origin: Origin, config: Config) -> "CLIPVisionModel":
    """The CLIP vision model of a folder that holds a whole CLIP or the vision model alone.

    Raises:
        ModelError: weights are missing.
    """
    from transformers import CLIPVisionModel

    with without_weights():
        module = CLIPVisionModel(build_vision_config(config, f"config.json of {origin.name}"))
    prefix = "vision_model."
    stored = list_stored(origin.weights("clip").files)
    if any(key.startswith(prefix) for key in stored):  # else a vision model alone, in the names of version 5
        stored = {key: value for key, value in stored.items() if key.startswith(prefix)}
    return fill(module, fit_names(stored, module, prefix), f"vision model of {origin.name}")

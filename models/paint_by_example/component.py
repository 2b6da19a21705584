"""Exemplar encoders as descriptions: trained ones from a Paint-by-Example model, and new ones around a CLIP."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from ...graph_runtime import ModelError
from ..configs import MAX_WIDTH, Settings
from ..stable_diffusion import Part
from ..weights import fill, fit_names, read_stored
from .encoder import CLIP_MEAN, CLIP_STD, ExemplarEncoder, fit_encoder, new_encoder


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


class SeeingPart(Part):
    """What both kinds of exemplar encoder say of the pictures they see."""

    @property
    def vision(self) -> Settings:
        """The vision model's configuration."""
        return Settings(vision_config(self.config), f"{self.part}/config.json of {self.origin.name}")

    @property
    def image_size(self) -> int:
        """Side of the pictures it sees, pixels."""
        return self.vision.whole("image_size", 224, 1, MAX_WIDTH)

    @property
    def fingerprint(self) -> str:
        """Hash of the class, the files' state, the precision, and of what pictures go through."""
        seen = (self.image_size, self.mean, self.std) if self.known else ()
        return hashlib.sha256(f"{super().fingerprint}|{seen}".encode()).hexdigest()

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


@dataclass(frozen=True)
class ExemplarEncoderPart(SeeingPart):
    """A trained exemplar encoder: CLIP's vision model, mapper, projection and learned vector."""

    part = "image_encoder"
    noun = "exemplar encoder"
    facts = ("width", "image_size", "mean", "std")

    @property
    def width(self) -> int:
        """Width of the token that the denoiser listens to."""
        given = "proj_size" if self.config.get("proj_size") is not None else "projection_dim"
        return self.settings.whole(given, 768, 1, MAX_WIDTH)

    def check(self) -> None:
        """Only Paint-by-Example encoders."""
        kinds = self.settings.texts("architectures", ("PaintByExampleImageEncoder",))
        if kinds[0] != "PaintByExampleImageEncoder":
            raise ModelError(
                "source",
                found=f"a {kinds[0]} as the image encoder of {self.origin.name}",
                expected="a PaintByExampleImageEncoder",
                fix="use Fantasy-Studio/Paint-by-Example, or train one with train.exemplar",
            )
        super().check()

    def _read(self) -> nn.Module:
        from accelerate import init_empty_weights

        with init_empty_weights(include_buffers=False):
            module = ExemplarEncoder(build_vision_config(self.config), self.width)
        if hasattr(self.origin, "stored"):
            stored = self.origin.stored(self.part)
        else:
            stored = read_stored(self.origin.weights(self.part).files)
        return fill(module, fit_encoder(stored, module), self.label)


@dataclass(frozen=True)
class NewExemplarEncoderPart(SeeingPart):
    """An exemplar encoder that is not trained yet: a CLIP's vision model, and a mapper and projection from a seed.

    Attributes:
        width: of the token that the denoiser will listen to.
        seed: of what is new.
    """

    width: int = 768
    seed: int = 0

    part = "clip"
    noun = "new exemplar encoder"
    facts = ("image_size", "mean", "std")

    @property
    def label(self) -> str:
        """`new exemplar encoder around dollhouse-clip`."""
        return f"{self.noun} around {self.origin.name}"

    @property
    def fingerprint(self) -> str:
        """Hash of the class, the files' state, the precision, and of what is new."""
        return f"{super().fingerprint}-{self.width}-{self.seed}"

    def _read(self) -> nn.Module:
        return new_encoder(read_vision(self.origin, self.config), self.width, self.seed)


def read_vision(origin: Any, config: Mapping[str, Any]) -> nn.Module:
    """The CLIP vision model of a folder, whether the whole CLIP lies there or the vision model alone.

    Raises:
        ModelError: weights are missing.
    """
    from accelerate import init_empty_weights
    from transformers import CLIPVisionModel

    with init_empty_weights(include_buffers=False):
        module = CLIPVisionModel(build_vision_config(config))
    prefix = "vision_model."
    stored = read_stored(origin.weights("clip").files)
    if any(key.startswith(prefix) for key in stored):  # else the file is the vision model alone, named by version 5
        stored = {key: value for key, value in stored.items() if key.startswith(prefix)}
    return fill(module, fit_names(stored, module, prefix), f"vision model of {origin.name}")

"""BLIP (Li et al. 2022), which captions pictures, as a description."""

from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from ..graph_runtime import ModelError
from ..graph_runtime.core.light.later import nn, torch
from .component import Origin
from .config import read_config
from .encoder_configs import BlipTextConfig, BlipVisionConfig, section
from .files.stamps import stamp_of
from .image_encoder import ImageEncoderComponent
from .tokens.files import tokenizer_files
from .tokens.tokenizer import read_tokenizer
from .tokens.vocabulary import read_vocabulary, require_embeddings
from .weights import fill, fit_names, list_stored, without_weights

if TYPE_CHECKING:
    pass


#: Weights that are the same ones under two names.
TIED = (
    (
        "text_decoder.cls.predictions.decoder.weight",
        "text_decoder.bert.embeddings.word_embeddings.weight",
    ),
    ("text_decoder.cls.predictions.decoder.bias", "text_decoder.cls.predictions.bias"),
)


@dataclass(frozen=True)
class CaptionerComponent(ImageEncoderComponent):
    """A BlipForConditionalGeneration with its tokenizer."""

    component: ClassVar[Literal["captioner"]] = "captioner"
    noun = "captioner"
    vision_config = BlipVisionConfig
    facts = ("vision", "writer", "mean", "std")

    @classmethod
    def state(cls, origin: Origin) -> str:
        """State of its files, the tokenizer's included."""
        return super().state(origin) + stamp_of(tokenizer_files(origin.weights(cls.component).folder, "bert"))

    @property
    def folder(self) -> Path:
        """The folder of its files."""
        return self.origin.weights(self.component).folder

    @property
    def writer(self) -> BlipTextConfig:
        """The configuration of the part that writes."""
        return read_config(BlipTextConfig, section(self.config, "text_config"), self.where)

    def check(self) -> None:
        """Refuse anything but a BLIP for captions."""
        kind = self.architecture.first or "BlipForConditionalGeneration"
        family = self.architecture.model_type or "blip"
        kind = kind if family == "blip" else f"{kind} of model_type {family!r}"
        if kind != "BlipForConditionalGeneration":
            raise ModelError(
                "source",
                found=f"a {kind} in {self.origin.name}",
                expected="a BlipForConditionalGeneration",
                fix="use Salesforce/blip-image-captioning-base",
            )
        super().check()
        self.require_weights(self.writer.least, "num_hidden_layers", self.writer.num_hidden_layers)
        require_embeddings(read_vocabulary(self.folder, "bert"), self.writer.vocab_size, self.origin.name)

    def _read(self) -> nn.Module:
        from transformers import BlipConfig, BlipForConditionalGeneration

        from .blip_module import CaptionModule

        tokenizer = read_tokenizer(self.folder, "bert")
        config = BlipConfig(text_config=self.writer.arguments(), vision_config=self.vision.arguments())
        with without_weights():
            model = BlipForConditionalGeneration(config)
        stored = fit_names(list_stored(self.origin.weights(self.component).files), model)
        _tie(model, stored)
        return CaptionModule(fill(model, stored, self.label), tokenizer)


def _tie(model: nn.Module, stored: Container[str]) -> None:
    """Share the weights that a file has once; those that it has twice may differ, as in transformers."""
    for name, other in TIED:
        (owner, _, leaf), (source, _, same) = name.rpartition("."), other.rpartition(".")
        weight = getattr(model.get_submodule(source), same)
        twice = name in stored and other in stored
        model.get_submodule(owner)._parameters[leaf] = nn.Parameter(torch.empty_like(weight)) if twice else weight

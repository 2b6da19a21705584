"""A whole CLIP (Radford et al. 2021), text model included, as a description: a model for metrics."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from ..graph_runtime import ModelError
from ..graph_runtime.core.light.later import nn
from .component import Origin
from .config import read_config
from .encoder_configs import ClipConfig, ClipTextConfig, section
from .image_encoder import ImageEncoderComponent
from .tokens.tokenizer import read_tokenizer
from .tokens.vocabulary import read_vocabulary, require_embeddings
from .weights import fill, fit_names, list_stored, without_weights

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class ClipComponent(ImageEncoderComponent):
    """A CLIPModel with its tokenizer."""

    component: ClassVar[Literal["clip"]] = "clip"
    noun = "clip"
    facts = ("vision", "reader", "projection", "mean", "std")

    @classmethod
    def state(cls, origin: Origin) -> str:
        """State of its files, the tokenizer's included."""
        return super().state(origin) + origin.stamp("tokenizer")

    @property
    def reader(self) -> ClipTextConfig:
        """The configuration of its text model."""
        return read_config(ClipTextConfig, section(self.config, "text_config"), self.where)

    @property
    def projection(self) -> int:
        """Width of the space that it puts pictures and texts into."""
        return read_config(ClipConfig, self.config, self.where).projection_dim

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
        self.require_weights(self.reader.least, "num_hidden_layers", self.reader.num_hidden_layers)
        vocabulary = read_vocabulary(self.origin.tokenizer_folder(), "clip")
        require_embeddings(vocabulary, self.reader.vocab_size, self.origin.name)

    def _read(self) -> nn.Module:
        from transformers import CLIPConfig, CLIPModel

        from .clip_module import ClipModule

        tokenizer = read_tokenizer(self.origin.tokenizer_folder(), "clip")
        config = CLIPConfig(
            text_config=self.reader.arguments(),
            vision_config=self.vision.arguments(),
            projection_dim=self.projection,
        )
        with without_weights():
            model = CLIPModel(config)
        stored = list_stored(self.origin.weights(self.component).files)
        return ClipModule(fill(model, fit_names(stored, model), self.label), tokenizer)

"""CLIP's text model and its tokenizer, as one description."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..graph_runtime import ModelError
from ..graph_runtime.core.light.later import Tensor, nn, torch
from ..graph_runtime.core.values import to_host
from .component import Component, Origin, is_single_file
from .config import read_config
from .encoder_configs import ClipTextConfig
from .tokens.tokenizer import Tokenizer, read_tokenizer
from .tokens.vocabulary import read_vocabulary, require_embeddings
from .weights import fill, fit_names, list_stored, without_weights

if TYPE_CHECKING:
    from .text_module import TextModule


@dataclass(frozen=True)
class TextEncoderComponent(Component):
    """A CLIP tokenizer and its text encoder."""

    component = "text_encoder"
    noun = "text encoder"
    facts = ("hidden_size", "max_tokens", "vocabulary")
    tokenizer_stamp: str = ""

    @classmethod
    def state(cls, origin: Origin) -> str:
        """State of its files, the tokenizer's included."""
        return super().state(origin) + origin.stamp("tokenizer")

    def fetch(self) -> bool:
        """Download what is not on this machine yet, including the tokenizer of a single file."""
        return super().fetch() | (self.origin.fetch_tokenizer() if is_single_file(self.origin) else False)

    @property
    def settings(self) -> ClipTextConfig:
        """The configuration, read by type and bounds."""
        return read_config(ClipTextConfig, self.config, self.where)

    @property
    def hidden_size(self) -> int:
        """Width of an embedding."""
        return self.settings.hidden_size

    @property
    def max_tokens(self) -> int:
        """Tokens of a prompt, start and end included."""
        return self.settings.max_position_embeddings

    @property
    def vocabulary(self) -> int:
        """Number of tokens that have an embedding."""
        return self.settings.vocab_size

    def check(self) -> None:
        """Refuse anything but a CLIP text model."""
        kind = self.architecture.first or "CLIPTextModel"
        if kind != "CLIPTextModel":
            raise ModelError(
                "source",
                found=f"a {kind} as the text encoder of {self.origin.name}",
                expected="a CLIPTextModel",
                fix="use a Stable Diffusion 1.x or 2.x model",
            )
        super().check()
        self.require_weights(self.settings.least, "num_hidden_layers")
        if not is_single_file(self.origin) or self.origin.tokenizer_known:
            self.check_tokenizer()

    def _read(self) -> nn.Module:
        from transformers import CLIPTextConfig, CLIPTextModel

        from .text_module import TextModule

        tokenizer = self.read_tokenizer()
        if is_single_file(self.origin):
            return TextModule(tokenizer, self.origin.convert(self.component, CLIPTextModel))
        weights = self.origin.weights(self.component)
        config = CLIPTextConfig(**self.settings.arguments())
        with without_weights():
            encoder = CLIPTextModel(config)
        return TextModule(
            tokenizer,
            fill(encoder, fit_names(list_stored(weights.files), encoder, "text_model."), self.label),
            self.settings.use_attention_mask is True,
        )

    def read_tokenizer(self) -> Tokenizer:
        """The CLIP tokenizer.

        Raises:
            ModelError: a file of it is damaged, or a token has no embedding in the encoder.
        """
        self.check_tokenizer()
        pad = self.origin.pad_token if is_single_file(self.origin) else None
        return read_tokenizer(self.origin.tokenizer_folder(), "clip", pad)

    def check_tokenizer(self) -> None:
        """Refuse a tokenizer that this encoder cannot be used with."""
        require_embeddings(read_vocabulary(self.origin.tokenizer_folder(), "clip"), self.vocabulary, self.origin.name)


def encode_text(module: "TextModule", text: str) -> tuple[Tensor, tuple[int, ...], str]:
    """CLIP embeddings of a text, `[1 n d]` on the CPU, its tokens, and the part that was cut off after the last
    token.

    As Stable Diffusion uses them: padded to the encoder's length, last hidden state after its final layer norm.
    """
    encoder = module.encoder
    length = min(module.tokenizer.longest, encoder.config.max_position_embeddings)
    ids, rest = tokenize(module.tokenizer, text, length)
    device = next(encoder.parameters()).device
    padded = (*ids, *[module.tokenizer.pad] * (length - len(ids)))
    tokens = torch.tensor([padded], device=device)
    seen = torch.arange(length, device=device)[None] < len(ids)
    attention_mask = seen.long() if module.masks_padding else None
    return to_host(module.read(tokens, attention_mask)), padded, rest


def tokenize(tokenizer: Tokenizer, text: str, length: int) -> tuple[list[int], str]:
    """At most `length` tokens of a text, start and end included, unpadded; and the words that were cut off."""
    ids = tokenizer.tokens(text)
    if len(ids) <= length:
        return ids, ""
    return [*ids[: length - 1], ids[-1]], tokenizer.text(ids[length - 1 : -1]).strip()

"""Configurations of the encoders of transformers: the keys that count, by type and bounds.

A library's class gets these keys and nothing else of a file: no name of another file, no implementation to fetch, no
size that no model has. What the files also hold is named in a warning (`known_keys`).
"""

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, StrictBool, StrictFloat, StrictInt, model_validator

from .config import Arguments, Config, ConfigFile, Width, uneven

MAX_LAYERS, MAX_HEADS, MAX_VOCABULARY, MAX_SIDE = 256, 1024, 10**7, 4096
MAX_PATCHES, MAX_PLACES = 16_384, 2**24  # tokens of a picture, and the numbers of their vectors; models have far less

Activation = Literal[
    "gelu",
    "gelu_10",
    "gelu_accurate",
    "gelu_fast",
    "gelu_new",
    "gelu_python",
    "gelu_pytorch_tanh",
    "leaky_relu",
    "linear",
    "mish",
    "quick_gelu",
    "relu",
    "relu2",
    "relu6",
    "sigmoid",
    "silu",
    "swish",
    "tanh",
]  # those of transformers' ACT2FN that have no weights of their own
Layers = Annotated[StrictInt, Field(ge=1, le=MAX_LAYERS)]
Heads = Annotated[StrictInt, Field(ge=1, le=MAX_HEADS)]
Side = Annotated[StrictInt, Field(ge=1, le=MAX_SIDE)]
Share = Annotated[StrictFloat, Field(ge=0, le=1)]
Deviation = Annotated[StrictFloat, Field(ge=0, le=100)]
Token = Annotated[StrictInt, Field(ge=0, le=MAX_VOCABULARY)]
Vocabulary = Annotated[StrictInt, Field(ge=1, le=MAX_VOCABULARY)]
#: Tokens of a text, start and end included. A mask of a text has this many numbers squared.
Length = Annotated[StrictInt, Field(ge=3, le=4096)]


class _Transformer(ConfigFile):
    """What every transformer has."""

    hidden_size: Width
    intermediate_size: Width
    num_hidden_layers: Layers = 12
    num_attention_heads: Heads = 12
    hidden_act: Activation = "gelu"
    layer_norm_eps: Share = 1e-12

    @model_validator(mode="after")
    def _check_heads(self) -> Self:
        if self.hidden_size % self.num_attention_heads:
            expected = f"a divisor of hidden_size, which is {self.hidden_size}"
            raise uneven("num_attention_heads", expected)
        return self

    @property
    def least(self) -> int:
        """How many numbers its weights are at least: four square matrices and two of the MLP in each layer."""
        return self.num_hidden_layers * self.hidden_size * (4 * self.hidden_size + 2 * self.intermediate_size)

    def arguments(self) -> Arguments:
        """Arguments of the library's configuration class."""
        return self.model_dump()


class VisionConfig(_Transformer):
    """What every transformer for pictures has."""

    hidden_size: Width = 768
    intermediate_size: Width = 3072
    num_channels: Literal[3] = 3
    image_size: Side = 224
    patch_size: Side = 16

    @model_validator(mode="after")
    def _check_patches(self) -> Self:
        patches = (self.image_size // self.patch_size) ** 2
        if not 1 <= patches <= MAX_PATCHES or patches * self.hidden_size > MAX_PLACES:
            expected = f"1 to {MAX_PATCHES:,} patches in a picture of image_size {self.image_size}, "
            raise uneven("patch_size", expected + f"and at most {MAX_PLACES:,} numbers for their places")
        return self


class ClipTextConfig(_Transformer):
    """A CLIP's text model: `text_encoder/config.json`, or `text_config` of a whole CLIP."""

    vocab_size: Vocabulary = 49408
    hidden_size: Width = 512
    intermediate_size: Width = 2048
    num_attention_heads: Heads = 8
    max_position_embeddings: Length = 77
    hidden_act: Activation = "quick_gelu"
    layer_norm_eps: Share = 1e-5
    bos_token_id: Token | None = 49406
    eos_token_id: Token | None = 49407
    pad_token_id: Token | None = 1
    use_attention_mask: StrictBool | None = None

    def arguments(self) -> Arguments:
        """Arguments of transformers' CLIPTextConfig."""
        return self.model_dump(exclude={"use_attention_mask"})


class ClipVisionConfig(VisionConfig):
    """A CLIP's vision model: `vision_config` of a whole CLIP, a vision model's file, or an exemplar encoder's."""

    hidden_act: Activation = "quick_gelu"
    layer_norm_eps: Share = 1e-5
    patch_size: Side = 32
    attention_dropout: Share = 0.0
    initializer_range: Deviation = 0.02
    initializer_factor: Deviation = 1.0
    projection_dim: Width = 512


class ClipConfig(ConfigFile):
    """A whole CLIP, besides its two models."""

    projection_dim: Width = 512


class VitConfig(VisionConfig):
    """A vision transformer of DINO."""

    qkv_bias: StrictBool = True


class Dinov2Config(VisionConfig):
    """A vision transformer of DINOv2; its MLP is `mlp_ratio` times as wide as its tokens."""

    mlp_ratio: Annotated[StrictInt, Field(ge=1, le=64)] = 4
    layer_norm_eps: Share = 1e-6
    patch_size: Side = 14
    qkv_bias: StrictBool = True
    use_swiglu_ffn: StrictBool = False
    use_mask_token: StrictBool = True

    def arguments(self) -> Arguments:
        """Arguments of transformers' Dinov2Config."""
        return self.model_dump(exclude={"intermediate_size"})

    @property
    def least(self) -> int:
        """How many numbers its weights are at least."""
        return self.num_hidden_layers * self.hidden_size**2 * (4 + self.mlp_ratio)


class BlipVisionConfig(VisionConfig):
    """`vision_config` of a BLIP."""

    image_size: Side = 384
    layer_norm_eps: Share = 1e-5

    def arguments(self) -> Arguments:
        """Arguments of transformers' BlipVisionConfig, which knows three channels only."""
        return self.model_dump(exclude={"num_channels"})


class BlipTextConfig(_Transformer):
    """`text_config` of a BLIP: a BERT that writes."""

    vocab_size: Vocabulary = 30524
    hidden_size: Width = 768
    intermediate_size: Width = 3072
    num_attention_heads: Heads = 8
    max_position_embeddings: Length = 512
    bos_token_id: Token = 30522
    eos_token_id: Token = 2
    pad_token_id: Token = 0
    sep_token_id: Token = 102

    @model_validator(mode="after")
    def _check_tokens(self) -> Self:
        for key in ("bos_token_id", "eos_token_id", "pad_token_id", "sep_token_id"):
            if getattr(self, key) >= self.vocab_size:
                raise uneven(key, f"a number below vocab_size, which is {self.vocab_size}")
        return self


def section(config: Config, name: str, alone: bool = False) -> Config:
    """The part of a configuration that describes one of several models.

    `NAME_dict` of older files counts instead of `NAME`, as in transformers.

    Args:
        config: of the whole model.
        name: of the part: `text_config`.
        alone: without such a part, the configuration is that of this model.
    """
    for key in (f"{name}_dict", name):
        if isinstance(inner := config.get(key), Mapping):
            return inner
    return config if alone else {}

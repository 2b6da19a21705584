"""`unet/config.json`: the keys that decide how a UNet of diffusers is built, their types and bounds.

The bounds are wide enough for every published UNet and narrow enough that building one takes at most seconds.
Defaults are those of the library's own signatures.
"""

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, StrictFloat, StrictInt, model_validator

from .config import Activation, Channels, ConfigFile, Epsilon, Switch, Width, Widths, uneven

MAX_LEVELS = 12
MAX_RESNETS = 256  # in one direction; Stable Diffusion has 8
MAX_TRANSFORMERS = 512  # in one direction; SDXL has 24

Layers = Annotated[StrictInt, Field(ge=1, le=64)]
Heads = Annotated[StrictInt, Field(ge=1, le=65_536)]
Kernel = Literal[1, 3, 5, 7]  # an even one would change the sides of the latent
Off = Literal[False] | None  # what it switches on needs inputs that are not supplied
Scale = Annotated[StrictFloat, Field(ge=1e-6, le=1e6)]
LevelLayers = Annotated[tuple[Layers, ...], Field(min_length=1, max_length=64)]
LayersOfLevels = Annotated[tuple[Layers | LevelLayers, ...], Field(min_length=1, max_length=MAX_LEVELS)]
_Down = Literal["DownBlock2D", "ResnetDownsampleBlock2D", "AttnDownBlock2D", "UNetResDownBlock2D"]
_Up = Literal["UpBlock2D", "ResnetUpsampleBlock2D", "AttnUpBlock2D", "UNetResUpBlock2D"]
_SkipDown = Literal["SkipDownBlock2D", "AttnSkipDownBlock2D", "UNetResAttnDownBlock2D"]
_SkipUp = Literal["SkipUpBlock2D", "AttnSkipUpBlock2D", "UNetResAttnUpBlock2D"]
_CrossDown = Literal[
    "CrossAttnDownBlock2D",
    "SimpleCrossAttnDownBlock2D",
    "KDownBlock2D",
    "KCrossAttnDownBlock2D",
    "UNetResCrossAttnDownBlock2D",
]
_CrossUp = Literal[
    "CrossAttnUpBlock2D", "SimpleCrossAttnUpBlock2D", "KUpBlock2D", "KCrossAttnUpBlock2D", "UNetResCrossAttnUpBlock2D"
]


class UNetConfig(ConfigFile):
    """Configuration keys that both kinds of UNet have."""

    in_channels: Channels = 4
    out_channels: Channels = 4
    sample_size: Width | Annotated[tuple[Width, ...], Field(min_length=1, max_length=2)] | None = None
    block_out_channels: Widths = (320, 640, 1280, 1280)
    center_input_sample: Switch = False
    flip_sin_to_cos: Switch = True
    freq_shift: Annotated[StrictInt | StrictFloat, Field(ge=-1000, le=1000)] = 0
    time_embedding_dim: Width | None = None
    layers_per_block: Layers | Annotated[tuple[Layers, ...], Field(min_length=1, max_length=MAX_LEVELS)] = 2
    mid_block_scale_factor: Scale = 1
    downsample_padding: Annotated[StrictInt, Field(ge=0, le=1)] = 1  # the sides of more would not fit
    dropout: Annotated[StrictFloat, Field(ge=0, le=1)] = 0.0
    act_fn: Activation = "silu"
    norm_num_groups: Width | None = 32
    norm_eps: Epsilon = 1e-5
    resnet_time_scale_shift: Literal["default", "scale_shift"] = "default"

    @property
    def levels(self) -> int:
        """How many resolutions the network has."""
        return len(self.block_out_channels)

    @property
    def resnets(self) -> tuple[int, ...]:
        """Residual blocks on the way down, by level."""
        layers = self.layers_per_block
        return layers if isinstance(layers, tuple) else (layers,) * self.levels

    @property
    def least(self) -> int:
        """Numbers that the weights of such a UNet have at least: those of one convolution in each residual block."""
        levels = zip(self.resnets, self.block_out_channels, strict=False)
        return sum(2 * 9 * layers * width**2 for layers, width in levels)

    @model_validator(mode="after")
    def _is_even(self) -> Self:
        """Lists that the file has are as long as its widths, and the network is not absurdly deep."""
        given = {key: getattr(self, key) for key in self.model_fields_set}
        if "block_out_channels" in given:
            for key, value in given.items():
                if isinstance(value, tuple) and key != "sample_size" and len(value) != self.levels:
                    raise uneven(key, f"{self.levels} values, one for each of block_out_channels")
        if sum(self.resnets) > MAX_RESNETS:
            raise uneven("layers_per_block", f"at most {MAX_RESNETS} layers in all")
        return self


class UNet2DConditionConfig(UNetConfig):
    """`unet/config.json` of a `UNet2DConditionModel`."""

    down_block_types: Annotated[tuple[_Down | _CrossDown, ...], Field(max_length=MAX_LEVELS)] = (
        *("CrossAttnDownBlock2D",) * 3,
        "DownBlock2D",
    )
    mid_block_type: Literal["UNetMidBlock2DCrossAttn", "UNetMidBlock2D", "UNetMidBlock2DSimpleCrossAttn"] | None = (
        "UNetMidBlock2DCrossAttn"
    )
    up_block_types: Annotated[tuple[_Up | _CrossUp, ...], Field(max_length=MAX_LEVELS)] = (
        "UpBlock2D",
        *("CrossAttnUpBlock2D",) * 3,
    )
    only_cross_attention: Switch | Annotated[tuple[Switch, ...], Field(min_length=1, max_length=MAX_LEVELS)] = False
    cross_attention_dim: Width = 1280
    transformer_layers_per_block: Layers | LayersOfLevels = 1
    reverse_transformer_layers_per_block: LayersOfLevels | None = None
    attention_head_dim: Heads | Annotated[tuple[Heads, ...], Field(min_length=1, max_length=MAX_LEVELS)] = 8
    num_attention_heads: None = None  # diffusers accepts no other value
    dual_cross_attention: Off = False
    use_linear_projection: Switch = False
    upcast_attention: Switch = False
    resnet_skip_time_act: Switch = False
    resnet_out_scale_factor: Scale = 1.0
    time_embedding_type: Literal["positional", "fourier"] = "positional"
    time_embedding_act_fn: Activation | None = None
    timestep_post_act: Activation | None = None
    time_cond_proj_dim: Width | None = None
    conv_in_kernel: Kernel = 3
    conv_out_kernel: Kernel = 3
    attention_type: Literal["default", "gated", "gated-text-image"] = "default"
    class_embeddings_concat: Off = False
    mid_block_only_cross_attention: Switch = None
    cross_attention_norm: Literal["layer_norm", "group_norm"] | None = None

    @property
    def transformers(self) -> tuple[int, ...]:
        """Transformer blocks on the way down, by level, where it has cross-attention."""
        depths = self.transformer_layers_per_block
        listed = depths if isinstance(depths, tuple) else (depths,) * self.levels
        return tuple(
            (sum(depth) if isinstance(depth, tuple) else depth * layers) if "CrossAttn" in kind else 0
            for depth, layers, kind in zip(listed, self.resnets, self.down_block_types, strict=False)
        )

    @model_validator(mode="after")
    def _is_shallow(self) -> Self:
        if sum(self.transformers) > MAX_TRANSFORMERS:
            raise uneven("transformer_layers_per_block", f"at most {MAX_TRANSFORMERS} transformer blocks in all")
        return self


class UNet2DConfig(UNetConfig):
    """`unet/config.json` of a `UNet2DModel`."""

    in_channels: Channels = 3
    out_channels: Channels = 3
    block_out_channels: Widths = (224, 448, 672, 896)
    layers_per_block: Layers = 2
    down_block_types: Annotated[tuple[_Down | _SkipDown, ...], Field(max_length=MAX_LEVELS)] = (
        "DownBlock2D",
        *("AttnDownBlock2D",) * 3,
    )
    mid_block_type: Literal["UNetMidBlock2D"] | None = "UNetMidBlock2D"
    up_block_types: Annotated[tuple[_Up | _SkipUp, ...], Field(max_length=MAX_LEVELS)] = (
        *("AttnUpBlock2D",) * 3,
        "UpBlock2D",
    )
    downsample_type: Literal["conv", "resnet"] | None = "conv"
    upsample_type: Literal["conv", "resnet"] | None = "conv"
    attention_head_dim: Heads | None = 8
    attn_norm_num_groups: Width | None = None
    add_attention: Switch = True
    time_embedding_type: Literal["positional", "fourier", "learned"] = "positional"
    num_train_timesteps: Annotated[StrictInt, Field(ge=1, le=100_000)] | None = None


#: Class of diffusers -> its configuration.
UNETS: Mapping[str, type[UNet2DConditionConfig] | type[UNet2DConfig]] = {
    "UNet2DConditionModel": UNet2DConditionConfig,
    "UNet2DModel": UNet2DConfig,
}

"""`vae/config.json`: the keys that decide how an AutoencoderKL is built and used, their types and bounds."""

from typing import Annotated, Literal, Self

from pydantic import Field, StrictFloat, StrictInt, model_validator

from .config import Activation, Channels, ConfigFile, Switch, Width, Widths, uneven

MAX_LEVELS = 12
Down = Literal["DownEncoderBlock2D", "AttnDownEncoderBlock2D"]
Up = Literal["UpDecoderBlock2D", "AttnUpDecoderBlock2D"]


class VaeConfig(ConfigFile):
    """`vae/config.json` of an `AutoencoderKL`; defaults are those of the library's signature."""

    in_channels: Channels = 3
    out_channels: Channels = 3
    down_block_types: Annotated[tuple[Down, ...], Field(max_length=MAX_LEVELS)] = ("DownEncoderBlock2D",)
    up_block_types: Annotated[tuple[Up, ...], Field(max_length=MAX_LEVELS)] = ("UpDecoderBlock2D",)
    block_out_channels: Widths = (64,)
    layers_per_block: Annotated[StrictInt, Field(ge=1, le=20)] = 1
    act_fn: Activation = "silu"
    latent_channels: Channels = 4
    norm_num_groups: Width = 32
    sample_size: Width | Annotated[tuple[Width, ...], Field(min_length=1, max_length=2)] = 32
    scaling_factor: Annotated[StrictFloat, Field(ge=1e-6, le=1e6)] = 0.18215
    shift_factor: Annotated[StrictFloat, Field(ge=-1e6, le=1e6)] | None = None
    force_upcast: Switch = True
    use_quant_conv: Switch = True
    use_post_quant_conv: Switch = True
    mid_block_add_attention: Switch = True

    @property
    def least(self) -> int:
        """Numbers that the weights of such a VAE have at least: those of one convolution in each residual block."""
        return sum(2 * 9 * self.layers_per_block * width**2 for width in self.block_out_channels)

    @model_validator(mode="after")
    def _is_even(self) -> Self:
        """Lists that the file has are as long as its widths."""
        levels, given = len(self.block_out_channels), self.model_fields_set
        for key in ("down_block_types", "up_block_types"):
            if {key, "block_out_channels"} <= given and len(getattr(self, key)) != levels:
                raise uneven(key, f"{levels} values, one for each of block_out_channels")
        return self

"""The components of Stable Diffusion as descriptions: denoiser, VAE and scheduler."""

from dataclasses import dataclass, replace
from typing import Self

from ..graph_runtime import ModelError
from ..graph_runtime.core.digests import sha256
from ..graph_runtime.core.light.later import nn, torch
from ..graph_runtime.core.memory.descriptions import ModelDescription
from ..graph_runtime.core.memory.moving import to_device
from .component import Component, Origin
from .config import read_config
from .precision import DType, Quantize, quantize, quantized_sizes, quantizer, require_device, require_quantizer
from .unet_config import UNETS, UNet2DConditionConfig, UNetConfig
from .vae_config import VaeConfig
from .weights import list_stored


@dataclass(frozen=True)
class DenoiserComponent(Component):
    """A denoising UNet: `UNet2DConditionModel`, or `UNet2DModel` for unconditional pixel-space models.

    Attributes:
        quantize: how the weights of its linear layers are held.
        channels_last: kernels of convolutions lie in memory channel by channel, as some processors prefer them.
    """

    quantize: Quantize = "none"
    channels_last: bool = False

    component = "unet"
    noun = "unet"
    first_layer = "conv_in"
    facts = ("in_channels", "out_channels", "cross_attention_dim", "sample_size", "multiple")

    @classmethod
    def describe(cls, origin: Origin, dtype: DType = "auto", quantize: Quantize = "none") -> Self:
        """The description of the UNet of `origin`, checked as far as its files are known."""
        require_quantizer(quantize, dtype)
        described = super().describe(origin, dtype)
        return replace(described, quantize=quantize) if quantize != "none" else described

    @property
    def class_name(self) -> str:
        """Its class in diffusers."""
        return self.architecture.class_name or "UNet2DConditionModel"

    @property
    def conditional(self) -> bool:
        """True if the UNet has cross-attention, and so takes embeddings."""
        return self.class_name == "UNet2DConditionModel"

    @property
    def settings(self) -> UNetConfig:
        """The configuration, read by type and bounds."""
        return read_config(UNETS[self.class_name], self.config, self.where)

    @property
    def in_channels(self) -> int:
        """Input channels: 4 for Stable Diffusion, 9 for its inpainting form, 3 for RGB models."""
        return self.settings.in_channels

    @property
    def out_channels(self) -> int:
        """Output channels; twice the latent's if the variance is learned."""
        return self.settings.out_channels

    @property
    def latent_channels(self) -> int:
        """Channels of the latent that is denoised: the output channels without a learned variance."""
        learned = not self.conditional and self.out_channels == 2 * self.in_channels
        return self.in_channels if learned else self.out_channels

    @property
    def cross_attention_dim(self) -> int | None:
        """Width of the embeddings for cross-attention, or None for an unconditional UNet."""
        settings = self.settings
        return settings.cross_attention_dim if isinstance(settings, UNet2DConditionConfig) else None

    @property
    def sample_size(self) -> int | None:
        """Side of the latents it was trained on."""
        size = self.settings.sample_size
        return size[0] if isinstance(size, tuple) else size

    @property
    def multiple(self) -> int:
        """The sides of latents must be multiples of this; conditional UNets of diffusers take any."""
        return 1 if self.conditional else int(2 ** (len(self.settings.block_out_channels) - 1))

    def check(self) -> None:
        """Refuse anything but a plain UNet: SDXL, class labels, other architectures."""
        kind = self.class_name
        if kind not in UNETS:
            raise ModelError(
                "source",
                found=f"a {kind} in {self.origin.name}",
                expected="a UNet of diffusers",
                fix="use a Stable Diffusion 1.x or 2.x model, or an unconditional UNet2DModel",
            )
        for key, value in (
            ("addition_embed_type", "an SDXL UNet"),
            ("encoder_hid_dim_type", "an adapter UNet"),
            ("class_embed_type", "a UNet with class labels"),
            ("num_class_embeds", "a UNet with class labels"),
        ):
            if self.config.get(key) is not None:
                raise ModelError(
                    "source",
                    found=f"{value} ({key} = {self.config[key]!r}) in {self.origin.name}",
                    expected="a UNet that takes only latents, a timestep and text embeddings",
                    fix="use a Stable Diffusion 1.x or 2.x model (inpainting forms included)",
                )
        if isinstance(self.config.get("cross_attention_dim"), (list, tuple)):
            raise ModelError(
                "source",
                found=f"cross_attention_dim = {self.config['cross_attention_dim']}",
                expected="one number",
                fix="use a Stable Diffusion 1.x or 2.x model",
            )
        super().check()
        self.require_weights(self.settings.least, "block_out_channels")

    @property
    def fingerprint(self) -> str:
        """Hash of the class, the files' state, the precision and the quantisation, with what makes it."""
        plain = super().fingerprint
        return plain if self.quantize == "none" else sha256(f"{plain}|{self.quantize}|{quantizer()}")

    @property
    def label(self) -> str:
        """`unet of dollhouse`, with the quantisation if there is one."""
        return super().label + (f" in {self.quantize}" if self.quantize != "none" else "")

    def lighter(self) -> tuple[str, ModelDescription[nn.Module]] | None:
        """Quantised weights, if these are not."""
        if self.quantize != "none" or self.borrowed or self.dtype == "float64":
            return None
        return "set quantize to int8 in the model node", replace(self, quantize="int8")

    def precision(self, device: str) -> torch.dtype:
        """The precision of what is not quantised."""
        require_device(self.quantize, device)
        return super().precision(device)

    def nbytes_on(self, device: str) -> int:
        """Bytes of the weights on a device, from the safetensors headers."""
        return super().nbytes_on(device) if self.quantize == "none" else sum(self._sizes(device).values())

    def _sizes(self, device: str) -> dict[str, int]:
        if self.quantize == "none":
            return super()._sizes(device)
        weights = self.origin.weights(self.component)
        shapes = {name: one.shape for name, one in list_stored(weights.files, weights.prefix).items()}
        return quantized_sizes(shapes, self.quantize, self.precision(device).itemsize)

    def _placed(self, module: nn.Module, place: str, precision: torch.dtype) -> nn.Module:
        if self.quantize == "none":
            return super()._placed(module, place, precision)
        at = "meta" if place == "meta" else "cpu"  # one place for all: another would round otherwise
        module = super()._placed(module, at, precision)
        quantize(module, self.quantize)
        to_device(module, place)
        return module

    def load_as(self, place: str, device: str) -> nn.Module:
        """The weights at a place, in the precision that they have on `device`, and in the order that is asked for."""
        module = super().load_as(place, device)
        if self.channels_last:
            with torch.inference_mode(False):
                nn.Module.to(module, memory_format=torch.channels_last)  # type: ignore[call-overload]  # of torch
        return module

    def _read(self) -> nn.Module:
        from diffusers import UNet2DConditionModel, UNet2DModel

        return self._from_config(UNet2DConditionModel if self.conditional else UNet2DModel, self.settings.arguments())


@dataclass(frozen=True)
class VaeComponent(Component):
    """An `AutoencoderKL`: pictures to scaled latents and back."""

    component = "vae"
    noun = "vae"
    first_layer = "encoder.conv_in"
    facts = ("factor", "scaling_factor", "shift_factor", "latent_channels")

    def precision(self, device: str) -> torch.dtype:
        """`auto` is float32 with `force_upcast`, which is the default of an AutoencoderKL.

        In float16 the inner values of Stable Diffusion's VAEs exceed 65504, and the picture comes out black or NaN.
        """
        if self.dtype == "auto" and self.config.get("force_upcast", True):
            return torch.float32
        return super().precision(device)

    @property
    def settings(self) -> VaeConfig:
        """The configuration, read by type and bounds."""
        return read_config(VaeConfig, self.config, self.where)

    @property
    def factor(self) -> int:
        """Pixels per latent cell, along each side."""
        return int(2 ** (len(self.settings.block_out_channels) - 1))

    @property
    def scaling_factor(self) -> float:
        """Factor that the posterior's mean is multiplied by."""
        return self.settings.scaling_factor

    @property
    def shift_factor(self) -> float:
        """Value that is subtracted before scaling; 0 for Stable Diffusion."""
        return self.settings.shift_factor or 0.0

    @property
    def latent_channels(self) -> int:
        """Channels of a latent."""
        return self.settings.latent_channels

    def check(self) -> None:
        """Refuse anything but an AutoencoderKL with plain scaling."""
        kind = self.architecture.class_name or "AutoencoderKL"
        if kind != "AutoencoderKL":
            raise ModelError(
                "source",
                found=f"a {kind} as the VAE of {self.origin.name}",
                expected="an AutoencoderKL",
                fix="use a Stable Diffusion 1.x or 2.x model",
            )
        if self.config.get("latents_mean") is not None:
            raise ModelError(
                "source",
                found=f"a VAE with a mean per channel (latents_mean) in {self.origin.name}",
                expected="one scaling factor for all channels",
                fix="use a Stable Diffusion model",
            )
        super().check()
        self.require_weights(self.settings.least, "block_out_channels")

    def _read(self) -> nn.Module:
        from diffusers import AutoencoderKL

        return self._from_config(AutoencoderKL, self.settings.arguments())


@dataclass(frozen=True)
class IdentityVae(ModelDescription[nn.Module]):
    """The VAE of a pixel-space model: the latent *is* the picture, in [−1, 1]."""

    latent_channels: int = 3

    known = True
    factor = 1
    scaling_factor = 1.0
    shift_factor = 0.0
    label = "identity vae"
    fingerprint = "identity vae"

    def load(self, device: str) -> nn.Module:
        """A module without weights."""
        return nn.Identity()

    def nbytes(self) -> int:
        """Nothing."""
        return 0


@dataclass(frozen=True)
class SchedulerComponent(Component):
    """The configuration of a diffusers scheduler; there is nothing to load."""

    component = "scheduler"
    noun = "scheduler"

    @property
    def label(self) -> str:
        """`scheduler of dollhouse`."""
        return f"{self.noun} of {self.origin.name}"

    @property
    def prediction_type(self) -> str:
        """What the denoiser predicts: `epsilon`, `v_prediction` or `sample`."""
        return str(self.config.get("prediction_type", "epsilon"))

    def check(self) -> None:
        """Refuse a schedule without betas, or an unknown prediction type."""
        from .noise_levels import noise_levels

        noise_levels(self.config, estimated=True)

    def nbytes_on(self, device: str) -> int:
        """Nothing, on any device."""
        return 0

    def load(self, device: str) -> nn.Module:
        """A scheduler has no weights to lease."""
        raise ModelError(None, found="a lease of a scheduler", expected="its configuration", fix="read .config instead")

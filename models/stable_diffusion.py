"""The components of Stable Diffusion as descriptions: denoiser, VAE and scheduler."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ..graph_runtime import ModelError
from ..graph_runtime.core.models import ModelDescription
from .component import Component
from .config import MAX_CHANNELS, MAX_WIDTH


@dataclass(frozen=True)
class DenoiserComponent(Component):
    """A denoising UNet: `UNet2DConditionModel`, or `UNet2DModel` for unconditional pixel-space models."""

    component = "unet"
    noun = "unet"
    facts = ("in_channels", "out_channels", "cross_attention_dim", "sample_size", "multiple")

    @property
    def conditional(self) -> bool:
        """True when the UNet is told something: it has cross-attention."""
        return self.settings.text("_class_name", "UNet2DConditionModel") == "UNet2DConditionModel"

    @property
    def in_channels(self) -> int:
        """Channels that go in: 4 for Stable Diffusion, 9 for its inpainting form, 3 for RGB models."""
        return self.settings.whole("in_channels", 4 if self.conditional else 3, 1, MAX_CHANNELS)

    @property
    def out_channels(self) -> int:
        """Channels that come out; twice the latent's where the variance is learned."""
        return self.settings.whole("out_channels", 4 if self.conditional else 3, 1, MAX_CHANNELS)

    @property
    def latent_channels(self) -> int:
        """Channels of the latent that is denoised: what comes out, without a learned variance."""
        learned = not self.conditional and self.out_channels == 2 * self.in_channels
        return self.in_channels if learned else self.out_channels

    @property
    def cross_attention_dim(self) -> int | None:
        """Width of the embeddings that the UNet listens to, or None for an unconditional one."""
        return self.settings.whole("cross_attention_dim", 1280, 1, MAX_WIDTH) if self.conditional else None

    @property
    def sample_size(self) -> int | None:
        """Side of the latents it was trained on."""
        size = self.config.get("sample_size")
        if isinstance(size, (list, tuple)):
            return self.settings.wholes("sample_size", (1,), 1, MAX_WIDTH, 2)[0]
        return None if size is None else self.settings.whole("sample_size", 1, 1, MAX_WIDTH)

    @property
    def multiple(self) -> int:
        """What latent sides must be a multiple of; conditional UNets of diffusers take any."""
        levels = self.settings.wholes("block_out_channels", (1,) * 4, 1, MAX_WIDTH, 12)
        return 1 if self.conditional else int(2 ** (len(levels) - 1))

    def check(self) -> None:
        """Only plain UNets: no SDXL, no class labels, no other architecture."""
        kind = self.settings.text("_class_name", "UNet2DConditionModel")
        if kind not in ("UNet2DConditionModel", "UNet2DModel"):
            raise ModelError(
                "source",
                found=f"a {kind} in {self.origin.name}",
                expected="a UNet of diffusers",
                fix="use a Stable Diffusion 1.x or 2.x model, or an unconditional UNet2DModel",
            )
        for key, value in (
            ("addition_embed_type", "an SDXL UNet"),
            ("encoder_hid_dim_type", "an adapter UNet"),
            ("class_embed_type", "a UNet told classes"),
            ("num_class_embeds", "a UNet told classes"),
        ):
            if self.config.get(key) is not None:
                raise ModelError(
                    "source",
                    found=f"{value} ({key} = {self.config[key]!r}) in {self.origin.name}",
                    expected="a UNet that takes latents, a timestep and text embeddings, no more",
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

    def _read(self) -> nn.Module:
        from diffusers import UNet2DConditionModel, UNet2DModel

        return self._from_pretrained(UNet2DConditionModel if self.conditional else UNet2DModel)


@dataclass(frozen=True)
class VaeComponent(Component):
    """An `AutoencoderKL`: pictures to scaled latents and back."""

    component = "vae"
    noun = "vae"
    facts = ("factor", "scaling_factor", "shift_factor", "latent_channels")

    def precision(self, device: str) -> torch.dtype:
        """`auto` is float32 where the configuration says `force_upcast`, as an AutoencoderKL does that says nothing.

        In float16 the inner values of Stable Diffusion's VAEs exceed 65504, and the picture comes out black or NaN.
        """
        if self.dtype == "auto" and self.config.get("force_upcast", True):
            return torch.float32
        return super().precision(device)

    @property
    def factor(self) -> int:
        """Pixels per latent cell, along each side."""
        return int(2 ** (len(self.settings.wholes("block_out_channels", (64,), 1, MAX_WIDTH, 12)) - 1))

    @property
    def scaling_factor(self) -> float:
        """What the posterior's mean is multiplied by."""
        return self.settings.number("scaling_factor", 0.18215, 1e-6, 1e6)

    @property
    def shift_factor(self) -> float:
        """What is taken off before scaling; 0 for Stable Diffusion."""
        return 0.0 if self.config.get("shift_factor") is None else self.settings.number("shift_factor", 0.0, -1e6, 1e6)

    @property
    def latent_channels(self) -> int:
        """Channels of a latent."""
        return self.settings.whole("latent_channels", 4, 1, MAX_CHANNELS)

    def check(self) -> None:
        """Only AutoencoderKL with plain scaling."""
        kind = self.settings.text("_class_name", "AutoencoderKL")
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

    def _read(self) -> nn.Module:
        from diffusers import AutoencoderKL

        return self._from_pretrained(AutoencoderKL)


@dataclass(frozen=True)
class IdentityVae(ModelDescription):
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
        """The schedule must be one of betas, the prediction of a known type."""
        from .noise_levels import alphas_cumprod, check_prediction_type, steps_offset

        check_prediction_type(self.prediction_type)
        alphas_cumprod(self.config)
        steps_offset(self.config)

    def nbytes(self) -> int:
        """Nothing."""
        return 0

    def load(self, device: str) -> Any:
        """A scheduler has no weights to lease."""
        raise ModelError(None, found="a lease of a scheduler", expected="its configuration", fix="read .config instead")

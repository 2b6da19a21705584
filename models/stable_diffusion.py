"""Descriptions of the parts of a diffusion model: frozen, hashable, and without weights until they are leased.

A description knows what its configuration says (`vae.factor`, `denoiser.in_channels` …) and how to load itself.
For a hub id that is not on this machine yet `known` is False: the checker then holds its tongue, and the first use of a
fact, or the first lease, downloads.
"""

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import torch
from torch import nn

from ..graph_runtime import ModelError
from ..graph_runtime.core.errors import first_line, missing_package
from ..graph_runtime.core.memory import is_out_of_memory
from ..graph_runtime.core.models import ModelDescription
from ..graph_runtime.core.quiet import quiet
from ..graph_runtime.core.tensors import own_weights
from .configs import MAX_CHANNELS, MAX_WIDTH, Settings, config_at
from .embedded import doubt
from .files import count_parameters
from .folder import PARTS, Weights
from .precision import DType, torch_dtype

_UNRESOLVED = uuid.uuid4().hex  # a result made before a model was resolved is never found again by another process


class Origin(Protocol):
    """Where parts come from: a folder, a single file, or a hub repository."""

    name: str

    @property
    def known(self) -> bool:
        """True when configurations can be read without a network."""

    def config(self, part: str) -> Mapping[str, Any]:
        """The configuration of a part, in the form diffusers and transformers write it."""

    def stamp(self, part: str) -> str:
        """Changes when the files of a part change."""

    def weights(self, part: str) -> Weights:
        """The files that hold the weights of a part."""


@dataclass(frozen=True)
class Part(ModelDescription):
    """One part of a model: which, from where, in which precision.

    Attributes:
        origin: where the files are.
        dtype: precision of the weights in memory; `auto` is float16 on a CUDA device and float32 elsewhere
            (a VAE: float32 where half would overflow).
        stamp: state of the files when they were described, so that a changed file is another description.
    """

    origin: Any
    dtype: DType = "auto"
    stamp: str = ""

    part = ""
    noun = ""
    facts: ClassVar[tuple[str, ...]] = ()  # read once while checking, so that none of them fails later

    @classmethod
    def describe(cls, origin: Any, dtype: DType = "auto") -> Any:
        """The description of this part of `origin`, checked as far as its files are known."""
        described = cls(origin, dtype, origin.stamp(cls.part) if origin.known else "")
        if origin.known:
            described.check()
        return described

    @property
    def known(self) -> bool:
        """True when `config` needs no network."""
        return bool(self.origin.known)

    @property
    def config(self) -> Mapping[str, Any]:
        """What the part's configuration file said when it was described."""
        return config_at(self.origin, self.part, self.stamp)

    @property
    def settings(self) -> Settings:
        """The configuration, read by type and range."""
        return Settings(self.config, f"{self.part}/{PARTS[self.part][0]} of {self.origin.name}")

    @property
    def label(self) -> str:
        """`unet of dollhouse`, with the variant where it is not the plain one."""
        variant = self.origin.weights(self.part).variant if self.known else None
        return f"{self.noun} of {self.origin.name}" + (f" ({variant} files)" if variant else "")

    @property
    def fingerprint(self) -> str:
        """Hash of the class, the files' state and the precision."""
        state = self.stamp or (self.origin.stamp(self.part) if self.known else f"{_UNRESOLVED}{self.origin!r}")
        return hashlib.sha256(f"{type(self).__name__}|{state}|{self.dtype}".encode()).hexdigest()

    def fetch(self) -> bool:
        """Download what is not here yet."""
        if self.known:
            return False
        self.origin.config(self.part)
        return True

    def doubt(self, marks: Sequence[str]) -> tuple[str, str] | None:
        """An embedded model's word about pictures that are no samples of its own."""
        return doubt(self.origin, marks)

    def check(self) -> None:
        """Refuse, by name, a configuration that this part cannot be used with."""
        for fact in self.facts:
            getattr(self, fact)

    def precision(self, device: str) -> torch.dtype:
        """In which its weights are loaded on a device."""
        return torch_dtype(self.dtype, device)

    def nbytes(self) -> int:
        """Bytes of the weights in memory, from the safetensors headers."""
        weights = self.origin.weights(self.part)
        precision = self.precision("cuda" if torch.cuda.is_available() else "cpu")
        return count_parameters(weights.files, weights.prefix) * precision.itemsize

    def load(self, device: str) -> nn.Module:
        """Read the weights, in evaluation mode, frozen.

        Raises:
            ModelError: the files are damaged or do not fit the configuration.
        """
        with torch.inference_mode(False), quiet(), torch.random.fork_rng(devices=[]):
            try:
                module = self._read()
                if any(tensor.is_meta for tensor in [*module.parameters(), *module.buffers()]):
                    raise ValueError("some weights are missing from the file")
                module.to(device=device, dtype=self.precision(device)).eval().requires_grad_(False)
                return own_weights(module)  # after .to, which has copied what it changed
            except ModelError:
                raise
            except Exception as error:
                if is_out_of_memory(error) or missing_package(error) is not None:
                    raise
                raise ModelError(
                    None,
                    found=f"the {self.label} cannot be loaded: {first_line(error)}",
                    expected="weights that fit their configuration",
                    fix="download the model again, or name another source",
                ) from error

    def _read(self) -> nn.Module:
        raise NotImplementedError

    def _from_pretrained(self, loader: Any) -> nn.Module:
        """The library's own loader, told to use local safetensors only, and its report taken at its word.

        transformers is told a precision: else it makes that of the file the whole process's default while it loads.
        """
        if hasattr(self.origin, "convert"):
            return self.origin.convert(self.part, loader)
        weights = self.origin.weights(self.part)
        module, report = loader.from_pretrained(
            str(weights.folder),
            variant=weights.variant,
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
            **({} if hasattr(loader, "from_config") else {"torch_dtype": torch.float32}),
        )
        for kind in ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs"):
            keys = [key for key in sorted(map(str, report.get(kind) or ())) if not key.endswith("position_ids")]
            if keys:
                what = kind.removesuffix("_keys").replace("_", " ")
                raise ModelError(
                    None,
                    found=f"{len(keys)} {what} weights in the {self.label}, e.g. {keys[0]}",
                    expected="exactly the weights that its configuration describes",
                    fix="the config.json and the weights belong to different models: download them again",
                )
        assert isinstance(module, nn.Module)
        return module


@dataclass(frozen=True)
class DenoiserPart(Part):
    """A denoising UNet: `UNet2DConditionModel`, or `UNet2DModel` for unconditional pixel-space models."""

    part = "unet"
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
class VaePart(Part):
    """An `AutoencoderKL`: pictures to scaled latents and back."""

    part = "vae"
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
class SchedulerPart(Part):
    """The configuration of a diffusers scheduler; there is nothing to load."""

    part = "scheduler"
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

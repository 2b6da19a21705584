"""Components of Stable Diffusion whose weights a host has in memory: described and leased without a copy.

A lease builds the module around the host's own tensors, wherever they are then, and lets go of it at the end, so that
the host may move, patch or drop its weights between two leases. Only tensors of another precision, or on another
device, are copied, for the length of the lease.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from pydantic import JsonValue

from ...graph_runtime import ModelError
from ...graph_runtime.core.digests import sha256
from ...graph_runtime.core.light.later import Tensor, nn, torch
from ...graph_runtime.core.memory.descriptions import ModelDescription
from ...graph_runtime.core.quiet import quiet
from ...graph_runtime.core.tensors import ALIGNMENT
from ..checkpoint.layouts import UNET, VAE, Shapes, clip_config, scheduler_config, unet_config, vae_config
from ..checkpoint.single_file import build, layer_sizes, rename
from ..component import Component, M
from ..config import Config
from ..folder import WeightFiles
from ..stable_diffusion import DenoiserComponent, SchedulerComponent, VaeComponent
from ..text_encoder import TextEncoderComponent
from ..weights import fill

PREFIXES = {"unet": UNET, "vae": VAE, "text_encoder": ""}


class Holder(Protocol):
    """Whoever has the weights.

    Attributes:
        name: for messages.
    """

    name: str

    def shapes(self) -> Shapes:
        """Names and shapes of the tensors: of a UNet or VAE in the original layout, of CLIP as transformers has it."""

    def tensors(self) -> Mapping[str, Tensor]:
        """The tensors as the model was loaded: where a host has patched them, without the patches."""

    def digest(self) -> str:
        """A hash of their numbers."""


@dataclass(frozen=True, eq=False)
class GivenWeights:
    """The origin of one component in a host's hands; equal to itself alone."""

    holder: Holder
    component: str
    configs: Mapping[str, Mapping[str, JsonValue]]
    vocabulary: Path | None = None
    pad_token: str | None = None

    known = True
    tokenizer_known = True

    @property
    def name(self) -> str:
        """Its name in messages."""
        return self.holder.name

    def config(self, component: str) -> Config:
        """The component's configuration, derived from the shapes of its weights.

        Raises:
            ModelError: the host gave another component.
        """
        if component not in self.configs:
            raise ModelError("source", found=f"{self.name} alone", expected=f"its {component}", fix=_FIX)
        return MappingProxyType(dict(self.configs[component]))

    def optional(self, component: str) -> Config:
        """Nothing: the host has no such file."""
        return MappingProxyType({})

    def index(self) -> Config:
        """Nothing: the host has no such file."""
        return MappingProxyType({})

    def stamp(self, component: str) -> str:
        """Nothing: the numbers themselves count, and only a fingerprint reads them all."""
        return ""

    def weights(self, component: str) -> WeightFiles:
        """There are no files.

        Raises:
            ModelError: always.
        """
        raise ModelError("source", found=f"{self.name}, whose weights are in memory", expected="a file", fix=_FIX)

    def tokenizer_folder(self) -> Path:
        """The folder with the vocabulary that the host brings.

        Raises:
            ModelError: it brings none.
        """
        if self.vocabulary is None:
            raise ModelError("source", found=f"{self.name} without a vocabulary", expected="CLIP's", fix=_FIX)
        return self.vocabulary

    def fetch_tokenizer(self) -> bool:
        """There is nothing to download."""
        return False

    def notes(self) -> list[str]:
        """Nothing is left unused."""
        return []

    def stored(self, component: str) -> dict[str, Tensor]:
        """The tensors under their names in the original layout."""
        prefix = PREFIXES[component]
        return {f"{prefix}{name}": _plain(value) for name, value in self.holder.tensors().items()}

    def layer_sizes(self, component: str) -> dict[str, list[int]]:
        """Shapes of the weights of the UNet's linear and convolution layers, by their names in diffusers."""
        empty = {f"{UNET}{name}": torch.empty(*size, device="meta") for name, size in self.holder.shapes().items()}
        renamed = rename(component, empty, None, self.config(component))
        return layer_sizes(renamed)

    def convert(self, component: str, model_class: type[M]) -> M:
        """The component as a module of diffusers or transformers around the host's tensors.

        Raises:
            ModelError: tensors are missing or left over, or of another shape.
        """
        from ..weights import without_weights

        config = self.config(component)
        with without_weights():
            module = build(component, model_class, config)
        assert isinstance(module, nn.Module)
        assert isinstance(module, model_class)
        found = self.stored(component)
        if component == "text_encoder":
            found = _of_clip(found, int(str(config["num_hidden_layers"])), module)
        else:
            found = rename(component, found, module, config)
        return fill(module, found, f"{component} of {self.name}")


def _plain(tensor: Tensor) -> Tensor:
    """The same memory as a tensor that may be differentiated through; a copy where its place would change results."""
    tensor = tensor.detach()
    if tensor.is_inference():
        tensor = torch.from_dlpack(tensor)
    misplaced = tensor.device.type == "cpu" and tensor.data_ptr() % ALIGNMENT
    return tensor.clone() if misplaced else tensor


_FIX = "load the file itself with model.stable_diffusion"


def _of_clip(found: Mapping[str, Tensor], layers: int, module: nn.Module) -> dict[str, Tensor]:
    """CLIP's tensors without those that Stable Diffusion never reads, named as this release of transformers does."""
    bare = not any(key.startswith("text_model.") for key in module.state_dict())
    unused = (f"text_model.encoder.layers.{layers}.", "text_projection", "logit_scale")
    kept = {key: value for key, value in found.items() if not key.startswith(unused) and "position_ids" not in key}
    return {key.removeprefix("text_model.") if bare else key: value for key, value in kept.items()}


class _Given(Component):
    """What a component with given weights does otherwise than one with files."""

    borrowed = True

    @property
    def config(self) -> Config:
        """The configuration; kept nowhere else, so that nothing holds the host's weights."""
        return self.origin.config(self.component)

    @property
    def label(self) -> str:
        """`unet of …`."""
        return f"{self.noun} of {self.origin.name}"

    @property
    def fingerprint(self) -> str:
        """Hash of the numbers, the configuration and the precision."""
        assert isinstance(self.origin, GivenWeights)
        said = sorted((key, str(value)) for key, value in self.config.items())
        return sha256(f"{type(self).__name__}|{self.origin.holder.digest()}|{said}|{self.dtype}")

    def require_weights(self, least: int, key: str, value: object = None) -> None:
        """The configuration comes from the weights."""

    def nbytes_on(self, device: str) -> int:
        """Nothing: the host has them."""
        return 0

    def load(self, device: str) -> nn.Module:
        """A module with weights of its own, for those that change it."""
        module = self.lend(device)
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.data = parameter.data.clone()
        return module

    def lend(self, device: str) -> nn.Module:
        """A module around the host's tensors, in evaluation mode, frozen."""
        with torch.inference_mode(False), quiet("diffusers", "transformers"), torch.random.fork_rng(devices=[]):
            module = self._read()
            return module.to(device=device, dtype=self.precision(device)).eval().requires_grad_(False)


@dataclass(frozen=True)
class GivenDenoiser(_Given, DenoiserComponent):
    """A host's UNet."""


@dataclass(frozen=True)
class GivenVae(_Given, VaeComponent):
    """A host's VAE."""


@dataclass(frozen=True)
class GivenTextEncoder(_Given, TextEncoderComponent):
    """A host's CLIP, with its vocabulary."""


@dataclass(frozen=True)
class GivenScheduler(_Given, SchedulerComponent):
    """The noise levels of a host's model."""

    @property
    def fingerprint(self) -> str:
        """Hash of the configuration."""
        return sha256(f"scheduler|{sorted((key, str(value)) for key, value in self.config.items())}")


def given_denoiser(holder: Holder, prediction: str, zero_snr: bool) -> tuple[GivenDenoiser, GivenScheduler]:
    """A host's UNet and its noise levels.

    Raises:
        ModelError: it is no UNet of Stable Diffusion 1.x or 2.x.
    """
    unet = _inferred(holder, unet_config)
    configs = {"unet": unet, "scheduler": scheduler_config(prediction, zero_snr)}
    origin = GivenWeights(holder, "unet", configs)
    return GivenDenoiser.describe(origin), GivenScheduler.describe(origin)


def given_vae(holder: Holder, scaling_factor: float) -> GivenVae:
    """A host's VAE, with the factor of the model that it belongs to.

    Raises:
        ModelError: it is no AutoencoderKL.
    """
    config = {**_inferred(holder, vae_config), "scaling_factor": scaling_factor}
    return GivenVae.describe(GivenWeights(holder, "vae", {"vae": config}))


def given_text_encoder(holder: Holder, second: bool, vocabulary: Path | None) -> GivenTextEncoder:
    """A host's CLIP.

    Args:
        holder: of the weights.
        second: of Stable Diffusion 2, which does not read the last layer, and pads with `!`.
        vocabulary: the folder of its tokenizer.

    Raises:
        ModelError: it is no CLIP of Stable Diffusion 1.x or 2.x.
    """
    config = _inferred(holder, clip_config)
    if second:
        config |= {"num_hidden_layers": int(str(config["num_hidden_layers"])) - 1, "hidden_act": "gelu"}
    origin = GivenWeights(holder, "text_encoder", {"text_encoder": config}, vocabulary, "!" if second else None)
    return GivenTextEncoder.describe(origin)


def _inferred(holder: Holder, infer: object) -> dict[str, JsonValue]:
    assert callable(infer)
    try:
        found: dict[str, JsonValue] = infer(holder.shapes())
    except (KeyError, IndexError, ValueError, StopIteration) as error:
        raise ModelError(
            "source",
            found=f"{holder.name}, whose layers are not those of Stable Diffusion ({error})",
            expected="a Stable Diffusion 1.x or 2.x model",
            fix="connect such a model; SDXL, SD3, Flux and the like are not supported",
        ) from error
    return found


def digest_of(tensors: Mapping[str, Tensor]) -> str:
    """A hash of names, shapes, types and numbers."""
    import hashlib

    found = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        found.update(f"{name}|{tuple(tensor.shape)}|{tensor.dtype}|".encode())
        found.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().data)
    return found.hexdigest()


def is_given(description: object) -> bool:
    """True for a component whose weights a host has."""
    return isinstance(description, ModelDescription) and isinstance(getattr(description, "origin", None), GivenWeights)

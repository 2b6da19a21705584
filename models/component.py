"""Descriptions of a model's components: frozen, hashable, and without weights until they are leased.

A description knows what its configuration file says (`vae.factor`, `denoiser.in_channels` …) and how to load itself.
For a hub id that is not on this machine yet, `known` is False: nothing is checked then, and the first use of a
property, or the first lease, downloads.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import torch
from torch import nn

from ..graph_runtime import ModelError
from ..graph_runtime.core.digests import sha256
from ..graph_runtime.core.errors import first_line, missing_package
from ..graph_runtime.core.memory import is_out_of_memory
from ..graph_runtime.core.models import ModelDescription
from ..graph_runtime.core.quiet import quiet
from ..graph_runtime.core.tensors import own_weights
from .config import Settings, config_at
from .embedded import doubt
from .files.safetensors_header import count_parameters
from .folder import COMPONENTS, WeightFiles
from .precision import DType, torch_dtype

_UNRESOLVED = uuid.uuid4().hex  # a result made before a model was resolved is never found again by another process


class Origin(Protocol):
    """Where components come from: a folder, a single file, or a hub repository."""

    name: str

    @property
    def known(self) -> bool:
        """True when configurations can be read without a network."""

    def config(self, component: str) -> Mapping[str, Any]:
        """The configuration of a component, in the form diffusers and transformers write it."""

    def stamp(self, component: str) -> str:
        """Changes when the files of a component change."""

    def weights(self, component: str) -> WeightFiles:
        """The files that hold the weights of a component."""


@dataclass(frozen=True)
class Component(ModelDescription):
    """One component of a model: which, from where, in which precision.

    Attributes:
        origin: where the files are.
        dtype: precision of the weights in memory; `auto` is float16 on a CUDA device and float32 elsewhere
            (a VAE: float32 where half would overflow).
        stamp: state of the files when they were described, so that a changed file is another description.
    """

    origin: Any
    dtype: DType = "auto"
    stamp: str = ""

    component = ""
    noun = ""
    facts: ClassVar[tuple[str, ...]] = ()  # read once while checking, so that none of them fails later

    @classmethod
    def describe(cls, origin: Any, dtype: DType = "auto") -> Any:
        """The description of this component of `origin`, checked as far as its files are known."""
        described = cls(origin, dtype, origin.stamp(cls.component) if origin.known else "")
        if origin.known:
            described.check()
        return described

    @property
    def known(self) -> bool:
        """True when `config` needs no network."""
        return bool(self.origin.known)

    @property
    def config(self) -> Mapping[str, Any]:
        """What the component's configuration file said when it was described."""
        return config_at(self.origin, self.component, self.stamp)

    @property
    def settings(self) -> Settings:
        """The configuration, read by type and range."""
        return Settings(self.config, f"{self.component}/{COMPONENTS[self.component][0]} of {self.origin.name}")

    @property
    def label(self) -> str:
        """`unet of dollhouse`, with the variant where it is not the plain one."""
        variant = self.origin.weights(self.component).variant if self.known else None
        return f"{self.noun} of {self.origin.name}" + (f" ({variant} files)" if variant else "")

    @property
    def fingerprint(self) -> str:
        """Hash of the class, the files' state and the precision."""
        state = self.stamp or (self.origin.stamp(self.component) if self.known else f"{_UNRESOLVED}{self.origin!r}")
        return sha256(f"{type(self).__name__}|{state}|{self.dtype}")

    def fetch(self) -> bool:
        """Download what is not here yet."""
        if self.known:
            return False
        self.origin.config(self.component)
        return True

    def doubt(self, marks: Sequence[str]) -> tuple[str, str] | None:
        """An embedded model's word about pictures that are no samples of its own."""
        return doubt(self.origin, marks)

    def check(self) -> None:
        """Refuse, by name, a configuration that this component cannot be used with."""
        for fact in self.facts:
            getattr(self, fact)

    def precision(self, device: str) -> torch.dtype:
        """In which its weights are loaded on a device."""
        return torch_dtype(self.dtype, device)

    def nbytes(self) -> int:
        """Bytes of the weights in memory, from the safetensors headers."""
        weights = self.origin.weights(self.component)
        precision = self.precision("cuda" if torch.cuda.is_available() else "cpu")
        return count_parameters(weights.files, weights.prefix) * precision.itemsize

    def load(self, device: str) -> nn.Module:
        """Read the weights, in evaluation mode, frozen.

        Raises:
            ModelError: the files are damaged or do not fit the configuration.
        """
        with torch.inference_mode(False), quiet("diffusers", "transformers"), torch.random.fork_rng(devices=[]):
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
            return self.origin.convert(self.component, loader)
        weights = self.origin.weights(self.component)
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

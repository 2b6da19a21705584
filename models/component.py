"""Descriptions of a model's components: frozen, hashable, and without weights until they are leased.

A description knows the values of its configuration file (`vae.factor`, `denoiser.in_channels` …) and how to load
itself.
For a hub id that is not on this machine yet, `known` is False: nothing is checked, and the first use of a property,
    or the first lease, downloads it.
"""

import math
import uuid
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ClassVar, Protocol, Self, TypeGuard, TypeVar

from ..graph_runtime import ModelError
from ..graph_runtime.core.digests import sha256
from ..graph_runtime.core.errors import first_line, missing_package, shorten
from ..graph_runtime.core.light.later import Tensor, nn, torch
from ..graph_runtime.core.memory.compiled import KEPT as COMPILED
from ..graph_runtime.core.memory.descriptions import ModelDescription
from ..graph_runtime.core.memory.streaming import least_bytes, release, streamed
from ..graph_runtime.core.out_of_memory import is_out_of_memory
from ..graph_runtime.core.quiet import quiet
from ..graph_runtime.core.tensors import own_weights
from .config import Architecture, Config, config_at, read_config
from .embedded import doubt
from .files.safetensors_header import count_parameters
from .folder import COMPONENTS, WeightFiles
from .precision import DType, torch_dtype
from .weights import fill, list_stored, newest_names, without_weights

_UNRESOLVED = uuid.uuid4().hex  # a result made before a model was resolved is never found again by another process

ADAPTED = "_inlay_adapted"  # where a module keeps its copies with LoRAs
LARGE = 10**8  # numbers in the weights of a model

M = TypeVar("M")  # a model class of diffusers or transformers


class Origin(Protocol):
    """Where components come from: a folder, a single file, or a hub repository."""

    def __hash__(self) -> int:
        """Origins are frozen, and so hashable: caches use them as keys."""

    @property
    def name(self) -> str:
        """Its name in messages."""

    @property
    def known(self) -> bool:
        """True when configurations can be read without a network."""

    def config(self, component: str) -> Config:
        """The configuration of a component, as diffusers and transformers write it."""

    def optional(self, component: str) -> Config:
        """The configuration of an optional component; empty if it is absent."""

    def index(self) -> Config:
        """The contents of `model_index.json`; empty if there is none."""

    def stamp(self, component: str) -> str:
        """Changes when the files of a component change."""

    def weights(self, component: str) -> WeightFiles:
        """The files that hold the weights of a component."""

    def tokenizer_folder(self) -> Path:
        """The folder with the tokenizer's vocabulary."""


class SingleFileOrigin(Origin, Protocol):
    """A checkpoint file in the original layout, which converts the names of its tensors itself."""

    @property
    def pad_token(self) -> str | None:
        """The padding of prompts, if it is not the tokenizer's own."""

    def convert(self, component: str, model_class: type[M]) -> M:
        """A component as a module of diffusers or transformers."""

    def stored(self, component: str) -> dict[str, Tensor]:
        """The tensors of a component, under their names in the diffusers layout."""

    def layer_sizes(self, component: str) -> dict[str, list[int]]:
        """Shapes of the weights of linear and convolution layers, by their names in diffusers."""

    @property
    def tokenizer_known(self) -> bool:
        """True if the vocabulary is on this machine."""

    def fetch_tokenizer(self) -> bool:
        """Download the vocabulary if it is not on this machine; True if something was downloaded."""

    def notes(self) -> list[str]:
        """Contents of the file that nothing uses."""


def is_single_file(origin: Origin) -> TypeGuard[SingleFileOrigin]:
    """True for a checkpoint file in the original layout."""
    return hasattr(origin, "convert")


@dataclass(frozen=True)
class Component(ModelDescription[nn.Module]):
    """One component of a model: its name, origin and precision.

    Attributes:
        origin: where the files are.
        dtype: precision of the weights in memory; `auto` is float16 on a CUDA device and float32 elsewhere
            (a VAE: float32 where half would overflow).
        stamp: state of the files when they were described, so that a changed file is another description.
    """

    origin: Origin
    dtype: DType = "auto"
    stamp: str = ""

    component: ClassVar[str] = ""  # its name in the layout of diffusers, and that of its folder
    noun: ClassVar[str] = ""
    unused_weights: ClassVar[tuple[str, ...]] = ()  # prefixes of other weights that a file may also hold
    facts: ClassVar[tuple[str, ...]] = ()  # properties that `check` reads, so that none of them fails later
    first_layer: ClassVar[str] = ""  # of a module whose weights can be streamed: each in the call of its own layer

    @classmethod
    def describe(cls, origin: Origin, dtype: DType = "auto") -> Self:
        """The description of this component of `origin`, checked as far as its files are known."""
        described = cls(origin, dtype, cls.state(origin) if origin.known else "")
        if origin.known:
            described.check()
        return described

    @classmethod
    def state(cls, origin: Origin) -> str:
        """Changes when a file that this component is made from changes; other files do not count."""
        return origin.stamp(cls.component)

    @property
    def known(self) -> bool:
        """True when `config` needs no network."""
        return bool(self.origin.known)

    @property
    def config(self) -> Config:
        """The configuration file's contents when the component was described."""
        return config_at(self.origin, self.component, self.stamp)

    @property
    def where(self) -> str:
        """The configuration file, for messages."""
        return f"{self.component}/{COMPONENTS[self.component][0]} of {self.origin.name}"

    @property
    def architecture(self) -> Architecture:
        """The library class that the configuration belongs to."""
        return read_config(Architecture, self.config, self.where)

    @property
    def label(self) -> str:
        """`unet of dollhouse`, with the variant unless it is the plain one."""
        variant = _weights_at(self.origin, self.component, self.stamp).variant if self.known else None
        return f"{self.noun} of {self.origin.name}" + (f" ({variant} files)" if variant else "")

    @property
    def fingerprint(self) -> str:
        """Hash of the class, the files' state and the precision."""
        state = self.stamp or (self.state(self.origin) if self.known else f"{_UNRESOLVED}{self.origin!r}")
        kind = type(self).__name__.replace("Component", "Part")  # unfinished trainings have recorded it in this form
        return sha256(f"{kind}|{state}|{self.dtype}")

    def fetch(self) -> bool:
        """Download what is not on this machine yet."""
        if self.known:
            return False
        self.origin.config(self.component)
        return True

    def doubt(self, marks: Sequence[str]) -> tuple[str, str] | None:
        """An embedded model's warning about pictures other than its samples."""
        return doubt(self.origin, marks)

    def check(self) -> None:
        """Refuse a configuration that this component cannot be used with, naming the value."""
        for fact in self.facts:
            getattr(self, fact)

    def require_weights(self, least: int, key: str, value: object = None) -> None:
        """Refuse a configuration of a large model whose weights are not in its files.

        A small one is compared tensor by tensor when it is loaded.

        Args:
            least: numbers that such a module has at least.
            key: what makes it so large, for the message.
            value: of the key, if it is in a part of the configuration.
        """
        held = _count_at(self.origin, self.component, self.stamp)
        if least > max(held, LARGE):
            raise ModelError(
                "source",
                found=f"{key} = {shorten(self.config.get(key, value))} in {self.where}, which needs weights of at "
                f"least {least:.1e} numbers; its files hold {held:.1e}",
                expected="a configuration that fits the weights",
                fix="the config.json and the weights belong to different models: download them again",
            )

    def precision(self, device: str) -> torch.dtype:
        """The precision in which its weights are loaded on a device."""
        return torch_dtype(self.dtype, device)

    def nbytes(self) -> int:
        """Bytes of the weights in memory, from the safetensors headers."""
        return self.nbytes_on("cuda" if torch.cuda.is_available() else "cpu")

    def nbytes_on(self, device: str) -> int:
        """The same in the precision of a device."""
        return _count_at(self.origin, self.component, self.stamp) * self.precision(device).itemsize

    def _sizes(self, device: str) -> dict[str, int]:
        """Bytes of each stored tensor in memory, by name, from the headers."""
        weights, item = self.origin.weights(self.component), self.precision(device).itemsize
        return {
            name: math.prod(stored.shape) * item for name, stored in list_stored(weights.files, weights.prefix).items()
        }

    def least_resident(self, device: str) -> int | None:
        """Bytes on a device at least while the weights are streamed, from the headers; None: they cannot be."""
        if not self.first_layer:
            return None
        sizes = self._sizes(device)
        return least_bytes(sizes, self.first_layer) if sizes else None

    def streamed(self, module: nn.Module, device: str, resident_bytes: int) -> AbstractContextManager[nn.Module]:
        """For the length of a lease, a module that computes on `device` while its weights lie in CPU memory."""
        return streamed(module, device, resident_bytes)

    def strip(self, module: nn.Module) -> None:
        """Let go of the copies that share its weights: they are made again when they are needed."""
        release(module)
        module.__dict__.pop(ADAPTED, None)
        module.__dict__.pop(COMPILED, None)

    def load(self, device: str) -> nn.Module:
        """Read the weights, in evaluation mode, frozen.

        Raises:
            ModelError: the files are damaged or do not fit the configuration.
        """
        return self.load_as(device, device)

    def load_as(self, place: str, device: str) -> nn.Module:
        """The same at a place, in the precision that they have on `device`."""
        with torch.inference_mode(False), quiet("diffusers", "transformers"), torch.random.fork_rng(devices=[]):
            try:
                self._require(self.state(self.origin) if self.stamp else "", self.stamp)
                before = self.origin.stamp(self.component)
                module = self._read()
                if any(tensor.is_meta for tensor in [*module.parameters(), *module.buffers()]):
                    raise ValueError("some weights are missing from the file")
                owned = self._placed(module, place, self.precision(device))
                self._require(self.origin.stamp(self.component), before)
            except ModelError:
                raise
            except Exception as error:
                if is_out_of_memory(error) or missing_package(error) is not None:
                    raise
                raise ModelError(
                    None,
                    found=f"the {self.label} cannot be loaded: {first_line(error)}",
                    expected="weights that fit their configuration",
                    fix="download the model again, or use another source",
                ) from error
            return owned

    def _placed(self, module: nn.Module, place: str, precision: torch.dtype) -> nn.Module:
        """A module that was read, in its precision, at a place, in memory of its own."""
        module.to(device=place, dtype=precision).eval().requires_grad_(False)
        placed: nn.Module = own_weights(module)  # after .to, which has copied what it changed
        return placed

    def _require(self, state: str, wanted: str) -> None:
        """Refuse files other than those that were described: a result would be kept under another model's name."""
        if state != wanted:
            raise ModelError(
                None,
                found=f"the files of the {self.label} changed after they were checked",
                expected="files that stay as they are during a run",
                fix="run again when nothing writes to them",
            )

    def _read(self) -> nn.Module:
        raise NotImplementedError

    def _from_config(self, model_class: type[object], config: Config) -> nn.Module:
        """A module of diffusers from a checked configuration, with the weights of this component's files."""
        if is_single_file(self.origin):
            module = self.origin.convert(self.component, model_class)
            assert isinstance(module, nn.Module)
            return module
        with without_weights():
            module = model_class.from_config(dict(config))  # type: ignore[attr-defined]  # all classes of diffusers
        assert isinstance(module, nn.Module)
        stored = list_stored(self.origin.weights(self.component).files)
        fill(module, newest_names(stored, module), self.label, unused=self.unused_weights, single=True)
        return module


def _weights_at(origin: Origin, component: str, stamp: str) -> WeightFiles:
    """A component's weight files, found once per state of its files: a run asks some forty times."""
    return _kept_weights(origin, component, stamp) if stamp else origin.weights(component)


@lru_cache(maxsize=256)
def _kept_weights(origin: Origin, component: str, _stamp: str) -> WeightFiles:
    return origin.weights(component)


def _count_at(origin: Origin, component: str, stamp: str) -> int:
    """How many numbers the weights of a component hold, counted once per state of its files."""
    return _kept_count(origin, component, stamp) if stamp else _count(origin.weights(component))


@lru_cache(maxsize=256)
def _kept_count(origin: Origin, component: str, stamp: str) -> int:
    return _count(_kept_weights(origin, component, stamp))


def _count(weights: WeightFiles) -> int:
    return count_parameters(weights.files, weights.prefix)

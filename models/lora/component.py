"""A denoiser with LoRAs: the description of a base and its stacked LoRAs; the base's weights are shared."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from ...graph_runtime import ModelError
from ...graph_runtime.core.digests import sha256
from ...graph_runtime.core.light.later import nn
from ...graph_runtime.core.memory.descriptions import ModelDescription
from ..component import ADAPTED, is_single_file
from ..fast.component import FastDenoiser
from ..files.safetensors_header import read_header
from ..files.stamps import content_of, pieces_of, state_of
from ..known_keys.table import warn_unused
from ..protocols import DenoiserDescription
from ..stable_diffusion import DenoiserComponent
from .file import LoraFile, attach, read_lora
from .header import LoraHeader, about_of, check_header, files_of, made_for, require_fit
from .metadata import FAMILIES
from .source import LoraSource

KEPT = 2  # adapted copies of one UNet that stay in memory
_ATTACHING = threading.Lock()


@dataclass(frozen=True)
class Adapter:
    """One LoRA on a denoiser: where its file is, a hash of the file when it was described, and its weight."""

    source: LoraSource
    stamp: str
    weight: float

    @property
    def file(self) -> Path:
        """The file.

        Raises:
            ModelError: it is missing, or has changed.
        """
        path = Path(self.source.path or self.source.fetched().path)
        if self.stamp and content_of(files_of(path)) != self.stamp:
            raise ModelError(
                "source",
                found=f"{path.name}, which changed during the run",
                expected="the file that was checked",
                fix="run again",
            )
        return path

    def read(self) -> LoraFile:
        """The contents of the file, which is the same before and after it was read.

        Raises:
            ModelError: it is missing, damaged, or has changed.
        """
        found = read_lora(self.file)
        _ = self.file
        return found


@dataclass(frozen=True)
class AdaptedDenoiser(ModelDescription[nn.Module]):
    """A denoiser with LoRAs; all other properties are those of its base.

    Attributes:
        inner: the base's description.
        adapters: in the order they were stacked.
    """

    inner: ModelDescription[nn.Module]
    adapters: tuple[Adapter, ...]

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - of the same type as the base's property
        """A property of the base: channels, widths, configuration."""
        if name.startswith("_") or name == "inner":
            raise AttributeError(name)
        return getattr(self.inner, name)

    @property
    def label(self) -> str:
        """`unet of dollhouse with sofa.safetensors`."""
        return f"{self.inner.label} with {', '.join(adapter.source.name for adapter in self.adapters)}"

    @property
    def known(self) -> bool:
        """True if the base and all LoRAs are on this machine."""
        return bool(getattr(self.inner, "known", True)) and all(adapter.stamp for adapter in self.adapters)

    @property
    def fingerprint(self) -> str:
        """Hash of the base, the files and their weights."""
        state = [(adapter.stamp or id(adapter), adapter.weight) for adapter in self.adapters]
        return sha256(f"{self.inner.fingerprint}|{state}")

    def nbytes(self) -> int:
        """Bytes of the base and of the files."""
        return int(self.inner.nbytes()) + sum(state_of(adapter.file).size for adapter in self.adapters)

    def nbytes_on(self, device: str) -> int:
        """The same on a device."""
        return int(self.inner.nbytes_on(device)) + sum(state_of(adapter.file).size for adapter in self.adapters)

    def lighter(self) -> tuple[str, ModelDescription[nn.Module]] | None:
        """With a lighter base, if there is one."""
        found = self.inner.lighter()
        return None if found is None else (found[0], replace(self, inner=found[1]))

    def fetch(self) -> bool:
        """Download what is not on this machine yet."""
        fetched = bool(self.inner.fetch())
        for adapter in self.adapters:
            if not adapter.stamp:
                adapter.source.fetched()
                fetched = True
        return fetched

    def load(self, device: str) -> nn.Module:
        """The UNet with its LoRAs, alone: nothing else shares these weights."""
        with self.adapted(self.inner.load(device)) as module:
            return module

    def base(self) -> ModelDescription[nn.Module]:
        """The description whose weights are shared."""
        return self.inner.base()

    @contextmanager
    def adapted(self, module: nn.Module) -> Iterator[nn.Module]:
        """A copy that shares every weight and has the LoRAs beside its layers; `module` is not changed."""
        place = next(module.parameters())
        key = (self.adapters, str(place.device), place.dtype)
        with _ATTACHING:
            known = module.__dict__.pop(ADAPTED, {})  # not to be copied with the UNet
            try:
                if key not in known:
                    while len(known) >= KEPT:
                        known.pop(next(iter(known)))
                    known[key] = attach(module, [(adapter.read(), adapter.weight) for adapter in self.adapters])
                found = known[key]
            finally:
                module.__dict__[ADAPTED] = known
        yield found


def adapted(
    denoiser: DenoiserDescription, source: LoraSource, weight: float, any_base: bool = False
) -> AdaptedDenoiser | FastDenoiser:
    """`denoiser` with one more LoRA; one that is evaluated faster stays so.

    A warning lists contents of the file that nothing uses.

    Raises:
        ModelError: the file is not a LoRA for a UNet, was made for another base, or does not fit this one; the
            message names both.
    """
    assert isinstance(denoiser, ModelDescription), "everything leased here is one"
    if isinstance(denoiser, FastDenoiser):
        inner = adapted(cast(DenoiserDescription, denoiser.inner), source, weight, any_base)
        return replace(denoiser, inner=inner)
    stamp = ""
    if source.path:
        path = Path(source.path)
        header, base, notes = check_header(path), denoiser.base(), []
        if isinstance(base, DenoiserComponent) and base.known:
            if not any_base:
                _require_base(base, path)
                _require_one_family(base, header)
            _require_layers(base, header)
            notes = _mismatches(base, header)
        warn_unused(path.name, [*header.notes(), *notes])
        stamp = content_of(files_of(path))
    adapter = Adapter(source, stamp, float(weight))
    if isinstance(denoiser, AdaptedDenoiser):
        return replace(denoiser, adapters=(*denoiser.adapters, adapter))
    return AdaptedDenoiser(denoiser, (adapter,))


def _require_base(base: DenoiserComponent, path: Path) -> None:
    about = about_of(path)
    if "base" not in about:
        return
    name = base.origin.name
    if about["base"] != name and about.get("base_sha256") not in (
        weights_hash(base),
        pieces_of(base.origin.weights(base.component).files),
    ):
        raise ModelError(
            "source",
            found=f"{path.name}, which was made for {made_for(about)}",
            expected=f"one that was made for {name}",
            fix=f"use {made_for(about)} as the model, train the LoRA again on {name}, or set any_base to "
            "true to try it anyway",
        )


def layer_sizes(base: ModelDescription[nn.Module]) -> dict[str, list[int]]:
    """Shapes of the weights of a UNet's linear and convolution layers by name, from headers alone."""
    assert isinstance(base, DenoiserComponent), "only the files of a UNet have such layers"
    if is_single_file(base.origin):
        return base.origin.layer_sizes(base.component)
    return {
        name.removesuffix(".weight"): tensor.shape
        for file in base.origin.weights(base.component).files
        for name, tensor in read_header(file).tensors.items()
        if name.endswith(".weight") and len(tensor.shape) in (2, 4)
    }


def _require_layers(base: DenoiserComponent, header: LoraHeader) -> None:
    """Refuse other widths and layers during the check, if the base's own header is available."""
    if not base.conditional:
        return
    width = base.cross_attention_dim or 0
    require_fit(header, layer_sizes(base), base.label + (f" ({FAMILIES[width]})" if width in FAMILIES else ""))


def _require_one_family(base: DenoiserComponent, header: LoraHeader) -> None:
    """Refuse a LoRA whose metadata names another family, even if layers are equally wide in both."""
    own = FAMILIES.get(base.cross_attention_dim or 0)
    if own is not None and header.family is not None and header.family != own:
        raise ModelError(
            "source",
            found=f"{header.name}, a LoRA of {header.family}",
            expected=f"one of {own}, as the {base.label} is",
            fix=f"use a model of {header.family}, another LoRA, or set any_base to true to try",
        )


def _mismatches(base: DenoiserComponent, header: LoraHeader) -> list[str]:
    try:
        scheduler = base.origin.config("scheduler")
    except ModelError:  # a denoiser alone, such as one trained with inlay
        return []
    return header.metadata.mismatches(scheduler)


def weights_hash(base: DenoiserComponent) -> str:
    """A hash of a base's weights, independent of where their files are."""
    return content_of(base.origin.weights(base.component).files)

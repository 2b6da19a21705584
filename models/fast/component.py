"""A denoiser that is evaluated faster, with outputs that stay within a tolerance: compiled, or with steps reused.

The weights are those of the description that it wraps, LoRAs included; how they are used is a part of its fingerprint,
because the bytes of results differ.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal

from ...graph_runtime import BadInput
from ...graph_runtime.core.digests import sha256
from ...graph_runtime.core.light.later import nn
from ...graph_runtime.core.memory.compiled import why_not
from ...graph_runtime.core.memory.descriptions import ModelDescription
from ..stable_diffusion import DenoiserComponent

Compile = Literal["off", "kernels", "cuda_graphs"]


@dataclass(frozen=True)
class FastDenoiser(ModelDescription[nn.Module]):
    """A denoiser and how it is evaluated; all other properties are those of `inner`.

    Attributes:
        inner: the description, with its LoRAs.
        compile: `kernels` and `cuda_graphs` are modes of torch.compile.
        channels_last: kernels of convolutions lie in memory channel by channel.
        step_cache: all of the UNet is evaluated at every so many steps, and its outer blocks alone between; 1: always.
    """

    inner: ModelDescription[nn.Module]
    compile: Compile = "off"
    channels_last: bool = False
    step_cache: int = 1

    def __getattr__(self, name: str) -> object:
        """A property of the inner description: channels, widths, configuration."""
        if name.startswith("_") or name == "inner":
            raise AttributeError(name)
        return getattr(self.inner, name)

    @property
    def label(self) -> str:
        """`unet of dollhouse`."""
        return self.inner.label

    @property
    def known(self) -> bool:
        """True if the weights are on this machine."""
        return bool(getattr(self.inner, "known", True))

    @property
    def fingerprint(self) -> str:
        """Hash of the inner description and of how it is evaluated."""
        return sha256(f"{self.inner.fingerprint}|fast|{self.compile}|{self.channels_last}|{self.step_cache}")

    def doubt(self, marks: Sequence[str]) -> tuple[str, str] | None:
        """That of the inner description."""
        return self.inner.doubt(marks)

    def nbytes(self) -> int:
        """Bytes of the weights."""
        return self.inner.nbytes()

    def nbytes_on(self, device: str) -> int:
        """The same on a device."""
        return self.inner.nbytes_on(device)

    def lighter(self) -> tuple[str, ModelDescription[nn.Module]] | None:
        """The same with a lighter inner description, if there is one."""
        found = self.inner.lighter()
        return None if found is None else (found[0], replace(self, inner=found[1]))

    def fetch(self) -> bool:
        """Download what is not on this machine yet."""
        return self.inner.fetch()

    def load(self, device: str) -> nn.Module:
        """The weights alone: nothing else shares them."""
        with self.adapted(self.base().load(device)) as module:
            return module

    def base(self) -> ModelDescription[nn.Module]:
        """The description whose weights are shared."""
        base = self.inner.base()
        if self.channels_last and isinstance(base, DenoiserComponent):
            return replace(base, channels_last=True)
        return base

    @contextmanager
    def adapted(self, module: nn.Module) -> Iterator[nn.Module]:
        """The module with its LoRAs; whoever evaluates it looks up `compile` and `step_cache` here."""
        with self.inner.adapted(module) as adapted:
            yield adapted

    @property
    def any_device(self) -> bool:
        """True if nothing is compiled."""
        return self.compile == "off" and self.inner.any_device

    def require_device(self, device: str) -> None:
        """Refuse a device for which nothing can be compiled here.

        Raises:
            BadInput: says what is missing.
        """
        self.inner.require_device(device)
        if self.compile == "off" or (reason := why_not(self.compile, device)) is None:
            return
        raise BadInput(
            "compile",
            found=reason[0],
            expected=f"what torch needs to compile for {device.partition(':')[0]}",
            fix=reason[1],
        )


def faster(
    denoiser: ModelDescription[nn.Module], compile_as: Compile, channels_last: bool, step_cache: int
) -> ModelDescription[nn.Module]:
    """`denoiser`, evaluated so; itself where nothing is asked for.

    Raises:
        BadInput: the weights belong to another program, which keeps their order; or two ways exclude each other.
    """
    if compile_as != "off" and step_cache > 1:
        raise BadInput(
            "step_cache",
            found=f"step_cache {step_cache} together with compile {compile_as}",
            expected="one of them: compiled code evaluates all of the model",
            fix="set step_cache to 1 or compile to off",
        )
    if channels_last and denoiser.base().borrowed:
        raise BadInput(
            "channels_last",
            found=f"the {denoiser.label}, whose weights belong to the program that lends them",
            expected="weights that inlay loads itself",
            fix="load the model with model.stable_diffusion, or leave channels_last off",
        )
    inner = denoiser.inner if isinstance(denoiser, FastDenoiser) else denoiser
    if (compile_as, channels_last, step_cache) == ("off", False, 1):
        return inner
    return FastDenoiser(inner, compile_as, channels_last, step_cache)

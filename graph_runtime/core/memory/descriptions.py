"""Model descriptions: what a model is, without its weights.

A loader node returns a small frozen *description*: where the weights are, which component, which dtype. Weights are
loaded only inside a lease, and the manager decides what stays resident (manager.py).
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, ClassVar, Generic, Protocol, TypeVar

M = TypeVar("M")  # what a description loads: a torch module of some class


class Described(Protocol):
    """The name and identity of a model; a node's port may ask for these and for other facts, from any class."""

    @property
    def label(self) -> str:
        """A name for messages, e.g. `unet of dollhouse`."""

    @property
    def fingerprint(self) -> str:
        """Changes whenever the weights or the way they are used change; part of every cache key."""


class ModelDescription(ABC, Generic[M]):
    """What a model *is*, without its weights. Subclasses are frozen dataclasses: equal when they mean the same."""

    @property
    @abstractmethod
    def label(self) -> str:
        """A name for messages, e.g. `unet of dollhouse`."""

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Changes whenever the weights or the way they are used change; part of every cache key."""

    @abstractmethod
    def load(self, device: str) -> M:
        """Read the weights and return the module on `device`, in evaluation mode and without gradients."""

    @abstractmethod
    def nbytes(self) -> int:
        """How much memory the loaded weights will take, in bytes (an estimate before loading)."""

    def nbytes_on(self, device: str) -> int:
        """The same on a device, whose precision may be another."""
        return self.nbytes()

    borrowed: ClassVar[bool] = False  # its weights belong to someone else, who keeps them and may change them

    def lend(self, device: str) -> M:
        """The module for a lease. One with borrowed weights shares them, which `load` never does."""
        return self.load(device)

    def least_resident(self, device: str) -> int | None:
        """Bytes of weights on `device` at least while they are streamed block by block; None: they cannot be."""
        return None

    def lighter(self) -> "tuple[str, ModelDescription[M]] | None":
        """What to set for less memory and slightly different results, and the model that it is then; None: nothing."""
        return None

    def load_as(self, place: str, device: str) -> M:
        """Read the weights to a place, in the precision that they have on `device`."""
        return self.load(place)

    def load_beside(self, device: str) -> M:
        """Read the weights into CPU memory, in the precision that they have on `device`."""
        return self.load_as("cpu", device)

    def streamed(self, module: M, device: str, resident_bytes: int) -> AbstractContextManager[M]:
        """For the length of a lease, a module that computes on `device` while its weights lie in CPU memory.

        The bits of its results are those of the module that is on the device as a whole.

        Args:
            module: its weights are in CPU memory, pinned where the device can read that at once.
            device: where it computes.
            resident_bytes: how many bytes of weights may be there at once; at least `least_resident`.
        """
        raise NotImplementedError(f"the weights of {self.label} cannot be streamed")

    def strip(self, module: M) -> None:
        """Let go of what hangs on a module beside its own weights: it is about to leave the device, or the memory."""

    def fetch(self) -> bool:
        """Download the files if they are not on this machine yet; True if something was downloaded.

        Called before anything runs, so that a missing model is reported at once.

        Raises:
            ModelError: no such model, or it cannot be reached.
        """
        return False

    def doubt(self, marks: Sequence[str]) -> tuple[str, str] | None:
        """The model's name and a warning if it is unlikely to suit what is marked (see `notices.mark`); else None.

        Called during the check, for every description that is connected to a node; a model warns once.
        """
        return None

    @property
    def any_device(self) -> bool:
        """True if `require_device` refuses none, so that nobody need find out which devices there are."""
        return True

    def require_device(self, device: str) -> None:
        """Refuse a device, before anything runs, on which the way it is used cannot work.

        Raises:
            BadInput: says why, and how to mend it.
        """

    def base(self) -> "ModelDescription[M]":
        """The description whose weights this one shares: itself, unless adapters are stacked on it."""
        return self

    @contextmanager
    def adapted(self, module: M) -> Iterator[M]:
        """Install this description's adapters on the base module for the length of a lease, then remove them."""
        yield module


AnyDescription = ModelDescription[Any]  # Any: modules of every class


def least_of(description: AnyDescription, device: str) -> int | None:
    """Bytes of weights on a device at least while they are streamed; None: not these, or not there.

    To the CPU nothing is streamed: that is where streamed weights wait.
    """
    base = description.base()
    return None if device == "cpu" or base.borrowed else base.least_resident(device)


def asked_for(value: object) -> tuple[AnyDescription, ...]:
    """The models that a node holds in memory while it uses a value: its `models`, if it has some."""
    named = () if isinstance(value, ModelDescription) else getattr(value, "models", ())
    return tuple(one for one in named if isinstance(one, ModelDescription)) if isinstance(named, tuple) else ()

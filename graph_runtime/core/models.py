"""Model descriptions, leases and the memory budget.

A loader node returns a small frozen *description*: where the weights are, which component, which dtype. Weights are
    loaded only inside a lease, and the manager decides what stays resident: it evicts idle models when a budget is
    given, evicts and retries once when memory runs out, and reports this in events.
"""

import threading
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, Protocol, TypeVar, cast

from .current_run import report_progress
from .errors import ModelError
from .out_of_memory import is_out_of_memory, release_device_memory, retried

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

    def base(self) -> "ModelDescription[M]":
        """The description whose weights this one shares: itself, unless adapters are stacked on it."""
        return self

    @contextmanager
    def adapted(self, module: M) -> Iterator[M]:
        """Install this description's adapters on the base module for the length of a lease, then remove them."""
        yield module


@dataclass
class _Resident:
    module: object
    nbytes: int
    holders: list[int] = field(default_factory=list)  # the threads of its leases

    @property
    def pins(self) -> int:
        return len(self.holders)


AnyDescription = ModelDescription[Any]  # Any: a manager holds modules of every class
Placement = Callable[[object, str], None]
_listener: ContextVar[Callable[[str], None] | None] = ContextVar("inlay_decisions", default=None)


@contextmanager
def decisions_reported_to(listener: Callable[[str], None]) -> Iterator[None]:
    """Inside the block, and in this thread, managers report their decisions to `listener`: runs may share a manager."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


class ModelManager:
    """Keeps models resident within a budget.

    Args:
        devices: where modules may live; the first one computes.
        budget: bytes that resident weights may take, or None for no limit.
        log: called with one sentence for each decision.
        place: called with (module, device) at each lease; a host that manages memory itself hooks in here.
    """

    setting: ClassVar[str] = "--memory "  # what gives the budget, for messages

    def __init__(
        self,
        devices: Sequence[str] = ("cpu",),
        budget: int | None = None,
        log: Callable[[str], None] | None = None,
        place: Placement | None = None,
    ) -> None:
        self.devices = tuple(devices)
        self.budget = budget
        self._log = log
        self.place = place
        self._resident: OrderedDict[tuple[AnyDescription, str], _Resident] = OrderedDict()
        self._lock = threading.RLock()
        self._released = threading.Condition(self._lock)

    def log(self, message: str) -> None:
        """Report a decision to the maker of this manager, and to the run that it is for (`decisions_reported_to`)."""
        for listener in (self._log, _listener.get()):
            if listener is not None:
                listener(message)

    @contextmanager
    def lease(self, description: ModelDescription[M], device: str | None = None) -> Iterator[M]:
        """The module of `description`, kept resident for the length of the block.

        Raises:
            ModelError: it needs more memory than the budget, together with what this thread has leased already.
        """
        where = device or self.devices[0]
        base = description.base()
        with self._lock:
            entry = self._resident.get((base, where))
            if entry is None:
                self._make_room(description, where)
                entry = self._resident.get((base, where)) or self._bring_in(base, where)
            self._resident.move_to_end((base, where))
            entry.holders.append(threading.get_ident())
        try:
            if self.place is not None and not base.borrowed:
                self.place(entry.module, where)
            with description.adapted(cast(M, entry.module)) as module:
                yield module
        finally:
            with self._lock:
                entry.holders.remove(threading.get_ident())
                if base.borrowed and not entry.holders:
                    self._resident.pop((base, where), None)
                self._released.notify_all()

    def resident(self) -> list[str]:
        """Labels of what is in memory now, least recently used first."""
        with self._lock:
            return [description.label for description, _ in self._resident]

    def resident_bytes(self) -> int:
        """Bytes of weights in memory now."""
        with self._lock:
            return sum(entry.nbytes for entry in self._resident.values())

    def evict_idle(self, reason: str = "asked to") -> int:
        """Drop everything that no lease holds; returns the bytes given back."""
        with self._lock:
            idle = [key for key, entry in self._resident.items() if entry.pins == 0]
            return sum(self._evict(key, reason) for key in idle)

    def _evict(self, key: tuple[AnyDescription, str], reason: str) -> int:
        entry = self._resident.pop(key)
        self.log(f"evicted {key[0].label} ({entry.nbytes / 2**20:.0f} MiB): {reason}")
        freed = entry.nbytes
        del entry
        release_device_memory()
        return freed

    def _make_room(self, description: AnyDescription, device: str) -> None:
        """Evict what is idle until the budget holds one more, or wait for other threads to release what they lease.

        Raises:
            ModelError: it does not fit beside what this thread holds itself.
        """
        if self.budget is None:
            return
        needed = description.nbytes_on(device)
        me = threading.get_ident()
        while True:
            for key in [key for key, entry in self._resident.items() if not entry.holders]:
                if self.resident_bytes() + needed <= self.budget:
                    return
                self._evict(key, f"the budget of {self.budget / 2**20:.0f} MiB")
            if self.resident_bytes() + needed <= self.budget:
                return
            own = {key[0].label: entry.nbytes for key, entry in self._resident.items() if me in entry.holders}
            if own or needed > self.budget:  # waiting for others is safe for those alone who hold nothing
                raise _too_large({**own, description.label: needed}, self.budget, self.setting)
            self._released.wait(0.2)
            report_progress()

    def _bring_in(self, description: AnyDescription, device: str) -> _Resident:
        def make_room() -> bool:
            self.log(f"out of memory while loading {description.label}: evicting what is idle and trying once more")
            self.evict_idle("out of memory")
            return True

        try:
            module = retried(lambda: description.lend(device), make_room)
        except Exception as again:
            if not is_out_of_memory(again):
                raise
            raise ModelError(
                None,
                found=f"not enough memory for {description.label} on {device}",
                expected=f"about {description.nbytes_on(device) / 2**20:.0f} MiB free",
                fix="use a smaller dtype, another --device, or free memory that other programs use",
            ) from again
        size = 0 if description.borrowed else _module_bytes(module) or description.nbytes_on(device)
        entry = _Resident(module, size)
        self._resident[(description, device)] = entry
        self.log(f"loaded {description.label} on {device} ({size / 2**20:.0f} MiB)")
        return entry


def asked_for(value: object) -> tuple[AnyDescription, ...]:
    """The models that a node holds in memory while it uses a value: its `models`, if it has some."""
    named = () if isinstance(value, ModelDescription) else getattr(value, "models", ())
    return tuple(one for one in named if isinstance(one, ModelDescription)) if isinstance(named, tuple) else ()


def _too_large(sizes: Mapping[str, int], budget: int, setting: str) -> ModelError:
    """What is in use together, and the smallest budget that holds it."""
    parts = " and ".join(f"{label} ({size_text(size)})" for label, size in sizes.items())
    least = size_text(sum(sizes.values()))
    return ModelError(
        None,
        found=f"{parts}, {'in use together, ' if len(sizes) > 1 else ''}with a budget of {size_text(budget)}",
        expected=f"a budget of at least {least}",
        fix=f"{setting}{least.replace(' ', '')}, or a smaller dtype",
    )


def size_text(nbytes: int) -> str:
    """A size as --memory takes it, rounded up: `12 KiB`, `512 MiB`."""
    unit, name = (2**20, "MiB") if nbytes >= 100 * 2**20 else (2**10, "KiB") if nbytes >= 2**10 else (1, "B")
    return f"{-(-nbytes // unit)} {name}"


def _module_bytes(module: object) -> int:
    if not (hasattr(module, "parameters") and hasattr(module, "buffers")):
        return 0
    return sum(tensor.numel() * tensor.element_size() for tensor in [*module.parameters(), *module.buffers()])

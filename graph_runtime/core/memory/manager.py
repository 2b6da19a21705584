"""Leases and the memory budget: the manager keeps models resident within a budget, and evicts idle ones for others."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import ClassVar, cast

from ..current_run import report_progress
from ..errors import ModelError
from ..out_of_memory import is_out_of_memory, release_device_memory, retried
from .decisions import report
from .descriptions import AnyDescription, M, ModelDescription
from .sizes import size_text

Placement = Callable[[object, str], None]


@dataclass
class _Resident:
    module: object
    nbytes: int
    holders: list[int] = field(default_factory=list)  # the threads of its leases

    @property
    def pins(self) -> int:
        return len(self.holders)


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
        if self._log is not None:
            self._log(message)
        report(message)

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

    def holds(self, description: AnyDescription) -> bool:
        """True if the weights are in memory now; never waits for a load."""
        return (description.base(), self.devices[0]) in self._resident

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


def _module_bytes(module: object) -> int:
    if not (hasattr(module, "parameters") and hasattr(module, "buffers")):
        return 0
    return sum(tensor.numel() * tensor.element_size() for tensor in [*module.parameters(), *module.buffers()])

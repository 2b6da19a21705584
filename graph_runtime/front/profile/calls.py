"""The calls of leased models: each is timed, and whoever calls them gets the same values as without.

A model is a torch module, or names its entries in `TIMED`. For the length of its leases, `forward`, `encode` and
`decode` of the module and `forward` of its direct parts are wrapped on the instance; a call inside another one is a
part of it. With several leases of a module at once it is wrapped once, and the calls of each run are counted by that
run.
"""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import wraps
from typing import Protocol

ENTRIES = ("forward", "encode", "decode")


@dataclass
class Call:
    """One call of a model.

    Attributes:
        model: its label.
        name: `forward`, `encode`, `decode`, or the name of the part that was called.
        began: seconds on the clock of `time.perf_counter`.
        ended: likewise.
        cpu: CPU seconds of the process.
        rows: how many rows its first tensor has; 0 without a tensor.
        device_seconds: on a GPU, the time that it took there; None elsewhere.
    """

    model: str
    name: str
    began: float
    ended: float = 0.0
    cpu: float = 0.0
    rows: int = 0
    device_seconds: float | None = None


class Sink(Protocol):
    """What is told of calls."""

    def called(self, call: Call) -> None:
        """A call has ended, or failed."""

    def marks(self) -> "Marks | None":
        """Marks on the device's own clock; None where the host computes itself."""


class Marks(Protocol):
    """A pair of marks in the work of a device."""

    def begin(self) -> None:
        """Set the first."""

    def end(self, call: Call) -> None:
        """Set the second; the time between them belongs to `call`."""


_sink: ContextVar[Sink | None] = ContextVar("inlay_profile_calls", default=None)
_inside = threading.local()
_lock = threading.Lock()
_leases: dict[
    int, tuple[int, list[tuple[object, str, object]]]
] = {}  # of a module: how many, and what was there before
_NONE = object()


@contextmanager
def calls_told_to(sink: Sink) -> Iterator[None]:
    """Inside the block, calls of models in this thread are told to `sink`."""
    token = _sink.set(sink)
    try:
        yield
    finally:
        _sink.reset(token)


@contextmanager
def timed(label: str, module: object) -> Iterator[None]:
    """For the length of a lease: calls of the module are timed."""
    with _lock:
        count, before = _leases.get(id(module), (0, []))
        _leases[id(module)] = (count + 1, before if count else _install(label, module))
    try:
        yield
    finally:
        with _lock:
            count, before = _leases.pop(id(module))
            if count > 1:
                _leases[id(module)] = (count - 1, before)
            else:
                _remove(before)


def _install(label: str, module: object) -> list[tuple[object, str, object]]:
    places = [(module, name, name) for name in getattr(module, "TIMED", ())] or _places(module)
    before: list[tuple[object, str, object]] = []
    for place, name, shown in places:
        before.append((place, name, vars(place).get(name, _NONE)))
        setattr(place, name, _wrapped(label, shown, getattr(place, name)))
    return before


def _places(module: object) -> list[tuple[object, str, str]]:
    """What of a torch module is called, under which name, and the name that is shown."""
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(module, torch.nn.Module):
        return []
    places: list[tuple[object, str, str]] = []
    if type(module).forward is not torch.nn.Module.forward or "forward" in vars(module):
        places += [(module, name, name) for name in ENTRIES if callable(getattr(module, name, None))]
    if "forward" not in vars(module):  # else somebody has put another function in its place, which calls them
        places += [(part, "forward", name) for name, part in module.named_children()]
    return places


def _remove(before: list[tuple[object, str, object]]) -> None:
    for place, name, value in reversed(before):
        if value is _NONE:
            vars(place).pop(name, None)
        else:
            setattr(place, name, value)


def _wrapped(label: str, name: str, function: Callable[..., object]) -> Callable[..., object]:
    @wraps(function)
    def call(*args: object, **kwargs: object) -> object:
        sink = _sink.get()
        if sink is None or getattr(_inside, "call", False):
            return function(*args, **kwargs)
        found = Call(label, name, 0.0, rows=_rows((*args, *kwargs.values())))
        marks = sink.marks()
        _inside.call = True
        cpu, found.began = time.process_time(), time.perf_counter()
        if marks is not None:
            marks.begin()
        try:
            return function(*args, **kwargs)
        finally:
            if marks is not None:
                marks.end(found)
            found.ended, found.cpu = time.perf_counter(), time.process_time() - cpu
            _inside.call = False
            sink.called(found)

    return call


def _rows(values: tuple[object, ...]) -> int:
    for value in values:
        shape = getattr(value, "shape", None)
        if shape is not None and len(shape):
            return int(shape[0])
    return 0

"""What a node makes beside weights: the most bytes that were live at once, measured while it runs.

On a GPU torch counts them itself. On the CPU a counted device does, which sees each operation; it can be given a limit,
and then raises what a GPU raises when it is full.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from .manager import ModelManager

if TYPE_CHECKING:
    from .counted import CountedMemory


@dataclass
class Measured:
    """What was measured.

    Attributes:
        peak: bytes beside weights.
        sure: false if somebody else used the device meanwhile.
    """

    peak: int = 0
    sure: bool = True


class Meter(Protocol):
    """Measures a stretch of this thread's work."""

    def __call__(self, limit: Callable[[], int | None]) -> AbstractContextManager[Measured]:
        """Measure a block; `limit` says how many bytes beside weights there may be now."""


def meter_for(manager: ModelManager, device: str, *, on_cpu: bool) -> Meter:
    """What measures on a device; on the CPU, where that takes time, only if it is asked for."""
    if device.startswith("cuda"):
        return lambda limit: _on_gpu(manager, device)
    if device == "cpu" and on_cpu:
        return lambda limit: _counted(manager, limit)
    return lambda limit: nullcontext(Measured(sure=False))


@contextmanager
def _watched(manager: ModelManager, watcher: Callable[[bool], None]) -> Iterator[None]:
    """Call `watcher` with true before weights come or go, and with false after it."""
    manager.watchers.append(watcher)
    try:
        yield
    finally:
        manager.watchers.remove(watcher)


@contextmanager
def _on_gpu(manager: ModelManager, device: str) -> Iterator[Measured]:
    import torch

    place = torch.device(device)
    found = Measured()
    others = torch.cuda.memory_allocated(place) - manager.resident_bytes(device)
    alone = len(manager.watchers) == 0

    def watch(before: bool) -> None:
        if before:
            most = torch.cuda.max_memory_allocated(place) - others - manager.resident_bytes(device)
            found.peak = max(found.peak, most)
        torch.cuda.reset_peak_memory_stats(place)

    torch.cuda.reset_peak_memory_stats(place)
    with _watched(manager, watch):
        try:
            yield found
        finally:
            found.sure = alone and len(manager.watchers) == 1
            watch(True)


@contextmanager
def _counted(manager: ModelManager, limit: Callable[[], int | None]) -> Iterator[Measured]:
    from .counted import counted

    with counted(limit(), "cpu") as memory, segments(manager, memory, limit) as found:
        yield found


@contextmanager
def segments(manager: ModelManager, memory: "CountedMemory", limit: Callable[[], int | None]) -> Iterator[Measured]:
    """Measure on a counted device, without the weights and what loading them takes.

    Args:
        manager: of these weights.
        memory: what counts.
        limit: how many bytes beside weights there may be now.
    """
    found = Measured()
    step = memory.step("")
    now = step.__enter__()

    def watch(before: bool) -> None:
        nonlocal step, now
        if before:
            step.__exit__(None, None, None)
            found.peak = max(found.peak, now.peak)
            memory.limit = None
        else:
            memory.exclude(*manager.modules())
            memory.limit = limit()
        step = memory.step("")
        now = step.__enter__()

    with _watched(manager, watch):
        try:
            yield found
        finally:
            step.__exit__(None, None, None)
            found.peak = max(found.peak, now.peak)

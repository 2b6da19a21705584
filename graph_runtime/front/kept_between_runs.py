"""Weights and results that a process keeps from one run to the next."""

import threading

from ..core.models import ModelManager
from ..core.run.cache import MemoryCache

_LOCK = threading.Lock()  # two runs that begin at the same time share their models too
_kept: dict[tuple[str, int | None], tuple[ModelManager, MemoryCache]] = {}


def kept_between_runs(device: str, budget: int | None) -> tuple[ModelManager, MemoryCache]:
    """The weights and results shared by runs on `device` within `budget` bytes."""
    key = (device, budget)
    with _LOCK:
        if key not in _kept:
            _kept[key] = (ModelManager((device,), budget), MemoryCache())
        return _kept[key]

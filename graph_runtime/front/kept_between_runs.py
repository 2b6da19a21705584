"""Weights and results that a process keeps from one run to the next, and the store on disk."""

import os
import threading

from ..core.memory.device_memory import Free
from ..core.memory.manager import ModelManager
from ..core.out_of_memory import release_device_memory
from ..core.run.crew import Crew
from ..core.spec import Registry
from ..core.store.disk import DiskStore
from ..core.store.memory import KEPT, MemoryCache
from ..core.store.types import StorableTypes
from ..core.store.worth import LIMIT
from ..core.user_paths import home
from .device import parse_size
from .environment import environment

CPU_MEMORY = "INLAY_CPU_MEMORY"  # how much CPU memory weights may take that were evicted from a GPU; 0 for none
RESULTS = "INLAY_KEPT_RESULTS"  # how much CPU memory results may take that wait for another run; 0 for none
CACHE = "INLAY_CACHE"  # the environment variable: how much disk results may take; 0 for none
_LOCK = threading.Lock()  # two runs that begin at the same time share their models too
_kept: dict[tuple[str, int | None], tuple[ModelManager, MemoryCache]] = {}

_crews: dict[tuple[tuple[str, ...], int | None], Crew] = {}


def kept_between_runs(device: str, budget: int | None) -> tuple[ModelManager, MemoryCache]:
    """The weights and results shared by runs on `device` within `budget` bytes; None is what is free there.

    Raises:
        WorkflowError: INLAY_CPU_MEMORY or INLAY_KEPT_RESULTS is not a size.
    """
    key = (device, budget)
    beside, results = cpu_limit(), results_limit()
    with _LOCK:
        if key not in _kept:
            _kept[key] = (_manager(device, budget, beside), MemoryCache(results))
        return _kept[key]


def crew_between_runs(devices: tuple[str, ...], budget: int | None) -> Crew | None:
    """Several devices that runs share, each within `budget` bytes; None for one device."""
    if len(devices) < 2:
        return None
    managers = [kept_between_runs(device, budget)[0] for device in devices]
    with _LOCK:
        crew = _crews.get((devices, budget))
        if crew is None or crew.managers != tuple(managers):
            crew = _crews[devices, budget] = Crew(managers)
        return crew


def _manager(device: str, budget: int | None, beside: int | None) -> ModelManager:
    return ModelManager((device,), Free() if budget is None else budget, beside=beside)


def forget(*, results: bool) -> None:
    """Let go of the weights that wait for another run; with `results`, of the results in memory too."""
    beside = cpu_limit()
    with _LOCK:
        for (device, budget), (_, memory) in list(_kept.items()):
            if results:
                del _kept[device, budget]
            else:
                _kept[device, budget] = (_manager(device, budget, beside), memory)
        _crews.clear()
    release_device_memory()


def cpu_limit() -> int | None:
    """How many bytes of CPU memory evicted weights may take; None: what is free.

    Raises:
        WorkflowError: INLAY_CPU_MEMORY is not a size.
    """
    text = os.environ.get(CPU_MEMORY, "").strip()
    return parse_size(text, CPU_MEMORY, "10GB, or 0 to keep none there", none_is_allowed=True) if text else None


def results_limit() -> int:
    """How many bytes of CPU memory a process keeps results in.

    Raises:
        WorkflowError: INLAY_KEPT_RESULTS is not a size.
    """
    text = os.environ.get(RESULTS, "").strip()
    return parse_size(text, RESULTS, "1GB, or 0 to keep none", none_is_allowed=True) if text else KEPT


def cache_limit() -> int:
    """How many bytes kept results may take on disk.

    Raises:
        WorkflowError: INLAY_CACHE is not a size.
    """
    text = os.environ.get(CACHE, "").strip()
    return parse_size(text, CACHE, "10GB, or 0 to keep nothing on disk", none_is_allowed=True) if text else LIMIT


def disk_store(device: str, registry: Registry | None = None) -> DiskStore | None:
    """The results on disk that were made with this device and these libraries; None if nothing is to be kept."""
    limit = cache_limit()
    types = StorableTypes(lambda: registry) if registry is not None else None
    return DiskStore(home() / "cache", environment(device), limit, types) if limit else None

"""Prepare input ahead: threads make the next batches while the model computes on the current one.

A batch depends only on its key (a step and its rows), never on the thread or the time, so results equal those of
making each batch in turn, bit for bit.
"""

import os
from collections.abc import Callable, Hashable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from itertools import islice
from typing import Generic, Self, TypeVar

from ..graph_runtime.core.light.later import torch
from .transfer import pinned

Key = TypeVar("Key", bound=Hashable)
Made = TypeVar("Made", bound=tuple[object, ...])
THREADS = 4  # at most: each of them uses torch's own threads too


class Prefetcher(Generic[Key, Made]):
    """Makes things by key, some of them before they are asked for. A context manager: it ends its threads.

    Args:
        make: key -> tensors on the CPU, a NamedTuple; called from several threads at once.
        device: where they are used; for a GPU they are made in pinned memory, from which it copies asynchronously.
        share: processes of this machine that train together.
    """

    def __init__(self, make: Callable[[Key], Made], device: torch.device, share: int = 1) -> None:
        self._make, self._device = make, device
        threads = 1 if device.type == "cpu" else max(1, min(THREADS, (os.cpu_count() or 1) // share))
        self.depth = threads + 1
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="inlay-input")
        self._jobs: dict[Key, Future[Made]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def take(self, key: Key, later: Iterable[Key]) -> Made:
        """The result of `make` for `key`; also start the first few of the keys that are needed next.

        Raises:
            Exception: any error of `make`.
        """
        wanted = [key, *islice(later, self.depth)]
        for gone in set(self._jobs) - set(wanted):
            self._jobs.pop(gone).cancel()
        for one in wanted:
            if one not in self._jobs:
                self._jobs[one] = self._pool.submit(copy_context().run, self._one, one)
        return self._jobs.pop(key).result()

    def _one(self, key: Key) -> Made:
        return pinned(self._make(key), self._device)

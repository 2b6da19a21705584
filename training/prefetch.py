"""Input made ahead: threads prepare the next batches while the model computes on this one.

What is made depends on its key alone (a step and its rows), never on the thread that made it or when, so results are to
the bit those of making each batch in turn.
"""

import os
from collections.abc import Callable, Hashable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Generic, Self, TypeVar

import torch

from .transfer import pinned

Key = TypeVar("Key", bound=Hashable)
Made = TypeVar("Made", bound=tuple[object, ...])
THREADS = 4  # at most: each of them uses torch's own threads too


class Prefetcher(Generic[Key, Made]):
    """Makes things by key, some of them before they are asked for. A context manager: it ends its threads.

    Args:
        make: key -> tensors on the CPU, a NamedTuple; called from several threads at once.
        device: where they are used; for a GPU they are made in pinned memory, which it can copy from on its own.
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
        """What `make` gives for `key`; the first few of the keys that will be asked for next are started.

        Raises:
            Exception: what `make` raised.
        """
        wanted = [key, *islice(later, self.depth)]
        for gone in set(self._jobs) - set(wanted):
            self._jobs.pop(gone).cancel()
        for one in wanted:
            if one not in self._jobs:
                self._jobs[one] = self._pool.submit(self._one, one)
        return self._jobs.pop(key).result()

    def _one(self, key: Key) -> Made:
        return pinned(self._make(key), self._device)

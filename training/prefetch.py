"""Input made ahead: threads prepare the next batches while the model computes on this one.

What is made depends on its key alone (a step and its rows), never on which thread made it or when, so results are to
the bit those of making each batch when its turn comes.
"""

import os
from collections.abc import Callable, Hashable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any, Generic, TypeVar

import torch

from .processes import pinned

Key = TypeVar("Key", bound=Hashable)
MOST = 4  # threads: each of them uses torch's own threads too


class Ahead(Generic[Key]):
    """Makes things by key, some of them before they are asked for. A context manager: it ends its threads.

    Args:
        make: key -> tensors on the CPU, a NamedTuple; called from several threads at once.
        device: where they are used; for a GPU they are made in pinned memory, which it can copy from by itself.
        share: processes of this machine that train together.
    """

    def __init__(self, make: Callable[[Key], Any], device: torch.device, share: int = 1):
        self._make, self._device = make, device
        threads = 1 if device.type == "cpu" else max(1, min(MOST, (os.cpu_count() or 1) // share))
        self.depth = threads + 1
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="inlay-input")
        self._jobs: dict[Key, Future[Any]] = {}

    def __enter__(self) -> "Ahead[Key]":
        return self

    def __exit__(self, *error: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def take(self, key: Key, later: Iterable[Key]) -> Any:
        """What `key` stands for; the first few of the keys that will be asked for after it are begun.

        Raises:
            Exception: what making it raised.
        """
        wanted = [key, *islice(later, self.depth)]
        for gone in set(self._jobs) - set(wanted):
            self._jobs.pop(gone).cancel()
        for one in wanted:
            if one not in self._jobs:
                self._jobs[one] = self._pool.submit(self._one, one)
        return self._jobs.pop(key).result()

    def _one(self, key: Key) -> Any:
        return pinned(self._make(key), self._device)

"""Results of one process, in memory."""

import threading
from collections import OrderedDict
from typing import NamedTuple

from .parts import tensors_in

Outputs = tuple[object, ...]


class Result(NamedTuple):
    """What a node gave: its outputs, and the warnings that it emitted when it ran."""

    outputs: Outputs
    warnings: tuple[str, ...] = ()


class MemoryCache:
    """Least recently used results, bounded by the bytes of the tensors in them; threads may share it."""

    def __init__(self, limit: int = 1 << 30, entries: int = 100_000) -> None:
        self.limit, self.entries = limit, entries
        self.bytes = 0
        self._lock = threading.RLock()
        self._items: OrderedDict[bytes, tuple[Result, int, list[int]]] = OrderedDict()

    def get(self, key: bytes) -> Result | None:
        """What was kept under `key`, or None; also None if a tensor was changed since, or a file.

        A value that stands for files has a property `gone`, which is true if they have changed.
        """
        with self._lock:
            item = self._items.get(key)
            if item is None:
                return None
            result, size, versions = item
            outputs = result.outputs
            if _versions(outputs) != versions or any(getattr(value, "gone", False) for value in outputs):
                del self._items[key]
                self.bytes -= size
                return None
            self._items.move_to_end(key)
            return result

    def put(self, key: bytes, result: Result) -> None:
        """Store a result; the oldest results are removed to make room."""
        outputs = result.outputs
        size = sum(_nbytes(value) for value in outputs)
        with self._lock:
            if size > self.limit or key in self._items:
                return
            self._items[key] = (result, size, _versions(outputs))
            self.bytes += size
            while self.bytes > self.limit or len(self._items) > self.entries:
                _, (_, freed, _) = self._items.popitem(last=False)
                self.bytes -= freed

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._items.clear()
            self.bytes = 0

    def __len__(self) -> int:
        return len(self._items)


def _nbytes(value: object) -> int:
    size = getattr(value, "nbytes", None)
    return size if isinstance(size, int) else sum(one.nbytes for one in tensors_in(value))


def _versions(outputs: Outputs) -> list[int]:
    """torch's own count of in-place writes, for each tensor that keeps one (those of inference mode do not)."""
    return [one._version for value in outputs for one in tensors_in(value) if not one.is_inference()]

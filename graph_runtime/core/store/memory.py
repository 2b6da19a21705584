"""Results of one process, in memory."""

import threading
from collections import OrderedDict
from typing import NamedTuple

from .parts import tensors_in

Outputs = tuple[object, ...]
_PLAIN = frozenset((int, float, bool, str, type(None)))  # hold no tensors, and their few bytes do not count


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
        self._items: OrderedDict[bytes, tuple[Result, int, tuple[int, ...]]] = OrderedDict()

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
            if _measured(outputs)[1] != versions or any(getattr(value, "gone", False) for value in outputs):
                del self._items[key]
                self.bytes -= size
                return None
            self._items.move_to_end(key)
            return result

    def put(self, key: bytes, result: Result) -> None:
        """Store a result; the oldest results are removed to make room."""
        outputs = result.outputs
        plain = len(outputs) == 1 and type(outputs[0]) in _PLAIN
        size, versions = (0, ()) if plain else _measured(outputs)
        if size > self.limit:
            return
        items = self._items
        with self._lock:
            if key in items:
                return
            items[key] = (result, size, versions)
            self.bytes += size
            while self.bytes > self.limit or len(items) > self.entries:
                _, (_, freed, _) = items.popitem(last=False)
                self.bytes -= freed

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._items.clear()
            self.bytes = 0

    def __contains__(self, key: object) -> bool:
        return key in self._items

    def __len__(self) -> int:
        return len(self._items)


def _measured(outputs: Outputs) -> tuple[int, tuple[int, ...]]:
    """Bytes of the values, and torch's own count of in-place writes for each tensor that keeps one.

    Those of inference mode do not.
    """
    size: int = 0
    held: dict[int, int] = {}  # a view keeps all the memory that it looks into
    versions: tuple[int, ...] = ()
    for value in outputs:
        if type(value) in _PLAIN:
            continue
        tensors = list(tensors_in(value))
        own = getattr(value, "nbytes", None)
        if tensors or not isinstance(own, int):
            held.update((one.untyped_storage().data_ptr(), one.untyped_storage().nbytes()) for one in tensors)
        else:
            size += own
        versions += tuple(one._version for one in tensors if not one.is_inference())
    return size + sum(held.values()), versions

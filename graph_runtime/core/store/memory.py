"""Results of one process, in memory."""

import threading
from collections import OrderedDict
from typing import NamedTuple

from .parts import tensors_in

Outputs = tuple[object, ...]
Given = tuple[Outputs, tuple[str, ...]]  # what a node gave: its outputs, and the warnings that it emitted
KEPT = 1 << 30  # bytes, unless INLAY_KEPT_RESULTS says otherwise
_PLAIN = frozenset((int, float, bool, str, type(None)))  # hold no tensors, and their few bytes do not count


class Result(NamedTuple):
    """What a node gave (`Given`), by name."""

    outputs: Outputs
    warnings: tuple[str, ...] = ()


class _Item(NamedTuple):
    given: Given
    size: int  # bytes
    versions: tuple[int, ...]  # how often each tensor had been written to


class MemoryCache:
    """Least recently used results, bounded by the bytes of the tensors in them; threads may share it.

    Plain values without a warning are kept as nothing but a tuple of them, which Python's garbage collector need not
    look through: it passes over all that it does look through whenever their number has grown by a quarter.
    """

    def __init__(self, limit: int = KEPT, entries: int = 100_000) -> None:
        self.limit, self.entries = limit, entries
        self.bytes = 0
        self._lock = threading.RLock()
        self._items: OrderedDict[bytes, Outputs | _Item] = OrderedDict()

    def get(self, key: bytes) -> Result | None:
        """What was kept under `key`, or None; also None if a tensor was changed since, or a file.

        A value that stands for files has a property `gone`, which is true if they have changed.
        """
        with self._lock:
            item = self._items.get(key)
            if item is None:
                return None
            if not isinstance(item, _Item):
                self._items.move_to_end(key)
                return Result(item)
            (outputs, warnings), size, versions = item
            if _measured(outputs)[1] != versions or any(getattr(value, "gone", False) for value in outputs):
                del self._items[key]
                self.bytes -= size
                return None
            self._items.move_to_end(key)
            return Result(outputs, warnings)

    def put(self, key: bytes, given: Given) -> None:
        """Store a result; the oldest results are removed to make room."""
        items, (outputs, warnings) = self._items, given
        if not warnings and _PLAIN.issuperset(map(type, outputs)):
            items.setdefault(key, tuple(outputs))  # one operation, so it needs no lock
            if len(items) > self.entries:
                self._make_room()
            return
        size, versions = _measured(outputs)
        if size > self.limit:
            return
        with self._lock:
            if key not in items:
                items[key] = _Item(given, size, versions)
                self.bytes += size
        self._make_room()

    def _make_room(self) -> None:
        items = self._items
        with self._lock:
            while self.bytes > self.limit or len(items) > self.entries:
                _, oldest = items.popitem(last=False)
                self.bytes -= oldest.size if isinstance(oldest, _Item) else 0

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

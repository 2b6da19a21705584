"""Results, keyed by what they depend on: in memory for one process, on disk for nodes worth it.

A key is a hash over the node, its code, its settings, the contents of the files it reads and the keys above it
(`Plan.keys` in plan.py), so a stale result cannot be served: whatever could change the result changes the key.
"""

import contextlib
import os
import sys
import threading
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING

from ..digests import short_digest
from ..files import write_bytes
from ..tensors import owned

if TYPE_CHECKING:
    from torch import Tensor

Outputs = tuple[object, ...]
SEAL = 16  # bytes of a hash after each stored result, which shows damage


class MemoryCache:
    """Least recently used results, bounded by the bytes of the tensors in them; threads may share it."""

    def __init__(self, limit: int = 1 << 30, entries: int = 100_000) -> None:
        self.limit, self.entries = limit, entries
        self.bytes = 0
        self._lock = threading.RLock()
        self._items: OrderedDict[bytes, tuple[Outputs, int, list[int]]] = OrderedDict()

    def get(self, key: bytes) -> Outputs | None:
        """The outputs under `key`, or None; also None if a tensor was changed since, or a file.

        A value that stands for files has a property `gone`, which is true if they have changed.
        """
        with self._lock:
            item = self._items.get(key)
            if item is None:
                return None
            outputs, size, versions = item
            if _versions(outputs) != versions or any(getattr(value, "gone", False) for value in outputs):
                del self._items[key]
                self.bytes -= size
                return None
            self._items.move_to_end(key)
            return outputs

    def put(self, key: bytes, outputs: Outputs) -> None:
        """Store `outputs`; the oldest results are removed to make room."""
        size = sum(_nbytes(value) for value in outputs)
        with self._lock:
            if size > self.limit or key in self._items:
                return
            self._items[key] = (outputs, size, _versions(outputs))
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


class DiskCache:
    """Tensors under `folder`, one file per result: safetensors followed by a hash.

    Above `limit` bytes, the least recently used are removed.

    `environment` is part of every name: another torch, device or thread count gives other bytes.
    """

    def __init__(self, folder: Path, environment: str, limit: int = 2 << 30) -> None:
        self.folder, self.limit = folder, limit
        self._salt = environment.encode()

    def _file(self, key: bytes) -> Path:
        return self.folder / (short_digest(key, self._salt, size=20).hex() + ".safetensors")

    def get(self, key: bytes, names: list[str]) -> "tuple[Tensor, ...] | None":
        """The outputs stored under `key`, in the order of `names`; None if they are not there or cannot be read."""
        from safetensors import SafetensorError
        from safetensors.torch import load

        path = self._file(key)
        try:
            contents = path.read_bytes()
            body, seal = contents[:-SEAL], contents[-SEAL:]
            if short_digest(body, size=SEAL) != seal:
                raise ValueError("damaged")
            tensors = load(body)
            outputs = tuple(owned(tensors[name]) for name in names)
        except FileNotFoundError:
            return None
        except (SafetensorError, KeyError, ValueError, OSError):
            with contextlib.suppress(OSError):
                path.unlink()
            return None
        with contextlib.suppress(OSError):
            os.utime(path)
        return outputs

    def put(self, key: bytes, names: list[str], outputs: Outputs) -> None:
        """Store `outputs` if they are all tensors. A full disk only means no cache."""
        import torch
        from safetensors.torch import save

        tensors = [value for value in outputs if isinstance(value, torch.Tensor)]
        if len(tensors) < len(outputs):
            return
        path = self._file(key)
        with contextlib.suppress(OSError):
            body = save({name: value.detach().cpu().contiguous() for name, value in zip(names, tensors, strict=True)})
            write_bytes(path, body + short_digest(body, size=SEAL), parents=True)
            self._trim()

    def _trim(self) -> None:
        files = [
            (entry.stat().st_mtime_ns, entry.stat().st_size, entry.path)
            for entry in os.scandir(self.folder)
            if entry.name.endswith(".safetensors")
        ]
        total = sum(size for _, size, _ in files)
        for _, size, path in sorted(files):
            if total <= self.limit:
                return
            with contextlib.suppress(FileNotFoundError):  # another run made room too
                os.unlink(path)
            total -= size


def _nbytes(value: object) -> int:
    size = getattr(value, "nbytes", 0)
    return size if isinstance(size, int) else 0


def _versions(outputs: Outputs) -> list[int]:
    """torch's own count of in-place writes, for each tensor that keeps one (those of inference mode do not)."""
    torch = sys.modules.get("torch")
    if torch is None:
        return []
    return [one._version for one in outputs if isinstance(one, torch.Tensor) and not one.is_inference()]

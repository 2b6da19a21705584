"""Results on disk: safetensors files beside an index, for any number of processes, intact after a kill at any instant.

A file is written first, then its row in the index. Killed in between, it leaves a file that belongs to nothing and is
swept later; a row whose file is missing, or holds other bytes, is removed and the result made anew. Each file carries
the name of its place, which is made from the key: of two swapped files, neither is used. Nothing is forced to the disk
itself, because after a power failure the seal shows what did not get there.

Trouble (a full disk, a read-only folder, a pipe in the place of a file) only means that nothing is kept: `trouble`
says why.
"""

import contextlib
import errno
import json
import os
import secrets
import stat
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import JsonValue

from ..database import DatabaseUnusable
from ..digests import short_digest
from ..files import write_bytes
from ..leftovers import sweep
from .body import pieces_of
from .encoding import decode, encode
from .index import Entry, Index, is_ours
from .memory import Outputs
from .types import NotStorable, StorableTypes
from .worth import LIMIT, why_not_worth

if TYPE_CHECKING:
    from torch import Tensor

SEAL = 16  # bytes of the hash of a file
_INSIDE = 16 * 1024  # bytes: smaller results lie in the index itself
#: Errors that pass and say nothing about a file, as of too many open ones.
_PASSING = {
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOMEM,
    errno.EINTR,
    errno.EAGAIN,
    errno.EIO,
    errno.ESTALE,
    errno.ETIMEDOUT,
}
_ORPHAN_SECONDS = 600  # a file that young may belong to a process that is about to add its row
_FORMAT = b"1"
_UNKNOWN = object()


class DiskStore:
    """What is kept in one folder.

    Args:
        folder: where.
        environment: part of every place: another torch, device or thread count gives other bytes.
        limit: bytes; above it, the least recently used are removed. 0 keeps nothing.
        types: the types of values that may be stored.
    """

    def __init__(self, folder: Path, environment: str, limit: int = LIMIT, types: StorableTypes | None = None) -> None:
        self.folder, self.environment, self.limit = folder, environment, limit
        self.types = types or StorableTypes()
        self.trouble = ""  # why nothing is kept
        self._index = Index(folder)
        self._used: set[bytes] = set()
        self._ahead: dict[bytes, tuple[Entry, bytes | None] | object] = {}  # by place: what the index said just now
        self._swept = False

    def place(self, key: bytes) -> bytes:
        """Where a key's value is kept."""
        return short_digest(_FORMAT, key, self.environment.encode(), size=20)

    def has_looked_for(self, key: bytes) -> bool:
        """True if `look_ahead` has asked for a key, and nobody has had the answer yet."""
        return bool(self._ahead) and self.place(key) in self._ahead

    def look_ahead(self, keys: Sequence[bytes]) -> None:
        """Ask the index once for all of these keys, which the next calls of `get` are likely to be for."""
        places = [self.place(key) for key in keys]
        with self._without_trouble():
            found = self._index.find(places)
            self._ahead = {place: found.get(place) for place in places}

    def get(self, key: bytes) -> Outputs | None:
        """The values under `key`; None if they are not there, damaged, or those of another key."""
        found = self.structure(key)
        if found is None:
            return None
        with self._removing(self.place(key)):
            value = decode(*found, self.types)
            if not isinstance(value, tuple):
                raise ValueError("not what was stored")  # noqa: TRY004 - one error for whatever is wrong with a file
            return value
        return None

    def structure(self, key: bytes) -> "tuple[JsonValue, Callable[[str], Tensor]] | None":
        """What `encode` made of the value under `key`, and what gives its tensors."""
        place = self.place(key)
        body = self._read(place)
        if body is None:
            return None
        with self._removing(place):
            metadata = _metadata(body)
            if metadata["place"] != place.hex():
                raise ValueError("the value of another key")
            return json.loads(metadata["value"]), _tensors_of(body)
        return None

    def put(self, key: bytes, outputs: Outputs, seconds: float, label: str = "", kind: str = "result") -> str:
        """Store outputs if that is worth it and can be done.

        Args:
            key: what they depend on.
            outputs: the values.
            seconds: how long it takes to make them again.
            label: what they are, for people.
            kind: `result` of a node, or `run`.

        Returns:
            Why they are not kept; empty if they are.
        """
        if not self.limit or self.trouble:
            return self.trouble or "the cache is switched off"
        if why := why_not_worth(seconds, 0):
            return why
        try:
            encoded = encode(outputs, self.types)
        except NotStorable as odd:
            return f"its outputs cannot be stored: {odd}"
        size = sum(tensor.nbytes for tensor in encoded.tensors.values())
        if why := why_not_worth(seconds, size):
            return why
        place = self.place(key)
        return self._put(place, pieces_of(place, encoded), ".safetensors", seconds, label, kind)

    def put_bytes(self, place: bytes, body: bytes, suffix: str, seconds: float, label: str, kind: str) -> str:
        """Store bytes at a place; returns why they are not kept, or nothing."""
        return self._put(place, [body], suffix, seconds, label, kind)

    def _put(
        self, place: bytes, pieces: Sequence[bytes | memoryview], suffix: str, seconds: float, label: str, kind: str
    ) -> str:
        size = sum(memoryview(piece).nbytes for piece in pieces)
        if self.trouble or size > self.limit:
            return self.trouble or f"larger than the limit of the cache, {self.limit / 2**20:.0f} MiB"
        self._ahead.pop(place, None)
        inside = size <= _INSIDE
        name = "" if inside else f"{place.hex()}-{secrets.token_hex(4)}{suffix}"
        now = time.time_ns()
        entry = Entry(place, kind, label, name, size, short_digest(*pieces, size=SEAL), seconds, now, now)
        with self._without_trouble():
            if not inside:
                self._sweep()
                write_bytes(self.folder / name, pieces, parents=True)
            self._unlink(self._index.add(entry, b"".join(pieces) if inside else None, self.limit))
        return self.trouble

    def bytes_at(self, place: bytes) -> bytes | None:
        """The bytes stored at a place; None if they are not there or are damaged."""
        return self._read(place)

    def holds(self, places: Sequence[bytes]) -> set[bytes]:
        """Which of these places hold something."""
        with self._without_trouble():
            return set(self._index.find(places))
        return set()

    def why_gone(self, key: bytes) -> str:
        """Why the value under `key` is not kept any more; empty if that is not known."""
        with self._without_trouble():
            return self._index.why_removed(self.place(key))
        return ""

    def drop(self, keys: Sequence[bytes]) -> None:
        """Remove what is kept under these keys: it is of no use any more."""
        if keys:
            with self._without_trouble():
                self._unlink(self._index.remove([self.place(key) for key in keys], "what it was a part of is finished"))

    def flush(self) -> None:
        """Note what was used since the last call, so that it stays longest."""
        used, self._used = self._used, set()
        if used:
            with self._without_trouble():
                self._index.touch(used)

    def note_run(self, workflow: str, nodes: bytes) -> None:
        """Note what the results of a run depended on, for `inlay cache why`."""
        with self._without_trouble():
            self._index.note_run(workflow, nodes)

    def runs(self, workflow: str) -> list[tuple[int, bytes]]:
        """The noted runs of a workflow, the last one first."""
        with self._without_trouble():
            return self._index.runs(workflow)
        return []

    def entries(self) -> list[Entry]:
        """Everything that is kept, last used first."""
        with self._without_trouble():
            return self._index.entries()
        return []

    def size(self) -> tuple[int, int]:
        """How many things are kept, and their bytes."""
        with self._without_trouble():
            return self._index.size()
        return 0, 0

    def clear(self) -> int:
        """Remove everything that is kept, also files that belong to nothing; returns the bytes."""
        freed = self.size()[1]
        with self._without_trouble():
            self._unlink(self._index.clear())
            self._unlink(self._orphans(age=0))
        return freed

    def _read(self, place: bytes) -> bytes | None:
        """The bytes at a place, if they are those that were stored there."""
        found = self._ahead.pop(place, _UNKNOWN)
        if found is _UNKNOWN:
            found = self._find(place)
        if not isinstance(found, tuple):
            return None
        entry, body = found
        with self._removing(place, entry.file):
            body = body if body is not None else _read_ordinary(self.folder / entry.file, entry.size)
            if short_digest(body, size=SEAL) != entry.seal:
                raise ValueError("damaged")
            self._used.add(place)
            return body
        return None

    def _find(self, place: bytes) -> tuple[Entry, bytes | None] | None:
        with self._without_trouble():
            return self._index.find([place]).get(place)
        return None

    @contextmanager
    def _without_trouble(self) -> Iterator[None]:
        """Run the block; if the disk or the index gives trouble, note it and go on after the block."""
        try:
            yield
        except (DatabaseUnusable, OSError, ValueError) as error:
            self.trouble = self.trouble or f"{self.folder}: {why_of(error)}"

    @contextmanager
    def _removing(self, place: bytes, file: str | None = None) -> Iterator[None]:
        """Run the block; what it cannot read is removed, if it is still that file, and unless the trouble may pass."""
        try:
            yield
        except MemoryError:
            return
        except Exception as error:  # noqa: BLE001 - whatever a damaged file causes: it is made anew
            if isinstance(error, OSError) and error.errno in _PASSING:
                return
            reason = "its file was gone" if isinstance(error, FileNotFoundError) else "it was damaged"
            with self._without_trouble():
                self._unlink(self._index.remove([place], reason, file))

    def _unlink(self, names: Sequence[str]) -> None:
        for name in filter(is_ours, names):
            with contextlib.suppress(OSError):
                os.unlink(self.folder / name)

    def _sweep(self) -> None:
        """Once for a process: remove files that belong to nothing."""
        if not self._swept:
            self._swept = True
            sweep(self.folder)
            with contextlib.suppress(OSError):
                self._unlink(self._orphans(_ORPHAN_SECONDS))

    def _orphans(self, age: float) -> list[str]:
        known, now = self._index.files(), time.time()
        with os.scandir(self.folder) as entries:
            return [
                entry.name
                for entry in entries
                if is_ours(entry.name)
                and entry.name not in known
                and now - entry.stat(follow_symlinks=False).st_mtime >= age
            ]


def not_kept(why: str) -> str:
    """A warning that nothing is kept on disk."""
    return f"results are not kept on disk: {why}"


def why_of(error: Exception) -> str:
    """What an error of the disk or of the index says, without the path."""
    return str(getattr(error, "why", None) or getattr(error, "strerror", None) or error)


def _tensors_of(body: bytes) -> "Callable[[str], Tensor]":
    """Gives the tensors of a file by name; they are read when the first one is asked for."""
    loaded: dict[str, Tensor] = {}

    def tensor(name: str) -> "Tensor":
        from safetensors.torch import load

        if not loaded:
            loaded.update(load(body))
        return loaded[name]

    return tensor


def _metadata(body: bytes) -> dict[str, str]:
    """The metadata of a safetensors file.

    Raises:
        ValueError, KeyError, struct.error: it is none of ours.
    """
    (length,) = struct.unpack_from("<Q", body)
    header = json.loads(body[8 : 8 + length])["__metadata__"]
    if not isinstance(header, dict):
        raise ValueError("no metadata")  # noqa: TRY004 - whatever is wrong with a file is one error here
    return {str(name): str(value) for name, value in header.items()}


def _read_ordinary(path: Path, size: int) -> bytes:
    """The bytes of an ordinary file of that size; never waits for a pipe.

    Raises:
        OSError, ValueError: it is something else.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    with open(path, "rb", opener=lambda name, _: os.open(name, flags)) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode) or status.st_size != size:
            raise ValueError("not the file that was stored")
        return file.read()

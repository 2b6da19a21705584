"""The content of a file, folder or glob as one short text, for cache keys and the records in pictures."""

import hashlib
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from .digest_store import State, keep, recall
from .digests import sha256
from .user_paths import GLOB

_LARGE = 8 * 2**20  # bytes; digests of smaller files are not stored: reading those is as fast as looking them up
_SAMPLED = 64 * 2**20  # above this size, older records identify weights by their size and first part
_SETTLED_NS = 2_000_000_000
_MODEL = frozenset({".json", ".txt", ".safetensors"})


def digest(path: Path, *, weights: bool = False) -> str:
    """sha256 of a file's bytes; for a folder or glob, of the names and digests of its ordinary files.

    Args:
        path: a file, a folder, or a glob in its last part.
        weights: the path is a model; in a folder, only weights and configurations count, one level deep.

    Raises:
        OSError: the path does not exist, cannot be read, or is a device or a pipe.
    """
    return _digest(path, weights, file_sha256)


def holds(path: Path, recorded: str, *, weights: bool = False) -> bool:
    """True if the content of `path` has the digest `recorded`, or the short digest that older records have of weights.

    Raises:
        OSError: as `digest` does.
    """
    return digest(path, weights=weights) == recorded or (weights and _digest(path, weights, _short_digest) == recorded)


def _digest(path: Path, weights: bool, of: Callable[[Path], str]) -> str:
    if path.is_dir():
        return "folder:" + _combined(path, _model_files(path) if weights else path.glob("*"), of)
    if not path.exists() and GLOB.intersection(path.name):
        return "glob:" + _combined(path.parent, path.parent.glob(path.name), of)
    return of(path)


def _model_files(folder: Path) -> Iterator[Path]:
    """Weights and configurations in a folder and in the folders of its components; other files do not count."""
    for pattern in ("*", "*/*"):
        yield from (item for item in folder.glob(pattern) if item.suffix in _MODEL)


def _combined(root: Path, items: Iterable[Path], of: Callable[[Path], str]) -> str:
    files = [item for item in sorted(items) if item.is_file()]
    names = [item.relative_to(root).as_posix() for item in files]
    return sha256(
        *(f"{name}\0{of(item)}\0".encode(errors="surrogateescape") for name, item in zip(names, files, strict=True))
    )


_known: dict[State, str] = {}


def file_sha256(path: Path) -> str:
    """sha256 of an ordinary file, read once per state of the file, by this process or an earlier one.

    A file that changed in the last two seconds is always read: clocks are coarse.

    Raises:
        OSError: the file does not exist, cannot be read, or is a device or a pipe.
    """
    if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe would block
        raise OSError(0, "not an ordinary file", str(path))
    with path.open("rb") as stream:
        state = _state(stream.fileno())
        settled = time.time_ns() - max(state[3:]) > _SETTLED_NS
        large = state[2] >= _LARGE
        if settled and (known := _known.get(state) or (recall(state) if large else None)):
            _known[state] = known
            return known
        found = hashlib.file_digest(stream, "sha256").hexdigest()
        if settled and _state(stream.fileno()) == state:  # not changed while it was read
            _known[state] = found
            if large:
                keep(state, found)
    return found


def _state(descriptor: int) -> State:
    now = os.fstat(descriptor)
    return now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns, now.st_ctime_ns


def _short_digest(path: Path) -> str:
    """The digest of weights above 64 MiB in older records: of the size and the first MiB."""
    if (size := path.stat().st_size) <= _SAMPLED:
        return file_sha256(path)
    with path.open("rb") as stream:
        return "head:" + sha256(f"{size}\0", stream.read(2**20))

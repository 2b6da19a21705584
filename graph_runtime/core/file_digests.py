"""What a file holds, as one short text: the part of a cache key, and of a picture's record, that stands for content."""

import hashlib
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from .digest_store import State, keep, recall
from .digests import sha256
from .user_paths import GLOB

_LARGE = 8 * 2**20  # bytes from which a digest is kept between processes: less is read as soon as it is looked up
_SAMPLED = 64 * 2**20  # above this size, older records know weights by their size and first part
_SETTLED_NS = 2_000_000_000
_MODEL = frozenset({".json", ".txt", ".safetensors"})


def digest(path: Path, *, weights: bool = False) -> str:
    """sha256 of a file's bytes; of a folder or glob: of the names and digests of the ordinary files in it.

    Args:
        path: a file, a folder, or a glob in its last part.
        weights: a model: of a folder, what models are made of counts, down to its parts.

    Raises:
        OSError: there is nothing, it cannot be read, or it is a device or a pipe.
    """
    return _digest(path, weights, file_sha256)


def holds(path: Path, recorded: str, *, weights: bool = False) -> bool:
    """True when `path` holds what had the digest `recorded`, also by the short look that older records took at weights.

    Raises:
        OSError: as `digest` does.
    """
    return digest(path, weights=weights) == recorded or (weights and _digest(path, weights, _short_look) == recorded)


def _digest(path: Path, weights: bool, of: Callable[[Path], str]) -> str:
    if path.is_dir():
        return "folder:" + _together(path, _model_files(path) if weights else path.glob("*"), of)
    if not path.exists() and GLOB.intersection(path.name):
        return "glob:" + _together(path.parent, path.parent.glob(path.name), of)
    return of(path)


def _model_files(folder: Path) -> Iterator[Path]:
    """Weights and configurations in a folder and in the folders of its parts; nothing else of what may lie there."""
    for pattern in ("*", "*/*"):
        yield from (item for item in folder.glob(pattern) if item.suffix in _MODEL)


def _together(root: Path, items: Iterable[Path], of: Callable[[Path], str]) -> str:
    files = [item for item in sorted(items) if item.is_file()]
    names = [item.relative_to(root).as_posix() for item in files]
    return sha256(
        *(f"{name}\0{of(item)}\0".encode(errors="surrogateescape") for name, item in zip(names, files, strict=True))
    )


_known: dict[State, str] = {}  # of files as they were, by all that changes when they do


def file_sha256(path: Path) -> str:
    """sha256 of all that an ordinary file holds, read once per state of the file, by this process or one before.

    A file that changed in the last two seconds is always read: clocks are coarse.

    Raises:
        OSError: it is not there, cannot be read, or is a device or a pipe.
    """
    if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe would wait for ever
        raise OSError(0, "not an ordinary file", str(path))
    with path.open("rb") as stream:
        state = _state(stream.fileno())
        settled = time.time_ns() - max(state[3:]) > _SETTLED_NS
        large = state[2] >= _LARGE
        if settled and (known := _known.get(state) or (recall(state) if large else None)):
            _known[state] = known
            return known
        found = hashlib.file_digest(stream, "sha256").hexdigest()
        if settled and _state(stream.fileno()) == state:  # nobody wrote while it was read
            _known[state] = found
            if large:
                keep(state, found)
    return found


def _state(descriptor: int) -> State:
    now = os.fstat(descriptor)
    return now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns, now.st_ctime_ns


def _short_look(path: Path) -> str:
    """What records made before digests were kept say of weights above 64 MiB."""
    if (size := path.stat().st_size) <= _SAMPLED:
        return file_sha256(path)
    with path.open("rb") as stream:
        return "head:" + sha256(f"{size}\0", stream.read(2**20))

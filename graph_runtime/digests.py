"""What a file holds, as one short text: the part of a cache key, and of a picture's record, that stands for content."""

import hashlib
import os
import stat
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

_SAMPLED = 64 * 2**20  # weights above this size are known by their size and first part: reading gigabytes takes seconds
_SETTLED_NS = 2_000_000_000
_GLOB = frozenset("*?[")
_MODEL = frozenset({".json", ".txt", ".safetensors"})


def digest(path: Path, *, weights: bool = False) -> str:
    """sha256 of a file's bytes; of a folder or glob: of the names and digests of the ordinary files in it.

    Args:
        path: a file, a folder, or a glob in its last part.
        weights: a model: large files are sampled; of a folder, what models are made of counts, down to its parts.

    Raises:
        OSError: there is nothing, it cannot be read, or it is a device or a pipe.
    """
    if path.is_dir():
        return "folder:" + _together(path, _model_files(path) if weights else path.glob("*"), weights)
    if not path.exists() and _GLOB.intersection(path.name):
        return "glob:" + _together(path.parent, path.parent.glob(path.name), weights)
    return _file_digest(path, weights)


def _model_files(folder: Path) -> Iterator[Path]:
    """Weights and configurations in a folder and in the folders of its parts; nothing else of what may lie there."""
    for pattern in ("*", "*/*"):
        yield from (item for item in folder.glob(pattern) if item.suffix in _MODEL)


def _together(root: Path, items: Iterable[Path], weights: bool) -> str:
    total = hashlib.sha256()
    for item in sorted(items):
        if item.is_file():
            total.update(f"{item.relative_to(root).as_posix()}\0{_file_digest(item, weights)}\0".encode(
                errors="surrogateescape"))
    return total.hexdigest()


_known: dict[tuple[int, ...], str] = {}  # of files as they were, by all that changes when they do


def _file_digest(path: Path, weights: bool) -> str:
    """Read once per state of the file; one that changed in the last two seconds is always read (clocks are coarse)."""
    if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe would wait for ever
        raise OSError(0, "not an ordinary file", str(path))
    with path.open("rb") as stream:
        now = os.fstat(stream.fileno())
        sampled = weights and now.st_size > _SAMPLED
        state = (now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns, now.st_ctime_ns, sampled)
        settled = time.time_ns() - max(now.st_mtime_ns, now.st_ctime_ns) > _SETTLED_NS
        if settled and (known := _known.get(state)) is not None:
            return known
        if sampled:
            found = "head:" + hashlib.sha256(f"{now.st_size}\0".encode() + stream.read(2**20)).hexdigest()
        else:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
    if settled:
        _known[state] = found
    return found

"""Small pieces of a model's files: a JSON object, a safetensors header, a stamp that changes when a file does.

What is not an ordinary file (a pipe, a device, a folder, a broken link) is refused before it is opened: reading a pipe
waits for ever. What was read is kept until the file changes in any way that its file system can tell.
"""

import hashlib
import json
import math
import re
import stat
import struct
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ..graph_runtime import ModelError
from ..graph_runtime.core.digests import file_sha256
from ..graph_runtime.core.errors import shorten

MAX_HEADER = 100 * 2**20  # the safetensors format's own limit
MAX_JSON = 64 * 2**20
SAMPLES, SAMPLE = 256, 4096  # pieces of a large file that older hashes look at, and their bytes
State = tuple[int, ...]


def state_of(path: Path) -> State:
    """Size, modification and change time, device and inode of an ordinary file, links followed.

    Raises:
        ModelError: it is no ordinary file, or is not there.
    """
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        raise ModelError(
            "source",
            found=f"{_short(path)}: {getattr(error, 'strerror', None) or error}",
            expected="an ordinary file",
            fix="download the model again",
        ) from error
    if not stat.S_ISREG(status.st_mode):
        kind = next(
            (name for test, name in ((stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a pipe")) if test(status.st_mode)),
            "a device or a socket",
        )
        raise ModelError(
            "source",
            found=f"{_short(path)}, which is {kind}",
            expected="an ordinary file",
            fix="download the model again",
        )
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_dev, status.st_ino


def _short(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def read_json(path: Path) -> Mapping[str, Any]:
    """A small JSON object from a model folder, read once per change.

    Raises:
        ModelError: the file is no JSON object, no ordinary file, or is absurdly large.
    """
    return _read_json(str(path), state_of(path))


@lru_cache(maxsize=256)
def _read_json(name: str, state: State) -> Mapping[str, Any]:
    path = Path(name)
    try:
        if state[0] > MAX_JSON:
            raise ValueError(f"{state[0] / 2**20:.0f} MiB")
        value = json.loads(path.read_text("utf-8"))
        if not isinstance(value, dict):
            raise ValueError(f"a JSON {type(value).__name__}")
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(
            "source",
            found=f"{_short(path)} is damaged ({error})",
            expected="a JSON object",
            fix="download the model again",
        ) from error
    return MappingProxyType(value)


def read_shards(index: Path) -> list[str]:
    """The names of the files that a safetensors index lists.

    Raises:
        ModelError: its weight_map is not one of names to names.
    """
    found = read_json(index).get("weight_map")
    if not isinstance(found, dict) or not found or not all(isinstance(shard, str) for shard in found.values()):
        raise ModelError(
            "source",
            found=f"{_short(index)} with weight_map = {shorten(found)}",
            expected="a weight_map from weights to file names",
            fix="download the model again",
        )
    return sorted(set(found.values()))


def read_header(path: Path) -> Mapping[str, Any]:
    """Names, dtypes and shapes of a safetensors file, and its metadata under `__metadata__`; no weights are read.

    Raises:
        ModelError: the file is not safetensors, no ordinary file, is truncated, or is a Git LFS pointer.
    """
    return _read_header(str(path), state_of(path))


@lru_cache(maxsize=64)
def _read_header(name: str, state: State) -> Mapping[str, Any]:
    path, size = Path(name), state[0]

    def damaged(why: str, fix: str = "download the file again") -> ModelError:
        return ModelError("source", found=f"{_short(path)} {why}", expected="a whole safetensors file", fix=fix)

    try:
        with path.open("rb") as file:
            start = file.read(8)
            length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
            text = file.read(length) if 2 <= length <= min(size - 8, MAX_HEADER) else b""
    except OSError as error:
        raise damaged(f"cannot be read ({error.strerror or error})", "check its permissions") from error
    if start.startswith(b"version "):
        raise damaged("is a Git LFS pointer, not the weights", "run `git lfs pull` where it was cloned")
    if not text:
        raise damaged(f"is not safetensors, or is cut off ({size} bytes)")
    try:
        header = json.loads(text)
        end = 0
        for begin, last in sorted(_place(entry) for key, entry in header.items() if key != "__metadata__"):
            if begin != end:
                raise ValueError("gaps or overlaps")
            end = last
        metadata = header.get("__metadata__", {})
        if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
            raise TypeError("metadata")
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise damaged("has a header that cannot be read") from error
    if size != 8 + length + end:
        raise damaged(f"is cut off: {size} bytes of {8 + length + end}")
    return MappingProxyType(header)


def _place(entry: Mapping[str, Any]) -> tuple[int, int]:
    """Where a tensor's bytes begin and end; raises where the entry is not `dtype`, `shape` and two fitting offsets."""
    begin, end = entry["data_offsets"]
    if not isinstance(entry["dtype"], str) or not isinstance(entry["shape"], list):
        raise TypeError("dtype or shape")
    if not all(type(number) is int and number >= 0 for number in (begin, end - begin, *entry["shape"])):
        raise TypeError("offsets or shape")
    width = re.fullmatch(r"[A-Z]+(8|16|32|64|128)(?:_\w+)?", entry["dtype"])
    if width and end - begin != math.prod(entry["shape"]) * int(width[1]) // 8:
        raise ValueError("offsets that do not fit the shape")
    return int(begin), int(end)


def count_parameters(files: tuple[Path, ...], prefix: str | tuple[str, ...] = "") -> int:
    """How many numbers the weight files hold, from their headers."""
    total = 0
    for file in files:
        for key, entry in read_header(file).items():
            if key != "__metadata__" and key.startswith(prefix):
                size = 1
                for length in entry["shape"]:
                    size *= length
                total += size
    return total


def stamp_of(files: Iterable[Path]) -> str:
    """A hash of file names, sizes, modification times and contents.

    Where the files lie, and on which disk, does not count.
    """
    seen = [(file.name, (state := state_of(file))[0], state[1], _contents(file)) for file in files]
    return hashlib.sha256(repr(seen).encode("utf-8", "backslashreplace")).hexdigest()[:20]


def content_of(files: Iterable[Path]) -> str:
    """A hash of sizes and contents alone: the same on every machine."""
    return hashlib.sha256(repr([(state_of(file)[0], _contents(file)) for file in files]).encode()).hexdigest()


def pieces_of(files: Iterable[Path]) -> str:
    """What `content_of` said when it looked at pieces of large files: LoRAs that were trained then carry it."""
    seen = [(state[0], _sample(str(file), state)) for file in files if (state := state_of(file))]
    return hashlib.sha256(repr(seen).encode()).hexdigest()


def _contents(file: Path) -> str:
    """sha256 of all that a file holds.

    Raises:
        ModelError: it is no ordinary file, or cannot be read.
    """
    state_of(file)
    try:
        return file_sha256(file)
    except OSError as error:
        raise _unreadable(file, error) from error


def _unreadable(file: Path, error: OSError) -> ModelError:
    return ModelError(
        "source",
        found=f"{_short(file)}: {error.strerror or error}",
        expected="a file that can be read",
        fix="check its permissions",
    )


@lru_cache(maxsize=1024)
def _sample(name: str, state: State) -> str:
    """Hash of the whole file up to 1 MiB, else of its beginning, its end and pieces evenly between."""
    size, digest = state[0], hashlib.sha256()
    last = max(size - SAMPLE, 0)
    try:
        with open(name, "rb", buffering=0) as file:
            if size <= SAMPLES * SAMPLE:
                digest.update(file.read())
            else:
                for number in range(SAMPLES):
                    file.seek(last * number // (SAMPLES - 1))
                    digest.update(file.read(SAMPLE))
    except OSError as error:
        raise _unreadable(Path(name), error) from error
    return digest.hexdigest()

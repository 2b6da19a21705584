"""The header of a safetensors file: names, dtypes and shapes of its tensors, and its metadata. No weights are read."""

import json
import math
import re
import struct
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ...graph_runtime import ModelError
from .stamps import State, short_name, state_of

MAX_HEADER = 100 * 2**20  # the safetensors format's own limit


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
        return ModelError("source", found=f"{short_name(path)} {why}", expected="a whole safetensors file", fix=fix)

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

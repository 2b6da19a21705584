"""The header of a safetensors file: names, dtypes and shapes of its tensors, and its metadata. No weights are read.

The safetensors library reads and validates it: 100 MB at most, offsets without gaps that fit shapes and file. It
    would wait for a pipe and read a device, so anything but an ordinary file is refused first.
"""

import json
import os
from collections.abc import Callable, Mapping
from functools import lru_cache
from math import prod
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO, NamedTuple

from ...graph_runtime import BadInput, ModelError
from ...graph_runtime.core.errors import clean
from ...graph_runtime.core.opening import name_of
from ...graph_runtime.core.reading.file_state import FileState
from .stamps import ordinary_file, short_name, state_of

LFS_POINTER = b"version "  # the beginning of a Git LFS pointer file
MAX_HEADER = (
    16 * 2**20
)  # bytes; those of published models have at most some hundred KiB, of LoRAs with metadata some MiB
MAX_TENSORS = 20_000  # published models and LoRAs have at most some thousand


class TensorInfo(NamedTuple):
    """A tensor as the header has it: dtype by safetensors' name (`F16`), and shape."""

    dtype: str
    shape: list[int]


class Header(NamedTuple):
    """Tensors and metadata of a safetensors file, by name."""

    tensors: Mapping[str, TensorInfo]
    metadata: Mapping[str, str]


def read_header(path: Path) -> Header:
    """The header of a safetensors file, read once per change of the file.

    Raises:
        ModelError: the file is not safetensors, not an ordinary file, truncated, or a Git LFS pointer.
    """
    state = state_of(path)
    return _kept(str(path), state) if state.settled else _read(path, state.size)


@lru_cache(maxsize=16)
def _kept(name: str, state: FileState) -> Header:
    return _read(Path(name), state.size)


def _read(path: Path, size: int) -> Header:
    from safetensors import SafetensorError, safe_open

    def damaged(why: str, fix: str = "download the file again") -> ModelError:
        return ModelError("source", found=f"{short_name(path)} {why}", expected="a whole safetensors file", fix=fix)

    try:
        with ordinary_file(path) as (file, _):
            if file.read(len(LFS_POINTER)) == LFS_POINTER:
                raise damaged("is a Git LFS pointer, not the weights", "run `git lfs pull` where it was cloned")
            require_small(file, damaged)
            with safe_open(name_of(file), framework="np") as opened:
                listed = _entries(file)  # valid now; the library's old releases take long to give them one by one
                tensors = {key: TensorInfo(listed[key]["dtype"], listed[key]["shape"]) for key in opened.keys()}  # noqa: SIM118
                return Header(MappingProxyType(tensors), MappingProxyType(opened.metadata() or {}))
    except OSError as error:
        raise damaged(f"cannot be read ({error.strerror or error})", "check its permissions") from error
    except SafetensorError as error:
        reason = clean(str(error).removeprefix("Error while deserializing header: "))[:160]
        if "not fully covered" in reason:
            raise damaged(f"is cut off: {size} bytes of {_whole_size(path)}") from error
        if any(sign in reason for sign in ("too small", "too large", "invalid header length")):
            raise damaged(f"is not safetensors, or is cut off ({size} bytes: {reason})") from error
        raise damaged(f"has a header that cannot be read ({reason})") from error


def require_small(file: BinaryIO, damaged: Callable[[str], BadInput]) -> None:
    """Refuse a header whose parsing would take seconds; the library itself allows 100 MB of it."""
    file.seek(0)
    length = int.from_bytes(file.read(8), "little")
    if length > os.fstat(file.fileno()).st_size:
        return  # cut off or no such file: the library says it
    if length > MAX_HEADER:
        raise damaged(f"has a header of {length / 2**20:.0f} MiB, more than {MAX_HEADER // 2**20}")
    if file.read(length).count(b"{") > MAX_TENSORS:
        raise damaged(f"has a header of more than {MAX_TENSORS} tensors")


def _whole_size(path: Path) -> int:
    """The expected size of a file with a valid header, in bytes: length field, header, and all listed tensors."""
    with ordinary_file(path) as (file, _):
        header = _entries(file)
        length = file.tell()
    ends = [entry["data_offsets"][1] for key, entry in header.items() if key != "__metadata__"]
    return length + max(ends, default=0)


def _entries(file: BinaryIO) -> dict[str, Any]:  # values of the JSON header, which the library has checked
    file.seek(0)
    length = int.from_bytes(file.read(8), "little")
    found: dict[str, Any] = json.loads(file.read(length))  # the same values
    return found


def count_parameters(files: tuple[Path, ...], prefix: str | tuple[str, ...] = "") -> int:
    """How many numbers the weight files hold, from their headers."""
    return sum(
        prod(tensor.shape)
        for file in files
        for key, tensor in read_header(file).tensors.items()
        if key.startswith(prefix)
    )

"""JSON objects in a model's folder: bounded in size, read once per change, damage named."""

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

from pydantic import JsonValue

from ...graph_runtime import ModelError
from ...graph_runtime.core.errors import first_line, shorten
from ...graph_runtime.core.reading.file_state import FileState
from .stamps import ordinary_file, short_name, state_of

MAX_CONFIG = 2**20  # bytes; published configurations have at most some kilobytes
MAX_INDEX = 8 * 2**20  # bytes of a safetensors index; published ones have less than one MiB
MAX_DEPTH = 16  # of objects and lists in each other; published configurations have at most five


def read_json(path: Path, most: int = MAX_CONFIG) -> Mapping[str, JsonValue]:
    """A small JSON object from a model folder, read once per change.

    Args:
        path: the file.
        most: bytes that it may have.

    Raises:
        ModelError: the file is not a JSON object, not an ordinary file, or larger or deeper than any of its kind.
    """
    state = state_of(path)
    return _kept(str(path), state, most) if state.settled else _read(path, most)


@lru_cache(maxsize=256)
def _kept(name: str, state: FileState, most: int) -> Mapping[str, JsonValue]:
    return _read(Path(name), most)


def _read(path: Path, most: int) -> Mapping[str, JsonValue]:
    with ordinary_file(path) as (file, _):
        try:
            text = file.read(most + 1)
            if len(text) > most:
                raise ValueError(f"more than {most / 2**20:g} MiB")
            value = json.loads(text.decode("utf-8"), object_pairs_hook=_unique)
            if not isinstance(value, dict):
                raise TypeError(f"a JSON {type(value).__name__}")
            _require_shallow(value)
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise ModelError(
                "source",
                found=f"{short_name(path)} is damaged ({first_line(error)})",
                expected="a JSON object",
                fix="download the model again",
            ) from error
    return MappingProxyType(value)


def _unique(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    """An object whose keys differ: readers disagree on which of two equal keys counts."""
    found: dict[str, JsonValue] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"two values for {shorten(key)}")
        found[key] = value
    return found


def _require_shallow(value: JsonValue) -> None:
    level: list[JsonValue] = [value]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for item in level
            if isinstance(item, (dict, list))
            for inner in (item.values() if isinstance(item, dict) else item)
        ]
        if not level:
            return
    raise ValueError(f"more than {MAX_DEPTH} levels")


LONGEST_NAME = 255  # bytes of a file's name


def read_shards(index: Path) -> list[str]:
    """The names of the files that a safetensors index lists.

    Raises:
        ModelError: its weight_map does not map names to names.
    """
    found = read_json(index, MAX_INDEX).get("weight_map")
    shards = [shard for shard in found.values() if _is_short(shard)] if isinstance(found, dict) else []
    if not isinstance(found, dict) or not found or len(shards) != len(found):
        raise ModelError(
            "source",
            found=f"{short_name(index)} with weight_map = {shorten(found)}",
            expected="a weight_map from weights to file names",
            fix="download the model again",
        )
    return sorted(set(map(str, shards)))


def _is_short(shard: object) -> bool:
    """True for a text that can be the name of a file: systems refuse longer ones in ways of their own."""
    return isinstance(shard, str) and len(shard.encode("utf-8", "replace")) <= LONGEST_NAME

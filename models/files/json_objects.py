"""JSON objects in a model's folder: bounded in size, read once per change, damage named."""

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

from pydantic import JsonValue

from ...graph_runtime import ModelError
from ...graph_runtime.core.errors import shorten
from .stamps import State, short_name, state_of

MAX_JSON = 64 * 2**20


def read_json(path: Path) -> Mapping[str, JsonValue]:
    """A small JSON object from a model folder, read once per change.

    Raises:
        ModelError: the file is not a JSON object, not an ordinary file, or absurdly large.
    """
    return _read_json(str(path), state_of(path))


@lru_cache(maxsize=256)
def _read_json(name: str, state: State) -> Mapping[str, JsonValue]:
    path = Path(name)
    try:
        if state[0] > MAX_JSON:
            raise ValueError(f"{state[0] / 2**20:.0f} MiB")
        value = json.loads(path.read_text("utf-8"))
        if not isinstance(value, dict):
            raise TypeError(f"a JSON {type(value).__name__}")
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise ModelError(
            "source",
            found=f"{short_name(path)} is damaged ({error})",
            expected="a JSON object",
            fix="download the model again",
        ) from error
    return MappingProxyType(value)


def read_shards(index: Path) -> list[str]:
    """The names of the files that a safetensors index lists.

    Raises:
        ModelError: its weight_map does not map names to names.
    """
    found = read_json(index).get("weight_map")
    shards = [shard for shard in found.values() if isinstance(shard, str)] if isinstance(found, dict) else []
    if not isinstance(found, dict) or not found or len(shards) != len(found):
        raise ModelError(
            "source",
            found=f"{short_name(index)} with weight_map = {shorten(found)}",
            expected="a weight_map from weights to file names",
            fix="download the model again",
        )
    return sorted(set(shards))

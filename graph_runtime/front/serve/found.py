"""What a run has made, as facts: its files, and those of its outputs that are plain values."""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path

from .json_data import Json

MOST_VALUES = 2**16  # characters of all plain values of a run
_MEDIA = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".webp": "image/webp",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".csv": "text/csv",
    ".txt": "text/plain",
    ".json": "application/json",
}


def files_found(saved: Iterable[tuple[str, str]], outputs: Mapping[str, str], out: Path) -> list[Json]:
    """The files of a run.

    Args:
        saved: the node and the path of each.
        outputs: the workflow's output by path.
        out: the folder of the run.
    """
    return [_facts(node, Path(path), outputs.get(path, ""), out) for node, path in saved]


def _facts(node: str, path: Path, output: str, out: Path) -> Json:
    media = _MEDIA.get(path.suffix.lower(), "application/octet-stream")
    folder = path.is_dir()
    facts: Json = {
        "node": node,
        "output": output,
        "name": path.name,
        "file": path.relative_to(out).as_posix(),
        "kind": "folder" if folder else "image" if media.startswith("image/") else "file",
        "media": media,
        "bytes": 0 if folder else path.stat().st_size,
        "width": None,
        "height": None,
    }
    if facts["kind"] == "image":
        from PIL import Image

        with Image.open(path) as picture:
            facts["width"], facts["height"] = picture.size
    return facts


def values_found(outputs: Mapping[str, object]) -> Json:
    """The outputs that are numbers, texts, or lists and records of them; larger ones are left out."""
    found: Json = {}
    room = MOST_VALUES
    for name, value in outputs.items():
        try:
            plain = _plain(value, 0)
        except (TypeError, ValueError):
            continue
        size = len(repr(plain))
        if size <= room:
            found[name], room = plain, room - size
    return found


def _plain(value: object, depth: int) -> object:
    """A value as JSON has it.

    Raises:
        TypeError: it is something else, such as a picture.
    """
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if depth > 6:
        raise TypeError
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {name: _plain(one, depth + 1) for name, one in value._asdict().items()}
    if isinstance(value, (list, tuple)) and len(value) <= 4096:
        return [_plain(one, depth + 1) for one in value]
    if isinstance(value, Mapping) and len(value) <= 4096:
        return {str(name): _plain(one, depth + 1) for name, one in value.items()}
    raise TypeError

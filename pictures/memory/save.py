"""Save a picture of a result under a name that its user chooses, in the format of the suffix."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ..files.formats import WRITTEN_SUFFIX
from ..files.read import read_picture
from ..files.recorded import recorded_text
from ..files.write import SavedMetadata, write_picture

RECORD = "inlay"
KINDS = {suffix: kind for kind, suffix in WRITTEN_SUFFIX.items()} | {".jpeg": "jpeg"}


def save_picture(source: object, path: Path, suffix: str, texts: Mapping[str, str]) -> list[str]:
    """Write a picture, or the picture in a file's bytes, with its profile and metadata; returns notes for the user.

    Args:
        source: `[h w 3]` or `[h w]` in [0, 1], or the bytes of a saved picture.
        path: the file to write.
        suffix: .png, .webp (both exact) or .jpg.
        texts: of the run; those of a saved picture are its own.
    """
    if not isinstance(source, bytes):
        values = np.asarray(source, np.float32)
        values = np.repeat(values[..., None], 3, -1) if values.ndim == 2 else values
        return write_picture(values, path, KINDS[suffix], SavedMetadata(dict(texts)))
    path.write_bytes(source)
    picture = read_picture(path)
    record = recorded_text(path, RECORD)[0]
    beside = SavedMetadata({} if record is None else {RECORD: record}, gps=True)
    return write_picture(picture.rgb(), path, KINDS[suffix], beside, picture.info)

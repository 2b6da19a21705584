"""Pillow's pictures that are still what their file holds: the file itself stands for them."""

import os
from contextlib import suppress
from pathlib import Path

from PIL import Image as Pil

from ...graph_runtime import BadInput
from ...graph_runtime.core.opening import open_file
from ..files.formats import FORMATS
from ..files.read import read_picture

CARRIED = ("icc_profile", "exif", "transparency", "gamma", "dpi")


def own_file(picture: Pil.Image) -> Path | None:
    """The file from which a picture was opened, if reading it gives the same pixels, upright, and the same metadata.

    A record then names that file, and finds it again by its content; nothing needs to be written.
    """
    name = getattr(picture, "filename", "")
    if not isinstance(name, (str, os.PathLike)) or not name or picture.format not in FORMATS:
        return None
    path = Path(name).absolute()
    with suppress(OSError, ValueError, BadInput):
        found = read_picture(path).colour8
        same = found is not None and (found.mode, found.size) == (picture.mode, picture.size)
        if found is not None and same and found.tobytes() == picture.tobytes():
            same = found.getpalette() == picture.getpalette()
            return path if same and _carries_the_same(picture, path) else None
    return None


def _carries_the_same(picture: Pil.Image, path: Path) -> bool:
    with open_file(path) as file, Pil.open(file) as again:
        return all(again.info.get(key) == picture.info.get(key) for key in CARRIED) and dict(again.getexif()) == dict(
            picture.getexif()
        )

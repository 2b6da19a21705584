"""Headers of picture files: sizes, modes, transparency. Nothing is decoded."""

from pathlib import Path
from typing import NamedTuple

from .decode import EIGHT_BIT, refuse_planes, refused
from .folders import find_pictures, read_each
from .opening import decoding, open_picture, require_room, sizes_differ


class Header(NamedTuple):
    """A picture file before it is decoded: its upright size, Pillow's mode, and whether pixels may be transparent."""

    path: Path
    width: int
    height: int
    mode: str
    transparent: bool

    @property
    def pixels(self) -> int:
        """Their number."""
        return self.width * self.height


def headers(path: str) -> list[Header]:
    """The headers of the pictures of `path`.

    Raises:
        BadInput: nothing found, a file that `header` refuses, different sizes, or too many pixels together.
    """
    found = read_each(find_pictures(path), header)
    require_room(len(found), sum(one.pixels for one in found))
    if len({(one.width, one.height) for one in found}) > 1:
        raise sizes_differ((one.path.name, (one.width, one.height)) for one in found)
    return found


def header(path: Path) -> Header:
    """The header of one file.

    Raises:
        BadInput: not a picture, damaged, over 100 megapixels, or of a mode whose range is not known.
    """
    with open_picture(path) as opened, decoding(path):
        refuse_planes(path, opened.image)
        width, height = opened.size
        mode, transparent = opened.image.mode, "transparency" in opened.image.info
    if mode not in EIGHT_BIT and not mode.startswith("I"):
        raise refused(path, f"Pillow mode {mode!r}")
    return Header(path, width, height, mode, transparent or mode in ("LA", "PA", "RGBA"))

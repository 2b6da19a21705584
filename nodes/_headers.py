"""What the headers of picture files say: sizes, modes, transparency. Nothing is decoded."""

from pathlib import Path
from typing import NamedTuple

from ..graph_runtime import BadInput
from ._folders import find_pictures, read_each
from ._modes import EIGHT_BIT, refuse_planes, refused
from ._pictures import MAX_BATCH_PIXELS, open_picture, picture_size


class Header(NamedTuple):
    """A picture file before it is decoded: size upright, Pillow's mode, and whether pixels may be transparent."""

    path: Path
    width: int
    height: int
    mode: str
    transparent: bool

    @property
    def pixels(self) -> int:
        """How many it has."""
        return self.width * self.height


def headers(path: str) -> list[Header]:
    """Of the picture, folder or glob that a batch is read from.

    Raises:
        BadInput: no picture there, one that is none or has an unscaled mode, sizes that differ, or too much of all.
    """
    found: list[Header] = read_each(find_pictures(path), header)
    total = sum(one.pixels for one in found)
    if total > MAX_BATCH_PIXELS:
        raise BadInput("path", found=f"{len(found)} pictures of {total / 1e6:.0f} megapixels together",
                       expected=f"at most {MAX_BATCH_PIXELS / 1e6:.0f} megapixels at once",
                       fix="run over fewer pictures at a time, or scale them down")
    sizes: dict[tuple[int, int], list[str]] = {}
    for one in found:
        sizes.setdefault((one.width, one.height), []).append(one.path.name)
    if len(sizes) > 1:
        listed = "; ".join(f"{w}×{h}: {', '.join(names[:3])}{f' and {len(names) - 3} more' if len(names) > 3 else ''}"
                           for (w, h), names in list(sizes.items())[:8])
        more = f"; and {len(sizes) - 8} more sizes" if len(sizes) > 8 else ""
        raise BadInput("path", found=f"pictures of {len(sizes)} sizes ({listed}{more})",
                       expected="one size, since a batch is one tensor",
                       fix="bring them to one size, or run the workflow once for each picture")
    return found


def header(path: Path) -> Header:
    """Of one file.

    Raises:
        BadInput: not a picture, damaged, over 100 megapixels, or of an unscaled mode.
    """
    width, height = picture_size(path)
    with open_picture(path) as picture:
        refuse_planes(path, picture)
        mode, transparent = picture.mode, "transparency" in picture.info
    if mode not in EIGHT_BIT and not mode.startswith("I"):
        raise refused(path, f"Pillow mode {mode!r}")
    return Header(path, width, height, mode, transparent or mode in ("LA", "PA", "RGBA"))

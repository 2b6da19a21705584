"""The text in which a picture records how it was made."""

from pathlib import Path
from typing import NamedTuple

from .opening import decoding, open_picture

DESCRIPTION = 0x010E  # the EXIF tag


class Recorded(NamedTuple):
    """A picture's record, None if it has none, and the names of all that the file says beside its pixels."""

    text: str | None
    names: frozenset[str]


def recorded_text(path: Path, name: str) -> Recorded:
    """The text `name` of a PNG, or the EXIF description of a JPEG or WebP; nothing is decoded.

    Raises:
        BadInput: not a picture, damaged, or with more metadata than a picture needs.
    """
    with open_picture(path) as opened, decoding(path):
        image = opened.image
        if image.format == "PNG":  # its texts are read with its header; asking it for EXIF would decode the pixels
            text = image.info.get(name)
        else:
            text = image.getexif().get(DESCRIPTION) if image.format in ("JPEG", "MPO", "WEBP") else None
        return Recorded(text if isinstance(text, str) else None, frozenset(map(str, image.info)))

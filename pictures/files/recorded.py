"""The text in which a picture records how it was made."""

from pathlib import Path
from typing import NamedTuple

from .opening import decoding, open_picture

DESCRIPTION = 0x010E  # the EXIF tag
HOST_TEXTS = ("prompt", "workflow")  # of ComfyUI: texts of a PNG; in EXIF, of any tag, as `prompt:{…}`


class Recorded(NamedTuple):
    """A picture's record, None if it has none, and the names of all that the file says beside its pixels."""

    text: str | None
    names: frozenset[str]


def recorded_text(path: Path, name: str) -> Recorded:
    """The text `name` of a PNG; of a JPEG or WebP the EXIF description, or one of ComfyUI's texts; nothing is decoded.

    Raises:
        BadInput: not a picture, damaged, or with more metadata than a picture needs.
    """
    with open_picture(path) as opened, decoding(path):
        image = opened.image
        if image.format == "PNG":  # its texts are read with its header; asking it for EXIF would decode the pixels
            text, names = image.info.get(name), set(map(str, image.info))
        else:
            said = image.getexif() if image.format in ("JPEG", "MPO", "WEBP") else {}
            of_host = {
                key: value.removeprefix(f"{key}:")
                for value in said.values()
                for key in HOST_TEXTS
                if isinstance(value, str) and value.startswith(f"{key}:")
            }
            text = of_host.get(name) if name in HOST_TEXTS else said.get(DESCRIPTION)
            names = {*map(str, image.info), *of_host}
        return Recorded(text if isinstance(text, str) else None, frozenset(names))

"""EXIF data: filtered, adapted to the upright picture, and packed again. The pixels are turned upright in decode.py."""

import struct
from collections.abc import MutableMapping

from PIL import Image as Pil

from .exif_types import AsStored, with_types
from .texts import OWN_RECORD, RECALL, is_recall

ORIENTATION = 0x0112
X_RESOLUTION = 0x011A
Y_RESOLUTION = 0x011B
RESOLUTION_UNIT = 0x0128
EXIF_FOLDER = 0x8769
GPS_FOLDER = 0x8825
INTEROP_FOLDER = 0xA005
MAKER_NOTE = 0x927C
COLOUR_SPACE = 0xA001
WIDTH = 0xA002
HEIGHT = 0xA003
#: Tags of the TIFF layout itself, and blocks that are kept elsewhere or dropped.
STRUCTURE = frozenset(
    struct.unpack(
        ">53H",
        bytes.fromhex(
            "00FE 00FF 0100 0101 0102 0103 0106 0107 010A 0111 0115 0116 0117 0118 0119 011C 0120 0121 0122 0123 "
            "0124 0125 012D 013D 013E 013F 0140 0141 0142 0143 0144 0145 014A 0152 0153 0154 0155 0156 015B 0200 "
            "0201 0202 0211 0212 0213 0214 02BC 83BB 8649 8773 935C C4A5 C7DE"
        ),
    )
)
#: Where a map or an aerial photo lies: GeoTIFF, GDAL's own tags, and the camera models of satellites.
GEOREFERENCE = frozenset({0x830E, 0x8480, 0x8482, 0x85D8, 0x87AF, 0x87B0, 0x87B1, 0xA480, 0xA481, 0xC69C})
JPEG_BEGINS = b"\xff\xd8\xff"
MAKERS_WITH_PLACES = (b"Nikon\0", b"Panasonic\0")  # their notes repeat coordinates, or the names of country and city
TEXT_CODES = (b"UNICODE\0", b"ASCII\0\0\0", b"JIS\0\0\0\0\0")  # the prefix of EXIF's UserComment


def exif_of(picture: Pil.Image, turned: bool) -> tuple[bytes, list[str]]:
    """EXIF data of an upright picture, and the names of omitted parts.

    Dropped are the file's layout, its thumbnail, previews in a maker's note, georeferences, and texts in which a
    program records its work. GPS data are kept.

    Args:
        picture: opened.
        turned: width and height were swapped.
    """
    omitted: list[str] = []
    try:
        exif = picture.getexif()
        for tag in [tag for tag in exif if tag in STRUCTURE]:
            del exif[tag]
        for tag in [tag for tag in exif if tag in GEOREFERENCE]:
            del exif[tag]
            omitted.append("its georeference (GeoTIFF)")
        if not exif:
            return b"", list(dict.fromkeys(omitted))
        if EXIF_FOLDER in exif and JPEG_BEGINS in _note(exif):
            del exif.get_ifd(EXIF_FOLDER)[MAKER_NOTE]
            omitted.append("the maker's note of its EXIF data (it holds a preview of the old picture)")
        if ORIENTATION in exif:
            exif[ORIENTATION] = 1
        for tags in _folders(exif):
            for tag, value in list(tags.items()):
                if _is_recall(value):
                    del tags[tag]
                    if not str(value).startswith(OWN_RECORD):
                        omitted.append(RECALL)
        if turned and X_RESOLUTION in exif and Y_RESOLUTION in exif:
            exif[X_RESOLUTION], exif[Y_RESOLUTION] = exif[Y_RESOLUTION], exif[X_RESOLUTION]
        return packed(exif), list(dict.fromkeys(omitted))
    except Exception:  # noqa: BLE001 - damaged data may fail in any way
        return b"", ["damaged EXIF data"]


def _is_recall(value: object) -> bool:
    """True for a text that records a run, also if Pillow gives it as bytes or as a tuple of numbers."""
    if isinstance(value, str):
        data = value.encode("latin-1", "replace")
    elif isinstance(value, bytes):
        data = value
    elif isinstance(value, tuple) and len(value) > 8 and all(isinstance(one, int) and 0 <= one < 256 for one in value):
        data = bytes(value)
    else:
        return False
    for code in TEXT_CODES:
        data = data.removeprefix(code)
    return is_recall("", data.decode("utf-8", "replace"))


def _folders(exif: Pil.Exif) -> list[MutableMapping[int, object]]:
    """The main directory of tags, and EXIF's own if there is one."""
    return [exif, *([exif.get_ifd(EXIF_FOLDER)] if EXIF_FOLDER in exif else [])]


def is_adobe_rgb(exif: bytes) -> bool:
    """True if EXIF data declare Adobe RGB: colour space 2, or uncalibrated with DCF's interoperability `R03`."""
    if not exif:
        return False
    space = _opened(exif).get_ifd(EXIF_FOLDER).get(COLOUR_SPACE)
    return space == 2 or (space == 0xFFFF and _interop(exif) == "R03")


def _interop(exif: bytes) -> str:
    try:
        return str(_opened(exif).get_ifd(INTEROP_FOLDER).get(1, "")).strip("\0 ")
    except Exception:  # noqa: BLE001 - damaged data may fail in any way
        return ""


def has_place(exif: bytes) -> bool:
    """True if EXIF data contain the place where the picture was taken."""
    if not exif:
        return False
    opened = _opened(exif)
    return GPS_FOLDER in opened or _note(opened).startswith(MAKERS_WITH_PLACES)


def exif_for(exif: bytes, size: tuple[int, int], gps: bool) -> Pil.Exif:
    """EXIF data for a picture of `size` (width, height), to which tags can be added; GPS data are kept if `gps`."""
    out = _opened(exif)
    if not gps and GPS_FOLDER in out:
        del out[GPS_FOLDER]
    folder = out.get_ifd(EXIF_FOLDER) if EXIF_FOLDER in out else {}
    if not gps and _note(out).startswith(MAKERS_WITH_PLACES):
        del folder[MAKER_NOTE]
    for tag, side in ((WIDTH, size[0]), (HEIGHT, size[1])):
        if tag in folder:
            folder[tag] = side
    return out


def _note(exif: Pil.Exif) -> bytes:
    """The block in which a camera's maker keeps what it likes; empty if there is none."""
    note = exif.get_ifd(EXIF_FOLDER).get(MAKER_NOTE) if EXIF_FOLDER in exif else None
    if isinstance(note, str):
        return note.encode("latin-1", "replace")
    return bytes(note) if isinstance(note, bytes | tuple) else b""


def _opened(exif: bytes) -> Pil.Exif:
    out = Pil.Exif()
    if exif:
        out.load(exif)
    return out


def packed(exif: Pil.Exif) -> bytes:
    """EXIF data as bytes; texts keep their bytes, and values get the types that the standard prescribes.

    Raises:
        Exception: Pillow cannot write them, or cannot read again what it wrote.
    """
    for tags in _folders(exif):
        for tag, value in list(tags.items()):
            if isinstance(value, str):
                tags[tag] = AsStored(value)
    exif.bigtiff = False  # EXIF data outside a TIFF have offsets of 32 bits
    data = with_types(exif.tobytes())
    _opened(data).get_ifd(EXIF_FOLDER)  # must be readable
    return data

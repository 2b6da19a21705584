"""EXIF data: what of them is kept, adapted to the upright picture and packed again."""

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
STRUCTURE = frozenset(
    {  # of a TIFF's own layout, and blocks that travel otherwise or not at all
        *range(0x00FE, 0x0104),
        0x0106,
        0x0107,
        0x010A,
        0x0111,
        0x0115,
        0x0116,
        0x0117,
        0x0118,
        0x0119,
        0x011C,
        0x0120,
        0x0121,
        0x0122,
        0x0123,
        0x0124,
        0x0125,
        0x012D,
        0x013D,
        0x013E,
        0x013F,
        0x0140,
        0x0141,
        *range(0x0142, 0x0146),
        0x014A,
        0x0152,
        0x0153,
        0x0154,
        0x0155,
        0x0156,
        0x015B,
        0x0200,
        0x0201,
        0x0202,
        *range(0x0211, 0x0215),
        0x02BC,
        0x83BB,
        0x8649,
        0x8773,
        0x935C,
        0xC4A5,
        0xC7DE,
    }
)


CODINGS = (b"UNICODE\0", b"ASCII\0\0\0", b"JIS\0\0\0\0\0")  # how EXIF's UserComment begins


def exif_of(picture: Pil.Image, turned: bool) -> tuple[bytes, list[str]]:
    """EXIF data of an upright picture, without structure and thumbnail, and what is left out; GPS is still in them."""
    left: list[str] = []
    try:
        exif = picture.getexif()
        for tag in [tag for tag in exif if tag in STRUCTURE]:
            del exif[tag]
        if not exif:
            return b"", left
        if ORIENTATION in exif:
            exif[ORIENTATION] = 1
        for tags in (exif, *([exif.get_ifd(EXIF_FOLDER)] if EXIF_FOLDER in exif else [])):
            for tag, value in list(tags.items()):
                if _is_text(value) and _recalls(value):
                    del tags[tag]
                    if not str(value).startswith(OWN_RECORD):
                        left.append(RECALL)
        if turned and X_RESOLUTION in exif and Y_RESOLUTION in exif:
            exif[X_RESOLUTION], exif[Y_RESOLUTION] = exif[Y_RESOLUTION], exif[X_RESOLUTION]
        return packed(exif), list(dict.fromkeys(left))
    except Exception:
        return b"", ["EXIF data that are damaged"]


def _recalls(value: str | bytes | tuple[int, ...]) -> bool:
    data = value.encode("latin-1", "replace") if isinstance(value, str) else bytes(value)
    for coding in CODINGS:
        data = data.removeprefix(coding)
    return is_recall("", data.decode("utf-8", "replace"))


def _is_text(value: object) -> bool:
    """True also for bytes as numbers, as which Pillow gives some."""
    if isinstance(value, tuple):
        return len(value) > 8 and all(isinstance(one, int) and 0 <= one < 256 for one in value)
    return isinstance(value, (str, bytes))


def is_adobe_rgb(exif: bytes) -> bool:
    """True where EXIF data mean Adobe RGB: colour space 2, or uncalibrated with DCF's interoperability `R03`."""
    if not exif:
        return False
    space = _opened(exif).get_ifd(EXIF_FOLDER).get(COLOUR_SPACE)
    return space == 2 or (space == 0xFFFF and _interop(exif) == "R03")


def _interop(exif: bytes) -> str:
    try:
        return str(_opened(exif).get_ifd(INTEROP_FOLDER).get(1, "")).strip("\0 ")
    except Exception:
        return ""


def has_place(exif: bytes) -> bool:
    """True if EXIF data say where the picture was taken."""
    return bool(exif) and GPS_FOLDER in _opened(exif)


def exif_for(exif: bytes, size: tuple[int, int], gps: bool) -> Pil.Exif:
    """EXIF data for a picture of that width and height, to add to."""
    out = _opened(exif)
    if not gps and GPS_FOLDER in out:
        del out[GPS_FOLDER]
    folder = out.get_ifd(EXIF_FOLDER) if EXIF_FOLDER in out else {}
    for tag, side in ((WIDTH, size[0]), (HEIGHT, size[1])):
        if tag in folder:
            folder[tag] = side
    return out


def _opened(exif: bytes) -> Pil.Exif:
    out = Pil.Exif()
    if exif:
        out.load(exif)
    return out


def packed(exif: Pil.Exif) -> bytes:
    """EXIF data as bytes; texts keep theirs, and values have the types that the standard prescribes."""
    for tags in (exif, *([exif.get_ifd(EXIF_FOLDER)] if EXIF_FOLDER in exif else [])):
        for tag, value in list(tags.items()):
            if isinstance(value, str):
                tags[tag] = AsStored(value)
    exif.bigtiff = False  # EXIF data outside a TIFF have offsets of 32 bits
    data = with_types(exif.tobytes())
    _opened(data).get_ifd(EXIF_FOLDER)  # what cannot be read again must not travel
    return data

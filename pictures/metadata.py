"""What a picture's file says beside its pixels and colours: EXIF, resolution and texts, and what of it may travel.

Never published again: what another program wrote to recall its own work (prompts, graphs), our own record, thumbnails
(they show the old picture), and XMP and IPTC, which may repeat a place or a history. Each is named.
"""

import math
import re
from typing import Any

from PIL import Image as Pil

from .exif_types import AsStored, with_types

ORIENTATION, EXIF_FOLDER, GPS_FOLDER, MAKER_NOTE = 0x0112, 0x8769, 0x8825, 0x927C
COLOUR_SPACE, INTEROP_FOLDER, WIDTH, HEIGHT = 0xA001, 0xA005, 0xA002, 0xA003
X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT = 0x011A, 0x011B, 0x0128
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
RECALL_NAMES = frozenset(
    {
        "workflow",
        "prompt",
        "parameters",
        "inlay",
        "negative_prompt",
        "extras",
        "postprocessing",
        "generation_data",
        "dream",
        "sd-metadata",
        "fooocus_scheme",
        "invokeai_metadata",
        "invokeai_graph",
        "invokeai_workflow",
        "seed",
        "sampler",
        "sampler_name",
        "cfg_scale",
        "guidance_scale",
        "num_inference_steps",
    }
)
SETTINGS = re.compile(r"\bSteps: \d+\s*[,\n].*\b(Sampler|CFG scale|Seed): ", re.DOTALL)
GRAPH = re.compile(r"""^\s*(\w+\s*:\s*)?[\[{]\s*["'{\[]""")
CODINGS = (b"UNICODE\0", b"ASCII\0\0\0", b"JIS\0\0\0\0\0")  # how EXIF's UserComment begins
PLACE = re.compile(r"gps|latitude|longitude|geo[-_ ]?(tag|location|data)|^location$", re.IGNORECASE)
LONGEST_TEXT = 65_536  # characters
BLOCKS = {
    "xml:com.adobe.xmp": "XMP",
    "raw profile type xmp": "XMP",
    "raw profile type iptc": "IPTC",
    "raw profile type 8bim": "IPTC",
}
PLACE_KEPT = "where it was taken (gps=true keeps it)"
OWN_RECORD = '{"workflow":'
RECALL = "another program's record of its work (prompt, graph, settings)"


def is_recall(name: str, text: str) -> bool:
    """True for a text in which some program recalls how it made the picture: by its name, or as JSON or settings.

    Zeros do not count, so text in UTF-16 is known in either order of bytes; nor does a mark of that order before it.
    """
    text = text.replace("\0", "").lstrip("\ufeff\ufffd")
    known = name.strip().lower().replace(" ", "_") in RECALL_NAMES
    return known or bool(GRAPH.match(text) or SETTINGS.search(text))


def is_place(name: str) -> bool:
    """True for the name of a text that says where a picture was taken."""
    return bool(PLACE.search(name))


def texts_of(picture: Pil.Image) -> tuple[tuple[tuple[str, str], ...], list[str]]:
    """(name, text) of the texts that travel, and what is left out, in words; of a picture that is loaded."""
    found: dict[str, Any] = dict(getattr(picture, "text", None) or {}) if picture.format == "PNG" else {}
    if isinstance(comment := picture.info.get("comment"), (bytes, str)) and picture.format in ("JPEG", "MPO", "GIF"):
        found["Comment"] = comment.decode("utf-8", "replace") if isinstance(comment, bytes) else comment
    kept: list[tuple[str, str]] = []
    left: list[str] = list(picture.info.get("left", ()))
    for name, text in found.items():
        low = name.lower()
        if low in BLOCKS:
            left.append(BLOCKS[low])
        elif low.startswith("exif:"):  # repeats the place, the old orientation, and comments as lists of numbers
            left.append("ImageMagick's copy of its EXIF data")
        elif low.startswith("raw profile type") and low.split()[-1] not in ("exif", "icc", "icm"):
            left.append(f"the block {name[17:57]}")
        elif low == "inlay" or low.startswith("raw profile type"):
            continue  # our own record; EXIF and ICC in ImageMagick's older form, which Pillow reads itself
        elif is_recall(name, str(text)):
            left.append(f"{RECALL} ({name})")
        elif len(text) > LONGEST_TEXT:
            left.append(f"the text {name[:40]!r} of {len(text)} characters")
        elif text:
            kept.append((name, text))  # as Pillow has it: with the language of an iTXt chunk
    if picture.info.get("xmp"):
        left.append("XMP")
    if picture.info.get("photoshop"):
        left.append("IPTC")
    return tuple(kept), list(dict.fromkeys(left))


def dpi_of(picture: Pil.Image, turned: bool) -> tuple[float, float] | None:
    """Pixels an inch, across and down the upright picture; None where the file does not say."""
    given = picture.info.get("dpi")
    if (
        picture.format not in ("TIFF", "BMP")
        and picture.info.get("jfif_unit") not in (1, 2)
        and (picture.format in ("JPEG", "MPO") or given is None)
    ):  # Pillow's is 72 of a JPEG that says nothing
        given = _resolved(picture)
    if not isinstance(given, tuple) or len(given) != 2:
        return None
    try:
        across, down = (float(value) for value in given)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    if not all(math.isfinite(value) and 1 <= value <= 1e5 for value in (across, down)):
        return None
    return (down, across) if turned else (across, down)


def _resolved(picture: Pil.Image) -> tuple[float, float] | None:
    """What EXIF data say in pixels an inch; None where they do not, or give a ratio alone."""
    try:
        exif = picture.getexif()
        inches = {2: 1.0, 3: 2.54}[exif.get(RESOLUTION_UNIT, 2)]
        return float(exif[X_RESOLUTION]) * inches, float(exif[Y_RESOLUTION]) * inches
    except Exception:
        return None


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

"""Picture files: which formats are opened, how their modes become numbers, and how pictures are written.

8-bit samples become exactly `x / 255` in float32 and come back as `round(x · 255)`, so an untouched pixel keeps its
number from file to file. A picture's colour profile is not applied: the numbers are what is kept.
"""

import io
import json
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pil
from PIL import UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

from ..graph_runtime import BadInput
from ._folders import SIGNATURES, find_pictures, missing

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF")
MAX_PIXELS = 100_000_000  # of one picture: 1.2 GB as float32
MAX_BATCH_PIXELS = 400_000_000  # of a whole folder or glob
SIDE_LIMIT = {"jpeg": 65_500, "webp": 16_383}
ORIENTATION = 0x0112
DESCRIPTION = 0x010E
EXIF_FOLDER, USER_COMMENT = 0x8769, 0x9286
JPEG_EXIF_LIMIT = 65_500  # one segment holds 64 KiB
UPRIGHT = {
    2: Pil.Transpose.FLIP_LEFT_RIGHT, 3: Pil.Transpose.ROTATE_180, 4: Pil.Transpose.FLIP_TOP_BOTTOM,
    5: Pil.Transpose.TRANSPOSE, 6: Pil.Transpose.ROTATE_270, 7: Pil.Transpose.TRANSVERSE, 8: Pil.Transpose.ROTATE_90,
}
EIGHT_BIT = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"})

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Picture:
    """A decoded, upright picture.

    Attributes:
        path: the file it came from.
        mode: Pillow's mode of the file, e.g. `RGBA`.
        colour: 8-bit RGB, or None for 16-bit grey.
        wide: `[h w]` grey in [0, 1] of a 16-bit picture, or None.
        alpha: `[h w]` in [0, 1], 1 = opaque; None where the file has no transparency.
        profile: name of a colour profile other than sRGB, which is not applied; else empty.
        notes: what the reader should be told about this file.
    """

    path: Path
    mode: str
    colour: Pil.Image | None
    wide: Array | None
    alpha: Array | None
    profile: str = ""
    notes: tuple[str, ...] = ()

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels, upright."""
        if self.colour is not None:
            return self.colour.size
        assert self.wide is not None
        return self.wide.shape[1], self.wide.shape[0]

    def rgb(self) -> Array:
        """`[h w 3]` float32 in [0, 1]."""
        if self.wide is not None:
            return np.repeat(self.wide[..., None], 3, axis=-1)
        return unit(self.colour)

    def luminance(self) -> Array:
        """`[h w]` float32 in [0, 1]: ITU-R 601 of the colours (a palette is looked up first), or the grey itself."""
        if self.wide is not None:
            return self.wide.copy()
        assert self.colour is not None
        return unit(self.colour.convert("L"))


def unit(picture: Pil.Image | None) -> Array:
    """8-bit samples as float32 `x / 255`."""
    return np.asarray(picture, dtype=np.uint8).astype(np.float32) / np.float32(255)


def read_pictures(path: str) -> list[Picture]:
    """Decode what `path` means; all pictures have one size.

    Raises:
        BadInput: missing, not a picture, truncated, empty, over 100 megapixels, a refused mode, or sizes differ.
    """
    files = find_pictures(path)
    total = 0
    for file in files:  # headers first: nothing is decoded before all of them are known to fit
        with _open(file) as header:
            total += header.width * header.height
    if total > MAX_BATCH_PIXELS:
        raise BadInput("path", found=f"{len(files)} pictures of {total / 1e6:.0f} megapixels together",
                       expected=f"at most {MAX_BATCH_PIXELS / 1e6:.0f} megapixels at once",
                       fix="run over fewer pictures at a time, or scale them down")
    pictures: list[Picture] = []
    for file in files:
        pictures.append(read_picture(file))
        if pictures[-1].size != pictures[0].size:
            raise _sizes_differ(files)
    return pictures


def read_picture(path: Path) -> Picture:
    """Decode one file, turned upright by its EXIF orientation. Animated files give their first frame and a note.

    Raises:
        BadInput: see `read_pictures`.
    """
    with _open(path) as picture, _decoding(path):
        notes = _notes(picture)
        picture.load()
        profile = _foreign_profile(picture.info.get("icc_profile"))
        return replace(_convert(path, _upright(picture, notes), notes), profile=profile)


def picture_size(path: Path) -> tuple[int, int]:
    """Width and height of an upright picture, from its header alone; raises BadInput where there is no picture."""
    with _open(path) as picture, _decoding(path):
        if picture.format == "TIFF" and (_orientation(picture) or 1) >= 5:
            picture.load()  # Pillow turns these itself, some releases already in the header's size
            return picture.size
        width, height = picture.size
        if picture.format == "PNG" and "exif" not in picture.info and _says_late(path):
            picture.load()  # what may turn it stands after its pixels
        return (height, width) if (_orientation(picture, decode=False) or 1) >= 5 else (width, height)


@contextmanager
def _decoding(path: Path) -> Iterator[None]:
    """Around a decoder: whatever it trips over is a statement about the file."""
    try:
        yield
    except (MemoryError, BadInput):
        raise
    except Exception as error:
        raise BadInput("path", found=f"{path.name!r}, which breaks off or is damaged ({error})",
                       expected="a complete picture file", fix="copy or download the file again") from error


def _says_late(path: Path) -> bool:
    """True if a PNG has EXIF data or text behind its pixels; its chunks are stepped over."""
    pixels = False
    with path.open("rb") as file:
        file.seek(8)
        while len(head := file.read(8)) == 8:
            if pixels and head[4:] in (b"eXIf", b"tEXt", b"zTXt", b"iTXt"):
                return True
            pixels = pixels or head[4:] == b"IDAT"
            file.seek(int.from_bytes(head[:4], "big") + 4, 1)
    return False


def _open(path: Path) -> Pil.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Pil.DecompressionBombWarning)  # the limit below is ours, and an error
            picture = Pil.open(path, formats=FORMATS)
    except Pil.DecompressionBombError as error:
        count = re.search(r"(\d+) pixels", str(error))
        size = f"of {int(count[1]) / 1e6:.0f} megapixels" if count else f"({error})"
        raise BadInput("path", found=f"{path.name!r} {size}", expected=f"at most {MAX_PIXELS / 1e6:.0f} megapixels",
                       fix="scale the picture down first") from error
    except FileNotFoundError:
        raise missing(path) from None
    except UnidentifiedImageError as error:
        raise _unidentified(path) from error
    except MemoryError:
        raise
    except Exception as error:
        raise BadInput("path", found=f"{path.name!r}, which cannot be opened ({error})", expected="a readable picture",
                       fix="check the file and its permissions") from error
    width, height = picture.size
    if width * height > MAX_PIXELS:
        picture.close()
        raise BadInput("path", found=f"{path.name!r} of {width}×{height}, {width * height / 1e6:.0f} megapixels",
                       expected=f"at most {MAX_PIXELS / 1e6:.0f} megapixels", fix="scale the picture down first")
    if width < 1 or height < 1:
        picture.close()
        raise _unidentified(path)
    return picture


def _notes(picture: Pil.Image) -> list[str]:
    notes = []
    frames = getattr(picture, "n_frames", 1)
    if frames > 1 and picture.format != "MPO":  # an MPO photo's further frames are its own previews
        notes.append(f"animated or many-paged: only the first of {frames} frames is used")
    if picture.mode in ("RGB", "RGBA", "LA") and any(";16" in str(tile[-1]) for tile in getattr(picture, "tile", ())):
        notes.append("16-bit colour: read at 8 bits a channel")
    return notes


def _foreign_profile(profile: bytes | None) -> str:
    if not profile:
        return ""
    try:
        from PIL import ImageCms
        name = ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(profile))).strip()
    except Exception:  # a damaged profile changes nothing, since profiles are not applied
        return "unreadable"
    return "" if "srgb" in name.lower().replace(" ", "") else name or "unnamed"


def _upright(picture: Pil.Image, notes: list[str]) -> Pil.Image:
    orientation = _orientation(picture)
    if orientation is None:
        notes.append("its EXIF data are damaged: taken as upright")
    turn = UPRIGHT.get(orientation or 1)
    return picture if turn is None else picture.transpose(turn)


def _orientation(picture: Pil.Image, decode: bool = True) -> int | None:
    """The EXIF orientation, 1 where there is none, or None where the EXIF data are damaged.

    Pillow decodes a PNG without EXIF data to look behind its pixels; `decode=False` does not.
    """
    try:
        exif = picture.getexif() if decode or picture.format != "PNG" else Pil.Image.getexif(picture)
        orientation = exif.get(ORIENTATION, 1)
    except Exception:
        return None
    return orientation if isinstance(orientation, int) else 1


def _convert(path: Path, picture: Pil.Image, notes: list[str]) -> Picture:
    mode, key = picture.mode, picture.info.get("transparency")
    if mode.startswith("I"):
        raw = np.asarray(picture).astype(np.int64)
        if raw.min() < 0 or raw.max() > 65_535:
            raise _refused(path, f"32-bit integers from {raw.min()} to {raw.max()}")
        alpha = (raw != key).astype(np.float32) if isinstance(key, int) else None
        wide = raw.astype(np.float32) / np.float32(65_535)
        return Picture(path, mode, None, wide, alpha, notes=tuple(notes))
    if mode not in EIGHT_BIT:
        raise _refused(path, f"Pillow mode {mode!r}")
    if mode in ("LA", "PA", "RGBA") or (key is not None and mode in ("1", "L", "P", "RGB")):
        picture = picture.convert("RGBA")
        return Picture(path, mode, picture.convert("RGB"), None, unit(picture.getchannel("A")), notes=tuple(notes))
    if mode == "1":
        picture = picture.convert("L")
    return Picture(path, mode, picture.convert("RGB"), None, None, notes=tuple(notes))


def _refused(path: Path, what: str) -> BadInput:
    return BadInput("path", found=f"{path.name!r} with {what}", fix="save it as an 8-bit or 16-bit PNG",
                    expected="8-bit samples (modes 1, L, LA, P, RGB, RGBA, CMYK) or 16-bit grey, whose range is known")


def _unidentified(path: Path) -> BadInput:
    with path.open("rb") as file:
        head = file.read(64)
    what = next((name for mark, name in SIGNATURES.items() if mark in head[:32]), "")
    zero = head[:8] == b"\x89PNG\r\n\x1a\n" and b"\0\0\0\0" in (head[16:20], head[20:24])
    zero = zero or (head[:3] == b"GIF" and b"\0\0" in (head[6:8], head[8:10]))
    zero = zero or (head[:2] == b"BM" and b"\0\0\0\0" in (head[18:22], head[22:26]))
    if not head:
        found = f"{path.name!r}, an empty file"
    elif zero:
        found = f"{path.name!r}, a picture of 0 pixels"
    else:
        found = f"{path.name!r}, {what or f'not a picture: it begins with {head[:12]!r}'}"
    return BadInput("path", found=found, expected="a PNG, JPEG, WebP, BMP, TIFF or GIF picture",
                    fix="convert it to PNG" if what else "name a picture file")


def _sizes_differ(files: list[Path]) -> BadInput:
    sizes: dict[tuple[int, int], list[str]] = {}
    for file in files:
        sizes.setdefault(picture_size(file), []).append(file.name)
    listed = "; ".join(f"{w}×{h}: {', '.join(names[:3])}{f' and {len(names) - 3} more' if len(names) > 3 else ''}"
                       for (w, h), names in list(sizes.items())[:8])
    more = f"; and {len(sizes) - 8} more sizes" if len(sizes) > 8 else ""
    return BadInput("path", found=f"pictures of {len(sizes)} sizes ({listed}{more})",
                    expected="one size, since a batch is one tensor",
                    fix="bring them to one size, or run the workflow once for each picture")


def write_picture(pixels: NDArray[np.uint8], path: Path, kind: str, metadata: dict[str, str]) -> list[str]:
    """Write `[h w 3]` 8-bit RGB as png, jpeg or webp (lossless); the same input gives the same bytes.

    Metadata become PNG text chunks of the same names. In JPEG and WebP, `inlay` (the workflow) becomes EXIF
    ImageDescription and all others one JSON object in EXIF UserComment.

    Returns:
        Notes for the user, e.g. that metadata did not fit.
    """
    picture = Pil.fromarray(pixels)
    if kind == "png":
        chunks = PngInfo()
        for name, text in metadata.items():
            chunks.add_text(name, text)  # Latin-1 as tEXt, anything else as iTXt
        picture.save(path, format="PNG", pnginfo=chunks)
        return []
    exif, notes = _exif(metadata), []
    if kind == "jpeg" and len(exif) > JPEG_EXIF_LIMIT:
        notes.append("the workflow is too long for JPEG's metadata and was left out: save as PNG to keep it")
        exif = b""
    if kind == "jpeg":
        picture.save(path, format="JPEG", quality=95, subsampling=0, exif=exif)
    else:
        picture.save(path, format="WEBP", lossless=True, exact=True, quality=80, method=4, exif=exif)
    return notes


def _exif(metadata: dict[str, str]) -> bytes:
    if not metadata:
        return b""
    exif, others = Pil.Exif(), {name: text for name, text in metadata.items() if name != "inlay"}
    if "inlay" in metadata:
        exif[DESCRIPTION] = metadata["inlay"]
    if others:
        exif.get_ifd(EXIF_FOLDER)[USER_COMMENT] = b"ASCII\0\0\0" + json.dumps(others).encode("ascii")
    return exif.tobytes()

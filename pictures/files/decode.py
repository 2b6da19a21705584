"""Samples of every Pillow mode, turned upright by the EXIF orientation.

8 and 16 bits, grey, colour and palette, transparency, and what must be converted.
"""

import io
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pil
from PIL import ImageFile

from ...graph_runtime import BadInput
from ..arrays import Samples, strips
from ..colour.littlecms import transform, why_unusable
from ..containers.bmp import MOST_CODE, decode_runs
from ..containers.jpeg import require_few_scans
from .opening import OpenPicture
from .orientation import ORIENTATION, orientation_of

EIGHT_BIT = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB"})
NATIVE = "L" if sys.byteorder == "little" else "B"
BITS, PHOTOMETRIC, PLANES = 0x0102, 0x0106, 0x011C  # tags of a TIFF
WHOLE = ("WEBP", "AVIF", "HEIF")  # formats whose decoders hold the whole picture


@dataclass(frozen=True)
class Decoded:
    """An upright picture's samples.

    Attributes:
        mode: Pillow's mode of the file.
        model: colour model of the samples: `RGB` or `GRAY`; empty: they were converted to sRGB.
        bits: per sample of the file.
        colour8: 8 bits, in any mode that `rgb_of` takes, or None at 16 bits.
        colour16: `[h w]` grey or `[h w 3]` at 16 bits, or None.
        alpha: `[h w]`, the highest number is opaque; None without transparency.
    """

    mode: str
    model: str
    bits: int
    colour8: Pil.Image | None
    colour16: NDArray[np.uint16] | None
    alpha: Samples | None


def rows_of(picture: Pil.Image, rows: slice) -> Pil.Image:
    """Some rows of a picture."""
    return picture.crop((0, rows.start, picture.width, rows.stop))


def rgb_of(picture: Pil.Image) -> Pil.Image:
    """An 8-bit picture of any mode as RGB; transparency is dropped, not composited."""
    if _may_be_transparent(picture):
        picture = picture.convert("RGBA")
    elif picture.mode == "1":
        picture = picture.convert("L")
    return picture if picture.mode == "RGB" else picture.convert("RGB")


def _may_be_transparent(picture: Pil.Image) -> bool:
    mode, key = picture.mode, picture.info.get("transparency")
    return mode in ("LA", "PA", "RGBA") or (key is not None and mode in ("1", "L", "P", "RGB"))


def decode(opened: OpenPicture, notes: list[str]) -> tuple[Decoded, bool]:
    """Samples of the upright picture, and True if width and height were swapped.

    Args:
        opened: the file; it is loaded afterwards.
        notes: collects messages for the user.

    Raises:
        BadInput: a mode whose range is not known, or a JPEG of far too many scans.
        Exception: any error of Pillow for a damaged file.
    """
    path, picture = opened.path, opened.image
    refuse_planes(path, picture)
    if picture.format in ("JPEG", "MPO"):
        require_few_scans(opened.container, path.name)
    _decode_runs(picture)
    raw_modes = _raw_modes16(picture)
    turned = _tiff_tag(picture, ORIENTATION, 1) >= 5  # Pillow rotates a TIFF while loading it
    if raw_modes is None:
        deep = any(";16" in _raw_mode(tile[3]) for tile in picture.tile)
        if deep and not picture.mode.startswith("I"):
            notes.append("16-bit colour of a kind that is read at 8 bits a channel")
        picture.load()
        orientation = _orientation(picture, notes)
        found = _decode8(path, _upright(picture, orientation), notes)
    else:
        colour, alpha = _samples16(opened, raw_modes)
        key = picture.info.get("transparency")
        orientation = _orientation(picture, notes)
        colour = _upright16(colour, orientation)
        alpha = None if alpha is None else _upright16(alpha, orientation)
        if isinstance(key, tuple) and alpha is None:
            alpha = _opaque_but(colour, key)
        grey = raw_modes[0] == "LA"
        found = Decoded(*(("LA", "GRAY") if grey else (picture.mode, "RGB")), 16, None, colour, alpha)
    return found, turned or orientation >= 5


def _decode_runs(picture: ImageFile.ImageFile) -> None:
    """Hand Pillow the decoded pixels of a BMP in run-length code."""
    if [tile[0] for tile in picture.tile] != ["bmp_rle"]:
        return
    (tile,) = picture.tile
    assert picture.fp is not None
    picture.fp.seek(tile.offset)
    assert isinstance(tile.args, tuple)
    _, four_bits, direction = tile.args
    data = decode_runs(picture.fp.read(MOST_CODE), tile.offset, *picture.size, four_bits=four_bits)
    raw_mode = "L" if picture.mode in ("1", "L") else "P"
    picture.fp = io.BytesIO(data)
    picture.tile = [tile._replace(codec_name="raw", offset=0, args=(raw_mode, 0, direction))]


def _tiff_tag(picture: Pil.Image, tag: int, default: int) -> int:
    """The value of a TIFF's tag, the highest if there are several."""
    found = getattr(picture, "tag_v2", {}).get(tag, default)
    return int(max(found) if isinstance(found, tuple) else found)


def _is_planar16(picture: Pil.Image) -> bool:
    return _tiff_tag(picture, PLANES, 1) == 2 and _tiff_tag(picture, BITS, 8) > 8


def refuse_planes(path: Path, picture: ImageFile.ImageFile) -> None:
    """Raise BadInput for an uncompressed TIFF of 16-bit planes: Pillow treats each byte as a sample."""
    if _is_planar16(picture) and any(tile[0] == "raw" for tile in picture.tile):
        raise refused(path, "16-bit colours in separate planes (a planar TIFF)")


# Upright by the EXIF orientation. ImageOps.exif_transpose also packs the EXIF data again, which fails on damaged ones,
# and takes no arrays.
TRANSPOSE = {
    2: Pil.Transpose.FLIP_LEFT_RIGHT,
    3: Pil.Transpose.ROTATE_180,
    4: Pil.Transpose.FLIP_TOP_BOTTOM,
    5: Pil.Transpose.TRANSPOSE,
    6: Pil.Transpose.ROTATE_270,
    7: Pil.Transpose.TRANSVERSE,
    8: Pil.Transpose.ROTATE_90,
}


def _upright(picture: Pil.Image, orientation: int) -> Pil.Image:
    method = TRANSPOSE.get(orientation)
    return picture if method is None else picture.transpose(method)


def _upright16(samples: NDArray[np.uint16], orientation: int) -> NDArray[np.uint16]:
    """The same for an array `[h w]` or `[h w c]`."""
    if orientation in (5, 6, 7, 8):
        samples = samples.swapaxes(0, 1)
    rows = -1 if orientation in (3, 4, 7, 8) else 1
    columns = -1 if orientation in (2, 3, 6, 7) else 1
    return np.ascontiguousarray(samples[::rows, ::columns])


def _orientation(picture: Pil.Image, notes: list[str]) -> int:
    orientation = orientation_of(picture)
    if orientation is None:
        notes.append("its EXIF data are damaged: it is read as upright")
    return orientation or 1


# 16-bit colour: Pillow's decoders return the high bytes, or the low ones for the other byte order.


def _raw_modes16(picture: ImageFile.ImageFile) -> tuple[str, str] | None:
    """Raw modes for the high and the low bytes of 16-bit colour; None for other pictures and unknown kinds."""
    if _is_planar16(picture):
        return None
    modes = {_raw_mode(tile[3]) for tile in picture.tile}
    if picture.mode not in ("RGB", "RGBA") or len(modes) != 1:
        return None
    name, _, depth = modes.pop().partition(";16")
    order = {"N": NATIVE, "B": "B", "L": "L"}.get(depth)
    if order is None or name not in ("RGB", "RGBA", "RGBa", "LA"):
        return None
    if name == "LA":
        return "LA", order
    name = name.upper()
    return f"{name};16{order}", f"{name};16{'L' if order == 'B' else 'B'}"


def _raw_mode(args: object) -> str:
    return str(args[0] if isinstance(args, tuple) and args else args)


def _load(picture: ImageFile.ImageFile, raw_mode: str) -> None:
    """Load the picture in another raw mode."""
    picture.tile = [
        tile._replace(args=(raw_mode, *tile.args[1:]) if isinstance(tile.args, tuple) else raw_mode)
        for tile in picture.tile
    ]
    picture.load()


def _samples16(opened: OpenPicture, raw_modes: tuple[str, str]) -> tuple[NDArray[np.uint16], NDArray[np.uint16] | None]:
    """Colour, `[h w]` grey or `[h w 3]` (unmultiplied), and alpha `[h w]`, if there is one."""
    picture = opened.image
    size = picture.height, picture.width
    premultiplied = "RGBa" in {_raw_mode(tile[3])[:4] for tile in picture.tile}
    if raw_modes[0] == "LA":  # four bytes a pixel, as stored
        _load(picture, "RGBA")
        colour, alpha = np.empty(size, np.uint16), np.empty(size, np.uint16)
        for rows in strips(*size):
            raw = np.asarray(rows_of(picture, rows)).astype(np.uint16)
            colour[rows] = raw[..., 0] << 8 | raw[..., 1]
            alpha[rows] = raw[..., 2] << 8 | raw[..., 3]
        return colour, alpha
    _load(picture, raw_modes[0])
    with opened.again() as second:
        _load(second, raw_modes[1])
        colour, has_alpha = np.empty((*size, 3), np.uint16), picture.mode == "RGBA"
        alpha = np.empty(size if has_alpha else 0, np.uint16)
        for rows in strips(*size):
            part = np.left_shift(np.asarray(rows_of(picture, rows)), 8, dtype=np.uint16)
            part |= np.asarray(rows_of(second, rows))
            if premultiplied:
                opacity = part[..., 3:].astype(np.float64)
                part[..., :3] = np.clip(np.round(part[..., :3] * (65_535 / np.maximum(opacity, 1))), 0, 65_535)
            colour[rows] = part[..., :3]
            if has_alpha:
                alpha[rows] = part[..., 3]
        second.close()
    return colour, alpha if has_alpha else None


def _opaque_but(colour: NDArray[np.uint16], key: object) -> NDArray[np.uint16]:
    """Alpha at 16 bits: transparent where the colour, `[h w]` or `[h w 3]`, is the key."""
    alpha = np.full(colour.shape[:2], 65_535, np.uint16)
    for rows in strips(*colour.shape[:2]):
        same = colour[rows] == np.array(key)
        alpha[rows][same if same.ndim == 2 else same.all(-1)] = 0
    return alpha


# everything else


def _decode8(path: Path, picture: Pil.Image, notes: list[str]) -> Decoded:
    mode, key = picture.mode, picture.info.get("transparency")
    if mode.startswith("I"):
        raw = np.asarray(picture)
        if raw.min() < 0 or raw.max() > 65_535:
            raise refused(path, f"32-bit integers from {raw.min()} to {raw.max()}")
        grey = raw.astype(np.uint16)
        if _tiff_tag(picture, PHOTOMETRIC, 1) == 0:  # white is zero; Pillow ignores it
            grey = np.subtract(65_535, grey, dtype=np.uint16)
        return Decoded(mode, "GRAY", 16, None, grey, _opaque_but(grey, key) if isinstance(key, int) else None)
    if mode not in EIGHT_BIT:
        raise refused(path, f"Pillow mode {mode!r}")
    if mode in ("CMYK", "LAB"):
        return Decoded(mode, "", 8, _converted(picture, notes), None, None)
    alpha = None
    if _may_be_transparent(picture):
        alpha = np.empty((picture.height, picture.width), np.uint8)
        for rows in strips(picture.height, picture.width):
            alpha[rows] = np.asarray(rows_of(picture, rows).convert("RGBA").getchannel("A"))
    if picture.format in WHOLE:  # what decoded it keeps as much memory again
        picture = picture.copy()
    return Decoded(mode, "GRAY" if mode in ("1", "L", "LA") else "RGB", 8, picture, None, alpha)


def _converted(picture: Pil.Image, notes: list[str]) -> Pil.Image:
    """CMYK and Lab as sRGB."""
    from PIL import ImageCms

    if picture.mode == "LAB":
        notes.append("Lab colours: converted to sRGB")
        lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
        return transform(lab.tobytes(), True, "LAB").apply(picture)
    icc = picture.info.get("icc_profile") or b""
    problem = why_unusable(icc, "CMYK") if icc else ""
    if problem or not icc:
        reason = f"its profile {problem}" if icc else "it has no profile"
        notes.append(f"CMYK colours: converted to RGB without a profile: {reason}")
        return picture.convert("RGB")
    notes.append("CMYK colours: converted to sRGB by its own profile")
    return transform(icc, True, "CMYK").apply(picture)


def refused(path: Path, samples: str) -> BadInput:
    """The error about samples whose range is not known."""
    return BadInput(
        "path",
        found=f"{path.name!r} with {samples}",
        fix="save it as an 8-bit or 16-bit PNG",
        expected="8-bit or 16-bit samples (grey, RGB, alpha, palette, CMYK, Lab), whose range is known",
    )

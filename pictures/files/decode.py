"""Samples of every Pillow mode, turned upright by the EXIF orientation.

8 and 16 bits, grey, colour and palette, transparency, and what must be converted.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pil
from PIL import ImageFile

from ...graph_runtime import BadInput
from ..arrays import Samples
from ..colour.littlecms import transform, why_unusable

EIGHT_BIT = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB"})
NATIVE = "L" if sys.byteorder == "little" else "B"
BITS, PHOTOMETRIC, ORIENTATION, PLANES = 0x0102, 0x0106, 0x0112, 0x011C  # tags of a TIFF


@dataclass(frozen=True)
class Decoded:
    """An upright picture's samples.

    Attributes:
        mode: Pillow's mode of the file.
        model: colour model of the samples: `RGB` or `GRAY`; empty: they were converted to sRGB.
        bits: per sample of the file.
        colour8: 8-bit RGB, or None at 16 bits.
        colour16: `[h w]` grey or `[h w 3]` at 16 bits, or None.
        alpha: `[h w]`, the highest number is opaque; None without transparency.
    """

    mode: str
    model: str
    bits: int
    colour8: Pil.Image | None
    colour16: NDArray[np.uint16] | None
    alpha: Samples | None


def decode(
    path: Path, picture: ImageFile.ImageFile, again: Callable[[], ImageFile.ImageFile], notes: list[str]
) -> tuple[Decoded, bool]:
    """Samples of the upright picture, and True if width and height were swapped.

    Args:
        path: the file, for messages.
        picture: opened, not loaded; it is loaded afterwards.
        again: opens it again.
        notes: collects messages for the user.

    Raises:
        BadInput: a mode whose range is not known.
        Exception: any error of Pillow for a damaged file.
    """
    refuse_planes(path, picture)
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
        samples = _samples16(picture, again, raw_modes)
        key = picture.info.get("transparency")
        orientation = _orientation(picture, notes)
        found = _split16(picture.mode, raw_modes, _upright16(samples, orientation), key)
    return found, turned or orientation >= 5


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
    """The same for an array `[h w c]`."""
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


def orientation_of(picture: Pil.Image, decode: bool = True) -> int | None:
    """The EXIF orientation, 1 if there is none, or None if the EXIF data are damaged.

    For a PNG, Pillow decodes the pixels to find EXIF data after them; `decode=False` does not.
    """
    try:
        exif = picture.getexif() if decode or picture.format != "PNG" else Pil.Image.getexif(picture)
        orientation = exif.get(ORIENTATION, 1)
    except Exception:  # noqa: BLE001 - damaged data may fail in any way
        return None
    return orientation if isinstance(orientation, int) else 1


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


def _read(picture: ImageFile.ImageFile, raw_mode: str) -> NDArray[np.uint8]:
    """Load the picture in another raw mode."""
    picture.tile = [
        tile._replace(args=(raw_mode, *tile.args[1:]) if isinstance(tile.args, tuple) else raw_mode)
        for tile in picture.tile
    ]
    picture.load()
    return np.asarray(picture)


def _samples16(
    picture: ImageFile.ImageFile, again: Callable[[], ImageFile.ImageFile], raw_modes: tuple[str, str]
) -> NDArray[np.uint16]:
    """`[h w c]`: grey and alpha, RGB, or RGBA (unmultiplied)."""
    premultiplied = "RGBa" in {_raw_mode(tile[3])[:4] for tile in picture.tile}
    if raw_modes[0] == "LA":  # four bytes a pixel, as stored
        raw = _read(picture, "RGBA").astype(np.uint16)
        return np.stack([raw[..., 0] << 8 | raw[..., 1], raw[..., 2] << 8 | raw[..., 3]], -1)
    samples = _read(picture, raw_modes[0]).astype(np.uint16)
    samples <<= 8
    with again() as second:
        samples |= _read(second, raw_modes[1])
    if premultiplied:
        alpha = samples[..., 3:].astype(np.float64)
        colour = np.round(samples[..., :3] * (65_535 / np.maximum(alpha, 1)))
        samples[..., :3] = np.clip(colour, 0, 65_535).astype(np.uint16)
    return samples


def _split16(mode: str, raw_modes: tuple[str, str], samples: NDArray[np.uint16], key: object) -> Decoded:
    """Separate colour and alpha; `key` is the transparent colour, if the file names one."""
    if raw_modes[0] == "LA":
        return Decoded("LA", "GRAY", 16, None, samples[..., 0], samples[..., 1])
    colour = np.ascontiguousarray(samples[..., :3])
    alpha = samples[..., 3] if samples.shape[2] == 4 else None
    if isinstance(key, tuple) and alpha is None:
        alpha = np.where((colour == np.array(key)).all(-1), 0, 65_535).astype(np.uint16)
    return Decoded(mode, "RGB", 16, None, colour, alpha)


# everything else


def _decode8(path: Path, picture: Pil.Image, notes: list[str]) -> Decoded:
    mode, key = picture.mode, picture.info.get("transparency")
    if mode.startswith("I"):
        raw = np.asarray(picture).astype(np.int64)
        if raw.min() < 0 or raw.max() > 65_535:
            raise refused(path, f"32-bit integers from {raw.min()} to {raw.max()}")
        raw = 65_535 - raw if _tiff_tag(picture, PHOTOMETRIC, 1) == 0 else raw  # white is zero; Pillow ignores it
        alpha = np.where(raw == key, 0, 65_535).astype(np.uint16) if isinstance(key, int) else None
        return Decoded(mode, "GRAY", 16, None, raw.astype(np.uint16), alpha)
    if mode not in EIGHT_BIT:
        raise refused(path, f"Pillow mode {mode!r}")
    if mode in ("CMYK", "LAB"):
        return Decoded(mode, "", 8, _converted(picture, notes), None, None)
    model = "GRAY" if mode in ("1", "L", "LA") else "RGB"
    if mode in ("LA", "PA", "RGBA") or (key is not None and mode in ("1", "L", "P", "RGB")):
        picture = picture.convert("RGBA")
        return Decoded(mode, model, 8, picture.convert("RGB"), None, np.asarray(picture.getchannel("A")))
    if mode == "1":
        picture = picture.convert("L")
    return Decoded(mode, model, 8, picture.convert("RGB"), None, None)


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

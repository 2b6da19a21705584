"""A picture in memory as a file that image.load reads: quickly written, with every bit of its pixels."""

import struct
import sys
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from PIL import Image as Pil
from PIL.PngImagePlugin import PngInfo

from ...graph_runtime import BadInput
from ...graph_runtime.core.errors import first_line
from ..arrays import strips
from ..containers.container import require_size
from ..containers.png import EXACT, SIGNATURE, chunk
from ..files.exif import exif_of
from ..files.opening import require_room
from ..files.orientation import orientation_of
from ..files.png16 import COLOUR_TYPE
from ..files.resolution import dpi_of
from ..files.texts import texts_of
from .arrays import Numbers, Plane, array_of, batch_of, plane_of
from .untouched import own_file

AS_PNG = frozenset({"1", "L", "LA", "P", "RGB", "RGBA"})
NUMBERS = frozenset({"F", "I", "I;16", "I;16B", "I;16L", "I;16N"})  # written as arrays are
AS_TIFF = frozenset({"CMYK", "LAB"})  # image.load converts their colours, and says so
CONVERTED = {"PA": "RGBA", "RGBa": "RGBA", "La": "LA", "RGBX": "RGB", "YCbCr": "RGB", "HSV": "RGB"}
SIDEWAYS = (
    "its EXIF orientation is not applied, because Pillow's pixels are taken as they lie; to turn it upright, "
    "ImageOps.exif_transpose(image), or give the path of the file"
)


class Written(NamedTuple):
    """A picture that was written.

    Attributes:
        path: of the file; of a batch, the folder of its files; of Pillow's picture of an unchanged file, that file.
        notes: messages for the user.
        faint: its integers are all 0 or 1, where 255 or more is white: a mask of such numbers marks nothing.
    """

    path: Path
    notes: tuple[str, ...] = ()
    faint: bool = False


def write_value(value: object, folder: Path, stem: str) -> Written | None:
    """Write a picture of Pillow, an array or a tensor; None if it is none of them.

    Args:
        value: anything.
        folder: where to write; it exists.
        stem: the name of the file without suffix, or of the folder of a batch.

    Raises:
        BadInput: its shape, type or numbers are not those of a picture.
    """
    if isinstance(value, Pil.Image):
        return _write_pillow(value, folder, stem)
    array = _as_array(value)
    return None if array is None else _write_array(array, folder, stem)


def _as_array(value: object) -> Numbers | None:
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        return array_of(value) if value.ndim else None
    try:
        return np.asarray(value) if getattr(value, "ndim", 0) and hasattr(value, "__array__") else None
    except Exception:  # noqa: BLE001 - a caller's object may raise anything; whoever reads it next says so
        return None


def _write_array(array: Numbers, folder: Path, stem: str) -> Written:
    batch = batch_of(array)
    count, height, width = batch.shape[:3]
    require_size(stem, width, height)
    require_room(count, count * height * width)
    faint = batch.dtype.kind == "u" and int(batch.max()) == 1
    if count == 1:
        path = folder / f"{stem}.png"
        _write_plane(plane_of(batch[0]), path)
        return Written(path, faint=faint)
    several = folder / stem
    several.mkdir()
    for number, picture in enumerate(batch, start=1):
        _write_plane(plane_of(picture), several / f"{number:05}.png")
    return Written(several, faint=faint)


def _write_plane(plane: Plane, path: Path) -> None:
    """Write a PNG whose pixels are stored without compression."""
    samples, exact = plane
    height, width, channels = samples.shape
    header = struct.pack(">IIBBBBB", width, height, 8 * samples.itemsize, COLOUR_TYPE[channels], 0, 0, 0)
    with path.open("xb") as file:
        file.write(SIGNATURE + chunk(b"IHDR", header))
        if exact is not None:
            _write_large_chunk(file, EXACT, exact.astype("<f4", copy=False).data.cast("B"))
        for part in _stored(plane):
            file.write(chunk(b"IDAT", part))
        file.write(chunk(b"IEND", b""))


def _write_large_chunk(file: BinaryIO, name: bytes, data: memoryview) -> None:
    """What `chunk` gives, without a copy."""
    file.write(struct.pack(">I", len(data)) + name)
    file.write(data)
    file.write(struct.pack(">I", zlib.crc32(data, zlib.crc32(name))))


def _stored(plane: Plane) -> Iterator[bytes]:
    """The pixels in the form of deflate, but not compressed; each row behind filter 0."""
    samples = plane.samples
    height, width, channels = samples.shape
    deflate = zlib.compressobj(0)
    for rows in strips(height, width):
        some = samples[rows].astype(f">u{samples.itemsize}", copy=False).reshape(-1, width * channels)
        lines = np.zeros((len(some), 1 + width * channels * samples.itemsize), np.uint8)
        lines[:, 1:] = np.ascontiguousarray(some).view(np.uint8)
        if part := deflate.compress(lines.tobytes()):
            yield part
    yield deflate.flush()


def _write_pillow(picture: Pil.Image, folder: Path, stem: str) -> Written:
    if min(picture.size) < 1:
        raise BadInput(None, found="a Pillow picture of 0 pixels", expected="at least one", fix="check the crop")
    require_size(stem, *picture.size)
    try:
        picture.load()
        mode = picture.mode
        known = picture if mode in AS_PNG | AS_TIFF or mode in NUMBERS else picture.convert(CONVERTED.get(mode, "RGB"))
    except MemoryError:
        raise
    except Exception as error:  # Pillow's decoders raise any
        raise BadInput(
            None,
            found=f"a Pillow picture that cannot be read: {first_line(error)}",
            expected="a whole picture, whose file is still open or was loaded",
            fix="call its load() inside the with block, or give the path of the file",
        ) from error
    if mode in NUMBERS:
        return _write_numbers(picture, folder, stem)
    faint = mode == "L" and picture.getextrema()[1] == 1
    if (own := own_file(picture)) is not None:
        return Written(own, faint=faint)
    if mode in AS_TIFF:
        path = folder / f"{stem}.tiff"
        picture.save(path, format="TIFF", icc_profile=_profile(picture))
        return Written(path)
    path = folder / f"{stem}.png"
    notes = _save_png(known, path, picture)
    return Written(path, tuple(notes), faint)


def _write_numbers(picture: Pil.Image, folder: Path, stem: str) -> Written:
    """Pictures of one number a pixel: 16-bit grey of any byte order, 32-bit integers up to 65535, floats up to 1."""
    numbers = np.asarray(picture)
    if numbers.dtype.itemsize == 4 and numbers.dtype.kind == "i":
        low, high = int(numbers.min()), int(numbers.max())
        if low < 0 or high > 65_535:
            raise BadInput(
                None,
                found=f"a Pillow picture of mode I with numbers from {low} to {high}",
                expected="0 to 65535, which is white",
                fix="scale them, or convert it to another mode",
            )
        numbers = numbers.astype(np.uint16)
    return _write_array(numbers, folder, stem)


def _save_png(picture: Pil.Image, path: Path, source: Pil.Image) -> list[str]:
    """Save with the profile, EXIF data, resolution and texts that the source carries; returns notes."""
    carried = _carried(source)
    chunks = PngInfo()
    for name, data in _colour_chunks(source):
        chunks.add(name, data)
    for title, text in texts_of(source)[0]:
        chunks.add_text(title, text)
    options: dict[str, object] = {"pnginfo": chunks, "icc_profile": _profile(source)}
    sideways = (orientation_of(carried) or 1) > 1
    if dpi := dpi_of(carried, turned=False):
        options["dpi"] = dpi
    if exif := exif_of(carried, turned=False)[0]:
        options["exif"] = exif
    picture.save(path, format="PNG", compress_level=0, **options)
    return [SIDEWAYS] if sideways else []


def _carried(picture: Pil.Image) -> Pil.Image:
    """What a picture carries besides its pixels, as a picture of its own: filtering EXIF data changes them in place."""
    carried = Pil.new("1", (1, 1))
    carried.info, carried.format = dict(picture.info), picture.format
    if "exif" not in carried.info:
        with suppress(Exception):  # damaged data may fail in any way
            carried.info["exif"] = picture.getexif().tobytes()
    return carried


def _profile(picture: Pil.Image) -> bytes | None:
    icc = picture.info.get("icc_profile")
    return icc if isinstance(icc, bytes) and icc else None


def _colour_chunks(picture: Pil.Image) -> Iterator[tuple[bytes, bytes]]:
    """The chunks by which a PNG declared its colours, from what Pillow kept of them."""
    info = picture.info
    if isinstance(gamma := info.get("gamma"), float) and 0 < gamma < 1000:
        yield b"gAMA", struct.pack(">I", round(gamma * 100_000))
    corners = info.get("chromaticity")
    if isinstance(corners, tuple) and len(corners) == 8 and all(0 <= one < 1000 for one in corners):
        yield b"cHRM", struct.pack(">8I", *(round(one * 100_000) for one in corners))
    if isinstance(intent := info.get("srgb"), int) and 0 <= intent < 4:
        yield b"sRGB", bytes([intent])

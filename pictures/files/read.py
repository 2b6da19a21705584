"""Decoding picture files.

8-bit samples become exactly `x / 255` in float32, 16-bit ones `x / 65535`, and are saved as the same integers, so an
untouched pixel keeps its value from file to file. A picture's colour profile is kept, not applied.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image as Pil
from PIL import ImageFile

from ..arrays import Float32Array
from ..colour.space import values_to_srgb
from .decode import decode
from .folders import find_pictures
from .info import FileInfo, file_info
from .opening import decoding, open_picture, open_without_damage, picture_size, require_room, sizes_differ
from .png import has_wrong_checksum

LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R 601


@dataclass(frozen=True)
class Picture:
    """A decoded, upright picture.

    Attributes:
        path: the file it came from.
        mode: Pillow's mode of the file, e.g. `RGBA`.
        colour8: 8-bit RGB, or None at 16 bits.
        colour16: `[h w]` or `[h w 3]` in [0, 1] of a 16-bit picture, or None.
        alpha: `[h w]` in [0, 1], 1 = opaque; None if the file has no transparency.
        info: the file's information besides its pixels.
        notes: messages for the user about this file.
        colour_notes: messages about colours that cannot be used; irrelevant for a mask.
    """

    path: Path
    mode: str
    colour8: Pil.Image | None
    colour16: Float32Array | None
    alpha: Float32Array | None
    info: FileInfo = field(default_factory=FileInfo)
    notes: tuple[str, ...] = ()
    colour_notes: tuple[str, ...] = ()

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels, upright."""
        if self.colour8 is not None:
            return self.colour8.size
        assert self.colour16 is not None
        return self.colour16.shape[1], self.colour16.shape[0]

    def rgb(self) -> Float32Array:
        """`[h w 3]` float32 in [0, 1], as stored."""
        if self.colour16 is not None:
            return np.repeat(self.colour16[..., None], 3, axis=-1) if self.colour16.ndim == 2 else self.colour16
        return unit(self.colour8)

    def srgb(self) -> Float32Array:
        """`[h w 3]` float32 in [0, 1] as a model sees it: sRGB."""
        return values_to_srgb(self.rgb(), self.info.colour)

    def luminance(self) -> Float32Array:
        """`[h w]` float32 in [0, 1]: ITU-R 601 of the colours (a palette is looked up first), or the grey itself."""
        if self.colour16 is not None:
            return self.colour16.copy() if self.colour16.ndim == 2 else self.colour16 @ LUMA
        assert self.colour8 is not None
        return unit(self.colour8.convert("L"))


def unit(picture: Pil.Image | None) -> Float32Array:
    """8-bit samples as float32 `x / 255`."""
    return np.asarray(picture, dtype=np.uint8).astype(np.float32) / np.float32(255)


def read_pictures(path: str) -> list[Picture]:
    """Decode the pictures of `path`; all have one size.

    Raises:
        BadInput: missing, not a picture, truncated, empty, over 100 megapixels, a refused mode, or sizes differ.
    """
    files = find_pictures(path)
    total = 0
    for file in files:  # nothing is decoded until all are known to fit
        with open_picture(file) as header:
            total += header.width * header.height
    require_room(len(files), total)
    pictures: list[Picture] = []
    for file in files:
        pictures.append(read_picture(file))
        if pictures[-1].size != pictures[0].size:
            raise sizes_differ((file.name, picture_size(file)) for file in files)
    return pictures


def read_picture(path: Path) -> Picture:
    """Decode one file, rotated upright by its EXIF orientation. Of animated files only the first frame is read, with
    a note.

    Raises:
        BadInput: see `read_pictures`.
    """
    with decoding(path):
        try:
            return _read(path, lambda: open_picture(path))
        except (OSError, SyntaxError):
            if not has_wrong_checksum(path):
                raise
            return _read(path, lambda: open_without_damage(path))


def _read(path: Path, opened: Callable[[], ImageFile.ImageFile]) -> Picture:
    with opened() as picture:
        notes = _notes(picture)
        found, turned = decode(path, picture, opened, notes)
        info, colour_notes = file_info(
            path, picture, mode=found.mode, model=found.model, bits=found.bits, alpha=found.alpha, turned=turned
        )
    colour16 = None if found.colour16 is None else found.colour16.astype(np.float32) / np.float32(65_535)
    alpha = None if info.alpha is None else info.alpha.unit()
    return Picture(path, found.mode, found.colour8, colour16, alpha, info, tuple(notes), tuple(colour_notes))


def _notes(picture: ImageFile.ImageFile) -> list[str]:
    notes = []
    frames = getattr(picture, "n_frames", 1)
    if frames > 1 and picture.format != "MPO":  # the other frames of an MPO photo are its own previews
        notes.append(f"animated or many-paged: only the first of {frames} frames is used")
    if picture.info.get("wrong_checksum"):
        notes.append("its checksum is wrong: it is read anyway, but may be damaged")
    if picture.format == "HEIF" and picture.info.get("bit_depth", 8) > 8:
        notes.append(f"{picture.info['bit_depth']} bits a channel: read at 8")
    return notes

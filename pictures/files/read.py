"""Decoding picture files.

8-bit samples become exactly `x / 255` in float32, 16-bit ones `x / 65535`, and are saved as the same integers, so an
untouched pixel keeps its value from file to file. A picture's colour profile is kept, not applied.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pil

from ..arrays import STRIP, Float32Array, Samples, strips
from ..colour.space import values_to_srgb
from .decode import decode, rgb_of, rows_of
from .exact import exact_colours, in_eight_bits
from .folders import find_pictures
from .info import FileInfo, file_info
from .opening import OpenPicture, decoding, open_picture, picture_size, require_room, sizes_differ

LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R 601


@dataclass(frozen=True)
class Picture:
    """A decoded, upright picture; its numbers are as stored until they are asked for.

    Attributes:
        path: the file it came from.
        mode: Pillow's mode of the file, e.g. `RGBA`.
        colour8: 8 bits in one of Pillow's modes, or None at 16 bits.
        colour16: `[h w]` or `[h w 3]` of a 16-bit picture, or None.
        exact: the same as float32 in [0, 1], of which `colour16` is the nearest; None: it lies on the steps of 16 bits.
        info: the file's information besides its pixels.
        notes: messages for the user about this file.
        colour_notes: messages about colours that cannot be used; irrelevant for a mask.
    """

    path: Path
    mode: str
    colour8: Pil.Image | None
    colour16: NDArray[np.uint16] | None
    info: FileInfo = field(default_factory=FileInfo)
    notes: tuple[str, ...] = ()
    colour_notes: tuple[str, ...] = ()
    exact: Float32Array | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels, upright."""
        if self.colour8 is not None:
            return self.colour8.size
        assert self.colour16 is not None
        return self.colour16.shape[1], self.colour16.shape[0]

    @cached_property
    def alpha(self) -> Float32Array | None:
        """`[h w]` in [0, 1], 1 = opaque; None if the file has no transparency."""
        return None if self.info.alpha is None else self.info.alpha.unit()

    def rgb(self, out: Float32Array | None = None) -> Float32Array:
        """`[h w 3]` float32 in [0, 1], as stored; written to `out` if it is given."""
        width, height = self.size
        values = np.empty((height, width, 3), np.float32) if out is None else out
        for rows in strips(height, width):
            self._convert(rows, values[rows])
        return values

    def rows(self, rows: slice) -> Float32Array:
        """Some rows of `rgb`."""
        values = np.empty((len(range(*rows.indices(self.size[1]))), self.size[0], 3), np.float32)
        self._convert(rows, values)
        return values

    def srgb(self) -> Float32Array:
        """`[h w 3]` float32 in [0, 1] as a model sees it: sRGB."""
        return values_to_srgb(self.rgb(), self.info.colour)

    def luminance(self, out: Float32Array | None = None) -> Float32Array:
        """`[h w]` float32 in [0, 1]: ITU-R 601 of the colours (a palette is looked up first), or the grey itself.

        Written to `out` if it is given.
        """
        width, height = self.size
        values = np.empty((height, width), np.float32) if out is None else out
        for rows in strips(height, width):
            if self.exact is not None:
                values[rows] = self.exact[rows] if self.exact.ndim == 2 else self.exact[rows] @ LUMA
            elif self.colour8 is not None:
                unit(np.asarray(rgb_of(rows_of(self.colour8, rows)).convert("L")), values[rows])
            elif self.colour16 is not None and self.colour16.ndim == 2:
                unit(self.colour16[rows], values[rows])
            elif self.colour16 is not None:
                values[rows] = unit(self.colour16[rows]) @ LUMA
        return values

    def sampled(self, step: int) -> Float32Array:
        """Every `step`-th row and column of `rgb`."""
        width, height = self.size
        each = (
            [slice(row, row + 1) for row in range(0, height, step)] if width > STRIP // 256 else strips(height, width)
        )
        parts = []
        for rows in each:
            part = np.empty((rows.stop - rows.start, width, 3), np.float32)
            self._convert(rows, part)
            parts.append(part[-rows.start % step :: step, ::step].copy())  # a view would keep the whole strip
        return np.concatenate(parts)

    def _convert(self, rows: slice, out: Float32Array) -> None:
        """Write some rows of `rgb` to `out`."""
        if self.exact is not None:
            out[:] = self.exact[rows] if self.exact.ndim == 3 else self.exact[rows][..., None]
        elif self.colour16 is None:
            assert self.colour8 is not None
            unit(np.asarray(rgb_of(rows_of(self.colour8, rows))), out)
        elif self.colour16.ndim == 2:
            out[:] = unit(self.colour16[rows])[..., None]
        else:
            unit(self.colour16[rows], out)


def unit(samples: Samples, out: Float32Array | None = None) -> Float32Array:
    """Samples as float32: 8-bit ones `x / 255`, 16-bit ones `x / 65535`; written to `out` if it is given."""
    return np.divide(samples, np.float32(2 ** (8 * samples.itemsize) - 1), out=out, dtype=np.float32)


def read_pictures(path: str) -> list[Picture]:
    """Decode the pictures of `path`; all have one size.

    Raises:
        BadInput: missing, not a picture, truncated, empty, over 100 megapixels, a refused mode, or sizes differ.
    """
    return list(each_picture(picture_files(path)))


def picture_files(path: str) -> list[Path]:
    """The picture files of `path`, if all together are few enough to be read; nothing is decoded.

    Raises:
        BadInput: missing, not a picture, empty, over 100 megapixels, or too many together.
    """
    files = find_pictures(path)
    total = 0
    for file in files:
        with open_picture(file) as opened:
            total += opened.image.width * opened.image.height
    require_room(len(files), total)
    return files


def each_picture(files: Sequence[Path]) -> Iterator[Picture]:
    """Decode one file after the other; all have one size.

    Raises:
        BadInput: truncated, a refused mode, or sizes differ.
    """
    first: tuple[int, int] | None = None
    for file in files:
        picture = read_picture(file)
        first = first or picture.size
        if picture.size != first:
            raise sizes_differ((file.name, picture_size(file)) for file in files)
        yield picture


def read_picture(path: Path) -> Picture:
    """Decode one file, rotated upright by its EXIF orientation. Of animated files only the first frame is read, with
    a note.

    Raises:
        BadInput: see `read_pictures`.
    """
    with decoding(path), open_picture(path) as opened:
        notes = _notes(opened)
        found, turned = decode(opened, notes)
        info, colour_notes = file_info(
            opened, mode=found.mode, model=found.model, bits=found.bits, alpha=found.alpha, turned=turned
        )
        exact = exact_colours(opened.container, found.colour16, notes)
        if exact is not None and in_eight_bits(exact):
            info = replace(info, bits=8)
        return Picture(path, found.mode, found.colour8, found.colour16, info, tuple(notes), tuple(colour_notes), exact)


def _notes(opened: OpenPicture) -> list[str]:
    notes, picture, frames = [], opened.image, 1
    if picture.format != "MPO":  # the other frames of an MPO photo are its own previews
        frames = opened.frames
    if frames > 1:
        notes.append(f"animated or many-paged: only the first of {frames} frames is used")
    if opened.container.wrong_checksum:
        notes.append("its checksum is wrong: it is read anyway, but may be damaged")
    if picture.format == "HEIF" and picture.info.get("bit_depth", 8) > 8:
        notes.append(f"{picture.info['bit_depth']} bits a channel: read at 8")
    return notes

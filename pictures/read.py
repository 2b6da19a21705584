"""Picture files: which are opened, and a decoded picture with all that its file says.

8-bit samples become exactly `x / 255` in float32, 16-bit ones `x / 65535`, and come back the same, so an untouched
pixel keeps its number from file to file. A picture's colour profile travels beside its numbers and is not applied.
"""

import re
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pil
from PIL import UnidentifiedImageError

from ..graph_runtime import BadInput
from .colour import to_srgb
from .folders import TIFF, find_pictures, missing, signed
from .formats import READ, formats_for, remedy
from .modes import decode, orientation_of
from .png import MARK, slimmed, wrong_checksum
from .profile import About, about

MAX_PIXELS = 100_000_000  # of one picture: 1.2 GB as float32
MAX_BATCH_PIXELS = 400_000_000  # of a whole folder or glob

Array = NDArray[np.float32]
LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R 601


@dataclass(frozen=True)
class Picture:
    """A decoded, upright picture.

    Attributes:
        path: the file it came from.
        mode: Pillow's mode of the file, e.g. `RGBA`.
        colour: 8-bit RGB, or None at 16 bits.
        wide: `[h w]` or `[h w 3]` in [0, 1] of a 16-bit picture, or None.
        alpha: `[h w]` in [0, 1], 1 = opaque; None where the file has no transparency.
        about: what the file says beside its pixels.
        notes: what the reader should be told about this file.
        colour_notes: what of its colours cannot be used, which does not matter to a mask.
    """

    path: Path
    mode: str
    colour: Pil.Image | None
    wide: Array | None
    alpha: Array | None
    about: About = field(default_factory=About)
    notes: tuple[str, ...] = ()
    colour_notes: tuple[str, ...] = ()

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels, upright."""
        if self.colour is not None:
            return self.colour.size
        assert self.wide is not None
        return self.wide.shape[1], self.wide.shape[0]

    def rgb(self) -> Array:
        """`[h w 3]` float32 in [0, 1], as stored."""
        if self.wide is not None:
            return np.repeat(self.wide[..., None], 3, axis=-1) if self.wide.ndim == 2 else self.wide
        return unit(self.colour)

    def srgb(self) -> Array:
        """`[h w 3]` float32 in [0, 1] as a model sees it: sRGB."""
        return to_srgb(self.rgb(), self.about.colour)

    def luminance(self) -> Array:
        """`[h w]` float32 in [0, 1]: ITU-R 601 of the colours (a palette is looked up first), or the grey itself."""
        if self.wide is not None:
            return self.wide.copy() if self.wide.ndim == 2 else self.wide @ LUMA
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
    """Decode one file, turned upright by its EXIF orientation. Animated files give their first frame and a note.

    Raises:
        BadInput: see `read_pictures`.
    """
    with _decoding(path):
        try:
            return _read(path, lambda: open_picture(path))
        except (OSError, SyntaxError):
            if not wrong_checksum(path):
                raise
            return _read(path, lambda: _slim(path))


def _read(path: Path, opened: Callable[[], Pil.Image]) -> Picture:
    with opened() as picture:
        notes = _notes(picture)
        found, turned = decode(path, picture, opened, notes)
        said, more = about(
            path, picture, mode=found.mode, model=found.model, bits=found.bits, alpha=found.alpha, turned=turned
        )
    wide = None if found.wide is None else found.wide.astype(np.float32) / np.float32(65_535)
    alpha = None if said.alpha is None else said.alpha.unit()
    return Picture(path, found.mode, found.colour, wide, alpha, said, tuple(notes), tuple(more))


def picture_size(path: Path) -> tuple[int, int]:
    """Width and height of an upright picture, from its header alone; raises BadInput where there is no picture."""
    with open_picture(path) as picture, _decoding(path):
        if picture.format == "TIFF" and (orientation_of(picture) or 1) >= 5:
            picture.load()  # Pillow turns these itself, some releases already in the header's size
            return picture.size
        width, height = picture.size
        if picture.format == "PNG" and "exif" not in picture.info and _says_late(path):
            picture.load()  # what may turn it stands after its pixels
        return (height, width) if (orientation_of(picture, decode=False) or 1) >= 5 else (width, height)


@contextmanager
def _decoding(path: Path) -> Iterator[None]:
    """Around a decoder: whatever it trips over is a statement about the file."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # Pillow's, of EXIF data that are damaged
            yield
    except (MemoryError, BadInput):
        raise
    except Exception as error:
        raise BadInput(
            "path",
            found=f"{path.name!r}, which breaks off or is damaged ({error})",
            expected="a complete picture file",
            fix="copy or download the file again",
        ) from error


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


def open_picture(path: Path) -> Pil.Image:
    """A picture file whose header is read, and no pixel.

    Raises:
        BadInput: missing, no picture, empty, or over 100 megapixels.
    """
    try:
        with path.open("rb") as file:
            formats = formats_for(file.read(32))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Pil.DecompressionBombWarning)  # the limit below is ours, and an error
            warnings.simplefilter("ignore", UserWarning)  # of damaged EXIF data
            picture = _opened(path, formats)
    except Pil.DecompressionBombError as error:
        count = re.search(r"(\d+) pixels", str(error))
        size = f"of {int(count[1]) / 1e6:.0f} megapixels" if count else f"({error})"
        raise BadInput(
            "path",
            found=f"{path.name!r} {size}",
            expected=f"at most {MAX_PIXELS / 1e6:.0f} megapixels",
            fix="scale the picture down first",
        ) from error
    except FileNotFoundError:
        raise missing(path) from None
    except UnidentifiedImageError as error:
        raise _unidentified(path) from error
    except MemoryError:
        raise
    except Exception as error:
        raise BadInput(
            "path",
            found=f"{path.name!r}, which cannot be opened ({error})",
            expected="a readable picture",
            fix="check the file and its permissions",
        ) from error
    width, height = picture.size
    if width * height > MAX_PIXELS:
        picture.close()
        raise BadInput(
            "path",
            found=f"{path.name!r} of {width}×{height}, {width * height / 1e6:.0f} megapixels",
            expected=f"at most {MAX_PIXELS / 1e6:.0f} megapixels",
            fix="scale the picture down first",
        )
    if width < 1 or height < 1:
        picture.close()
        raise _unidentified(path)
    return picture


def _opened(path: Path, formats: tuple[str, ...]) -> Pil.Image:
    """Pillow's, also where what a PNG has beside its pixels is too much for it, or damaged."""
    try:
        return Pil.open(path, formats=formats)
    except (FileNotFoundError, MemoryError, Pil.DecompressionBombError):
        raise
    except Exception:
        with path.open("rb") as file:
            if file.read(len(MARK)) != MARK:
                raise
        return _slim(path)


def _slim(path: Path) -> Pil.Image:
    slim, icc, left = slimmed(path)
    picture = Pil.open(slim, formats=("PNG",))
    picture.info |= {"icc_profile": icc} if icc else {}
    picture.info |= {"left": left, "wrong": wrong_checksum(path)}
    return picture


def _notes(picture: Pil.Image) -> list[str]:
    notes = []
    frames = getattr(picture, "n_frames", 1)
    if frames > 1 and picture.format != "MPO":  # an MPO photo's further frames are its own previews
        notes.append(f"animated or many-paged: only the first of {frames} frames is used")
    if picture.info.get("wrong"):
        notes.append("a checksum in it is wrong: it is read anyway, but may be damaged")
    if picture.format == "HEIF" and picture.info.get("bit_depth", 8) > 8:
        notes.append(f"{picture.info['bit_depth']} bits a channel: read at 8")
    return notes


def _unidentified(path: Path) -> BadInput:
    with path.open("rb") as file:
        head = file.read(64)
    what = signed(head[:32])
    zero = head[:8] == b"\x89PNG\r\n\x1a\n" and b"\0\0\0\0" in (head[16:20], head[20:24])
    zero = zero or (head[:3] == b"GIF" and b"\0\0" in (head[6:8], head[8:10]))
    zero = zero or (head[:2] == b"BM" and b"\0\0\0\0" in (head[18:22], head[22:26]))
    if not head:
        found = f"{path.name!r}, an empty file"
    elif zero:
        found = f"{path.name!r}, a picture of 0 pixels"
    elif not what and head.startswith(TIFF):
        found = f"{path.name!r}, a TIFF of a kind that is not read (float colours, a camera's raw photo)"
    else:
        found = f"{path.name!r}, {what or f'not a picture: it begins with {head[:12]!r}'}"
    fix = remedy(head) or ("convert it to PNG" if what or head.startswith(TIFF) else "name a picture file")
    return BadInput("path", found=found, expected=READ, fix=fix)


def require_room(count: int, pixels: int) -> None:
    """Raise BadInput where the pictures of a batch have more pixels together than are read at once."""
    if pixels > MAX_BATCH_PIXELS:
        raise BadInput(
            "path",
            found=f"{count} pictures of {pixels / 1e6:.0f} megapixels together",
            expected=f"at most {MAX_BATCH_PIXELS / 1e6:.0f} megapixels at once",
            fix="run over fewer pictures at a time, or scale them down",
        )


def sizes_differ(pictures: Iterable[tuple[str, tuple[int, int]]]) -> BadInput:
    """The error about a batch of several sizes; pictures: (file name, (width, height))."""
    sizes: dict[tuple[int, int], list[str]] = {}
    for name, size in pictures:
        sizes.setdefault(size, []).append(name)
    listed = "; ".join(
        f"{w}×{h}: {', '.join(names[:3])}{f' and {len(names) - 3} more' if len(names) > 3 else ''}"
        for (w, h), names in list(sizes.items())[:8]
    )
    more = f"; and {len(sizes) - 8} more sizes" if len(sizes) > 8 else ""
    return BadInput(
        "path",
        found=f"pictures of {len(sizes)} sizes ({listed}{more})",
        expected="one size, since a batch is one tensor",
        fix="bring them to one size, or run the workflow once for each picture",
    )

"""Opening picture files: the header alone, within limits, with the reason where a file cannot be read."""

import re
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image as Pil
from PIL import UnidentifiedImageError

from ...graph_runtime import BadInput
from .decode import orientation_of
from .folders import TIFF, missing, signed
from .formats import READ, formats_for, remedy
from .png import MARK, slimmed, wrong_checksum

MAX_PIXELS = 100_000_000  # of one picture: 1.2 GB as float32
MAX_BATCH_PIXELS = 400_000_000  # of a whole folder or glob


def picture_size(path: Path) -> tuple[int, int]:
    """Width and height of an upright picture, from its header alone; raises BadInput where there is no picture."""
    with open_picture(path) as picture, decoding(path):
        if picture.format == "TIFF" and (orientation_of(picture) or 1) >= 5:
            picture.load()  # Pillow turns these itself, some releases already in the header's size
            return picture.size
        width, height = picture.size
        if picture.format == "PNG" and "exif" not in picture.info and _says_late(path):
            picture.load()  # what may turn it stands after its pixels
        return (height, width) if (orientation_of(picture, decode=False) or 1) >= 5 else (width, height)


@contextmanager
def decoding(path: Path) -> Iterator[None]:
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
        return open_slimmed(path)


def open_slimmed(path: Path) -> Pil.Image:
    """A PNG without the chunks that make Pillow refuse it; `info` names them under `left`."""
    slim, icc, left = slimmed(path)
    picture = Pil.open(slim, formats=("PNG",))
    picture.info |= {"icc_profile": icc} if icc else {}
    picture.info |= {"left": left, "wrong": wrong_checksum(path)}
    return picture


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

"""Open picture files (only the header is read), with limits and explanations of failures."""

import re
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image as Pil
from PIL import ImageFile, UnidentifiedImageError

from ...graph_runtime import BadInput
from .decode import orientation_of
from .folders import TIFF, kind_of, missing
from .formats import READABLE, formats_for, remedy
from .png import SIGNATURE, has_late_metadata, has_wrong_checksum, without_damage

MAX_PIXELS = 100_000_000  # of one picture: 1.2 GB as float32
MAX_BATCH_PIXELS = 400_000_000  # of a whole folder or glob


def picture_size(path: Path) -> tuple[int, int]:
    """Width and height of the upright picture, decoding as little as possible.

    Raises:
        BadInput: see `open_picture`; or the file is damaged.
    """
    with open_picture(path) as picture, decoding(path):
        if picture.format == "TIFF" and (orientation_of(picture) or 1) >= 5:
            picture.load()  # Pillow rotates a TIFF itself; some releases already swap the header's size
            return picture.size
        width, height = picture.size
        if picture.format == "PNG" and "exif" not in picture.info and has_late_metadata(path):
            picture.load()  # its orientation may come after the pixels
        return (height, width) if (orientation_of(picture, decode=False) or 1) >= 5 else (width, height)


@contextmanager
def decoding(path: Path) -> Iterator[None]:
    """Wrap a decoder: any error in it means that the file is damaged.

    Raises:
        BadInput: the block failed, except when memory ran out.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # Pillow's, about damaged EXIF data
            yield
    except (MemoryError, BadInput):
        raise
    except Exception as error:
        raise BadInput(
            "path",
            found=f"{path.name!r}, which is incomplete or damaged ({error})",
            expected="a complete picture file",
            fix="copy or download the file again",
        ) from error


def open_picture(path: Path) -> ImageFile.ImageFile:
    """A picture file of which only the header has been read.

    Raises:
        BadInput: missing, not a picture, empty, or over 100 megapixels.
    """
    try:
        with path.open("rb") as file:
            formats = formats_for(file.read(32))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Pil.DecompressionBombWarning)  # our own limit is lower
            warnings.simplefilter("ignore", UserWarning)  # about damaged EXIF data
            picture = _open(path, formats)
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


def _open(path: Path, formats: tuple[str, ...]) -> ImageFile.ImageFile:
    """The picture; damaged or oversized metadata of a PNG are left out."""
    try:
        return Pil.open(path, formats=formats)
    except (FileNotFoundError, MemoryError, Pil.DecompressionBombError):
        raise
    except Exception:
        with path.open("rb") as file:
            if file.read(len(SIGNATURE)) != SIGNATURE:
                raise
        return open_without_damage(path)


def open_without_damage(path: Path) -> ImageFile.ImageFile:
    """A PNG without the chunks that make Pillow refuse it; its `info` names them under `omitted`."""
    file, icc, omitted = without_damage(path)
    picture = Pil.open(file, formats=("PNG",))
    picture.info |= {"icc_profile": icc} if icc else {}
    picture.info |= {"omitted": omitted, "wrong_checksum": has_wrong_checksum(path)}
    return picture


def _unidentified(path: Path) -> BadInput:
    with path.open("rb") as file:
        head = file.read(64)
    what = kind_of(head[:32])
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
    fix = remedy(head) or ("convert it to PNG" if what or head.startswith(TIFF) else "give a picture file")
    return BadInput("path", found=found, expected=READABLE, fix=fix)


def require_room(count: int, pixels: int) -> None:
    """Raise BadInput if the pictures of a batch together exceed the limit of pixels read at once."""
    if pixels > MAX_BATCH_PIXELS:
        raise BadInput(
            "path",
            found=f"{count} pictures of {pixels / 1e6:.0f} megapixels together",
            expected=f"at most {MAX_BATCH_PIXELS / 1e6:.0f} megapixels at once",
            fix="run over fewer pictures at a time, or scale them down",
        )


def sizes_differ(pictures: Iterable[tuple[str, tuple[int, int]]]) -> BadInput:
    """The error about pictures of several sizes in one batch, given as (file name, (width, height))."""
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
        expected="one size, because a batch is one tensor",
        fix="resize them to one size, or run the workflow once for each picture",
    )

"""Open picture files (only the header is read), with limits and explanations of failures."""

import re
import warnings
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from PIL import Image as Pil
from PIL import ImageFile, UnidentifiedImageError

from ...graph_runtime import BadInput
from ...graph_runtime.core.opening import open_file
from ..containers.container import MAX_PIXELS, Container, require_size
from ..containers.gif import count_pictures
from ..containers.open import open_container
from ..containers.tiff import HEIGHT, WIDTH, count_pages
from .folders import TIFF, begins_like_a_picture, kind_of, missing
from .formats import FORMATS, READABLE, formats_for, remedy
from .orientation import orientation_of

MAX_BATCH_PIXELS = 400_000_000  # of a whole folder or glob


@dataclass(frozen=True)
class OpenPicture:
    """A picture file of which only the header has been read.

    Attributes:
        path: the file.
        image: as Pillow has it.
        container: what it holds besides.
    """

    path: Path
    image: ImageFile.ImageFile
    container: Container

    def again(self) -> ImageFile.ImageFile:
        """The same open file for a second decoding, after the first one."""
        return _by_pillow(self.container, (str(self.image.format).replace("MPO", "JPEG"),))

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the upright picture; nothing is decoded."""
        width, height = self.image.size
        if self.image.format == "TIFF":  # some releases of Pillow have turned the size already
            width, height = (int(self.image.tag_v2[tag]) for tag in (WIDTH, HEIGHT))  # type: ignore[attr-defined]
        return (height, width) if (orientation_of(self.image, decode=False) or 1) >= 5 else (width, height)

    @property
    def frames(self) -> int:
        """How many frames or pages there are; as far as they are quickly counted."""
        if self.image.format == "GIF":
            return count_pictures(self.container.file)
        if self.image.format == "TIFF":
            return count_pages(self.container.file)
        return self.container.frames or int(getattr(self.image, "n_frames", 1))


def picture_size(path: Path) -> tuple[int, int]:
    """Width and height of the upright picture; nothing is decoded.

    Raises:
        BadInput: see `open_picture`; or the file is damaged.
    """
    with open_picture(path) as opened, decoding(path):
        return opened.size


@contextmanager
def decoding(path: Path) -> Iterator[None]:
    """Wrap a decoder: any error in it means that the file is damaged.

    Raises:
        BadInput: the block failed, except when memory ran out.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # Pillow's, about damaged EXIF data
            warnings.simplefilter("ignore", Pil.DecompressionBombWarning)  # our own limit is lower
            yield
    except (MemoryError, BadInput):
        raise
    except Exception as error:
        raise _damaged(path, f" ({error})") from error


def _damaged(path: Path, why: str = "") -> BadInput:
    return BadInput(
        "path",
        found=f"{path.name!r}, which is incomplete or damaged{why}",
        expected="a complete picture file",
        fix="copy or download the file again",
    )


@contextmanager
def open_picture(path: Path) -> Iterator[OpenPicture]:
    """A picture file of which only the header has been read; it is closed after the block.

    Raises:
        BadInput: missing, not an ordinary file, not a picture, empty, over 100 megapixels, or with more metadata, tiles
            or frames than a picture needs.
    """
    with ExitStack() as stack:
        with _explained(path):
            file = stack.enter_context(open_file(path))
            head = file.read(64)
            large = formats_for(head[:32])
            kind, container = open_container(file, path.name, large[0] if large != FORMATS else "")
            if not kind:
                raise _unidentified(path, head)
            try:
                image = stack.enter_context(_by_pillow(container, (kind,)))
            except UnidentifiedImageError as error:
                raise _unidentified(path, head) from error
            if min(image.size) < 1:
                raise _unidentified(path, head)
            require_size(path.name, *image.size)
        yield OpenPicture(path, image, container)


def _by_pillow(container: Container, formats: tuple[str, ...]) -> ImageFile.ImageFile:
    container.file.seek(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Pil.DecompressionBombWarning)  # our own limit is lower
        warnings.simplefilter("ignore", UserWarning)  # about damaged EXIF data
        return Pil.open(container.file, formats=formats)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Wrap the opening of a file: any error becomes one that names the file.

    Raises:
        BadInput: the block failed, except when memory ran out.
    """
    try:
        yield
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
    except OSError as error:
        if error.errno is None:  # Pillow's, about the contents
            raise _damaged(path, f" ({error})") from error
        raise BadInput(
            "path",
            found=f"{path.name!r}: {error.strerror}",
            expected="an ordinary file that can be read",
            fix="check the name and its permissions",
        ) from error
    except (MemoryError, BadInput):
        raise
    except Exception as error:
        raise _damaged(path, f" ({error})") from error


def _unidentified(path: Path, head: bytes) -> BadInput:
    """The error about a file that is no picture, by its first 64 bytes."""
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
    elif begins_like_a_picture(head):
        return _damaged(path)
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

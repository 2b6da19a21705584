"""Open a picture file within bounds, by what its first bytes say that it is."""

from collections.abc import Callable
from typing import BinaryIO

from .bmp import open_bmp
from .container import Container, excessive
from .gif import open_gif
from .jpeg import open_jpeg
from .png import SIGNATURE, open_png
from .tiff import PREFIXES, open_tiff
from .webp import open_webp

LARGEST = 2**30  # bytes; 100 megapixels of 16-bit RGBA are 800 MB
LARGEST_AT_ONCE = 400 * 10**6  # of formats that libraries read as a whole; 100 megapixels of 8-bit RGBA
OPENED: tuple[tuple[tuple[bytes, ...], str, Callable[[BinaryIO, str], Container]], ...] = (
    ((SIGNATURE,), "PNG", open_png),
    ((b"\xff\xd8\xff",), "JPEG", open_jpeg),
    ((b"GIF87a", b"GIF89a"), "GIF", open_gif),
    ((b"BM",), "BMP", open_bmp),
    (PREFIXES, "TIFF", open_tiff),
    ((b"RIFF",), "WEBP", open_webp),
)


def open_container(file: BinaryIO, name: str, large: str = "") -> tuple[str, Container]:
    """Pillow's name of a file's format, empty if it is none of ours, and its container.

    Args:
        file: open for reading.
        name: for messages.
        large: a format of which this function knows only that it is read as a whole (AVIF, HEIF).

    Raises:
        BadInput: the file is too large, or holds more of something than a picture needs.
    """
    size = file.seek(0, 2)
    file.seek(0)
    head = file.read(16)
    kind, opened = large, None
    if not large:
        kind, opened = next(((kind, opened) for marks, kind, opened in OPENED if head.startswith(marks)), ("", None))
    most = LARGEST_AT_ONCE if large or kind == "WEBP" else LARGEST
    if kind and size > most:
        raise excessive(name, f"{size / 1e6:.0f} MB", f"a file of at most {most / 1e6:.0f} MB", "convert it to PNG")
    return kind, Container(file) if opened is None else opened(file, name)

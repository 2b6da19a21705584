"""A picture file as a library gets it: one picture, and metadata within bounds."""

from dataclasses import dataclass
from typing import BinaryIO

from ...graph_runtime import BadInput

MAX_PIXELS = 100_000_000  # of one picture: 1.2 GB as float32
MAX_SIDE = 2**24  # pixels; Pillow counts the bits of a row in 32 bits
MAX_EXIF = 2**24 + 2**16  # bytes; a WebP's hold the workflow, of at most 16 MiB
MAX_METADATA = 32 * 2**20  # bytes of one kind
EXIF_EXCESS = "its EXIF data, damaged or too long"


@dataclass(frozen=True)
class Container:
    """What a picture file holds, found without decoding.

    Attributes:
        file: what the library reads.
        omitted: names of parts that were left out of it.
        frames: number of frames; 0: the library knows it, or it has to be counted.
        pixels: where a JPEG's first scan begins, in `file`.
        wrong_checksum: a checksum does not match its data.
        icc: a PNG's colour profile.
        had_icc: a PNG names a profile, even if it is damaged.
        colour: (name, data) of a PNG's other chunks that declare its colours.
        exact: the colours of a PNG as float32, if it has them beside its samples; not looked at yet.
    """

    file: BinaryIO
    omitted: tuple[str, ...] = ()
    frames: int = 0
    pixels: int = 0
    wrong_checksum: bool = False
    icc: bytes = b""
    had_icc: bool = False
    colour: tuple[tuple[bytes, bytes], ...] = ()
    exact: BinaryIO | None = None


def require_size(name: str, width: int, height: int) -> None:
    """Raise BadInput for a picture of more than 100 megapixels, or with a side that is too long."""
    if width * height > MAX_PIXELS:
        raise BadInput(
            "path",
            found=f"{name!r} of {width}×{height}, {width * height / 1e6:.0f} megapixels",
            expected=f"at most {MAX_PIXELS / 1e6:.0f} megapixels",
            fix="scale the picture down first",
        )
    if max(width, height) > MAX_SIDE:
        raise BadInput(
            "path",
            found=f"{name!r} of {width}×{height}",
            expected=f"sides of at most {MAX_SIDE} pixels",
            fix="cut the picture into parts first",
        )


def excessive(name: str, what: str, expected: str, fix: str = "save it again with an image editor") -> BadInput:
    """The error about a file that holds more of something than a picture needs."""
    return BadInput("path", found=f"{name!r} with {what}", expected=expected, fix=fix)

"""A picture file's information besides pixels: colours, depth, transparency, EXIF data, resolution and texts."""

from dataclasses import dataclass, field

import numpy as np

from ..arrays import Float32Array, Samples
from ..colour.littlecms import profile_name, why_unusable
from ..colour.space import Colour, is_high_dynamic_range, space_of
from .exif import exif_of, is_adobe_rgb
from .opening import OpenPicture
from .resolution import dpi_of
from .texts import texts_of


@dataclass(frozen=True)
class Alpha:
    """A picture's opacity as stored: `height · width` samples of 8 or 16 bits, the highest is opaque."""

    data: bytes = field(repr=False)
    height: int
    width: int
    bits: int

    @classmethod
    def of(cls, samples: Samples) -> "Alpha":
        """Store an array `[h w]`."""
        height, width = samples.shape
        return cls(samples.tobytes(), height, width, 8 * samples.itemsize)

    @property
    def samples(self) -> Samples:
        """As an array `[h w]`."""
        if self.bits == 8:
            return np.frombuffer(self.data, np.uint8).reshape(self.height, self.width)
        return np.frombuffer(self.data, np.uint16).reshape(self.height, self.width)

    def unit(self, out: Float32Array | None = None) -> Float32Array:
        """As an array `[h w]` in [0, 1]; written to `out` if it is given."""
        return np.divide(self.samples, np.float32(2**self.bits - 1), out=out, dtype=np.float32)

    @property
    def is_opaque(self) -> bool:
        """True if nothing is transparent."""
        return bool((self.samples == 2**self.bits - 1).all())


@dataclass(frozen=True)
class FileInfo:
    """A file's information besides its pixels.

    Attributes:
        name: the file's, for messages; ignored in comparisons.
        mode: Pillow's mode of the file.
        bits: per sample, 8 or 16.
        colour: the colour space that the file declares.
        exif: EXIF data of the upright picture, without thumbnail.
        dpi: pixels per inch, across and down.
        texts: (name, text).
        alpha: opacity, None if the file has none.
        omitted: names of parts that are never saved again.
    """

    name: str = field(default="", compare=False)
    mode: str = "RGB"
    bits: int = 8
    colour: Colour = field(default_factory=Colour)
    exif: bytes = field(default=b"", repr=False)
    dpi: tuple[float, float] | None = None
    texts: tuple[tuple[str, str], ...] = ()
    alpha: Alpha | None = None
    omitted: tuple[str, ...] = ()

    @property
    def is_grey(self) -> bool:
        """True for a file with one colour channel."""
        return self.mode in ("1", "L", "LA") or self.mode.startswith("I")

    @property
    def is_plain(self) -> bool:
        """True if there is nothing to keep: 8 bits, sRGB, opaque, no metadata."""
        metadata = self.exif or self.dpi or self.texts or self.alpha or self.omitted
        return not metadata and self.bits == 8 and space_of(self.colour) is None

    @property
    def nbytes(self) -> int:
        """Bytes in memory, for the cache."""
        own = len(self.colour.icc) + len(self.exif) + sum(len(text) for _, text in self.texts)
        return own + (0 if self.alpha is None else len(self.alpha.data))


def file_info(
    opened: OpenPicture,
    *,
    mode: str,
    model: str,
    bits: int,
    alpha: Samples | None,
    turned: bool,
) -> tuple[FileInfo, list[str]]:
    """A file's information, and notes about colours that cannot be used.

    Args:
        opened: the file, loaded.
        mode: of the file.
        model: colour model of the samples: `RGB` or `GRAY`; empty: they were converted to sRGB.
        bits: per sample.
        alpha: `[h w]` of the upright picture.
        turned: width and height were swapped.
    """
    notes: list[str] = []
    picture = opened.image
    dpi = dpi_of(picture, turned)  # before exif_of swaps the resolutions in the same EXIF data
    exif, omitted_exif = exif_of(picture, turned)
    texts, omitted_texts = texts_of(picture)
    colour = Colour()
    if model:
        colour = _colour_of(opened, model, notes)
        if colour == Colour() and is_adobe_rgb(exif):
            colour = Colour(adobe=True)
    info = FileInfo(
        name=opened.path.name,
        mode=mode,
        bits=bits,
        colour=colour,
        exif=exif,
        dpi=dpi,
        texts=texts,
        alpha=None if alpha is None else Alpha.of(alpha),
        omitted=tuple(dict.fromkeys((*opened.container.omitted, *omitted_exif, *omitted_texts))),
    )
    return info, notes


def _colour_of(opened: OpenPicture, model: str, notes: list[str]) -> Colour:
    container = opened.container
    icc = container.icc or opened.image.info.get("icc_profile") or b""
    if not icc and container.had_icc:
        notes.append("its colour profile is damaged: ignored, as viewers do")
    if icc and (reason := why_unusable(icc, model)):
        name = "" if reason == "is damaged" else f" {profile_name(icc)!r}"
        notes.append(f"its colour profile{name} {reason}: ignored, as viewers do")
        icc = b""
    colour = Colour(icc, container.colour)
    if is_high_dynamic_range(colour):
        notes.append("high dynamic range (PQ or HLG): kept in PNG; a model reads its values as if they were sRGB")
    return colour

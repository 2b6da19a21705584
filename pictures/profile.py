"""The profile of a picture: what its file says of its numbers and of itself, and travels beside them to image.save."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pil
from torch import Tensor

from ..graph_runtime import BadInput
from .colour import Colour, describe, is_high_dynamic_range, space_of, usable
from .metadata import dpi_of, exif_of, is_adobe_rgb, texts_of
from .png import colour_chunks, has_chunk

Samples = NDArray[Any]  # uint8 or uint16


@dataclass(frozen=True)
class Alpha:
    """A picture's opacity as stored: `height · width` samples of 8 or 16 bits, the highest is opaque."""

    data: bytes = field(repr=False)
    height: int
    width: int
    bits: int

    @classmethod
    def of(cls, samples: Samples) -> "Alpha":
        """Of an array `[h w]`."""
        height, width = samples.shape
        return cls(samples.tobytes(), height, width, 8 * samples.itemsize)

    @property
    def samples(self) -> Samples:
        """As an array `[h w]`."""
        kind = np.uint8 if self.bits == 8 else np.uint16
        return np.frombuffer(self.data, kind).reshape(self.height, self.width)

    def unit(self) -> NDArray[np.float32]:
        """As an array `[h w]` in [0, 1]."""
        return self.samples.astype(np.float32) / np.float32(2**self.bits - 1)

    @property
    def is_opaque(self) -> bool:
        """True where nothing is transparent."""
        return bool((self.samples == 2**self.bits - 1).all())


@dataclass(frozen=True)
class About:
    """What one file says.

    Attributes:
        name: the file's, for messages; two that differ in it alone are equal.
        mode: Pillow's mode of the file.
        bits: of a sample, 8 or 16.
        colour: what the numbers mean.
        exif: EXIF data of the upright picture, without thumbnail.
        dpi: pixels an inch, across and down.
        texts: (name, text).
        alpha: opacity, None where the file has none.
        left: what never travels, in words.
    """

    name: str = field(default="", compare=False)
    mode: str = "RGB"
    bits: int = 8
    colour: Colour = field(default_factory=Colour)
    exif: bytes = field(default=b"", repr=False)
    dpi: tuple[float, float] | None = None
    texts: tuple[tuple[str, str], ...] = ()
    alpha: Alpha | None = None
    left: tuple[str, ...] = ()

    @property
    def is_grey(self) -> bool:
        """True for a file with one channel of colour."""
        return self.mode in ("1", "L", "LA") or self.mode.startswith("I")

    @property
    def is_plain(self) -> bool:
        """True where there is nothing to carry."""
        said = self.exif or self.dpi or self.texts or self.alpha or self.left or self.bits != 8
        return not said and space_of(self.colour) is None

    @property
    def nbytes(self) -> int:
        """Bytes of what it carries."""
        own = len(self.colour.icc) + len(self.exif) + sum(len(text) for _, text in self.texts)
        return own + (0 if self.alpha is None else len(self.alpha.data))


def require_count(here: int, count: int, port: str = "profile") -> None:
    """Raise BadInput where `count` pictures are no multiple of the `here` ones that a profile is of."""
    if count % here:
        raise BadInput(
            port,
            found=f"a profile of {here} pictures for {count}",
            fix="wire the profile of the same image.load that the pictures come from",
            expected="one, or one for each picture",
        )


@dataclass(frozen=True)
class Profile:
    """Of each picture of a batch what its file says. Immutable, hashable, and equal by content."""

    pictures: tuple[About, ...]

    @property
    def nbytes(self) -> int:
        """Bytes of what it carries, for the memory cache."""
        return sum(about.nbytes for about in self.pictures)

    @property
    def count(self) -> int:
        """How many pictures it is of."""
        return len(self.pictures)

    @cached_property
    def colour(self) -> Colour | None:
        """What the numbers of all its pictures mean; None where they differ."""
        colours = {about.colour for about in self.pictures}
        return colours.pop() if len(colours) == 1 else None

    def as_srgb(self) -> "Profile":
        """The same of pictures that were converted to sRGB; those that are sRGB stay as they are."""
        return Profile(
            tuple(
                about if space_of(about.colour) is None else replace(about, colour=Colour()) for about in self.pictures
            )
        )

    def rows(self, count: int, port: str = "profile") -> list[About]:
        """One for each of `count` pictures: all the same, its own, or that of the picture which it is a variation of.

        Raises:
            BadInput: `count` is no multiple of the pictures here.
        """
        here = self.count
        require_count(here, count, port)
        return [self.pictures[row // (count // here)] for row in range(count)]


def about(
    path: Path,
    picture: Pil.Image,
    *,
    mode: str,
    model: str,
    bits: int,
    alpha: Samples | None,
    turned: bool,
) -> tuple[About, list[str]]:
    """What a file says, and notes on what of it cannot be used.

    Args:
        path: the file.
        picture: the file as Pillow has it, loaded.
        mode: of the file.
        model: colour model of the numbers that were read: `RGB` or `GRAY`; empty: they were converted to sRGB.
        bits: of a sample.
        alpha: `[h w]` of the upright picture.
        turned: width and height changed places.
    """
    notes: list[str] = []
    dpi = dpi_of(picture, turned)  # before what follows turns its EXIF data upright
    exif, left = exif_of(picture, turned)
    texts, more = texts_of(picture)
    colour = Colour()
    if model:
        colour = _colour_of(path, picture, model, notes)
        if colour == Colour() and is_adobe_rgb(exif):
            colour = Colour(adobe=True)
    return About(
        path.name,
        mode,
        bits,
        colour,
        exif,
        dpi,
        texts,
        None if alpha is None else Alpha.of(np.ascontiguousarray(alpha)),
        tuple([*left, *more]),
    ), notes


def _colour_of(path: Path, picture: Pil.Image, model: str, notes: list[str]) -> Colour:
    icc = picture.info.get("icc_profile") or b""
    chunks = colour_chunks(path) if picture.format == "PNG" else ()
    if not icc and picture.format == "PNG" and has_chunk(path, b"iCCP"):
        notes.append("its colour profile is damaged: ignored, as viewers do")
    if icc and (wrong := usable(icc, model)):
        known = "" if wrong == "is damaged" else f" {describe(icc)!r}"
        notes.append(f"its colour profile{known} {wrong}: ignored, as viewers do")
        icc = b""
    colour = Colour(icc, chunks)
    if is_high_dynamic_range(colour):
        notes.append("high dynamic range (PQ or HLG): kept in PNG; a model sees its numbers as if they were sRGB")
    return colour


def chosen(given: "Profile | Sequence[Profile] | None", rows: int, notes: list[str]) -> list[About] | None:
    """What each of `rows` pictures carries, or None.

    A list is what lies behind a picture where nobody wired a profile: one is taken. Of several, or of one that fits
    no number of pictures, only what all mean by their numbers.
    """
    if given is None or isinstance(given, Profile):
        return None if given is None else given.rows(rows)
    found = list(dict.fromkeys(given))
    if len(found) == 1 and rows % len(found[0].pictures) == 0:
        return found[0].rows(rows)
    every = [one for profile in found for one in profile.pictures]
    if all(one.is_plain for one in every):
        return None
    named = ", ".join(dict.fromkeys(one.name for one in every if one.name))
    colours = {profile.colour for profile in found}
    shared = next(iter(colours)) if len(colours) == 1 and colours != {Colour()} else None
    what = "their profiles differ, so none is used" if shared is None else "only their common colour space is used"
    notes.append(f"several pictures lead to this one ({named}): {what}; wire the profile of the right one")
    return None if shared is None else [About(colour=shared)] * rows


def painted(given: Tensor | Sequence[Tensor] | None, row: int, rows: int) -> list[NDArray[np.floating[Any]]]:
    """The masks `[h w]` of picture `row` of `rows`; those of a number of pictures that fits nothing are left out."""
    masks = [] if given is None else [given] if isinstance(given, Tensor) else list(given)
    return [mask[row // (rows // len(mask))].detach().cpu().numpy() for mask in masks if rows % len(mask) == 0]

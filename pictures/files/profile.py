"""What the files of a batch state beside their pixels, carried from image.load to image.save."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ...graph_runtime import BadInput
from ..colour.space import Colour, space_of
from .info import FileInfo


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
class PictureProfile:
    """Of each picture of a batch what its file says. Immutable, hashable, and equal by content."""

    pictures: tuple[FileInfo, ...]

    @property
    def nbytes(self) -> int:
        """Bytes of what it carries, for the memory cache."""
        return sum(info.nbytes for info in self.pictures)

    @property
    def count(self) -> int:
        """How many pictures it is of."""
        return len(self.pictures)

    @cached_property
    def colour(self) -> Colour | None:
        """What the numbers of all its pictures mean; None where they differ."""
        colours = {info.colour for info in self.pictures}
        return colours.pop() if len(colours) == 1 else None

    def as_srgb(self) -> "PictureProfile":
        """The same of pictures that were converted to sRGB; those that are sRGB stay as they are."""
        return PictureProfile(
            tuple(info if space_of(info.colour) is None else replace(info, colour=Colour()) for info in self.pictures)
        )

    def rows(self, count: int, port: str = "profile") -> list[FileInfo]:
        """One for each of `count` pictures: all the same, its own, or that of the picture which it is a variation of.

        Raises:
            BadInput: `count` is no multiple of the pictures here.
        """
        here = self.count
        require_count(here, count, port)
        return [self.pictures[row // (count // here)] for row in range(count)]


def choose_info(
    given: "PictureProfile | Sequence[PictureProfile] | None", rows: int, notes: list[str]
) -> list[FileInfo] | None:
    """What each of `rows` pictures carries, or None.

    A list is what lies behind a picture where nobody wired a profile: one is taken. Of several, or of one that fits
    no number of pictures, only what all mean by their numbers.
    """
    if given is None or isinstance(given, PictureProfile):
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
    return None if shared is None else [FileInfo(colour=shared)] * rows


def masks_of(given: Tensor | Sequence[Tensor] | None, row: int, rows: int) -> list[NDArray[np.floating[Any]]]:
    """The masks `[h w]` of picture `row` of `rows`; those of a number of pictures that fits nothing are left out."""
    masks = [] if given is None else [given] if isinstance(given, Tensor) else list(given)
    return [mask[row // (rows // len(mask))].detach().cpu().numpy() for mask in masks if rows % len(mask) == 0]

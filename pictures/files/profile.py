"""The information of a batch of files besides pixels, passed from image.load to image.save."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from ...graph_runtime import BadInput
from ...graph_runtime.core.light.later import Tensor
from ..arrays import FloatArray
from ..colour.space import Colour, space_of
from .info import FileInfo


def require_count(described: int, count: int, port: str = "profile") -> None:
    """Raise BadInput unless `count` is a multiple of the number of pictures that a profile describes."""
    if count % described:
        raise BadInput(
            port,
            found=f"a profile of {described} pictures for {count}",
            fix="connect the profile of the image.load that the pictures come from",
            expected="one, or one for each picture",
        )


@dataclass(frozen=True)
class PictureProfile:
    """The information of a batch's files, one entry per picture. Immutable, hashable, and equal by content."""

    pictures: tuple[FileInfo, ...]

    @property
    def nbytes(self) -> int:
        """Bytes in memory, for the cache."""
        return sum(info.nbytes for info in self.pictures)

    @property
    def count(self) -> int:
        """The number of pictures that it describes."""
        return len(self.pictures)

    @cached_property
    def colour(self) -> Colour | None:
        """The colours that all files declare; None if they differ."""
        colours = {info.colour for info in self.pictures}
        return colours.pop() if len(colours) == 1 else None

    def as_srgb(self) -> "PictureProfile":
        """The profile of the same pictures after conversion to sRGB; entries that are sRGB already are unchanged."""
        return PictureProfile(
            tuple(info if space_of(info.colour) is None else replace(info, colour=Colour()) for info in self.pictures)
        )

    def rows(self, count: int, port: str = "profile") -> list[FileInfo]:
        """One entry for each of `count` pictures, which are these pictures or as many variations of each.

        Raises:
            BadInput: `count` is not a multiple of the pictures described.
        """
        require_count(self.count, count, port)
        return [self.pictures[row // (count // self.count)] for row in range(count)]


def choose_info(
    given: PictureProfile | Sequence[PictureProfile] | None, rows: int, notes: list[str]
) -> list[FileInfo] | None:
    """The entry to save with each of `rows` pictures, or None.

    Args:
        given: the connected profile; or, if none is connected, those of all files that the pictures are made of. If
            there are several, or one does not fit the number of pictures, only a common colour space is used.
        rows: the number of pictures to save.
        notes: collects a note if profiles contradict each other.

    Raises:
        BadInput: `rows` is not a multiple of the pictures that a connected profile describes.
    """
    if given is None or isinstance(given, PictureProfile):
        return None if given is None else given.rows(rows)
    profiles = list(dict.fromkeys(given))
    if len(profiles) == 1 and rows % profiles[0].count == 0:
        return profiles[0].rows(rows)
    infos = [info for profile in profiles for info in profile.pictures]
    if all(info.is_plain for info in infos):
        return None
    names = ", ".join(dict.fromkeys(info.name for info in infos if info.name))
    colours = {profile.colour for profile in profiles}
    shared = next(iter(colours)) if len(colours) == 1 and colours != {Colour()} else None
    result = "their profiles differ, so none is used" if shared is None else "only their common colour space is used"
    notes.append(f"this picture is made from several files ({names}): {result}; connect the profile of the right one")
    return None if shared is None else [FileInfo(colour=shared)] * rows


def masks_of(given: Tensor | Sequence[Tensor] | None, row: int, rows: int) -> list[FloatArray]:
    """The masks `[h w]` of picture `row` of `rows`; batches of masks that do not divide `rows` are left out."""
    masks = [] if given is None else [given] if isinstance(given, Tensor) else list(given)
    return [mask[row // (rows // len(mask))].detach().cpu().numpy() for mask in masks if rows % len(mask) == 0]

"""Pictures and masks that belong together: by their order in two batches, and by the names of their files."""

import re
import unicodedata
from collections.abc import Sequence
from pathlib import PurePosixPath

from torch import Tensor

from ..graph_runtime.core.notices import notice

_PARTS = re.compile(r"\d+|[^\W\d_]+")
_ROLES = frozenset({"mask", "masks", "hole", "holes", "alpha", "matte", "photo", "image", "img", "picture"})


def named(value: Tensor, files: Sequence[str]) -> Tensor:
    """The tensor, with the names of the files that its rows come from; only checks look at them."""
    value.files = tuple(files)  # type: ignore[attr-defined]
    return value


def files_of(value: Tensor) -> tuple[str, ...]:
    """The names that `named` gave, or none."""
    return getattr(value, "files", ())


def crossed(pictures: Sequence[str], masks: Sequence[str]) -> tuple[str, str, str] | None:
    """A picture, the mask that its place gives it, and the picture that this mask is called after; None where none is.

    Names are compared without endings, case, and words such as `mask`: room-1.png goes with room_1_mask.png.
    """
    if len(pictures) != len(masks) or len(masks) < 2:
        return None
    called: dict[tuple[str, ...], str] = {}
    for picture in reversed(pictures):
        called[_key(picture)] = picture
    for picture, mask in zip(pictures, masks, strict=True):
        other = called.get(_key(mask))
        if other is not None and _key(other) != _key(picture):
            return picture, mask, other
    return None


def _key(name: str) -> tuple[str, ...]:
    stem = name.rpartition(".")[0] or name
    return tuple(part.lstrip("0") or "0" for part in _PARTS.findall(stem.casefold()) if part not in _ROLES)


def notice_crossed(image: Tensor, mask: Tensor) -> None:
    """Say it where the names of pictures and masks contradict the order that pairs them, once for these two."""
    found = crossed(files_of(image), files_of(mask))
    if found is not None and not getattr(mask, "crossed_told", False):
        mask.crossed_told = True  # type: ignore[attr-defined]
        picture, given, other = found
        notice(
            f"pictures and masks are paired by their order, which gives {picture} the mask {given}, named after "
            f"{other}: give them matching names, or add what is missing"
        )


def same_name(name: str) -> str:
    """A file's name as it is compared: without folders, accents composed (systems differ in how they write them)."""
    return unicodedata.normalize("NFC", PurePosixPath(name.strip().replace("\\", "/")).name)

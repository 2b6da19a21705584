"""Pairs of pictures and masks: by their order in two batches, and by their file names."""

import re
import unicodedata
from collections.abc import Sequence
from pathlib import PurePosixPath

from ..graph_runtime.core.light.later import Tensor
from ..graph_runtime.core.notices import notice

_PARTS = re.compile(r"\d+|[^\W\d_]+")
_ROLES = frozenset({"mask", "masks", "hole", "holes", "alpha", "matte", "photo", "image", "img", "picture"})


def named(value: Tensor, files: Sequence[str]) -> Tensor:
    """Attach the file names of its rows to a tensor; only checks use them."""
    value.files = tuple(files)  # type: ignore[attr-defined]
    return value


def files_of(value: Tensor) -> tuple[str, ...]:
    """The names attached by `named`, or none."""
    return getattr(value, "files", ())


def crossed(pictures: Sequence[str], masks: Sequence[str]) -> tuple[str, str, str] | None:
    """A picture, the mask at the same position, and another picture whose name that mask has; None if there is none.

    Names are compared without suffix, case, and words such as `mask`: room-1.png goes with room_1_mask.png.
    """
    if len(pictures) != len(masks) or len(masks) < 2:
        return None
    by_key: dict[tuple[str, ...], str] = {}
    for picture in reversed(pictures):
        by_key[_key(picture)] = picture
    for picture, mask in zip(pictures, masks, strict=True):
        other = by_key.get(_key(mask))
        if other is not None and _key(other) != _key(picture):
            return picture, mask, other
    return None


def _key(name: str) -> tuple[str, ...]:
    stem = name.rpartition(".")[0] or name
    return tuple(part.lstrip("0") or "0" for part in _PARTS.findall(stem.casefold()) if part not in _ROLES)


def notice_crossed(image: Tensor, mask: Tensor) -> None:
    """Warn if file names contradict the order that pairs pictures and masks, once per mask batch."""
    found = crossed(files_of(image), files_of(mask))
    if found is not None and not getattr(mask, "crossed_reported", False):
        mask.crossed_reported = True  # type: ignore[attr-defined]
        picture, given, other = found
        notice(
            f"pictures and masks are paired by their order, so {picture} gets the mask {given}, which is named "
            f"after {other}: give them matching names, or add what is missing"
        )


def comparable_name(name: str) -> str:
    """A file's name for comparison: without folders, accents composed (systems differ in how they store them)."""
    return unicodedata.normalize("NFC", PurePosixPath(name.strip().replace("\\", "/")).name)

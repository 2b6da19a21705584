"""Masks of photos, matched by name, and their bounding boxes."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from ...graph_runtime import BadInput
from ..arrays import Float32Array
from ..boxes import Box
from ..files.read import read_picture
from ..masks.read import mask_in
from ..pairing import comparable_name


def read_mask(path: Path) -> Float32Array:
    """`[h w]` in {0, 1}, by the rules of `mask.load`: 1 − alpha where the alpha varies, else the luminance, ≥ 0.5."""
    picture = read_picture(path)
    alpha = picture.alpha
    soft = picture.luminance() if alpha is None or alpha.min() == alpha.max() else np.float32(1) - alpha
    mask: Float32Array = (soft >= 0.5).astype(np.float32)
    return mask


@contextmanager
def reported_at(port: str) -> Iterator[None]:
    """Report errors in the block at another port.

    Raises:
        BadInput: the block raised one.
    """
    try:
        yield
    except BadInput as error:
        raise BadInput(port, found=error.found, expected=error.expected, fix=error.fix) from error


def match_masks(files: Sequence[Path], masks: Sequence[Path]) -> dict[str, Path]:
    """The mask of each photo by the photo's name: one with the same name, or else with another suffix.

    A single photo and a single mask belong together whatever their names (`same_stem` compares them).

    Raises:
        BadInput: a photo without mask, a mask without photo, or two masks for one photo.
    """
    if len(files) == len(masks) == 1:
        return {files[0].name: masks[0]}
    names = {comparable_name(mask.name): mask for mask in masks}
    stems: dict[str, list[Path]] = {}
    for mask in masks:
        stems.setdefault(comparable_name(mask.stem), []).append(mask)
    found: dict[str, Path] = {}
    for file in files:
        same = (
            [names[comparable_name(file.name)]]
            if comparable_name(file.name) in names
            else stems.get(comparable_name(file.stem), [])
        )
        if len(same) > 1:
            raise _mismatch(f"{len(same)} masks for the photo {file.name!r}: {same[0].name}, {same[1].name}", 1)
        if same:
            found[file.name] = same[0]
    unmatched_photos = [file.name for file in files if file.name not in found]
    unmatched_masks = [mask.name for mask in masks if mask not in found.values()]
    if unmatched_photos:
        raise _mismatch(f"no mask for the photo {unmatched_photos[0]!r}", len(unmatched_photos))
    if unmatched_masks:
        raise _mismatch(f"no photo for the mask {unmatched_masks[0]!r}", len(unmatched_masks))
    if len(set(found.values())) < len(found):
        twice = next(mask for mask in masks if list(found.values()).count(mask) > 1)
        both = " and ".join(repr(name) for name, mask in found.items() if mask == twice)
        raise _mismatch(f"one mask, {twice.name!r}, for the photos {both}", 1)
    return found


def same_stem(photo: Path, mask: Path) -> bool:
    """True if mask and photo have the same name apart from the suffix."""
    return comparable_name(photo.stem) == comparable_name(mask.stem)


def _mismatch(found: str, count: int) -> BadInput:
    return BadInput(
        "masks",
        found=found + (f", and {count - 1} more" if count > 1 else ""),
        expected="one mask for each photo, of the same name (the suffix may differ)",
        fix="rename, add or remove a file",
    )


def mask_box(mask: Path, size: tuple[int, int]) -> tuple[Box, float, list[str]]:
    """The box around a mask of `size` (width, height), the mask's share of the picture, and warnings about it.

    Raises:
        BadInput: it has another size, or is empty.
    """
    with reported_at("masks"):
        plane, notes = mask_in(read_picture(mask))
    if plane.shape != size[::-1]:
        turned = plane.shape == size
        raise BadInput(
            "masks",
            found=f"{mask.name} of {plane.shape[1]}×{plane.shape[0]} for a photo of {size[0]}×{size[1]}",
            expected="masks of their photos' sizes",
            fix="rotate the mask: its photo is rotated upright by its EXIF data"
            if turned
            else "draw the mask on the upright photo at its full size",
        )
    rows, columns = np.flatnonzero(plane.any(axis=1)), np.flatnonzero(plane.any(axis=0))
    if not len(rows):
        raise BadInput(
            "masks",
            found=f"{mask.name} is empty",
            expected="white where the subject is",
            fix="paint the subject white (transparent, if the mask has transparency)",
        )
    return (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1), float(plane.mean()), notes


def mask_boxes(
    files: Sequence[Path],
    masks: Sequence[Path],
    sizes: Mapping[str, tuple[int, int]],
    done: Callable[[int], None] = lambda number: None,
) -> dict[str, tuple[Path, Box, float, list[str]]]:
    """Mask, and the result of `mask_box`, by the photo's name; `done` is called with the number read so far.

    Raises:
        BadInput: see `match_masks` and `mask_box`.
    """
    found = {}
    for number, (name, mask) in enumerate(match_masks(files, masks).items(), 1):
        found[name] = (mask, *mask_box(mask, sizes[name]))
        done(number)
    return found

"""Masks of photos: matched by name, and the boxes around them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from ...graph_runtime import BadInput
from ..arrays import Float32Array
from ..boxes import Box
from ..files.read import read_picture
from ..masks.read import mask_in
from ..pairing import same_name


def read_mask(path: Path) -> Float32Array:
    """`[h w]` of {0, 1}, by the rules of `mask.load`: 1 − alpha where the alpha varies, else the luminance, ≥ 0.5."""
    picture = read_picture(path)
    alpha = picture.alpha
    soft = picture.luminance() if alpha is None or alpha.min() == alpha.max() else np.float32(1) - alpha
    mask: Float32Array = (soft >= 0.5).astype(np.float32)
    return mask


@contextmanager
def reported_at(port: str) -> Iterator[None]:
    """What goes wrong in the block is said of another port."""
    try:
        yield
    except BadInput as error:
        raise BadInput(port, found=error.found, expected=error.expected, fix=error.fix) from error


def match_masks(files: Sequence[Path], masks: Sequence[Path]) -> dict[str, Path]:
    """The mask of each photo by the photo's name: of the same name, else of the same name but for the ending.

    One photo and one mask belong together whatever they are called (`same_stem` tells whether they are called so).

    Raises:
        BadInput: a photo without mask, a mask without photo, or two masks for one photo.
    """
    if len(files) == len(masks) == 1:
        return {files[0].name: masks[0]}
    names = {same_name(mask.name): mask for mask in masks}
    stems: dict[str, list[Path]] = {}
    for mask in masks:
        stems.setdefault(same_name(mask.stem), []).append(mask)
    found: dict[str, Path] = {}
    for file in files:
        same = [names[same_name(file.name)]] if same_name(file.name) in names else stems.get(same_name(file.stem), [])
        if len(same) > 1:
            raise _mismatch(f"{len(same)} masks for the photo {file.name!r}: {same[0].name}, {same[1].name}", 1)
        if same:
            found[file.name] = same[0]
    bare = [file.name for file in files if file.name not in found]
    lone = [mask.name for mask in masks if mask not in found.values()]
    if bare:
        raise _mismatch(f"no mask for the photo {bare[0]!r}", len(bare))
    if lone:
        raise _mismatch(f"no photo for the mask {lone[0]!r}", len(lone))
    if len(set(found.values())) < len(found):
        twice = next(mask for mask in masks if list(found.values()).count(mask) > 1)
        both = " and ".join(repr(name) for name, mask in found.items() if mask == twice)
        raise _mismatch(f"one mask, {twice.name!r}, for the photos {both}", 1)
    return found


def same_stem(photo: Path, mask: Path) -> bool:
    """True where a mask is called as its photo is, but for the ending."""
    return same_name(photo.stem) == same_name(mask.stem)


def _mismatch(found: str, count: int) -> BadInput:
    return BadInput(
        "masks",
        found=found + (f", and {count - 1} more" if count > 1 else ""),
        expected="one mask for each photo, of the same name (the ending may differ)",
        fix="rename, add or remove a file",
    )


def mask_box(mask: Path, size: tuple[int, int]) -> tuple[Box, float, list[str]]:
    """The box around a mask of `size` (width, height), how much of the picture it fills, and what is doubtful about it.

    Raises:
        BadInput: it is of another size, or empty.
    """
    with reported_at("masks"):
        judged, notes = mask_in(read_picture(mask))
    plane = judged.numpy()
    if plane.shape != size[::-1]:
        turned = plane.shape == size
        raise BadInput(
            "masks",
            found=f"{mask.name} of {plane.shape[1]}×{plane.shape[0]} for a photo of {size[0]}×{size[1]}",
            expected="masks of their photos' sizes",
            fix="turn the mask: its photo is turned upright by its EXIF data"
            if turned
            else "draw the mask on the upright photo at its full size",
        )
    rows, columns = np.flatnonzero(plane.any(axis=1)), np.flatnonzero(plane.any(axis=0))
    if not len(rows):
        raise BadInput(
            "masks",
            found=f"{mask.name} is empty",
            expected="white where the subject is",
            fix="paint the subject white (transparent, where the mask has transparency)",
        )
    return (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1), float(plane.mean()), notes


def mask_boxes(
    files: Sequence[Path],
    masks: Sequence[Path],
    sizes: Mapping[str, tuple[int, int]],
    done: Callable[[int], None] = lambda number: None,
) -> dict[str, tuple[Path, Box, float, list[str]]]:
    """Mask, and what `mask_box` says of it, by the photo's name; `done` is told how many are read.

    Raises:
        BadInput: see `match_masks` and `mask_box`.
    """
    found = {}
    for number, (name, mask) in enumerate(match_masks(files, masks).items(), 1):
        found[name] = (mask, *mask_box(mask, sizes[name]))
        done(number)
    return found

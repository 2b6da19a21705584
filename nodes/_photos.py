"""Photos on disk with boxes: described by their headers, read when they are needed."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..graph_runtime import BadInput
from ._boxes import Box
from ._model_readers import stamp_of
from ._pictures import picture_size, read_picture

HASHED = 2**30  # bytes of photos up to which all of them are read for the fingerprint


@dataclass(frozen=True)
class Photo:
    """A picture file and the boxes in it.

    Attributes:
        path: the file.
        width: pixels, upright.
        height: pixels, upright.
        boxes: left, top, right, bottom; right and bottom exclusive.
        mask: a mask file of the same size, 1 / white = the subject, or None.
    """

    path: Path
    width: int
    height: int
    boxes: tuple[Box, ...] = ()
    mask: Path | None = None

    def picture(self) -> Tensor:
        """`[h w 3]` in [0, 1], upright; transparency is dropped, as image.load drops it."""
        return torch.from_numpy(read_picture(self.path).rgb())

    def subject(self) -> Tensor | None:
        """The mask `[h w]` in [0, 1], or None where there is none."""
        return None if self.mask is None else torch.from_numpy(read_picture(self.mask).luminance())


@dataclass(frozen=True)
class Photos:
    """Some photos, in a fixed order.

    Attributes:
        photos: the photos.
        name: what the user called them, for messages.
    """

    photos: tuple[Photo, ...]
    name: str

    def __len__(self) -> int:
        return len(self.photos)

    def pairs(self) -> tuple[tuple[int, Box], ...]:
        """(number of the photo, box) for each box."""
        return tuple((number, box) for number, photo in enumerate(self.photos) for box in photo.boxes)

    @cached_property
    def fingerprint(self) -> str:
        """Changes when a picture, a mask or a box changes; not with the folder. Of more than 1 GiB, times count too."""
        digest = hashlib.sha256()
        files = [path for photo in self.photos for path in (photo.path, photo.mask) if path is not None]
        whole = sum(path.stat().st_size for path in files) <= HASHED
        for photo in self.photos:
            digest.update(repr((photo.path.name, photo.boxes)).encode("utf-8", "backslashreplace"))
        for path in files:
            digest.update(path.read_bytes() if whole else stamp_of([path]).encode())
        return digest.hexdigest()


def look_at(files: Sequence[Path]) -> dict[str, tuple[int, int]]:
    """Upright width and height of each picture by name, from the headers alone.

    Raises:
        BadInput: a file is no picture, or two have one name.
    """
    sizes: dict[str, tuple[int, int]] = {}
    for file in files:
        if file.name in sizes:
            raise BadInput("path", found=f"two pictures called {file.name!r}", expected="names that differ",
                           fix="rename one of them")
        sizes[file.name] = picture_size(file)
    return sizes


def mask_boxes(files: Sequence[Path], masks: Sequence[Path], sizes: Mapping[str, tuple[int, int]],
               ) -> dict[str, tuple[Path, Box]]:
    """The mask of each photo, of the same name (whatever the ending), and the box around it.

    Raises:
        BadInput: a photo without mask, a mask without photo, of another size, or empty.
    """
    by_stem = {mask.stem: mask for mask in masks}
    stems = {file.stem for file in files}
    lone = sorted(stems - set(by_stem)), sorted(set(by_stem) - stems)
    for names, what in zip(lone, ("no mask for the photo", "no photo for the mask"), strict=True):
        if names:
            raise BadInput("masks", found=f"{what} {names[0]!r}" + (f" and {len(names) - 1} more" * (len(names) > 1)),
                           expected="one mask for each photo, of the same name", fix="rename, add or remove a file")
    found = {}
    for file in files:
        mask = by_stem[file.stem]
        plane = read_picture(mask).luminance()
        if plane.shape != sizes[file.name][::-1]:
            raise BadInput("masks", found=f"{mask.name} of {plane.shape[1]}×{plane.shape[0]} for a photo of "
                           f"{sizes[file.name][0]}×{sizes[file.name][1]}", expected="masks of their photos' sizes",
                           fix="draw the mask on the upright photo")
        rows, columns = np.flatnonzero((plane > 0.5).any(axis=1)), np.flatnonzero((plane > 0.5).any(axis=0))
        if not len(rows):
            raise BadInput("masks", found=f"{mask.name} is empty", expected="white where the subject is",
                           fix="paint the subject white, or invert the mask")
        found[file.name] = mask, (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
    return found


def padded(box: Box, size: tuple[int, int], padding: float) -> Box:
    """The box grown on each side by a share of its own length, inside the picture of `size` (width, height)."""
    across, down = (round(padding * length) for length in (box[2] - box[0], box[3] - box[1]))
    return (max(0, box[0] - across), max(0, box[1] - down), min(size[0], box[2] + across), min(size[1], box[3] + down))

"""Photos on disk with boxes: described by their headers, read when they are needed."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..graph_runtime import BadInput
from .boxes import Box, same_name
from .folders import read_each
from .mask_files import judge
from .read import Array, picture_size, read_picture


@dataclass(frozen=True)
class Photo:
    """A picture file and the boxes in it.

    Attributes:
        path: the file.
        width: pixels, upright.
        height: pixels, upright.
        boxes: left, top, right, bottom in pixels of the upright picture; right and bottom exclusive.
        mask: a mask file of the same size, read as `mask.load` reads it, white = the subject; or None.
    """

    path: Path
    width: int
    height: int
    boxes: tuple[Box, ...] = ()
    mask: Path | None = None

    @property
    def name(self) -> str:
        """The file's name."""
        return self.path.name

    def picture(self) -> Float[Tensor, "h w 3"]:
        """The picture in [0, 1], upright and in sRGB: transparency is dropped, not composited.

        Raises:
            BadInput: the file is damaged, or its size is another than when it was described.
        """
        return torch.from_numpy(self._sized(read_picture(self.path).srgb(), self.path))

    def subject(self) -> Float[Tensor, "h w"] | None:
        """The mask, {0, 1}, or None where there is none; raises as `picture` does."""
        return None if self.mask is None else torch.from_numpy(self._sized(read_mask(self.mask), self.mask))

    def _sized(self, pixels: Array, path: Path) -> Array:
        if pixels.shape[:2] != (self.height, self.width):
            raise BadInput(
                "photos",
                found=f"{path.name} of {pixels.shape[1]}×{pixels.shape[0]}",
                expected=f"{self.width}×{self.height}, as it was a moment ago",
                fix="run again; the file has changed since",
            )
        return pixels


@dataclass(frozen=True)
class Photos:
    """Some photos, in a fixed order.

    Attributes:
        photos: the photos.
        name: what the user called them, for messages.
    """

    photos: tuple[Photo, ...]
    name: str

    def __post_init__(self) -> None:
        """Remember the files as they are now."""
        object.__setattr__(self, "_states", self._state())

    def _state(self) -> list[tuple[int, ...]]:
        files = [path for photo in self.photos for path in (photo.path, photo.mask) if path is not None]
        seen = [path.stat() for path in files]
        return [(one.st_size, one.st_mtime_ns, one.st_ctime_ns, one.st_ino) for one in seen]

    @property
    def gone(self) -> bool:
        """True when a file is no longer there, or no longer as it was described."""
        try:
            return bool(self._state() != getattr(self, "_states", None))
        except OSError:
            return True

    def __len__(self) -> int:
        return len(self.photos)

    def pairs(self) -> tuple[tuple[int, Box], ...]:
        """(number of the photo, box) for each box, in a fixed order."""
        return tuple((number, box) for number, photo in enumerate(self.photos) for box in photo.boxes)

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over names, contents, boxes and masks: all that training sees; not where the files lie, nor dates."""
        digest = hashlib.sha256()
        for photo in self.photos:
            contents = [None if path is None else _content(path) for path in (photo.path, photo.mask)]
            digest.update(repr((photo.name, photo.boxes, contents)).encode("utf-8", "backslashreplace"))
        return digest.hexdigest()


def _content(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise BadInput(
            "photos",
            found=f"{path.name}: {error.strerror or error}",
            expected="a file that can be read",
            fix="run again; the file has changed since",
        ) from error


def read_mask(path: Path) -> Array:
    """`[h w]` of {0, 1}, by the rules of `mask.load`: 1 − alpha where the alpha varies, else the luminance, ≥ 0.5."""
    picture = read_picture(path)
    alpha = picture.alpha
    soft = picture.luminance() if alpha is None or alpha.min() == alpha.max() else np.float32(1) - alpha
    mask: Array = (soft >= 0.5).astype(np.float32)
    return mask


@contextmanager
def at_port(port: str) -> Iterator[None]:
    """What goes wrong in the block is said of another port."""
    try:
        yield
    except BadInput as error:
        raise BadInput(port, found=error.found, expected=error.expected, fix=error.fix) from error


def look_at(files: Sequence[Path]) -> dict[str, tuple[int, int]]:
    """Upright width and height of each picture by name, from the headers alone.

    Raises:
        BadInput: there is none, a file is no picture, or two have one name.
    """
    if not files:
        raise BadInput("path", found="an empty list", expected="at least one picture", fix="name pictures or a folder")
    names: set[str] = set()
    for file in files:
        if file.name in names:
            raise BadInput(
                "path",
                found=f"two pictures called {file.name!r}",
                expected="names that differ",
                fix="rename one of them",
            )
        names.add(file.name)
    return dict(zip((file.name for file in files), read_each(files, picture_size), strict=True))


def match_masks(files: Sequence[Path], masks: Sequence[Path]) -> dict[str, Path]:
    """The mask of each photo by the photo's name: of the same name, else of the same name but for the ending.

    One photo and one mask belong together whatever they are called (`alike` tells whether they are called so).

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


def alike(photo: Path, mask: Path) -> bool:
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
    with at_port("masks"):
        judged, notes = judge(read_picture(mask))
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

"""Photos on disk: described by their headers, decoded when they are needed."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ...graph_runtime import BadInput
from ...graph_runtime.core.digests import sha256
from ...graph_runtime.core.file_digests import file_sha256
from ...graph_runtime.core.light.later import Float, Tensor, torch
from ...graph_runtime.core.reading.file_state import FileState
from ..arrays import Float32Array
from ..boxes import Box
from ..files.folders import read_each
from ..files.opening import picture_size
from ..files.read import read_picture
from .masks import read_mask


@dataclass(frozen=True)
class Photo:
    """A picture file and its boxes.

    Attributes:
        path: the file.
        width: pixels, upright.
        height: pixels, upright.
        boxes: left, top, right, bottom in pixels of the upright picture; right and bottom exclusive.
        mask: a mask file of the same size, read as by `mask.load`, white = the subject; or None.
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
        """The picture in [0, 1], upright and in sRGB; transparency is dropped, not composited.

        Raises:
            BadInput: the file is damaged, or its size has changed since it was described.
        """
        return torch.from_numpy(self._sized(read_picture(self.path).srgb(), self.path))

    def subject(self) -> Float[Tensor, "h w"] | None:
        """The mask in {0, 1}, or None if there is none; raises as `picture` does."""
        return None if self.mask is None else torch.from_numpy(self._sized(read_mask(self.mask), self.mask))

    def _sized(self, pixels: Float32Array, path: Path) -> Float32Array:
        if pixels.shape[:2] != (self.height, self.width):
            raise BadInput(
                "photos",
                found=f"{path.name} of {pixels.shape[1]}×{pixels.shape[0]}",
                expected=f"{self.width}×{self.height}, as before",
                fix="run again; the file has changed since",
            )
        return pixels


@dataclass(frozen=True)
class PhotoSet:
    """Photos in a fixed order.

    Attributes:
        photos: the photos.
        name: the path that the user gave, for messages.
    """

    photos: tuple[Photo, ...]
    name: str

    def __post_init__(self) -> None:
        """Record the current state of the files."""
        object.__setattr__(self, "_states", self._state())

    def _state(self) -> list[FileState]:
        files = [path for photo in self.photos for path in (photo.path, photo.mask) if path is not None]
        return [FileState.of(path.stat()) for path in files]

    @property
    def gone(self) -> bool:
        """True if a file is missing, or has changed since it was described."""
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
        """sha256 over everything that training uses: names, contents, boxes and masks, but not folders or dates."""
        contents = ([None if path is None else _content(path) for path in (one.path, one.mask)] for one in self.photos)
        return sha256(*(repr((one.name, one.boxes, inside)) for one, inside in zip(self.photos, contents, strict=True)))


def _content(path: Path) -> str:
    try:
        return file_sha256(path)
    except OSError as error:
        raise BadInput(
            "photos",
            found=f"{path.name}: {error.strerror or error}",
            expected="a file that can be read",
            fix="run again; the file has changed since",
        ) from error


def photo_sizes(files: Sequence[Path]) -> dict[str, tuple[int, int]]:
    """Upright (width, height) of each picture by name, from the headers alone.

    Raises:
        BadInput: there are none, a file is not a picture, or two have the same name.
    """
    if not files:
        raise BadInput("path", found="an empty list", expected="at least one picture", fix="give pictures or a folder")
    names: set[str] = set()
    for file in files:
        if file.name in names:
            raise BadInput(
                "path",
                found=f"two pictures named {file.name!r}",
                expected="different names",
                fix="rename one of them",
            )
        names.add(file.name)
    return dict(zip((file.name for file in files), read_each(files, picture_size), strict=True))

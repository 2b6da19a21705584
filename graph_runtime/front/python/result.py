"""What a run gives back: its outputs by name, the saved files, and pictures as people use them."""

import io
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from ....nodes.pack import PACK
from ...core.errors import BadInput, did_you_mean, shorten
from ...core.events import Event, NodeFinished, Noted, Saved, Warned
from ...core.files import replacing, write_bytes
from ...core.user_paths import expand
from .warn import InlayWarning, warn

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

Output: TypeAlias = Any  # any output of a node; callers know whether it is a tensor, text or number

SHOWN_SIDE = 1024  # pixels of what a notebook shows
SHOWN_PICTURES = 9


@dataclass(frozen=True)
class SavedFile:
    """A file that a run saved.

    Attributes:
        path: where it is; of a run without an output folder, its name alone.
        contents: of a file of a run without an output folder.
    """

    path: Path
    contents: bytes | None = None

    def read(self) -> bytes:
        """Its bytes.

        Raises:
            OSError: it is no longer there.
        """
        return self.path.read_bytes() if self.contents is None else self.contents


@dataclass(repr=False)
class Result(Mapping[str, Output]):
    """The outputs of a run by name: `result["image"]`; pictures also as `result.pil()`, saved by `result.save(path)`.

    Attributes:
        outputs: the workflow's outputs by name.
        paths: the files that were saved, in order.
        events: everything that happened; `timings` and `warnings` sum it up.
        files: by output, the files in which it was saved.
        record: the workflow, as pictures carry it; empty without metadata.
        profile: the folder of its profile; None: it was not measured.
    """

    outputs: Mapping[str, Output]
    paths: list[Path] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    files: Mapping[str, Sequence[SavedFile]] = field(default_factory=dict)
    record: str = ""
    profile: Path | None = None

    def __getitem__(self, name: str) -> Output:
        return self.outputs[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.outputs)

    def __len__(self) -> int:
        return len(self.outputs)

    @property
    def timings(self) -> dict[str, float]:
        """Seconds per node."""
        return {event.node: event.seconds for event in self.events if isinstance(event, NodeFinished)}

    @property
    def warnings(self) -> list[Warned]:
        """What the user should know, each with its node."""
        return [event for event in self.events if isinstance(event, Warned) and not isinstance(event, Noted)]

    @property
    def notes(self) -> list[str]:
        """What the run has chosen on its own, such as a method."""
        return [event.message for event in self.events if isinstance(event, Noted)]

    def pil(self, number: int = 0, *, output: str | None = None) -> "Image":
        """One picture as Pillow has it: as it was saved, with transparency, colour profile and metadata.

        Pillow holds colours at 8 bits; `numpy` has all of them.

        Args:
            number: of several pictures, which one, from 0.
            output: take the pictures of this output; None: of `image`, or of `image_1`, `image_2`, …, or of the first
                output that is a picture.

        Raises:
            BadInput: there is no such picture.
            OSError: its file is no longer there.
        """
        return self._pillow(*_chosen(self._pictures(output), number))

    def pils(self, *, output: str | None = None) -> "list[Image]":
        """All pictures; see `pil`."""
        return [self._pillow(*place) for place in self._pictures(output)]

    def numpy(self, *, output: str | None = None) -> "NDArray[np.float32]":
        """All pictures as `[b h w 3]` float32 in [0, 1] (of a mask `[b h w]`), the same numbers as `result["image"]`.

        Raises:
            BadInput: there is no such picture.
        """
        import numpy as np

        names = dict.fromkeys(name for name, _ in self._pictures(output))
        return np.concatenate([np.asarray(self.outputs[name].detach().float().cpu()) for name in names])

    def save(self, path: str | os.PathLike[str], number: int | None = None, *, output: str | None = None) -> list[Path]:
        """Save a picture under a name of yours, with the profile and metadata of a saved file.

        A file of that name is replaced once the new one is complete. The suffix chooses the format: .png and .webp
        are exact, .jpg is not.

        Args:
            path: of the file; of several pictures `name-1.png`, `name-2.png`, ….
            number: of several pictures only this one, from 0.
            output: as of `pil`.

        Returns:
            The paths of the files.

        Raises:
            BadInput: another suffix, or there is no such picture.
            OSError: it cannot be written there.
        """
        place = expand(path)
        suffix = place.suffix.lower()
        if suffix not in PACK.workflow_suffixes:
            known = ", ".join(sorted(PACK.workflow_suffixes))
            raise BadInput(
                "path", found=shorten(str(place)), expected=f"a name that ends in {known}", fix="for example photo.png"
            )
        pictures = self._pictures(output)
        pictures = pictures if number is None else [_chosen(pictures, number)]
        places = [place]
        if len(pictures) > 1:
            places = [place.with_name(f"{place.stem}-{count}{place.suffix}") for count in range(1, len(pictures) + 1)]
        for picture, target in zip(pictures, places, strict=True):
            self._save(*picture, target, suffix)
        return places

    def _save(self, name: str, row: int, target: Path, suffix: str) -> None:
        files = self.files.get(name)
        if files and files[row].path.suffix == suffix.replace(".jpeg", ".jpg"):
            write_bytes(target, files[row].read(), parents=True)
            return
        source = files[row].read() if files else self.numpy(output=name)[row]
        with replacing(target, parents=True) as temporary:
            notes = PACK.save_picture(source, temporary, suffix, {"inlay": self.record} if self.record else {})
        for note in notes:
            warn(InlayWarning(None, f"{target.name}: {note}"))

    def _pillow(self, name: str, row: int) -> "Image":
        from PIL import Image

        files = self.files.get(name)
        if not files:
            return _as_pillow(self.numpy(output=name)[row])
        with Image.open(io.BytesIO(files[row].read())) as picture:
            picture.load()
            return picture

    def _pictures(self, output: str | None) -> list[tuple[str, int]]:
        """The name of an output and a row of it, for each picture that is meant.

        Raises:
            BadInput: it is no picture, or none is.
        """
        names = [output] if output is not None else self._named()
        if output is not None and output not in self.outputs:
            fix = did_you_mean(output, self.outputs)
            raise BadInput("output", found=shorten(output), expected="an output of this workflow", fix=fix)
        if not names or not all(name in self.files or _is_picture(self.outputs[name]) for name in names):
            known = output or ", ".join(self.outputs) or "no outputs"
            raise BadInput("output", found=known, expected="an output that is a picture", fix='use result["NAME"]')
        return [(name, row) for name in names for row in range(len(self.files.get(name) or self.outputs[name]))]

    def _named(self) -> list[str]:
        """The outputs that a person means by the pictures of a result."""
        if "image" in self.outputs:
            return ["image"]
        if variations := [name for name in self.outputs if re.fullmatch(r"image_\d+", name)]:
            return variations
        return [*self.files][:1] or [name for name in self.outputs if _is_picture(self.outputs[name])][:1]

    def __repr__(self) -> str:
        shown = []
        for name in self.outputs:
            count = len(self.files.get(name, ()))
            shown.append(f"{name}: {count} picture{'s' * (count > 1)}" if count else name)
        paths = [str(path) for path in self.paths[:3]] + (["…"] if len(self.paths) > 3 else [])
        return f"<Result {', '.join(shown)}{' | saved: ' if paths else ''}{', '.join(paths)}>"

    def _repr_png_(self) -> bytes | None:
        """What a notebook shows: the pictures side by side, small; None if there are none."""
        try:
            return _sheet(self._shown())
        except (BadInput, OSError):
            return None

    def _shown(self) -> "list[Image]":
        """The pictures that a notebook shows."""
        return [self._pillow(*place) for place in self._pictures(None)[:SHOWN_PICTURES]]


def files_of(savers: Mapping[str, str], events: Iterable[Event]) -> dict[str, list[SavedFile]]:
    """The files of each output, from the node that saves it."""
    files: dict[str, list[SavedFile]] = {}
    for event in events:
        if isinstance(event, Saved):
            for name in [name for name, node in savers.items() if node == event.node]:
                files.setdefault(name, []).append(SavedFile(Path(event.path)))
    return files


def _is_picture(value: object) -> bool:
    shape: Sequence[int] = getattr(value, "shape", ())
    return (len(shape) == 4 and shape[-1] == 3) or len(shape) == 3


def _chosen(pictures: Sequence[tuple[str, int]], number: int) -> tuple[str, int]:
    count = len(pictures)
    if not -count <= number < count:
        expected = f"0 to {count - 1}: there {'are' if count > 1 else 'is'} {count}"
        raise BadInput("number", found=str(number), expected=expected, fix="count from 0")
    return pictures[number]


def _as_pillow(values: "NDArray[np.float32]") -> "Image":
    """`[h w 3]` or `[h w]` in [0, 1] at 8 bits."""
    import numpy as np
    from PIL import Image

    return Image.fromarray(np.rint(np.clip(values.astype(np.float64), 0, 1) * 255).astype(np.uint8))


def _sheet(pictures: "list[Image]") -> bytes | None:
    """Pictures side by side in rows, as a PNG of at most `SHOWN_SIDE` pixels a side; None without any."""
    from PIL import Image

    if not pictures:
        return None
    columns = next(count for count in (1, 2, 3) if count * count >= len(pictures))
    side = SHOWN_SIDE // columns
    small = [_small(picture, side) for picture in pictures]
    width, height = max(one.width for one in small), max(one.height for one in small)
    rows = -(-len(small) // columns)
    sheet = Image.new("RGBA", (width * min(columns, len(small)), height * rows))
    for number, one in enumerate(small):
        sheet.paste(one, (number % columns * width, number // columns * height))
    made = io.BytesIO()
    sheet.save(made, format="PNG", icc_profile=pictures[0].info.get("icc_profile"))
    return made.getvalue()


def _small(picture: "Image", side: int) -> "Image":
    """At most `side` pixels wide and high, as RGBA."""
    if picture.mode.startswith("I"):
        import numpy as np
        from PIL import Image

        picture = Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
    shown = picture.convert("RGBA")
    shown.thumbnail((side, side))
    return shown

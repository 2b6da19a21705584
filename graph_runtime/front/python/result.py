"""What a run gives back: its outputs by name, the saved files, and pictures as people use them."""

import io
import os
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
    """

    outputs: Mapping[str, Output]
    paths: list[Path] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    files: Mapping[str, Sequence[SavedFile]] = field(default_factory=dict)
    record: str = ""

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
            output: of several outputs, which one; None: `image`, or the first that is a picture.

        Raises:
            BadInput: there is no such picture.
            OSError: its file is no longer there.
        """
        from PIL import Image

        name = self._picture(output)
        files = self.files.get(name)
        if not files:
            return _as_pillow(_row(self._array(name), number))
        with Image.open(io.BytesIO(_row(files, number).read())) as picture:
            picture.load()
            return picture

    def pils(self, *, output: str | None = None) -> "list[Image]":
        """All pictures of an output; see `pil`."""
        return [self.pil(number, output=output) for number in range(self._count(self._picture(output)))]

    def numpy(self, *, output: str | None = None) -> "NDArray[np.float32]":
        """The pictures as `[b h w 3]` float32 in [0, 1] (of a mask `[b h w]`), the same numbers as `result["image"]`.

        Raises:
            BadInput: there is no such picture.
        """
        return self._array(self._picture(output))

    def save(self, path: str | os.PathLike[str], number: int | None = None, *, output: str | None = None) -> list[Path]:
        """Save a picture under a name of yours, with the profile and metadata of a saved file.

        A file of that name is replaced once the new one is complete. The suffix chooses the format: .png and .webp
        are exact, .jpg is not.

        Args:
            path: of the file; of several pictures `name-1.png`, `name-2.png`, ….
            number: of several pictures only this one, from 0.
            output: of several outputs, which one; None: `image`, or the first that is a picture.

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
        name = self._picture(output)
        numbers = range(self._count(name)) if number is None else [number]
        places = [place]
        if len(numbers) > 1:
            places = [place.with_name(f"{place.stem}-{count}{place.suffix}") for count in range(1, len(numbers) + 1)]
        for one, target in zip(numbers, places, strict=True):
            self._save(name, one, target, suffix)
        return places

    def _save(self, name: str, number: int, target: Path, suffix: str) -> None:
        files = self.files.get(name)
        saved = _row(files, number) if files else None
        if saved is not None and saved.path.suffix == suffix.replace(".jpeg", ".jpg"):
            write_bytes(target, saved.read(), parents=True)
            return
        source = saved.read() if saved is not None else _row(self._array(name), number)
        with replacing(target, parents=True) as temporary:
            notes = PACK.save_picture(source, temporary, suffix, {"inlay": self.record} if self.record else {})
        for note in notes:
            warn(InlayWarning(None, f"{target.name}: {note}"))

    def _picture(self, output: str | None) -> str:
        """The name of the output that is meant.

        Raises:
            BadInput: it is no picture, or none is.
        """
        if output is None:
            found = next((name for name in ("image", *self.files) if name in self.outputs), None)
            found = found or next((name for name in self.outputs if _is_picture(self.outputs[name])), None)
            if found is None:
                known = ", ".join(self.outputs) or "none"
                raise BadInput("output", found=f"outputs: {known}", expected="a picture", fix='use result["name"]')
            return found
        if output not in self.outputs:
            raise BadInput(
                "output", found=shorten(output), expected="an output", fix=did_you_mean(output, self.outputs)
            )
        if output not in self.files and not _is_picture(self.outputs[output]):
            raise BadInput("output", found=f"{output}, no picture", expected="a picture", fix=f'use result["{output}"]')
        return output

    def _count(self, name: str) -> int:
        return len(self.files.get(name) or self.outputs[name])

    def _array(self, name: str) -> "NDArray[np.float32]":
        import numpy as np

        return np.asarray(self.outputs[name].detach().float().cpu().numpy())

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
            name = self._picture(None)
            pictures = [self.pil(number, output=name) for number in range(min(self._count(name), SHOWN_PICTURES))]
        except (BadInput, OSError):
            return None
        return _sheet(pictures)


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


def _row(rows: Any, number: int) -> Any:  # noqa: ANN401 - a list or an array
    if not -len(rows) <= number < len(rows):
        raise BadInput(
            "number",
            found=str(number),
            expected=f"0 to {len(rows) - 1}: there {'are' if len(rows) > 1 else 'is'} {len(rows)}",
            fix="count from 0",
        )
    return rows[number]


def _as_pillow(values: "NDArray[np.float32]") -> "Image":
    """`[h w 3]` or `[h w]` in [0, 1] at 8 bits."""
    import numpy as np
    from PIL import Image

    return Image.fromarray(np.rint(np.clip(values.astype(np.float64), 0, 1) * 255).astype(np.uint8))


def _sheet(pictures: "list[Image]") -> bytes:
    """Pictures side by side in rows, as a PNG of at most `SHOWN_SIDE` pixels a side."""
    from PIL import Image

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

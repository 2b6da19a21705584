"""The pictures that a person names for one input of a job: those of a folder, of a pattern, or of a list."""

import os
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from ....nodes.pack import PACK
from ...core.errors import BadInput, WorkflowError, shorten
from ...core.reading.listing import Budget, listing_at
from ...core.reading.places import Place, place_of
from ...core.user_paths import expand

SYSTEM_FILES = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "__macosx", "@eadir", "$recycle.bin"})
SHEET = re.compile(r"contact-sheet-\d+(_\d+)?\.jpg")  # what jobs themselves write beside their pictures
TABLE = "job.csv"
SHOWN = 6  # names of files that a message lists


@dataclass(frozen=True)
class File:
    """A picture of a job.

    Attributes:
        path: where it is.
        name: below the folder that was given, with slashes, without its suffix: `rooms/a`.
    """

    path: str
    name: str

    @property
    def shown(self) -> str:
        """Its name with the suffix, below the folder that was given."""
        return self.name + Path(self.path).suffix


@dataclass
class Source:
    """What was given for one input.

    Attributes:
        input: its name.
        files: in natural order; of a list, in its order.
        listed: a list was given, whose order counts.
        left_out: names of files that are no pictures.
        place: of the folder or pattern; None of a list.
    """

    input: str
    files: list[File]
    listed: bool = False
    left_out: list[str] = field(default_factory=list)
    place: Place | None = None

    @property
    def note(self) -> str:
        """A line about the files that were left out; empty if there are none."""
        if not self.left_out:
            return ""
        more = f" and {len(self.left_out) - SHOWN} more" if len(self.left_out) > SHOWN else ""
        return f"{self.input}: left out, because they are no pictures: {', '.join(self.left_out[:SHOWN])}{more}"


def is_many(value: object) -> bool:
    """True if a value given for a picture names several: a list, a folder, or a pattern."""
    if isinstance(value, list):
        return True
    if not isinstance(value, str) or not value or "\0" in value:
        return False
    try:
        place = place_of(value)
        return bool(place.pattern) or place.base.is_dir()
    except (OSError, ValueError):
        return False


def find(name: str, value: object, out: Path) -> Source:
    """The pictures that are given for an input.

    Args:
        name: of the input.
        value: a folder, a pattern, or a list of paths.
        out: the output folder, in which nothing is looked for.

    Raises:
        WorkflowError: there are none, an entry of a list is no path, or the output folder is the folder itself.
    """
    if isinstance(value, list):
        return Source(name, list(_of_list(name, value)), listed=True)
    place = place_of(str(value))
    own = Path(os.path.realpath(out))
    if place.base == own and not place.pattern:
        raise WorkflowError.of(
            "--out",
            found=f"the folder that --{name} names, {shorten(str(value))}",
            expected="an output folder of its own: the next start would take results for pictures",
            fix="choose another with --out (out=… from Python)",
        )
    found, left_out = [], []
    try:
        for path, relative, is_file in _entries(place, own):
            if is_file and path.suffix.lower() in PACK.read_suffixes():
                found.append(File(str(path), PurePosixPath(relative).with_suffix("").as_posix()))
            else:
                left_out.append(relative)
    except BadInput as error:
        raise WorkflowError([error.at(None)]) from None
    except OSError as error:
        raise WorkflowError.of(
            f"inputs.{name}",
            found=f"{shorten(str(value))}: {error.strerror or error}",
            expected="a folder that can be read",
            fix="check its permissions",
        ) from None
    if not found:
        rest = f" among its files ({', '.join(left_out[:SHOWN])})" if left_out else ""
        raise WorkflowError.of(
            f"inputs.{name}",
            found=f"no picture{rest} in {shorten(str(value))}",
            expected="a folder or pattern with pictures, such as PNG or JPEG files",
            fix="check the name; pictures in sub-folders count too",
        )
    return Source(name, sorted(found, key=natural), left_out=sorted(left_out), place=place)


def _of_list(name: str, values: Sequence[object]) -> Iterator[File]:
    if not values:
        raise WorkflowError.of(
            f"inputs.{name}", found="an empty list", expected="paths of pictures", fix="give at least one"
        )
    for number, value in enumerate(values):
        if not isinstance(value, str) or not value or "\0" in value:
            raise WorkflowError.of(
                f"inputs.{name}",
                found=f"{shorten(value)} as number {number} of the list",
                expected="the path of a picture",
                fix="give paths, as text or as pathlib.Path",
            )
        path = expand(value)
        yield File(str(path.absolute()), path.stem)


def _entries(place: Place, out: Path) -> Iterator[tuple[Path, str, bool]]:
    """What lies at a place, its name below it, and whether it is a file; sub-folders too, each once.

    What is neither file nor folder is a pipe, a device, or a link to nothing.
    """
    budget, seen = Budget(), {os.path.realpath(place.base)}
    waiting = [(place, PurePosixPath())]
    while waiting:
        here, above = waiting.pop()
        inside = listing_at(here, None, budget).entries
        names = {entry.path.name for entry in inside}
        for entry in inside:
            name, below = entry.path.name, above / entry.path.relative_to(here.base).as_posix()
            real = Path(os.path.realpath(entry.path))
            if name.startswith(".") or name.lower() in SYSTEM_FILES or real == out or out in real.parents:
                continue
            if entry.kind == "folder" and not place.pattern and str(real) not in seen:
                seen.add(str(real))
                waiting.append((Place(real), below))
            elif entry.kind != "folder" and name != TABLE and not (SHEET.fullmatch(name) and TABLE in names):
                yield entry.path, below.as_posix(), entry.kind == "file"


def natural(file: File) -> tuple[list[tuple[int, int, str]], str]:
    """A key that sorts `2` before `10`, and a folder's own files before those of its sub-folders."""
    parts: list[tuple[int, int, str]] = []
    *folders, last = file.name.split("/")
    for part in folders:
        parts += [(2, 0, ""), *_pieces(part)]
    return [*parts, *_pieces(last)], file.path


def _pieces(text: str) -> list[tuple[int, int, str]]:
    split = (part for part in re.split(r"([0-9]+)", unicodedata.normalize("NFC", text)) if part)
    return [(0, int(part), part) if part.isascii() and part.isdigit() else (1, 0, part.casefold()) for part in split]

"""Find the files of a recorded run by their content: next to the picture, and where earlier runs read them."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from ...core.errors import BadInput, Problem
from ...core.file_digests import holds
from ...core.opening import Gate, entries_of, reading
from ...core.reading.listing import MODEL_FILES, MOST_ENTRIES, Budget, refuse_links_out
from ...core.reading.places import Place, place_inside, place_of
from ...core.run.plan import Plan
from ...core.workflow import Override
from .known_inputs import recall
from .known_inputs import remember as remember_paths
from .read import RecordedFile

MOST_FILES = 1000  # different files that a picture may name
MOST_BYTES = 2 * 2**30  # read for records without a size, of files that may have been renamed


class Found(NamedTuple):
    """Where a recorded file is.

    Attributes:
        path: of the file, folder or pattern.
        known: an earlier run of this user has read it there, or inlay came with it: a link may have led to it. What
            lies beside a picture came with the picture, and is no more trusted than the picture itself.
    """

    path: str
    known: bool


def find_files(
    files: Mapping[Override, RecordedFile],
    folders: Iterable[Path],
    shipped: Iterable[Path],
    given: Iterable[Override],
    remembered: Sequence[Path] | None = None,
) -> tuple[dict[Override, Found], list[Problem]]:
    """Find the recorded files by digest, in `folders` and `shipped` and among files of earlier runs.

    Args:
        files: what the picture names.
        folders: the picture's own, and the input folder; no link is followed out of one.
        shipped: folders of inlay itself.
        given: parameters that the user sets anyway.
        remembered: folders outside of which no file of earlier runs is looked at; None: those may be anywhere.
    """
    skip = set(given)
    beside, ours = list(folders), list(shipped)
    search = _Search(beside, ours, remembered)
    found: dict[Override, Found] = {}
    problems = []
    for target, file in files.items():
        if target in skip:
            continue
        place = search.find(file)
        if place is not None:
            found[target] = place
        else:
            searched = ", ".join(str(folder) for folder in (*beside, *ours))
            problems.append(
                Problem(
                    target[0],
                    target[1],
                    f"no file with the content of {file.name!r} (sha256 {file.digest[:12]}…)",
                    f"that file in {searched}, or among the files of earlier runs",
                    "put it there, give its folder with --inputs, or give its path (with a flag of the workflow "
                    f"such as --image, or with --set {target[0]}.{target[1]}=PATH)",
                )
            )
    return found, problems


class _Search:
    """One search for the files of a picture, which reads no more than a picture may ask for."""

    def __init__(self, beside: Sequence[Path], shipped: Sequence[Path], within: Sequence[Path] | None = None) -> None:
        self.beside, self.folders, self.within = beside, (*beside, *shipped), within
        self._found: dict[RecordedFile, Found | None] = {}
        self._names: dict[Path, list[str]] = {}
        self._bytes = MOST_BYTES

    def find(self, file: RecordedFile) -> Found | None:
        """The first place with that content; of many different files, only the first are searched for."""
        if file not in self._found and len(self._found) < MOST_FILES:
            self._found[file] = self._find(file)
        return self._found.get(file)

    def _find(self, file: RecordedFile) -> Found | None:
        """Of other files in the folders, only those of its suffix and size are read."""
        for folder in self.folders:
            place = place_inside(file.name, [folder])
            if place is not None and _is_it(place, file, [folder]):
                return Found(str(place.path), folder not in self.beside)
        if (known := self._remembered(file)) is not None:
            return Found(str(known.path), True)
        if ":" not in file.digest:  # a whole ordinary file: it may have been renamed
            for folder in self.folders:
                for other in self._of_its_suffix(file, folder):
                    if _is_it(other, file, [folder]):
                        return Found(str(other.path), folder not in self.beside)
        return None

    def _remembered(self, file: RecordedFile) -> Place | None:
        """Where an earlier run read that content, if it may be read and is still there."""
        remembered = recall(file.digest)
        if remembered is None:
            return None
        place = place_of(remembered) if self.within is None else place_inside(str(remembered), self.within)
        return place if place is not None and _is_it(place, file, self.within) else None

    def _of_its_suffix(self, file: RecordedFile, folder: Path) -> Iterator[Place]:
        """The other files of a folder that have the suffix and size of a recorded one; none that a link leads out to.

        Of an old record, which has no size, only so many bytes are read.
        """
        suffix = Path(file.name).suffix.lower()
        for name in self._names_in(folder):
            place = place_inside(name, [folder]) if Path(name).suffix.lower() == suffix else None
            with suppress(OSError):
                if place is not None and place.base.is_file():
                    size = place.base.stat().st_size
                    self._bytes -= 0 if file.size else size
                    if file.size == str(size) or (not file.size and self._bytes > 0):
                        yield place

    def _names_in(self, folder: Path) -> list[str]:
        if folder not in self._names:
            self._names[folder] = []
            with suppress(OSError), entries_of(os.path.realpath(folder)) as entries:
                self._names[folder] = sorted(entry.name for entry in islice(entries, MOST_ENTRIES))
        return self._names[folder]


def _is_it(place: Place, file: RecordedFile, roots: Sequence[Path] | None) -> bool:
    """True if what is at a place has the content of a recorded file; nothing is read outside `roots`."""
    limits = reading(Gate(frozenset(os.path.normcase(os.path.realpath(root)) for root in roots or ())))
    try:
        if place.base.is_dir() and not place.pattern:
            if not file.digest.startswith("folder:"):
                return False
            if roots is not None and file.kind == "model":
                refuse_links_out(place, roots, Budget(MODEL_FILES))
        elif not place.pattern and file.size and str(place.base.stat().st_size) != file.size:
            return False
        with nullcontext() if roots is None else limits:
            return holds(place, file.digest, roots, weights=file.kind == "model")
    except (OSError, ValueError, BadInput):
        return False


def remember(plan: Plan, passing: Callable[[str], bool] = lambda path: False) -> None:
    """Keep the paths of a run's files by digest, so that they can be found again from its pictures.

    Args:
        plan: of the run.
        passing: true for a path that is gone after the run.
    """
    files = [file for file in plan.files.values() if not passing(file["path"])]
    remember_paths({file["digest"]: file["path"] for file in files})

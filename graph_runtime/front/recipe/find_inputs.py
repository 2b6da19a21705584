"""Find the files of a recorded run by their content: next to the picture, and where earlier runs read them."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
) -> tuple[dict[Override, Found], list[Problem]]:
    """Find the recorded files by digest, in `folders` and `shipped` and among files of earlier runs.

    Args:
        files: what the picture names.
        folders: the picture's own, and the input folder; no link is followed out of one.
        shipped: folders of inlay itself.
        given: parameters that the user sets anyway.
    """
    skip = set(given)
    beside, ours = list(folders), list(shipped)
    found: dict[Override, Found] = {}
    problems = []
    for target, file in files.items():
        if target in skip:
            continue
        place = _find(file, beside, ours)
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


def _find(file: RecordedFile, beside: Sequence[Path], shipped: Sequence[Path]) -> Found | None:
    """The first place with that content. Of other files in the folders, only those of its suffix and size are read."""
    for folder in (*beside, *shipped):
        place = place_inside(file.name, [folder])
        if place is not None and _is_it(place, file, [folder]):
            return Found(str(place.path), folder not in beside)
    remembered = recall(file.digest)
    if remembered is not None and _is_it(place_of(remembered), file, None):
        return Found(str(place_of(remembered).path), True)
    if ":" not in file.digest:  # a whole ordinary file: it may have been renamed
        for folder in (*beside, *shipped):
            for other in _of_its_suffix(file, folder):
                if _is_it(other, file, [folder]):
                    return Found(str(other.path), folder not in beside)
    return None


def _of_its_suffix(file: RecordedFile, folder: Path) -> Iterator[Place]:
    """The other files of a folder that have the suffix of a recorded one; a link that leads out is none of them."""
    suffix = Path(file.name).suffix.lower()
    with suppress(OSError), entries_of(os.path.realpath(folder)) as entries:
        names = [entry.name for entry in islice(entries, MOST_ENTRIES) if Path(entry.name).suffix.lower() == suffix]
        for name in sorted(names):
            place = place_inside(name, [folder])
            if place is not None and place.base.is_file():
                yield place


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


def remember(plan: Plan) -> None:
    """Keep the paths of a run's files by digest, so that they can be found again from its pictures."""
    remember_paths({file["digest"]: file["path"] for file in plan.files.values()})

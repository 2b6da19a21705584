"""What is in a folder, or matches a pattern below it; nothing is followed out of the folders that may be read."""

import fnmatch
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path

from ..errors import BadInput, shorten
from ..opening import entries_of, gate
from .places import Entry, Kind, Listing, Place, is_pattern, place_inside, place_of

MOST_ENTRIES = 300_000  # of all folders that one check looks at
LINK = 20  # entries that a link counts for: following it takes that much longer
MODEL_FILES = 5000  # a folder with more files than this is not a model


class Budget:
    """How many entries of folders may still be looked at."""

    def __init__(self, entries: int = MOST_ENTRIES) -> None:
        self.most = self.left = entries

    def spend(self, place: Place, entries: int = 1) -> None:
        """Count entries.

        Raises:
            BadInput: they were too many.
        """
        self.left -= entries
        if self.left < 0:
            raise BadInput(
                None,
                found=f"more than {self.most} names below {shorten(str(place.path))}",
                expected="folders with fewer files",
                fix="give the folder that holds the files themselves, such as that of model_index.json",
            )


def listing_at(
    place: Place, roots: Sequence[Path] | None = None, budget: Budget | None = None, *, hidden: bool = False
) -> Listing:
    """What is at a place: a file, the entries of a folder, or those that match a pattern, sorted.

    Args:
        place: where to look.
        roots: nothing found may lead out of these folders; None: in a run what it may read, else anywhere.
        budget: how many entries may be looked at.
        hidden: a pattern matches names that begin with a dot, too, as it did in digests of earlier releases.

    Raises:
        BadInput: a link leads out of `roots`, or there are too many entries.
        OSError: a folder cannot be read.
    """
    look = _Look(place, roots, budget or Budget(), hidden)
    if place.pattern:
        return Listing(place, "pattern", _sorted(look.matches(_here(place), place.pattern)))
    if not os.path.lexists(place.base):
        return Listing(place, "missing")
    kind = _kind_of(place.base)
    if kind != "folder":
        return Listing(place, kind, (Entry(place.base, kind),))
    return Listing(place, "folder", _sorted(look.children(_here(place), lambda name: True)))


def model_files_at(place: Place, roots: Sequence[Path] | None = None, budget: Budget | None = None) -> Listing:
    """What is in a model's folder and in the folders in it, where its components lie; raises as `listing_at` does."""
    if _kind_of(place.base) != "folder":
        return listing_at(place, roots, budget)
    look = _Look(place, roots, budget or Budget(), hidden=True)
    both = [*look.matches(_here(place), ("*",)), *look.matches(_here(place), ("*", "*"))]
    return Listing(place, "folder", _sorted(both))


def refuse_links_out(place: Place, roots: Sequence[Path], budget: Budget) -> None:
    """Look through a model's folder, whatever its depth; nothing in it may lead out of `roots`.

    Raises:
        BadInput: a link does, or the folder holds more files than a model.
    """
    look = _Look(place, roots, budget, hidden=True)
    waiting = [_here(place)] if _kind_of(place.base) == "folder" else []
    while waiting:
        found = look.children(waiting.pop(), lambda name: True)
        waiting += (entry for entry in found if entry.kind == "folder" and entry.real)


def _sorted(found: Iterable[Entry]) -> tuple[Entry, ...]:
    return tuple(sorted(found, key=lambda entry: entry.path.parts))


def listed(text: str) -> Listing:
    """What a node is to read at a path: in a run, exactly what the check has found there; else what is there now.

    Raises:
        BadInput: a link leads out of what may be read, or there are too many entries.
        OSError: a folder cannot be read, or lies outside what the run may read.
        ValueError: the text cannot be a path.
    """
    limits = gate()
    if limits is not None and (found := limits.listings.get(text)) is not None:
        return found
    place = place_of(text)
    if limits is not None:
        limits.real(str(place.base))
    return listing_at(place)


class _Look:
    """One search below a place."""

    def __init__(self, place: Place, roots: Sequence[Path] | None, budget: Budget, hidden: bool) -> None:
        self.place, self.roots, self.budget, self.hidden = place, roots, budget, hidden

    def children(self, folder: Entry, wanted: Callable[[str], object]) -> Iterator[Entry]:
        """The entries of a folder with wanted names."""
        real = str(folder.path) if folder.real else str(self._real(folder.path))
        with entries_of(real) as entries:
            for entry in entries:
                self.budget.spend(self.place)
                if wanted(entry.name):
                    yield self._entry(folder, entry.name, entry)

    def matches(self, folder: Entry, pattern: Sequence[str]) -> Iterator[Entry]:
        """What matches a pattern of several parts; a part that exists as it is written is that name alone."""
        part, *rest = pattern
        if os.path.lexists(folder.path / part):
            found = iter([self._entry(folder, part)])
        elif is_pattern(part):
            found = self._children_of_any(folder, matcher(part, self.hidden))
        else:
            return
        for entry in found:
            if not rest:
                yield entry
            elif entry.kind == "folder":
                yield from self.matches(entry, rest)

    def _children_of_any(self, folder: Entry, wanted: Callable[[str], object]) -> Iterator[Entry]:
        try:
            yield from self.children(folder, wanted)
        except OSError:  # as of glob: a folder that is not there, or cannot be read, holds no match
            return

    def _entry(self, folder: Entry, name: str, found: "os.DirEntry[str] | None" = None) -> Entry:
        path = folder.path / name
        if found is not None and os.name != "nt" and not found.is_symlink():  # on Windows, junctions look like folders
            kind: Kind = "file" if found.is_file() else "folder" if found.is_dir() else "other"
            return Entry(path, kind, folder.real)
        self.budget.spend(self.place, LINK)
        real = self._real(path)
        return Entry(path, _kind_of(real), folder.real and real == path)

    def _real(self, path: Path) -> Path:
        if self.roots is None:
            limits = gate()
            try:
                return Path(os.path.realpath(path) if limits is None else limits.real(str(path)))
            except PermissionError:
                raise _leads_out(path, sorted(limits.folders) if limits is not None else ()) from None
        place = place_inside(str(path), self.roots)
        if place is None:
            raise _leads_out(path, self.roots)
        return place.path


def _leads_out(path: Path, roots: Iterable[str | Path]) -> BadInput:
    return BadInput(
        None,
        found=f"{shorten(path.name)}, a link that leads out of {shorten(str(path.parent))}",
        expected="files below " + " or ".join(map(str, roots)),
        fix="copy the file there, or give the path on the command line",
    )


def _here(place: Place) -> Entry:
    return Entry(place.base, "folder")


def _kind_of(path: Path) -> Kind:
    try:
        return "file" if path.is_file() else "folder" if path.is_dir() else "other"
    except (OSError, ValueError):
        return "other"


@lru_cache(maxsize=256)
def matcher(part: str, hidden: bool = False) -> Callable[[str], object]:
    """Whether a name matches one part of a pattern; a hidden one only if the pattern begins with a dot, or `hidden`."""
    match = re.compile(fnmatch.translate(os.path.normcase(part))).match
    if hidden or part.startswith("."):
        return lambda name: match(os.path.normcase(name))
    return lambda name: not name.startswith(".") and match(os.path.normcase(name))

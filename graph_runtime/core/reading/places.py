"""How text becomes a place on disk: a real path, and a pattern for the names below it.

In every folder, a name that exists as it is written is that name alone: a folder called `*` or `photos[1]` is no
pattern. From the first part that does not exist and holds `*`, `?` or `[`, the rest is a pattern. It matches below the
folder before it; `**` means the same as `*`.

An untrusted path is followed part by part, and what lies outside its roots is never looked at: whether something exists
there makes no difference to the answer.
"""

import os
import stat
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from ..user_paths import GLOB, expand

PICKLES = (".bin", ".ckpt", ".pt", ".pth", ".pkl")  # by suffix; they are never opened
#: How a user turns a pickle that they trust into weights that are read.
CONVERT_PICKLE = "safetensors.torch.save_file(torch.load(FILE, weights_only=True), 'FILE.safetensors')"
_MOST_LINKS = 40  # in one path, as Linux has it
_ALTERNATE_STREAM = ":"  # in a part of a path on Windows


class Place(NamedTuple):
    """A real path, which need not exist, and a pattern for what is below it.

    Attributes:
        base: every link in it is resolved.
        pattern: the parts that names below `base` are to match; empty if `base` itself is meant.
    """

    base: Path
    pattern: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        """Base and pattern as one path."""
        return self.base.joinpath(*self.pattern)


Kind = Literal["file", "folder", "other"]


class Entry(NamedTuple):
    """Something that was found in a folder.

    Attributes:
        path: below the real path of where it was looked for.
        kind: links are followed to tell it.
        real: no link led to it.
    """

    path: Path
    kind: Kind
    real: bool = True


class Listing(NamedTuple):
    """What was found at a place.

    Attributes:
        place: where it was looked for.
        kind: of the place itself; `pattern` for several files that match one.
        entries: of a folder or pattern, in the order of their names; of a file, itself.
    """

    place: Place
    kind: Kind | Literal["pattern", "missing"]
    entries: tuple[Entry, ...] = ()


def below(path: str, folder: str) -> bool:
    """True if `path` is `folder` or lies below it; both absolute, with nothing left to resolve."""
    path, folder = os.path.normcase(path), os.path.normcase(folder)
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def is_pattern(part: str) -> bool:
    """True if a name holds `*`, `?` or `[`."""
    return not GLOB.isdisjoint(part)


def place_of(text: str | os.PathLike[str]) -> Place:
    """The place that a path names, wherever it is."""
    path = expand(text).absolute()
    base = Path(path.anchor)
    parts = path.parts[1:]
    for number, part in enumerate(parts):
        if is_pattern(part) and not os.path.lexists(base / part):
            return Place(Path(os.path.realpath(base)), parts[number:])
        base /= part
    return Place(Path(os.path.realpath(base)))


def place_inside(text: str, roots: Sequence[Path], real: Callable[[Path], str] = os.path.realpath) -> Place | None:
    """The place that an untrusted path names below one of `roots`; None if it leads out of all of them.

    A relative path is tried below each root in turn. Where it exists as it is written wins, else where the folder of
    its pattern exists, else the first root. `real` gives the real path of a root.
    """
    reals = [real(root) for root in roots]
    aliases = list(zip(map(os.path.abspath, roots), reals, strict=True))
    inside = []
    for given, _ in aliases:
        found = _follow(Path(given) / text, reals, aliases)
        if found is not None and not found.pattern and os.path.lexists(found.base):
            return found
        inside += [] if found is None else [found]
    there = sorted((found for found in inside if os.path.lexists(found.base)), key=lambda found: len(found.pattern))
    return next(iter(there or inside), None)


def _follow(path: Path, roots: Sequence[str], aliases: Iterable[tuple[str, str]]) -> Place | None:
    """Follow a path part by part, without a look at anything outside `roots`; None if it leads out of them."""
    here, waiting = _start(path, aliases, typed=True)
    links = 0
    while waiting:
        part, typed = waiting.pop()
        if part == os.pardir:
            here = os.path.dirname(here)
            continue
        step = os.path.join(here, part)
        if not any(below(here, root) for root in roots):
            if not any(below(root, step) for root in roots):  # not on the way down to a root
                return None
            here = step
            continue
        if os.name == "nt" and _ALTERNATE_STREAM in part:
            return None
        kind = _kind(step)
        if kind == "link":
            links += 1
            if links > _MOST_LINKS:
                return Place(Path(step))
            here, more = _start(Path(here, _target(step)), aliases, typed=False)
            waiting += more
        elif kind == "missing" and typed and is_pattern(part):
            rest = (part, *(name for name, _ in reversed(waiting)))
            return None if os.pardir in rest else Place(Path(here), rest)
        else:
            here = step
    return Place(Path(here)) if any(below(here, root) for root in roots) else None


def _start(path: Path, aliases: Iterable[tuple[str, str]], typed: bool) -> tuple[str, list[tuple[str, bool]]]:
    """Where to begin following a path, and its parts in reverse order; a root as it was given stands for its real path.

    The parts of a link's target are not typed: they are never a pattern.
    """
    for given, real in aliases:
        if path.is_relative_to(given):
            return real, [(part, typed) for part in reversed(path.relative_to(given).parts)]
    return path.anchor, [(part, typed) for part in reversed(path.parts[1:])]


def _kind(path: str) -> Literal["link", "there", "missing"]:
    try:
        status = os.lstat(path)
    except (OSError, ValueError):
        return "missing"
    junction = getattr(status, "st_reparse_tag", 0) == getattr(stat, "IO_REPARSE_TAG_MOUNT_POINT", -1)
    return "link" if junction or stat.S_ISLNK(status.st_mode) else "there"


def _target(link: str) -> str:
    try:
        return os.readlink(link).removeprefix("\\\\?\\")
    except OSError:  # it is no link any more
        return os.path.basename(link)

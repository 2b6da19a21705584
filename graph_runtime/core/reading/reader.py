"""Which files the paths in a workflow name, and which of them may be read.

A workflow file is untrusted data: a path in it may only point below the file's own folder or the input folder.
What the user typed is not restricted.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from ..errors import BadInput, shorten
from ..file_digests import digest
from ..leftovers import recover
from ..opening import Gate, reading
from ..spec import PathRole
from ..user_paths import exists, home, is_possible
from .listing import MODEL_FILES, Budget, listing_at, model_files_at, refuse_links_out
from .places import CONVERT_PICKLE, PICKLES, Listing, Place, place_inside, place_of

NEIGHBOURS = 2000  # names in a folder that a misspelt one is compared with
LONGEST, DEEPEST = 4096, 100  # characters and parts of a path in a file


class Looked(NamedTuple):
    """What a path in a workflow names.

    Attributes:
        path: the path to hand to the node; None for a model that is not a file (embedded, or on the hub).
        digest: of the content; None where the file will only be written during the run, or there is none.
    """

    path: Path | None
    digest: str | None


def resolve_inside(path: str, roots: Sequence[Path], real: Callable[[Path], str] = os.path.realpath) -> Place:
    """The place that `path` names below one of `roots` once every link is followed; see `place_inside`.

    Raises:
        BadInput: empty, no path, too long, or it leads out of every root; says whether a link or `..` did it, and the
            same whether something exists there or not.
    """
    _require_possible(path)
    if len(path) > LONGEST or len(Path(path).parts) > DEEPEST:
        raise BadInput(
            None,
            found=f"{shorten(path)}, a path of {len(path)} characters",
            expected=f"at most {LONGEST} characters and {DEEPEST} folders",
            fix="give the path of a file",
        )
    place = place_inside(path, roots, real)
    if place is not None:
        return place
    lexical = any(
        Path(os.path.normpath(root / path)).is_relative_to(os.path.normpath(root)) and ".." not in Path(path).parts
        for root in roots
    )
    raise BadInput(
        None,
        found=f"{shorten(path)} ({'a link in it leads out' if lexical else 'it points outside'})",
        expected=f"a path below {' or '.join(str(root) for root in roots) or 'nowhere'}",
        fix="copy the file there, give its folder with --inputs, or give the path on the command line",
    )


def _require_possible(path: str) -> None:
    if not is_possible(path):
        odd = ", which is not valid UTF-8" if "\0" not in path and path else ""
        raise BadInput(
            None, found=ascii(path) + odd, expected="a path", fix="rename the file" if odd else "give a path"
        )


@dataclass
class Reader:
    """Decides which files the paths in one workflow may open, and notes for the run what was found.

    Attributes:
        roots: folders that untrusted paths may point into.
        out: the output folder, from which `.safetensors` may be read that earlier nodes write.
    """

    roots: Sequence[Path]
    out: Path | None = None
    _looked: dict[tuple[str, str, bool], Looked | BadInput] = field(default_factory=dict, init=False)
    _budget: Budget = field(default_factory=Budget, init=False)
    _trusted: set[str] = field(default_factory=set, init=False)
    _found: set[str] = field(default_factory=set, init=False)
    _reals: dict[Path, str] = field(default_factory=dict, init=False)
    _listings: dict[tuple[str, bool], Listing] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        """Nothing can be read from an output folder that is no path; preparing the run refuses it."""
        if self.out is not None and not is_possible(str(self.out)):
            self.out = None

    @property
    def gate(self) -> Gate:
        """What the nodes may read, now that the check has looked at their paths."""
        own = {os.path.abspath(home()), os.path.realpath(home())}
        return Gate(
            self._folders,
            frozenset(map(os.path.normcase, self._trusted | own)),
            frozenset(self._found),
            {path: found for (path, _), found in self._listings.items()},
        )

    @cached_property
    def _folders(self) -> frozenset[str]:
        folders = [*self.roots, *([self.out] if self.out is not None else [])]
        return frozenset(os.path.normcase(self._real(folder)) for folder in folders)

    def _real(self, folder: Path) -> str:
        """The real path of a folder that may be read, which stays as it was first."""
        if folder not in self._reals:
            self._reals[folder] = os.path.realpath(folder)
        return self._reals[folder]

    @property
    def contents(self) -> dict[str, str]:
        """The digest of each file, folder and pattern that was looked at, by the path that its node receives."""
        found = ((kind, one) for (_, kind, _), one in self._looked.items() if isinstance(one, Looked))
        return {str(one.path): one.digest for kind, one in found if kind != "model" and one.path and one.digest}

    def look(self, value: str, role: PathRole, *, trusted: bool) -> Looked:
        """What a path names, and its digest; the same text is looked at once.

        Raises:
            BadInput: outside what may be read, missing, unreadable, or a folder instead of a file.
        """
        key = value, role.kind, trusted
        if key not in self._looked:
            try:
                self._looked[key] = self._look(value, role, trusted)
            except BadInput as error:
                self._looked[key] = error
        found = self._looked[key]
        if isinstance(found, BadInput):
            raise found
        return found

    def _look(self, value: str, role: PathRole, trusted: bool) -> Looked:
        _require_possible(value)
        value = self._slashed(value, trusted)
        if role.kind == "model" and not self._is_local_model(value, trusted):
            return Looked(None, None)
        place = place_of(value) if trusted else resolve_inside(value, self._roots_of(value), self._real)
        shown = shorten(value)
        if place.path.suffix.lower() in PICKLES and not place.base.is_dir():
            raise BadInput(
                None,
                found=f"{shown}, a pickle",
                expected="weights as .safetensors (a pickle can run code)" if role.kind == "model" else "another file",
                fix=f"use the .safetensors file, or convert one you trust once: {CONVERT_PICKLE}",
            )
        try:
            if role.kind != "files" and place.pattern:
                raise FileNotFoundError
            if role.kind == "model" and not place.path.exists():
                recover(place.path)  # a run may have been killed while it replaced this folder
            if role.kind == "file" and place.base.is_dir():
                raise BadInput(None, found=f"a folder, {shown}", expected="a file", fix="give a file in it")
            return Looked(place.path, self._digest(place, role, trusted, self._roots_of(value)))
        except FileNotFoundError:
            path = place.path
            if self.out is not None and path.suffix == ".safetensors" and path.is_relative_to(self.out.resolve()):
                return Looked(path, None)
            windows = ", a Windows path" if "\\" in value else ""
            raise BadInput(
                None,
                found=f"no such file: {shown}{windows}",
                expected="a file that exists",
                fix=(_did_you_mean(path) if trusted else "") + f"put it there, or correct the path: looked for {path}",
            ) from None
        except (OSError, ValueError) as error:
            raise BadInput(
                None,
                found=f"{shown}: {getattr(error, 'strerror', None) or error}",
                expected="an ordinary file that can be read",
                fix="check the name and its permissions",
            ) from None

    def _digest(self, place: Place, role: PathRole, trusted: bool, roots: Sequence[Path]) -> str:
        """The digest of what is at a place; the run may read it, and finds there what was found here."""
        inside = None if trusted else roots
        if role.kind == "model":
            if inside is not None:
                refuse_links_out(place, inside, Budget(MODEL_FILES))
            found = model_files_at(place, inside, self._budget)
        else:
            key = str(place.path), trusted
            found = self._listings.get(key) or listing_at(place, inside, self._budget)
            self._listings[key] = found
        if trusted:
            self._trusted.add(str(place.base.parent if role.kind == "model" and found.kind == "file" else place.base))
            return digest(found, weights=role.kind == "model")
        files = frozenset(str(entry.path) for entry in found.entries if entry.kind == "file" and entry.real)
        self._found |= files
        with reading(Gate(self._folders, found=files)):  # `gate` holds all paths: made for each, that is quadratic
            return digest(found, weights=role.kind == "model")

    def _roots_of(self, value: str) -> Sequence[Path]:
        """The folders that an untrusted path may point into."""
        written = self.out is not None and value.endswith(".safetensors")
        return [*self.roots, self.out] if written and self.out is not None else self.roots

    def _slashed(self, value: str, trusted: bool) -> str:
        """A Windows path with its backslashes as slashes, if only that one exists."""
        slashed = value.replace("\\", "/")
        if os.sep != "/" or slashed == value:
            return value
        if trusted:
            there = [exists(place_of(text).base) for text in (value, slashed)]
        else:
            places = [
                place_inside(text, self._roots_of(text), self._real)
                for text in (value, slashed)
                if len(text) <= LONGEST
            ]
            there = [place is not None and exists(place.base) for place in places]
        return slashed if there == [False, True] else value

    def _is_local_model(self, value: str, trusted: bool) -> bool:
        path = Path(value)
        if path.is_absolute() or value.startswith((".", "~")) or path.suffix in {".safetensors", *PICKLES}:
            return True
        if trusted:
            return ("/" in value.rstrip("/") and exists(path)) or exists(path / "model_index.json")
        if "/" not in value or len(value) > LONGEST:
            return False
        place = place_inside(value, self.roots)
        return place is None or (not place.pattern and exists(place.base))


def _did_you_mean(path: Path) -> str:
    """`did you mean …?` with the similar name of a file in the same folder; empty if there is none."""
    try:
        names = {entry.name.lower(): entry.name for entry in islice(path.parent.iterdir(), NEIGHBOURS)}
    except OSError:
        return ""
    near = get_close_matches(path.name.lower(), names, n=1, cutoff=0.7) if len(path.name) <= 64 else []
    return f"did you mean {shorten(names[near[0]])}? Otherwise " if near else ""

"""The content of a file, folder or glob as one short text, for cache keys and the records in pictures."""

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from .digest_store import keep, recall
from .digests import sha256
from .opening import open_file
from .reading.file_state import FileState
from .reading.listing import listing_at, model_files_at
from .reading.places import PICKLES, Entry, Listing, Place, place_of
from .reads import note_file, note_listing

_LARGE = 8 * 2**20  # bytes; digests of smaller files are not stored: reading those is as fast as looking them up
_SAMPLED = 64 * 2**20  # above this size, older records identify weights by their size and first part
_MODEL = frozenset({".json", ".txt", ".safetensors"})


def digest(what: Path | Listing, *, weights: bool = False) -> str:
    """sha256 of a file's bytes; for a folder or pattern, of the names and digests of its ordinary files.

    Args:
        what: a path, or what was found there.
        weights: the path is a model; in a folder, only weights and configurations count, one level deep.

    Raises:
        OSError: the path does not exist, cannot be read, or is a device or a pipe.
        BadInput: there are too many files.
    """
    listing = _listing(what, weights)
    found = _digest(listing, weights, file_sha256)
    if listing.kind in ("folder", "pattern"):  # a new file in it counts too
        note_listing((str(listing.place.base), listing.place.pattern, weights), found)
    return found


def holds(place: Place, recorded: str, roots: Sequence[Path] | None = None, *, weights: bool = False) -> bool:
    """True if the content of a place has the digest `recorded`, or one that earlier releases gave it.

    Those have a short digest of large weights, and hidden files in that of a pattern.

    Args:
        place: a file, a folder or a pattern.
        recorded: the digest in a record.
        roots: nothing that is read may lead out of these folders; None: links may lead anywhere.
        weights: as of `digest`.

    Raises:
        OSError, BadInput: as `digest` does; or a link leads out of `roots`.
    """
    found = model_files_at(place, roots) if weights else listing_at(place, roots)
    if _digest(found, weights, file_sha256) == recorded:
        return True
    if found.kind == "pattern":
        return _digest(listing_at(place, roots, hidden=True), weights, file_sha256) == recorded
    return weights and _digest(found, weights, _short_digest) == recorded


def _listing(what: Path | Listing, weights: bool) -> Listing:
    if isinstance(what, Listing):
        return what
    return model_files_at(place_of(what)) if weights else listing_at(place_of(what))


def _digest(found: Listing, weights: bool, of: Callable[[Path], str]) -> str:
    base, entries = found.place.base, found.entries
    if found.kind == "folder":
        return "folder:" + _combined(base, (one for one in entries if not weights or one.path.suffix in _MODEL), of)
    return "glob:" + _combined(base, entries, of) if found.kind == "pattern" else of(base)


def _combined(root: Path, entries: Iterable[Entry], of: Callable[[Path], str]) -> str:
    files = [entry.path for entry in entries if entry.kind == "file"]
    states = (_state_of_pickle(file) if file.suffix.lower() in PICKLES else of(file) for file in files)
    return sha256(
        *(
            f"{file.relative_to(root).as_posix()}\0{state}\0".encode(errors="surrogateescape")
            for file, state in zip(files, states, strict=True)
        )
    )


def _state_of_pickle(file: Path) -> str:
    """What tells that a pickle changed; it is not opened, since no node reads one."""
    now = file.stat()
    return f"pickle:{now.st_size}:{now.st_mtime_ns}:{now.st_ctime_ns}:{now.st_ino}"


_known: dict[FileState, str] = {}


def file_sha256(path: Path) -> str:
    """sha256 of an ordinary file, read once per state of the file, by this process or an earlier one.

    A file that changed in the last two seconds is always read: clocks are coarse.

    Raises:
        OSError: the file does not exist, cannot be read, or is a device or a pipe.
    """
    with open_file(path) as stream:
        state = FileState.of(os.fstat(stream.fileno()))
        settled = state.settled
        large = state.size >= _LARGE
        if settled and (known := _known.get(state) or (recall(state) if large else None)):
            _known[state] = known
            note_file(os.path.abspath(path), state, known)
            return known
        found = hashlib.file_digest(stream, "sha256").hexdigest()
        if settled and FileState.of(os.fstat(stream.fileno())) == state:  # not changed while it was read
            _known[state] = found
            if large:
                keep(state, found)
    note_file(os.path.abspath(path), state, found, sure=settled)
    return found


def _short_digest(path: Path) -> str:
    """The digest of weights above 64 MiB in older records: of the size and the first MiB."""
    with open_file(path) as stream:
        size = os.fstat(stream.fileno()).st_size
        if size <= _SAMPLED:
            return file_sha256(path)
        return "head:" + sha256(f"{size}\0", stream.read(2**20))

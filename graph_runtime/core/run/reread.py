"""Whether files that were read have changed since."""

import os
from pathlib import Path

from ..errors import BadInput
from ..file_digests import digest, file_sha256
from ..opening import Gate, reading
from ..reading.file_state import FileState
from ..reading.listing import listing_at, model_files_at
from ..reading.places import Place
from ..reads import ListingKey, Reads


def unchanged(reads: Reads) -> bool:
    """True if every file has the contents that it had.

    A file is read again only if its state differs; times may change without the contents. A link that has come in its
    place is not followed.
    """
    try:
        with reading(Gate(found=frozenset(reads.files))):
            return all(
                (path not in reads.unsure and state_of(path) == state) or file_sha256(Path(path)) == sha256
                for path, (state, sha256) in reads.files.items()
            )
    except OSError:
        return False


def untouched(reads: Reads) -> bool:
    """True if no file was even touched: one that changes and then holds its old contents again was another meanwhile.

    In a run, a node may have read what it held in between.
    """
    try:
        with reading(Gate(found=frozenset(reads.unsure))):
            return all(
                state_of(path) == state and (path not in reads.unsure or file_sha256(Path(path)) == sha256)
                for path, (state, sha256) in reads.files.items()
            )
    except OSError:
        return False


def same_listings(reads: Reads) -> bool:
    """True if every folder and pattern holds the files that it held, which are `unchanged`; no other one is read."""
    try:
        with reading(Gate(trusted=frozenset(map(os.path.normcase, reads.files)))):
            return all(_digest_now(key) == found for key, found in reads.listings.items())
    except (OSError, BadInput):
        return False


def _digest_now(key: ListingKey) -> str:
    base, pattern, weights = key
    place = Place(Path(base), pattern)
    return digest(model_files_at(place) if weights else listing_at(place), weights=weights)


def state_of(path: str) -> FileState:
    """The state of a file now.

    Raises:
        OSError: it is not there.
    """
    return FileState.of(os.stat(path))

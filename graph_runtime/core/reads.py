"""Which files a run has read, by content: noted wherever a digest is made, so whatever counts for a key is here."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from .reading.file_state import FileState

ListingKey = tuple[str, tuple[str, ...], bool]


@dataclass
class Reads:
    """Files and folders that were read.

    Attributes:
        files: absolute path → the file's state and its sha256, when it was first read.
        unsure: those that had changed just before: clocks are coarse, so their state may stay and the content change.
        listings: folder, pattern below it, and whether it is a model's → the digest of what is there.
    """

    files: dict[str, tuple[FileState, str]] = field(default_factory=dict)
    unsure: set[str] = field(default_factory=set)
    listings: dict[ListingKey, str] = field(default_factory=dict)


_collecting: ContextVar[tuple[Reads, ...]] = ContextVar("inlay_reads", default=())


@contextmanager
def collect_reads() -> Iterator[Reads]:
    """Collect what is read inside the block; a block around it collects it too."""
    reads = Reads()
    token = _collecting.set((*_collecting.get(), reads))
    try:
        yield reads
    finally:
        _collecting.reset(token)


def note_file(path: str, state: FileState, sha256: str, *, sure: bool = True) -> None:
    """A file was read in this state; the first time counts, because the keys may be made of it."""
    for reads in _collecting.get():
        if reads.files.setdefault(path, (state, sha256)) == (state, sha256) and sure:
            reads.unsure.discard(path)
        else:
            reads.unsure.add(path)


def note_listing(key: ListingKey, digest: str) -> None:
    """A folder, or what matches a pattern, was listed and its files read."""
    for reads in _collecting.get():
        reads.listings[key] = digest

"""Digests of large files, kept between processes: a model of gigabytes is read once, not at each start.

A digest is kept under everything that changes when the file does (`State`); nothing that is read here is ever sent or
shown. Where nothing can be kept, as on a full disk or in a home that is read-only, files are only read again.
"""

import contextlib
import sqlite3
from collections.abc import Iterator

from .user_paths import home

State = tuple[int, int, int, int, int]  # device, inode, size, and when content and inode last changed, in nanoseconds
ROWS = 10_000
WAIT = 1.0  # seconds for another process to finish writing


@contextlib.contextmanager
def _store() -> Iterator[sqlite3.Connection]:
    folder = home()
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.closing(sqlite3.connect(folder / "digests.sqlite", timeout=WAIT)) as store, store:
        store.execute("CREATE TABLE IF NOT EXISTS digests (state TEXT PRIMARY KEY, sha256 TEXT NOT NULL)")
        yield store


def recall(state: State) -> str | None:
    """The digest kept for a file in this state, or None."""
    with contextlib.suppress(sqlite3.Error, OSError), _store() as store:
        row = store.execute("SELECT sha256 FROM digests WHERE state = ?", (repr(state),)).fetchone()
        return None if row is None else str(row[0])
    return None


def keep(state: State, sha256: str) -> None:
    """Keep a digest; the oldest ones make room."""
    with contextlib.suppress(sqlite3.Error, OSError), _store() as store:
        store.execute("INSERT OR REPLACE INTO digests VALUES (?, ?)", (repr(state), sha256))
        store.execute("DELETE FROM digests WHERE rowid <= (SELECT max(rowid) FROM digests) - ?", (ROWS,))

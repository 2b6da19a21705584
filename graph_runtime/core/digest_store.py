"""Digests of large files, stored for later processes: a model of gigabytes is read once, not at each start.

The key is everything that changes when the file does (`State`). Where nothing can be stored, as on a full disk or in a
read-only home, files are read again.
"""

import contextlib

from .database import Database, DatabaseUnusable

State = tuple[int, int, int, int, int]  # device, inode, size, and when content and inode last changed, in nanoseconds
ROWS = 10_000
_DIGESTS = Database(
    "digests.sqlite", ("CREATE TABLE IF NOT EXISTS digests (state TEXT PRIMARY KEY, sha256 TEXT NOT NULL)",)
)


def recall(state: State) -> str | None:
    """The digest stored for a file in this state, or None."""
    with contextlib.suppress(DatabaseUnusable), _DIGESTS.reading() as digests:
        row = digests.execute("SELECT sha256 FROM digests WHERE state = ?", (repr(state),)).fetchone()
        return None if row is None else str(row[0])
    return None


def keep(state: State, sha256: str) -> None:
    """Store a digest; the oldest ones are removed."""
    with contextlib.suppress(DatabaseUnusable), _DIGESTS.writing() as digests:
        digests.execute("INSERT OR REPLACE INTO digests VALUES (?, ?)", (repr(state), sha256))
        digests.execute("DELETE FROM digests WHERE rowid <= (SELECT max(rowid) FROM digests) - ?", (ROWS,))

"""Digests of large files, stored for later processes: a model of gigabytes is read once, not at each start.

The key is everything that changes when the file does (`FileState`). Where nothing can be stored, as on a full disk or
in a read-only home, files are read again.
"""

import contextlib

from .database import Database, DatabaseUnusable
from .reading.file_state import FileState

ROWS = 10_000
_DIGESTS = Database(
    "digests.sqlite", ("CREATE TABLE IF NOT EXISTS digests (state TEXT PRIMARY KEY, sha256 TEXT NOT NULL)",)
)


def recall(state: FileState) -> str | None:
    """The digest stored for a file in this state, or None."""
    with contextlib.suppress(DatabaseUnusable), _DIGESTS.reading() as digests:
        row = digests.execute("SELECT sha256 FROM digests WHERE state = ?", (repr(tuple(state)),)).fetchone()
        return None if row is None else str(row[0])
    return None


def keep(state: FileState, sha256: str) -> None:
    """Store a digest; the oldest ones are removed."""
    with contextlib.suppress(DatabaseUnusable), _DIGESTS.writing() as digests:
        digests.execute("INSERT OR REPLACE INTO digests VALUES (?, ?)", (repr(tuple(state)), sha256))
        digests.execute("DELETE FROM digests WHERE rowid <= (SELECT max(rowid) FROM digests) - ?", (ROWS,))

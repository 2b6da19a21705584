"""What jobs have done, and which files are theirs: known after a kill at any instant.

A file is noted with its digest before it gets its name. So after a kill it is the job's own, whether or not the run
that made it has been noted as done; and what somebody else put or changed there is not.
"""

import contextlib
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ...core.database import Database, DatabaseUnusable
from ...core.file_digests import file_sha256

MOST = 1_000_000  # runs, and files; the oldest make room
_JOBS = Database(
    "jobs.sqlite",
    (
        "CREATE TABLE done (key BLOB, out TEXT, record TEXT NOT NULL, PRIMARY KEY (key, out))",
        "CREATE TABLE files (path TEXT PRIMARY KEY, owner TEXT NOT NULL, sha256 TEXT NOT NULL, before TEXT NOT NULL)",
        "CREATE TABLE quick (quick BLOB PRIMARY KEY, key BLOB NOT NULL)",
    ),
)


@dataclass(frozen=True)
class Written:
    """A file that a run of a job saved.

    Attributes:
        path: below the output folder, with slashes.
        sha256: of its contents.
        node: that saved it.
    """

    path: str
    sha256: str
    node: str = ""


@dataclass(frozen=True)
class Done:
    """A run of a job that was done: its files, its seconds, its warnings, and the outputs that are text or numbers."""

    files: list[Written]
    seconds: float
    warnings: list[tuple[str | None, str]] = field(default_factory=list)
    values: dict[str, str | float | int | bool | None] = field(default_factory=dict)


class Ledger:
    """The notes about one output folder; `trouble` says why nothing can be noted."""

    def __init__(self, out: Path) -> None:
        self.out = Path(os.path.realpath(out))
        self.trouble = ""

    def known(self, key: bytes, values: Iterable[str] = ()) -> Done | None:
        """The run under `key`, if each of its files is there and unchanged, and it gave these values."""
        rows: list[tuple[str]] = []
        with self._without_trouble(), _JOBS.reading() as jobs:
            rows = jobs.execute(
                "SELECT record FROM done WHERE key = ? ORDER BY out = ? DESC, rowid DESC LIMIT 8",
                (key, _text(self.out)),
            ).fetchall()
        for (record,) in rows:
            with contextlib.suppress(ValueError, KeyError, TypeError):
                raw = json.loads(record)
                files = [Written(**one) for one in raw.pop("files")]
                warnings = [(node, message) for node, message in raw.pop("warnings")]
                if raw.get("values", {}).keys() >= set(values) and all(map(self.is_unchanged, files)):
                    return Done(files, warnings=warnings, **raw)
        return None

    def known_by(self, quick: bytes, values: Iterable[str] = ()) -> Done | None:
        """As `known`, by what a run has of its own (`Quick`)."""
        row = None
        with self._without_trouble(), _JOBS.reading() as jobs:
            row = jobs.execute("SELECT key FROM quick WHERE quick = ?", (quick,)).fetchone()
        return self.known(row[0], values) if row is not None else None

    def note_quick(self, quick: bytes, key: bytes) -> None:
        """Note what stands for a key."""
        with self._without_trouble(), _JOBS.writing() as jobs:
            jobs.execute("INSERT OR REPLACE INTO quick VALUES (?, ?)", (quick, key))
            jobs.execute("DELETE FROM quick WHERE rowid <= (SELECT max(rowid) FROM quick) - ?", (MOST,))

    def note(self, key: bytes, done: Done) -> None:
        """Note that a run was done."""
        with self._without_trouble(), _JOBS.writing() as jobs:
            jobs.execute(
                "INSERT OR REPLACE INTO done VALUES (?, ?, ?)", (key, _text(self.out), json.dumps(asdict(done)))
            )
            jobs.execute("DELETE FROM done WHERE rowid <= (SELECT max(rowid) FROM done) - ?", (MOST,))

    def claim(self, final: Path, sha256: str, owner: str, before: str) -> None:
        """Note that a file with this digest is about to get this name, in place of one with the digest `before`."""
        with self._without_trouble(), _JOBS.writing() as jobs:
            jobs.execute("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)", (_text(final), owner, sha256, before))
            jobs.execute("DELETE FROM files WHERE rowid <= (SELECT max(rowid) FROM files) - ?", (MOST,))

    def owned(self, final: Path, owner: str) -> str:
        """The digest of a file that a run of this owner wrote and nobody has changed; empty for any other file."""
        row = None
        with self._without_trouble(), _JOBS.reading() as jobs:
            row = jobs.execute("SELECT owner, sha256, before FROM files WHERE path = ?", (_text(final),)).fetchone()
        if row is None or row[0] != owner or final.is_symlink():
            return ""
        with contextlib.suppress(OSError):
            found = file_sha256(final)
            return found if found in row[1:] else ""
        return ""

    def is_unchanged(self, file: Written) -> bool:
        """True if a file is there with the contents that it was given."""
        with contextlib.suppress(OSError, ValueError):
            return file_sha256(self.out / file.path) == file.sha256
        return False

    @contextlib.contextmanager
    def _without_trouble(self) -> Iterator[None]:
        try:
            yield
        except DatabaseUnusable as error:
            self.trouble = self.trouble or str(error)


def _text(path: Path) -> str:
    """A path as text that SQLite takes, whatever bytes it holds."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")

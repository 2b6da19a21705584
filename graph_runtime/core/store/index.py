"""The index of what is kept on disk: which results, where, how large, and when they were last used.

Every function raises `DatabaseUnusable` if the index cannot be used.
"""

import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from sqlite3 import Connection

from ..database import Database

NAME = "index.sqlite"
_STEPS = (
    "CREATE TABLE kept (place BLOB PRIMARY KEY, kind TEXT NOT NULL, label TEXT NOT NULL, file TEXT NOT NULL, body BLOB,"
    " size INTEGER NOT NULL, seal BLOB NOT NULL, seconds REAL NOT NULL, made INTEGER NOT NULL, used INTEGER NOT NULL)",
    "CREATE INDEX kept_used ON kept (used)",
    "CREATE TABLE removed (place BLOB PRIMARY KEY, reason TEXT NOT NULL, at INTEGER NOT NULL)",
    "CREATE TABLE runs (workflow TEXT NOT NULL, at INTEGER NOT NULL, nodes BLOB NOT NULL, PRIMARY KEY (workflow, at))",
    "CREATE INDEX runs_at ON runs (at)",
)
_REMOVED = 10_000  # rows about what was removed
_RUNS_OF_A_WORKFLOW, _RUNS = 8, 400
_LATEST = 2**62  # nanoseconds of the clock: a later time is rubbish
_FILE = re.compile(r"[0-9a-f]{40}(-[0-9a-f]{8})?\.[0-9a-z]{1,12}")
_COLUMNS = "place, kind, label, file, size, seal, seconds, made, used"


@dataclass(frozen=True)
class Entry:
    """One kept thing.

    Attributes:
        place: its name in the store, from its key and the environment.
        kind: `result` of a node, `run`, or `file` that a run saved.
        label: what it is, for people.
        file: its file's name; empty if its bytes are in the index itself.
        size: in bytes.
        seal: a hash of its bytes.
        seconds: how long it took to make.
        made: when it was made, in nanoseconds.
        used: when it was last used, in nanoseconds.
    """

    place: bytes
    kind: str
    label: str
    file: str
    size: int
    seal: bytes
    seconds: float
    made: int
    used: int


def is_ours(name: str) -> bool:
    """True for the name of a file of the store, which is a name and no path."""
    return _FILE.fullmatch(name) is not None


def _entry(values: Iterable[object]) -> Entry | None:
    """A row of the index; None if it holds what no row of ours does."""
    match tuple(values):
        case (
            bytes(place),
            str(kind),
            str(label),
            str(file),
            int(size),
            bytes(seal),
            float(seconds),
            int(made),
            int(used),
        ) if size >= 0 and 0 <= made <= _LATEST and 0 <= used <= _LATEST and (not file or is_ours(file)):
            return Entry(place, kind, label, file, size, seal, seconds, made, used)
    return None


@lru_cache(4)  # its connection stays open between runs
def _database(folder: Path) -> Database:
    return Database(NAME, _STEPS, folder=lambda: folder)


class Index:
    """The index in one folder."""

    def __init__(self, folder: Path) -> None:
        self._database = _database(folder)

    def find(self, places: Sequence[bytes]) -> dict[bytes, tuple[Entry, bytes | None]]:
        """Of some places, those that hold something, with the bytes that the index itself holds."""
        found = {}
        with self._database.reading() as rows:
            for first in range(0, len(places), 500):
                some = places[first : first + 500]
                marks = ",".join("?" * len(some))
                for *values, body in rows.execute(f"SELECT {_COLUMNS}, body FROM kept WHERE place IN ({marks})", some):
                    entry = _entry(values)
                    if entry is not None and (body is None or isinstance(body, bytes)):
                        found[entry.place] = (entry, body)
        return found

    def entries(self) -> list[Entry]:
        """Everything, last used first."""
        with self._database.reading() as rows:
            found = [_entry(values) for values in rows.execute(f"SELECT {_COLUMNS} FROM kept ORDER BY used DESC")]
        return [entry for entry in found if entry is not None]

    def files(self) -> set[str]:
        """The names of all files that belong to something."""
        with self._database.reading() as rows:
            return {name for (name,) in rows.execute("SELECT file FROM kept WHERE file != ''")}

    def size(self) -> tuple[int, int]:
        """How many things are kept, and their bytes."""
        with self._database.reading() as rows:
            count, size = rows.execute("SELECT count(*), coalesce(sum(size), 0) FROM kept").fetchone()
        return int(count), int(size)

    def add(self, entry: Entry, body: bytes | None, limit: int) -> list[str]:
        """Add an entry, and remove the least recently used ones above `limit` bytes in all.

        Returns:
            The files that belong to nothing any more: of what was removed, or of the entry if another process has
            added the same in the meantime.
        """
        with self._database.writing() as rows:
            used = _after_all(rows, "kept", "used", entry.used)
            there = rows.execute(f"SELECT {_COLUMNS} FROM kept WHERE place = ?", (entry.place,)).fetchone()
            if there is not None and _entry(there) is not None:
                rows.execute("UPDATE kept SET used = ? WHERE place = ?", (used, entry.place))
                return [entry.file] if entry.file else []
            values = (*(getattr(entry, name) for name in _COLUMNS.split(", ")[:-1]), used, body)
            rows.execute(f"INSERT OR REPLACE INTO kept ({_COLUMNS}, body) VALUES (?,?,?,?,?,?,?,?,?,?)", values)
            rows.execute("DELETE FROM removed WHERE place = ?", (entry.place,))
            (total,) = rows.execute("SELECT sum(size) FROM kept").fetchone()
            gone = []
            if total > limit:
                for place, file, size in rows.execute("SELECT place, file, size FROM kept ORDER BY used, made"):
                    if total <= limit:
                        break
                    gone.append((place, file))
                    total -= size
            _remove(rows, gone, "removed to stay within the limit of the cache")
        return [file for _, file in gone if file]

    def remove(self, places: Iterable[bytes], reason: str, file: str | None = None) -> list[str]:
        """Remove entries; returns their files. With `file`, only an entry of that file: not what came in its place."""
        with self._database.writing() as rows:
            gone = []
            for place in places:
                found = rows.execute("SELECT place, file FROM kept WHERE place = ?", (place,)).fetchall()
                gone += [row for row in found if file in (None, row[1])]
            _remove(rows, gone, reason)
        return [file for _, file in gone if file]

    def clear(self) -> list[str]:
        """Remove everything; returns the files."""
        with self._database.writing() as rows:
            files = [file for (file,) in rows.execute("SELECT file FROM kept WHERE file != ''")]
            for table in ("kept", "removed", "runs"):
                rows.execute(f"DELETE FROM {table}")
        return files

    def touch(self, places: Iterable[bytes]) -> None:
        """Note that these were used now."""
        with self._database.writing() as rows:
            now = _after_all(rows, "kept", "used", time.time_ns())
            rows.executemany("UPDATE kept SET used = ? WHERE place = ?", [(now, place) for place in places])

    def why_removed(self, place: bytes) -> str:
        """Why something is not kept any more; empty if that is not known."""
        with self._database.reading() as rows:
            row = rows.execute("SELECT reason FROM removed WHERE place = ?", (place,)).fetchone()
        return "" if row is None else str(row[0])

    def note_run(self, workflow: str, nodes: bytes) -> None:
        """Note what the results of a run of a workflow depended on; the oldest notes go."""
        with self._database.writing() as rows:
            now = _after_all(rows, "runs", "at", time.time_ns())
            rows.execute("INSERT OR REPLACE INTO runs VALUES (?, ?, ?)", (workflow, now, nodes))
            rows.execute(
                "DELETE FROM runs WHERE workflow = ? AND at NOT IN"
                " (SELECT at FROM runs WHERE workflow = ? ORDER BY at DESC LIMIT ?)",
                (workflow, workflow, _RUNS_OF_A_WORKFLOW),
            )
            rows.execute(
                "DELETE FROM runs WHERE at <= (SELECT at FROM runs ORDER BY at DESC LIMIT 1 OFFSET ?)", (_RUNS,)
            )

    def runs(self, workflow: str) -> list[tuple[int, bytes]]:
        """When a workflow ran, and what was noted then; the last run first."""
        with self._database.reading() as rows:
            found = rows.execute(
                "SELECT at, nodes FROM runs WHERE workflow = ? ORDER BY at DESC", (workflow,)
            ).fetchall()
        return [(int(at), bytes(nodes)) for at, nodes in found]


def _after_all(rows: Connection, table: str, column: str, now: int) -> int:
    """`now`, or just after the latest time in a table: where the clock was set back, the order stays that of events."""
    (latest,) = rows.execute(f"SELECT max({column}) FROM {table} WHERE {column} < ?", (_LATEST,)).fetchone()
    return now if latest is None else max(now, int(latest) + 1)


def _remove(rows: Connection, gone: Sequence[tuple[bytes, str]], reason: str) -> None:
    now = time.time_ns()
    rows.executemany("DELETE FROM kept WHERE place = ?", [(place,) for place, _ in gone])
    rows.executemany("INSERT OR REPLACE INTO removed VALUES (?, ?, ?)", [(place, reason, now) for place, _ in gone])
    rows.execute("DELETE FROM removed WHERE rowid <= (SELECT max(rowid) FROM removed) - ?", (_REMOVED,))

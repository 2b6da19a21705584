"""SQLite databases in inlay's own folder, for many threads and processes, intact after a kill at any instant.

What a database holds can be made again, so trouble never stops a run: whatever stands in its place (a pipe, a folder,
a read-only or full disk, another process that does not let go) raises `DatabaseUnusable` within seconds, and the
caller goes on without it. A damaged file is set aside and made anew. One that a newer inlay wrote is left alone.
"""

import atexit
import contextlib
import os
import random
import sqlite3
import stat
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path

from .notices import notice
from .user_paths import home

WAIT = 5.0  # seconds to wait for other processes and threads to finish writing
PAUSE = 30.0  # seconds before a database that could not be used is tried again
_FILES = ("", "-wal", "-shm", "-journal")
_DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_NO_WAL = frozenset({sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_LOCKED})
_BUSY = sqlite3.SQLITE_BUSY
_OWN_ERRORS = (sqlite3.ProgrammingError, sqlite3.InterfaceError, sqlite3.IntegrityError, sqlite3.NotSupportedError)

Identity = tuple[int, int]  # device and inode


class DatabaseUnusable(Exception):
    """A database cannot be used now; `path` and `why` say which and the reason. Nothing was written."""

    def __init__(self, path: Path, why: str) -> None:
        self.path, self.why = path, why
        super().__init__(f"{path}: {why}")


class _Damaged(Exception):
    """The file is not a database, or its tables are not ours."""


class Database:
    """One database file below inlay's own folder.

    Args:
        name: of the file.
        steps: SQL statements that make the tables, each applied once in a file's life. New releases append to them.
        folder: gives the folder; it is made when it is first needed.
    """

    def __init__(self, name: str, steps: Sequence[str], *, folder: Callable[[], Path] = home) -> None:
        self.name, self.steps, self._folder = name, tuple(steps), folder
        self._forget()
        _databases.add(self)

    @property
    def path(self) -> Path:
        """The file."""
        return self._folder() / self.name

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """One consistent state of the database; writers are not waited for.

        Raises:
            DatabaseUnusable: see the module.
        """
        with self._transaction("BEGIN") as connection:
            yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction: all of it is stored when the block ends, or nothing after an exception.

        It survives the end of the process. A power failure may undo the last transactions, whole ones.

        Raises:
            DatabaseUnusable: see the module.
        """
        if time.monotonic() < self._busy_until:
            raise DatabaseUnusable(self.path, "another process keeps it locked")
        with self._transaction("BEGIN IMMEDIATE") as connection:
            yield connection

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        with self._lock:
            self._close()

    def _forget(self) -> None:
        """Begin as if nothing was open, without closing: what a forked process inherits is still its parent's."""
        self._lock = threading.RLock()
        self._inherited = getattr(self, "_connection", None)  # kept, because closing would touch the parent's files
        self._connection: sqlite3.Connection | None = None
        self._opened: tuple[Path, Identity | None] = (Path(), None)
        self._failure: DatabaseUnusable | None = None
        self._failed_until = self._busy_until = 0.0

    @contextlib.contextmanager
    def _transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
        if not self._lock.acquire(timeout=WAIT):
            raise DatabaseUnusable(self.path, "another thread keeps it locked")
        try:
            connection = self._connected()
            try:
                connection.execute(begin)
                yield connection
                connection.execute("COMMIT")
            except BaseException as error:
                with contextlib.suppress(sqlite3.Error):
                    connection.rollback()
                if isinstance(error, sqlite3.Error) and not isinstance(error, _OWN_ERRORS):
                    raise self._failed(error) from error
                raise
        finally:
            self._lock.release()

    def _failed(self, error: sqlite3.Error) -> DatabaseUnusable:
        """What to raise after an error of SQLite in a transaction, which is undone."""
        path, code = self._opened[0], _code(error)
        if code == _BUSY:
            self._busy_until = time.monotonic() + PAUSE
            return DatabaseUnusable(path, "another process keeps it locked")
        if code in _DAMAGE:
            with contextlib.suppress(OSError):
                self._set_aside(*self._opened, str(error))
        self._close()
        return DatabaseUnusable(path, str(error))

    def _connected(self) -> sqlite3.Connection:
        path = self.path
        if self._connection is not None and self._opened == (path, _identity(path)):
            return self._connection
        self._close()  # the folder is another one now, or was deleted
        failure = self._failure
        if failure is not None and failure.path == path and time.monotonic() < self._failed_until:
            raise DatabaseUnusable(path, failure.why)
        try:
            self._connection = self._open(path)
        except DatabaseUnusable as error:
            self._failure = error
        except (sqlite3.Error, OSError, ValueError) as error:
            self._failure = DatabaseUnusable(path, getattr(error, "strerror", None) or str(error))
        else:
            return self._connection
        self._failed_until = time.monotonic() + PAUSE
        raise self._failure

    def _open(self, path: Path) -> sqlite3.Connection:
        path.parent.mkdir(parents=True, exist_ok=True)
        for attempt in range(3):
            for end in _FILES:
                _require_ordinary(Path(f"{path}{end}"))
            before = _identity(path)
            connection = sqlite3.connect(path, timeout=WAIT, isolation_level=None, check_same_thread=False)
            try:
                opened = _identity(path)
                if before not in (None, opened):
                    raise OSError("it is being replaced")
                self._prepare(connection, path)
            except BaseException as error:
                damage = _code(error) in _DAMAGE or isinstance(error, _Damaged)
                if damage and attempt < 2:
                    self._set_aside(path, opened, str(error), connection)
                connection.close()
                if not damage:
                    raise
            else:
                self._opened = (path, opened)
                return connection
        raise DatabaseUnusable(path, "it is damaged, and so is the new one")

    def _prepare(self, connection: sqlite3.Connection, path: Path) -> None:
        """Choose the journal, bring the tables up to date, and make sure that they are ours."""
        _prefer_wal(connection)
        version = _version(connection)
        if version < len(self.steps):
            connection.execute("BEGIN IMMEDIATE")
            version = _version(connection)
            try:
                for step in self.steps[version:]:
                    connection.execute(step)
            except sqlite3.OperationalError as error:
                if _code(error) == sqlite3.SQLITE_ERROR:  # tables of that name are there already
                    raise _Damaged(str(error)) from error
                raise
            version = max(version, len(self.steps))
            connection.execute(f"PRAGMA user_version = {version}")
            connection.execute("COMMIT")
        if version > len(self.steps):
            raise DatabaseUnusable(path, "a newer release of inlay wrote it")
        if _tables(connection) != self._tables:
            raise _Damaged("its tables are not those of inlay")

    @cached_property
    def _tables(self) -> list[object]:
        with contextlib.closing(sqlite3.connect(":memory:")) as connection:
            for step in self.steps:
                connection.execute(step)
            return _tables(connection)

    def _set_aside(
        self, path: Path, seen: Identity | None, why: str, connection: sqlite3.Connection | None = None
    ) -> None:
        """Rename a damaged file, unless another process has done so and `path` is a new one already."""
        from filelock import FileLock, Timeout

        _require_ordinary(Path(f"{path}.lock"))
        try:
            with FileLock(f"{path}.lock", timeout=WAIT):
                if os.name == "nt":  # where open files cannot be renamed
                    self._close()
                    if connection is not None:
                        connection.close()
                if seen is None or _identity(path) != seen:
                    return
                for end in reversed(_FILES):
                    with contextlib.suppress(FileNotFoundError):
                        os.replace(f"{path}{end}", f"{path}.damaged{end}")
        except Timeout:
            raise DatabaseUnusable(path, "it is damaged, and another process keeps it locked") from None
        notice(f"{path} was damaged ({why}): it is set aside as {path.name}.damaged, and a new one is begun")

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                connection.close()


_databases: "weakref.WeakSet[Database]" = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    for database in list(_databases):
        if database._lock.acquire(timeout=0.1):
            database._close()


def _forget_all() -> None:
    for database in list(_databases):
        database._forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)


def _code(error: BaseException) -> int:
    """SQLite's primary result code; -1 for other errors."""
    return int(getattr(error, "sqlite_errorcode", -1)) & 0xFF if hasattr(error, "sqlite_errorcode") else -1


def _identity(path: Path) -> Identity | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _require_ordinary(path: Path) -> None:
    """Refuse what SQLite would wait for, or write to, without being a file.

    Raises:
        OSError: a folder, a pipe, a device or a broken link is in the place of the file.
    """
    try:
        kind = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if stat.S_ISLNK(kind):
        kind = os.stat(path).st_mode
    if not stat.S_ISREG(kind):
        raise OSError(f"not an ordinary file: {path.name}")


def _prefer_wal(connection: sqlite3.Connection) -> None:
    """Use a write-ahead log, with which readers and writers do not wait for each other, where the file system can."""
    end = time.monotonic() + WAIT
    while True:
        try:
            (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        except sqlite3.OperationalError as error:
            if _code(error) == _BUSY and time.monotonic() < end:  # SQLite itself does not wait here
                time.sleep(random.uniform(0.002, 0.02))
                continue
            if _code(error) not in _NO_WAL:
                raise
            (mode,) = connection.execute("PRAGMA journal_mode = DELETE").fetchone()
        if mode == "wal":
            connection.execute("PRAGMA synchronous = NORMAL")
        return


def _version(connection: sqlite3.Connection) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


def _tables(connection: sqlite3.Connection) -> list[object]:
    return connection.execute(
        "SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite!_%' ESCAPE '!' ORDER BY type, name"
    ).fetchall()

"""Open files that a workflow names: ordinary files only, and no others than were permitted.

A path is resolved once; then every folder on the way is opened in turn without following a link, so that nobody can put
a link there in between. In a run, the `Gate` says what may be read.
"""

import errno
import io
import os
import stat
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import BinaryIO

from .reading.places import Listing

_BINARY = getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_NO_LINK_ANYWHERE = getattr(os, "O_NOFOLLOW_ANY", 0)  # macOS has it: no link in the whole path
_PATH_ONLY = getattr(os, "O_PATH", 0)  # enough to go on from a folder that may not be listed
_FOLDER = _PATH_ONLY | getattr(os, "O_DIRECTORY", 0) | _NO_LINK | _BINARY
_FILE = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0) | _NO_LINK | _BINARY
_BY_DESCRIPTOR = bool(_NO_LINK) and {os.open, os.stat} <= os.supports_dir_fd and os.scandir in os.supports_fd
_DESCRIPTORS = {"linux": "/proc/self/fd", "darwin": "/dev/fd"}


@dataclass(frozen=True)
class Gate:
    """What a run may read: below its folders, what the user named, and inlay's own folders.

    Attributes:
        folders: real paths; nothing below them may lead out of them.
        trusted: real paths that the user named; a link below them may lead anywhere.
        found: real paths of files that the check has found in `folders`: a link there now is refused.
        listings: by the path that a node receives, what the check has found there.
    """

    folders: frozenset[str] = frozenset()
    trusted: frozenset[str] = frozenset()
    found: frozenset[str] = frozenset()
    listings: Mapping[str, Listing] = field(default_factory=dict)

    def real(self, path: str) -> str:
        """The real path of `path`, if it may be read.

        Raises:
            PermissionError: it leads out of what may be read; says the same whether it exists or not.
        """
        lexical = os.path.abspath(path)
        if lexical in self.found:
            return lexical
        if _is_below(lexical, self.trusted) or _is_below(lexical, _own):
            return os.path.realpath(path)
        if _is_below(lexical, self.folders):
            real = os.path.realpath(path)
            if _is_below(real, self.folders):
                return real
        raise PermissionError(errno.EACCES, "it leads out of the folders that may be read", path)


def _is_below(path: str, folders: frozenset[str] | set[str]) -> bool:
    """True if `path` is one of `folders` or lies below one; it looks up each folder above it."""
    path = os.path.normcase(path)
    return path in folders or any(str(above) in folders for above in PurePath(path).parents)


_PACKAGE = Path(__file__).resolve().parents[2]
_own: set[str] = {os.path.normcase(_PACKAGE), os.path.normcase(os.path.abspath(Path(__file__).parents[2]))}


def read_also(folder: str | os.PathLike[str]) -> None:
    """Let every run read below a folder that inlay itself keeps files in: its package, its home, a cache of models."""
    given = os.path.abspath(folder)
    _own.update((os.path.normcase(given), os.path.normcase(os.path.realpath(given))))


_gate: ContextVar[Gate | None] = ContextVar("inlay_gate", default=None)


@contextmanager
def reading(gate: Gate) -> Iterator[None]:
    """In the block, `open_file` opens only what `gate` permits."""
    token = _gate.set(gate)
    try:
        yield
    finally:
        _gate.reset(token)


def gate() -> Gate | None:
    """What the current run may read; None outside a run."""
    return _gate.get()


def may_read(path: str | os.PathLike[str]) -> bool:
    """True if the current run may read at a path, whether something is there or not; a direct call may anywhere."""
    limits = _gate.get()
    try:
        return limits is None or bool(limits.real(os.fspath(path)))
    except (OSError, ValueError):
        return False


def open_file(path: str | os.PathLike[str]) -> io.BufferedReader:
    """An ordinary file, open for reading. Never waits: a pipe or a device is refused, not opened and read.

    In a run it must be permitted by the run's `Gate`; in a direct call any path is.

    Raises:
        OSError: it does not exist, cannot be read, is no ordinary file, leads out of what may be read, or a link took
            the place of a folder or file while it was being opened.
        ValueError: the text cannot be a path (it holds a NUL).
    """
    given, limits = os.fspath(path), _gate.get()
    real = os.path.realpath(given) if limits is None else limits.real(given)
    descriptor = _open_real(real, given)
    try:
        _require_ordinary(os.fstat(descriptor), given)
        return open(real, "rb", opener=lambda *_: descriptor)
    except BaseException:
        os.close(descriptor)
        raise


def name_of(file: BinaryIO) -> str:
    """A path by which a library opens this very file, whatever has its name by now; without such paths, its name.

    It is valid for as long as `file` is open.
    """
    folder = _DESCRIPTORS.get(sys.platform, "")
    by_number = f"{folder}/{file.fileno()}"
    return by_number if folder and os.path.exists(by_number) else file.name


def _open_real(real: str, given: str) -> int:
    """A descriptor of the file at a real path; a link anywhere in it is refused."""
    if _NO_LINK_ANYWHERE:
        _require_ordinary(os.lstat(real), given)
        return os.open(real, (_FILE & ~_NO_LINK) | _NO_LINK_ANYWHERE)
    if _BY_DESCRIPTOR:
        with folder_of(real) as (folder, name):
            _require_ordinary(os.stat(name, dir_fd=folder, follow_symlinks=False), given)
            return os.open(name, _FILE, dir_fd=folder)
    _require_ordinary(os.lstat(real), given)
    descriptor = os.open(real, _FILE)
    try:
        if os.path.realpath(real) != real or not os.path.samestat(os.fstat(descriptor), os.lstat(real)):
            raise _swapped(given)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


@contextmanager
def folder_of(real: str) -> Iterator[tuple[int, str]]:
    """The folder of a real path, open, and the name in it; on the way down no link is followed."""
    parts = Path(real).parts
    folder = os.open(parts[0], _FOLDER)
    try:
        for part in parts[1:-1]:
            above = folder
            folder = os.open(part, _FOLDER, dir_fd=above)
            os.close(above)
        yield folder, parts[-1] if len(parts) > 1 else os.curdir
    finally:
        os.close(folder)


@contextmanager
def entries_of(real: str) -> Iterator[Iterator["os.DirEntry[str]"]]:
    """What is in a folder, given by its real path; on the way down no link is followed, where the platform can do that.

    Raises:
        OSError: it is no folder, cannot be read, or a link took its place.
    """
    if not _BY_DESCRIPTOR:
        if os.path.realpath(real) != real:
            raise _swapped(real)
        with os.scandir(real) as entries:
            yield entries
        return
    with folder_of(real) as (above, name):
        folder = os.open(name, os.O_RDONLY | _FOLDER & ~_PATH_ONLY, dir_fd=above)
    try:
        with os.scandir(folder) as entries:
            yield entries
    finally:
        os.close(folder)


def _require_ordinary(status: os.stat_result, given: str) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), given)
    if stat.S_ISLNK(status.st_mode):
        raise _swapped(given)
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "not an ordinary file", given)


def _swapped(given: str) -> OSError:
    return OSError(errno.ELOOP, "a link took its place while it was read", given)

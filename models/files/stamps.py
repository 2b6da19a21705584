"""The state of a file, and hashes of its contents.

Anything but an ordinary file (a pipe, a device, a folder, a broken link) is refused before it is opened: reading from
a pipe may block forever. Contents are cached until the file's state changes.
"""

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from ...graph_runtime import ModelError
from ...graph_runtime.core.digests import sha256
from ...graph_runtime.core.file_digests import file_sha256
from ...graph_runtime.core.opening import open_file
from ...graph_runtime.core.reading.file_state import FileState

SAMPLES, SAMPLE = 256, 4096  # pieces of a large file that older hashes look at, and their bytes


@contextmanager
def ordinary_file(path: Path) -> Iterator[tuple[BinaryIO, FileState]]:
    """A file that may be read, open, with its state.

    Raises:
        ModelError: it is not an ordinary file, does not exist, or may not be read.
    """
    try:
        file = open_file(path)
    except (OSError, ValueError) as error:
        raise _refused(path, error) from error
    with file:
        yield file, FileState.of(os.fstat(file.fileno()))


def state_of(path: Path) -> FileState:
    """The state of an ordinary file, links followed.

    Raises:
        ModelError: it is not an ordinary file, does not exist, or may not be read.
    """
    with ordinary_file(path) as (_, state):
        return state


def has_entry(path: Path) -> bool:
    """True if there is an entry of that name, even a broken link: what is there must be read."""
    return path.is_symlink() or path.exists()


def _refused(path: Path, error: OSError | ValueError) -> ModelError:
    """The message about a file that cannot be opened."""
    try:
        mode = stat.S_IFREG if isinstance(error, PermissionError) else path.stat().st_mode
    except (OSError, ValueError):
        mode = stat.S_IFREG
    if stat.S_ISREG(mode):
        return ModelError(
            "source",
            found=f"{short_name(path)}: {getattr(error, 'strerror', None) or error}",
            expected="an ordinary file that can be read",
            fix="download the model again, or check the file's permissions",
        )
    kind = next(
        (name for test, name in ((stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a pipe")) if test(mode)),
        "a device or a socket",
    )
    return ModelError(
        "source",
        found=f"{short_name(path)}, which is {kind}",
        expected="an ordinary file",
        fix="download the model again",
    )


def short_name(path: Path) -> str:
    """A file's name and that of its folder, for messages."""
    return f"{path.parent.name}/{path.name}"


def stamp_of(files: Iterable[Path]) -> str:
    """A hash of file names, sizes, modification times and contents.

    Their folder and disk do not count.
    """
    seen = [(file.name, (state := state_of(file)).size, state.modified, _contents(file)) for file in files]
    return sha256(repr(seen))[:20]


def content_of(files: Iterable[Path]) -> str:
    """A hash of sizes and contents alone: the same on every machine."""
    return sha256(repr([(state_of(file).size, _contents(file)) for file in files]))


def pieces_of(files: Iterable[Path]) -> str:
    """A hash of sizes and of pieces of large files, as older versions computed it; their LoRAs carry it."""
    seen = [(state.size, _sample(str(file), state)) for file in files if (state := state_of(file))]
    return sha256(repr(seen))


def _contents(file: Path) -> str:
    """sha256 of the contents of a file whose state was read just now: it is an ordinary one.

    Raises:
        ModelError: it cannot be read.
    """
    try:
        return file_sha256(file)
    except OSError as error:
        raise _unreadable(file, error) from error


def _unreadable(file: Path, error: OSError) -> ModelError:
    return ModelError(
        "source",
        found=f"{short_name(file)}: {error.strerror or error}",
        expected="an ordinary file that can be read",
        fix="check the name and its permissions",
    )


@lru_cache(maxsize=1024)
def _sample(name: str, state: FileState) -> str:
    """Hash of the whole file up to 1 MiB, else of its beginning, its end and pieces evenly between."""
    size = state.size
    last = max(size - SAMPLE, 0)
    try:
        with ordinary_file(Path(name)) as (file, _):
            if size <= SAMPLES * SAMPLE:
                return sha256(file.read())
            pieces = []
            for number in range(SAMPLES):
                file.seek(last * number // (SAMPLES - 1))
                pieces.append(file.read(SAMPLE))
    except OSError as error:
        raise _unreadable(Path(name), error) from error
    return sha256(*pieces)

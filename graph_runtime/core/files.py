"""Atomic writes: to a hidden file in the same folder, then renamed, so that nobody reads half a file.

Files get the usual permissions of a new file; some libraries (safetensors) make theirs private (0600).
"""

import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def replacing(path: Path, *, parents: bool = False, flush: bool = False) -> Iterator[Path]:
    """An empty file to write to; it takes the place of `path` when the block ends without an error.

    Args:
        path: the file to write; the old one stays until the new one is complete.
        parents: create the folders above it.
        flush: wait until the contents are on the disk, so that they survive a power failure.

    Raises:
        OSError: the folder is not there or takes no files, or the disk is full.
    """
    if parents:
        path.parent.mkdir(parents=True, exist_ok=True)

    def move(temporary: Path) -> None:
        if flush:
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
        os.replace(temporary, path)

    with _written_beside(path.parent, path.name, move) as temporary:
        yield temporary


def write_bytes(path: Path, contents: bytes, *, parents: bool = False, flush: bool = False) -> None:
    """Write a file atomically; see `replacing`."""
    with replacing(path, parents=parents, flush=flush) as temporary:
        temporary.write_bytes(contents)


def write_text(path: Path, text: str, *, parents: bool = False, flush: bool = False) -> None:
    """Write a text file in UTF-8 atomically; see `replacing`."""
    with replacing(path, parents=parents, flush=flush) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextmanager
def numbered(folder: Path, name: str, suffix: str, published: Callable[[Path], None]) -> Iterator[Path]:
    """An empty file to write to; it becomes `<name>_00001<suffix>` when the block ends without an error.

    The first free number is used: a file is never overwritten.

    Args:
        folder: where the file goes; it must exist.
        name: its name without number and suffix.
        suffix: with its dot.
        published: called with the path that the file got.

    Raises:
        OSError: the folder is not there or takes no files, or the disk is full.
    """

    def move(temporary: Path) -> None:
        published(_to_free_number(temporary, folder, name, suffix))

    with _written_beside(folder, name, move) as temporary:
        yield temporary


@contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """An empty folder to fill; it takes the place of `folder` when the block ends without an error.

    Raises:
        OSError: the folder above takes no folders, or the disk is full.
    """
    new, old = (folder.with_name(_hidden(folder.name, end)) for end in ("part", "old"))
    try:
        new.mkdir()
        yield new
        mode = _mode_of_new_files(new)
        for file in new.rglob("*"):
            if file.is_file():
                _set_mode(file, mode)
        if folder.exists():
            os.rename(folder, old)
        os.rename(new, folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


@contextmanager
def _written_beside(folder: Path, name: str, move: Callable[[Path], None]) -> Iterator[Path]:
    """A hidden file in `folder`, handed to `move` after the block; after an error, it is removed."""
    temporary = folder / _hidden(name, "part")
    try:
        temporary.touch(exist_ok=False)
        mode = stat.S_IMODE(temporary.stat().st_mode)
        yield temporary
        _set_mode(temporary, mode)
        move(temporary)
    finally:
        with suppress(OSError):
            temporary.unlink()


def _hidden(name: str, end: str) -> str:
    return f".{name}.{os.getpid()}-{secrets.token_hex(4)}.{end}"


def _mode_of_new_files(folder: Path) -> int:
    probe = folder / _hidden("probe", "part")
    probe.touch(exist_ok=False)
    mode = stat.S_IMODE(probe.stat().st_mode)
    probe.unlink()
    return mode


def _set_mode(file: Path, mode: int) -> None:
    if stat.S_IMODE(file.stat().st_mode) != mode:
        file.chmod(mode)


def _to_free_number(temporary: Path, folder: Path, name: str, suffix: str) -> Path:
    """Move a file; a hard link fails where a rename would overwrite what another process has just put there."""
    number = 1
    while True:
        final = folder / f"{name}_{number:05d}{suffix}"
        try:
            os.link(temporary, final)
        except FileExistsError:
            number += 1
        except OSError:  # a file system without hard links
            if not final.exists():
                os.replace(temporary, final)
                return final
            number += 1
        else:
            temporary.unlink()
            return final

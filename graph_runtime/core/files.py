"""Atomic writes: to a hidden file in the same folder, then renamed, so that nobody reads half a file.

Files get the usual permissions of a new file; some libraries (safetensors) make theirs private (0600). What killed
processes left unfinished in a folder is removed at the next write there.
"""

import os
import shutil
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

from .leftovers import claim_of, hidden, owner, remove_abandoned_claim, sweep

_WAIT = 5.0  # seconds that another process may take to give a file its name
_BEYOND = 10_000  # numbers after the last taken one that other processes may hold at the same time


@contextmanager
def replacing(path: Path, *, parents: bool = False, flush: bool = False) -> Iterator[Path]:
    """An empty file to write to; it takes the place of `path` when the block ends without an error.

    Args:
        path: the file to write; the old one stays until the new one is complete.
        parents: create the folders above it.
        flush: wait until contents and name are on the disk, so that they survive a power failure.

    Raises:
        OSError: the folder is not there or takes no files, or the disk is full.
    """
    if parents:
        make_folder(path.parent)

    def move(temporary: Path) -> None:
        if flush:
            _flush(temporary)
        os.replace(temporary, path)
        if flush:
            _flush_folder(path.parent)

    with _written_beside(path.parent, path.name, move) as temporary:
        yield temporary


def write_bytes(
    path: Path, contents: bytes | Sequence[bytes | memoryview], *, parents: bool = False, flush: bool = False
) -> None:
    """Write a file atomically, also of pieces: what is large need not be in memory twice; see `replacing`."""
    with replacing(path, parents=parents, flush=flush) as temporary, temporary.open("wb") as file:
        for piece in [contents] if isinstance(contents, bytes) else contents:
            file.write(piece)


def write_text(path: Path, text: str, *, parents: bool = False, flush: bool = False) -> None:
    """Write a text file in UTF-8 atomically; see `replacing`."""
    with replacing(path, parents=parents, flush=flush) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_new(path: Path, contents: bytes) -> bool:
    """Write a file atomically, unless its name is taken; False if it is.

    Raises:
        OSError: the folder is not there or takes no files, or the disk is full.
    """
    written = False

    def move(temporary: Path) -> None:
        nonlocal written
        with _claim(path) as claimed:
            written = claimed and not os.path.lexists(path) and _move_to_free_name(temporary, path)

    with _written_beside(path.parent, path.name, move) as temporary:
        temporary.write_bytes(contents)
    return written


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, if they are not there, so that they survive a power failure.

    Raises:
        OSError: a file is in the place of one of them, or they cannot be made.
    """
    new = [folder, *folder.parents]
    while new and new[-1].is_dir():
        new.pop()
    folder.mkdir(parents=True, exist_ok=True)
    for made in new:
        _flush_folder(made.parent)


@contextmanager
def numbered(folder: Path, name: str, suffix: str, published: Callable[[Path], None]) -> Iterator[Path]:
    """An empty file to write to; it becomes `<name>_00001<suffix>` when the block ends without an error.

    The first free number is used: a file is never overwritten, on file systems without hard links either. Contents and
    name are on the disk before `published` is called.

    Args:
        folder: where the file goes; it must exist.
        name: its name without number and suffix.
        suffix: with its dot.
        published: called with the path that the file got.

    Raises:
        OSError: the folder is not there or takes no files, or the disk is full.
    """

    def move(temporary: Path) -> None:
        _flush(temporary)
        final = _to_free_number(temporary, folder, name, suffix)
        _flush_folder(folder)
        published(final)

    with _written_beside(folder, name, move) as temporary:
        yield temporary


Publish = Callable[[Path, Path], bool | None]


@contextmanager
def named(folder: Path, name: str, suffix: str, publish: Publish, published: Callable[[Path], None]) -> Iterator[Path]:
    """As `numbered`, but the file becomes `<name><suffix>`, or `<name>_00002<suffix>` and so on if that name is taken.

    Args:
        folder: where the file goes; it must exist.
        name: its name without suffix.
        suffix: with its dot.
        publish: called with the written file and the name that it is about to get; true if it may replace what has
            that name, None if the same is there already, which then stays.
        published: called with the path that the file got.

    Raises:
        OSError: as `numbered`.
    """

    def move(temporary: Path) -> None:
        _flush(temporary)
        numbers = (f"_{number:05d}" if number > 1 else "" for number in count(1))
        finals = (folder / f"{name}{number}{suffix}" for number in numbers)
        final = next(final for final in finals if _to_own_name(temporary, final, publish))
        _flush_folder(folder)
        published(final)

    with _written_beside(folder, name, move) as temporary:
        yield temporary


@contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """An empty folder to fill; it takes the place of `folder` when the block ends without an error.

    A process killed in between leaves the old folder or the new one, whole; if under a hidden name, `sweep` puts it
    back. The contents are on the disk before the folder is there.

    Raises:
        OSError: the folder above takes no folders, or the disk is full.
    """
    sweep(folder.parent)
    both = hidden(folder.name, whole=True)
    new, old = (folder.with_name(both + end) for end in (".part", ".old"))
    try:
        new.mkdir()
        yield new
        mode = _mode_of_new_files(new)
        for place, _, names in os.walk(new, topdown=False):
            for path in (Path(place, name) for name in names):
                _set_mode(path, mode)
                _flush(path)
            _flush_folder(Path(place))
        if folder.exists():
            os.rename(folder, old)
        os.rename(new, folder)
        _flush_folder(folder.parent)
    except BaseException:
        if not os.path.lexists(folder):
            with suppress(OSError):
                os.rename(old, folder)
        raise
    finally:
        shutil.rmtree(new, ignore_errors=True)
        if os.path.lexists(folder):
            shutil.rmtree(old, ignore_errors=True)


@contextmanager
def _written_beside(folder: Path, name: str, move: Callable[[Path], None]) -> Iterator[Path]:
    """A hidden file in `folder`, handed to `move` after the block; after an error, it is removed."""
    sweep(folder)
    temporary = folder / (hidden(name) + ".part")
    try:
        temporary.touch(exist_ok=False)
        mode = stat.S_IMODE(temporary.stat().st_mode)
        yield temporary
        _set_mode(temporary, mode)
        move(temporary)
    finally:
        with suppress(OSError):
            temporary.unlink()


def _mode_of_new_files(folder: Path) -> int:
    probe = folder / (hidden("probe") + ".part")
    probe.touch(exist_ok=False)
    mode = stat.S_IMODE(probe.stat().st_mode)
    probe.unlink()
    return mode


def _set_mode(file: Path, mode: int) -> None:
    if stat.S_IMODE(file.stat().st_mode) != mode:
        file.chmod(mode)


def _flush(file: Path) -> None:
    """Wait until a file's contents are on the disk."""
    with file.open("rb+") as stream:
        os.fsync(stream.fileno())


def _flush_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk, where the system can (Windows cannot)."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _to_own_name(temporary: Path, final: Path, publish: Publish) -> bool:
    """Move a file to its name; False if a file that may not be replaced has it."""
    may_replace = publish(temporary, final)
    if may_replace is None:
        return True
    if may_replace and os.path.lexists(final):
        os.replace(temporary, final)
        return True
    try:
        os.link(temporary, final)
    except FileExistsError:
        return False
    except OSError:  # no hard links here
        return _to_claimed_name(temporary, final)
    temporary.unlink()
    return True


def _to_claimed_name(temporary: Path, final: Path) -> bool:
    """Move a file to a name where there are no hard links; waits for the claim that a killed process may have left."""
    end = time.monotonic() + _WAIT
    while True:
        with _claim(final) as claimed:
            if claimed:
                return _move_to_free_name(temporary, final)
        if os.path.lexists(final) or time.monotonic() > end:
            return False
        remove_abandoned_claim(final.with_name(claim_of(final.name)))
        time.sleep(0.05)


def _to_free_number(temporary: Path, folder: Path, name: str, suffix: str) -> Path:
    """Move a file to the first number that no file has and no process claims."""
    taken: set[str] = set()
    with suppress(PermissionError), os.scandir(folder) as entries:  # a folder that takes files and does not show them
        taken = {entry.name for entry in entries if entry.name.startswith(name) and entry.name.endswith(suffix)}
    for number in range(1, len(taken) + _BEYOND):
        final = folder / f"{name}_{number:05d}{suffix}"
        if final.name in taken:
            continue
        with _claim(final) as claimed:
            if claimed and _move_to_free_name(temporary, final):
                return final
    raise OSError(f"no free number for {name}{suffix} in {folder}")


@contextmanager
def _claim(final: Path) -> Iterator[bool]:
    """Claim a name for this process while the block runs; False if another process has.

    The claim is a file of its own: after a kill, an empty one under the final name would look like a result.
    """
    claim = final.with_name(claim_of(final.name))
    try:
        descriptor = os.open(claim, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    except FileExistsError:
        yield False
        return
    except PermissionError:  # Windows says so while another process removes its claim
        if os.name != "nt":
            raise
        yield False
        return
    try:
        try:
            os.write(descriptor, owner().encode("ascii"))
        finally:
            os.close(descriptor)
        yield True
    finally:
        with suppress(OSError):
            claim.unlink()


def _move_to_free_name(temporary: Path, final: Path) -> bool:
    """Move a file to a name that this process has claimed; False if a file has it already.

    A hard link never overwrites, also what another program puts there. Without hard links, the claim must do.
    """
    try:
        os.link(temporary, final)
    except FileExistsError:
        return False
    except OSError:
        if os.path.lexists(final):
            return False
        try:
            os.rename(temporary, final)
        except FileExistsError:  # Windows: renaming never overwrites
            return False
    else:
        temporary.unlink()
    return True

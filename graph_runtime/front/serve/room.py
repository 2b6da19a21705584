"""How much the pictures that clients sent may take in all: the one that was used longest ago goes first."""

import json
import os
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ...core.errors import WorkflowError
from .records import Records
from .settings import Settings


@dataclass(frozen=True)
class _Kept:
    """A picture that was sent.

    Attributes:
        path: its file, or the folder of an upload.
        used: when it was last used, in seconds since 1970; see `note_use`.
        size: of it and its thumbnail, in bytes.
        name: what a request that needs it holds: the id of the upload, or the name of the file.
        upload: it is one.
    """

    path: Path
    used: float
    size: int
    name: str
    upload: bool


class Room:
    """The room for pictures that were sent, by either way.

    Args:
        settings: the folders, and the limit.
        records: which uploads there are, and which runs wait.
    """

    def __init__(self, settings: Settings, records: Records) -> None:
        self._settings, self._records = settings, records
        self._lock = threading.Lock()
        self._taken: int | None = None  # at most that much, until it is counted again

    def make(self, size: int) -> None:
        """Make room for one more picture; none that a waiting or running run needs goes.

        Raises:
            WorkflowError: there is no room for it.
        """
        most = self._settings.limits.space_bytes
        with self._lock:
            if self._taken is None or self._taken + size > most:
                kept = sorted(self._kept(), key=lambda one: one.used)
                self._taken = sum(one.size for one in kept)
                if size <= most and self._taken + size > most:
                    self._let_go(kept, most - size)
            if self._taken + size > most:
                raise WorkflowError.of(
                    "body",
                    found=f"{size:,} bytes, with {self._taken:,} bytes of pictures that runs need",
                    expected=f"at most {most:,} bytes of all pictures that were sent",
                    fix="wait until runs have ended, or start the server with a larger --upload-space",
                )
            self._taken += size

    def _let_go(self, kept: list[_Kept], most: int) -> None:
        needed = self._records.requests_to_make()
        assert self._taken is not None
        for one in kept:
            if self._taken <= most:
                return
            name = json.dumps(one.name)[1:-1]
            if any(name in request for request in needed):
                continue
            if one.upload:
                self._records.remove_upload(one.name)
                shutil.rmtree(one.path, ignore_errors=True)
            else:
                with suppress(OSError):
                    one.path.unlink()
            self._taken -= one.size

    def _kept(self) -> Iterator[_Kept]:
        for folder, files in _files_by_folder(self._settings.uploads):
            if files and folder.parent == self._settings.uploads and not folder.name.endswith(".part"):
                used = max(_used(status) for _, status in files)
                yield _Kept(folder, used, sum(status.st_size for _, status in files), folder.name, True)
        for _, files in _files_by_folder(self._settings.pictures):
            for path, status in files:
                if not path.name.startswith("."):
                    yield _Kept(path, _used(status), status.st_size, path.name, False)


_MOST_USES = 100_000
_uses: dict[tuple[int, int], float] = {}  # by device and inode, when this process last used a picture


def note_use(path: Path) -> None:
    """Note that a picture was used now.

    Nothing is written to its file, not even a time: a run that reads it would take it for another one. What was used
    before this process is told by when the file system says that it was read or written.
    """
    if len(_uses) > _MOST_USES:
        _uses.clear()
    with suppress(OSError):
        status = path.stat()
        _uses[status.st_dev, status.st_ino] = time.time()


def _used(status: os.stat_result) -> float:
    return max(status.st_atime, status.st_mtime, _uses.get((status.st_dev, status.st_ino), 0.0))


def _files_by_folder(root: Path) -> Iterator[tuple[Path, list[tuple[Path, os.stat_result]]]]:
    for base, _, names in os.walk(root):
        found = []
        for name in names:
            path = Path(base, name)
            with suppress(OSError):
                found.append((path, path.lstat()))
        yield Path(base), found

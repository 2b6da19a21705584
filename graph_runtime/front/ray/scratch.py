"""Files that runs read on this machine, kept by content in a folder of inlay's own that its workers share."""

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from ...core.user_paths import home
from .contents import Parcel, Ref

ROOM = 16 * 2**30  # bytes of files that are kept on one machine
YOUNG = 60.0  # seconds for which what was used stays, whoever else may need it
STALE = 86_400.0  # seconds after which what a killed worker left is removed


class Damaged(Exception):
    """What came is not what was sent."""


class Scratch:
    """The files of one sweep on this machine.

    Args:
        session: tells this sweep from others.
        fetch: the piece of a reference.
        room: bytes that are kept.

    Attributes:
        fetched: bytes that this worker has fetched.
    """

    def __init__(self, session: str, fetch: Callable[[Ref], bytes], room: int = ROOM) -> None:
        above = home() / "ray"
        _remove_stale(above)
        self.folder = above / session
        self._kept, self._own = self.folder / "files", self.folder / f"worker-{os.getpid()}"
        for folder in (self._kept, self._own):
            folder.mkdir(parents=True, exist_ok=True)
        self._fetch, self._room = fetch, room
        self.fetched = self._looked = 0

    def paths(self, parcels: Mapping[str, Parcel], pieces: Mapping[str, list[Ref]]) -> dict[str, str]:
        """The path of each parcel here, by its key; they stay until the next call.

        Raises:
            OSError: there is no room.
            Damaged: what came is not what was sent.
        """
        (self._own / "using").write_text("\n".join(parcels), encoding="utf-8")
        if self.fetched - self._looked > self._room // 64:
            self._looked = self.fetched
            self._make_room()
        return {key: self._path(key, parcel, pieces) for key, parcel in parcels.items()}

    def _path(self, key: str, parcel: Parcel, pieces: Mapping[str, list[Ref]]) -> str:
        folder = self._kept / key
        try:
            os.utime(folder)
        except OSError:
            self._unpack(folder, parcel, pieces)
        place = folder / parcel.name
        return str(place / parcel.pattern) if parcel.pattern else str(place)

    def _unpack(self, folder: Path, parcel: Parcel, pieces: Mapping[str, list[Ref]]) -> None:
        """Write a parcel beside its place, and give it its name when it is whole."""
        new = self._own / "new"
        shutil.rmtree(new, ignore_errors=True)
        place = new / parcel.name
        (new if "" in parcel.files else place).mkdir(parents=True)
        for name, digest in parcel.files.items():
            target = place / name if name else place
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("wb") as file:
                for ref in pieces[digest]:
                    file.write(self._fetch(ref))
            self.fetched += target.stat().st_size
            with target.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != digest:
                    raise Damaged(f"{target.name} is not what was sent (sha256 {digest[:12]}…)")
        try:
            os.rename(new, folder)
        except OSError:  # another worker of this machine was first
            if not folder.is_dir():
                raise

    def _make_room(self) -> None:
        """Remove files that no worker uses, those used longest ago first."""
        with suppress(OSError):
            found = [(one.stat().st_mtime, one) for one in self._kept.iterdir()]
            sizes = {folder: _size(folder) for _, folder in found}
            using = {key for one in self.folder.glob("worker-*/using") for key in one.read_text("utf-8").split("\n")}
            held = sum(sizes.values())
            for used, folder in sorted(found):
                if held <= self._room or time.time() - used < YOUNG:
                    return
                if folder.name not in using:
                    shutil.rmtree(folder, ignore_errors=True)
                    held -= sizes[folder]

    def out(self) -> Path:
        """An empty folder for the files of one run."""
        folder = self._own / "out"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def remove(self) -> None:
        """Remove everything of this sweep."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _size(folder: Path) -> int:
    return sum(one.stat().st_size for one in folder.rglob("*"))


def _remove_stale(above: Path) -> None:
    with suppress(OSError):
        for session in above.iterdir():
            last = max((one.stat().st_mtime for one in (session, *session.glob("*/*"))), default=0.0)
            if time.time() - last > STALE:
                shutil.rmtree(session, ignore_errors=True)

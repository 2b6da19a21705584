"""What the editor keeps for its user: settings, graphs, bookmarks; files below one folder."""

import json
import os
import threading
from pathlib import Path

from ....core.files import write_bytes
from ....core.reading.places import below
from ..json_data import Json
from .places import Outside, Places

_DEFAULTS: Json = {"Comfy.TutorialCompleted": True}
_SETTINGS = "settings.json"
_MOST_FILES = 10_000
_MOST_BYTES = 2**30  # of all files
_MOST_SETTINGS = 4 * 2**20  # bytes
#: What the editor asks for at its start, by the end of its name, as it is before anybody has saved one.
_EMPTY = {"user.css": b"", ".templates.json": b"[]", "workflows/.index.json": b'{"favorites":[]}'}


class NoFile(Exception):
    """There is no such file, or folder."""


class Full(Exception):
    """The editor keeps as much as it may."""


class Taken(Exception):
    """There is a file of that name, and it was not to be replaced."""


class UserData:
    """Files of the user.

    Args:
        places: where they lie.
    """

    def __init__(self, places: Places) -> None:
        self._places = places
        self._lock = threading.Lock()

    @property
    def root(self) -> Path:
        """The folder of all of them."""
        return self._places.user / "user"

    def path(self, name: str) -> Path:
        """A file that is there.

        Raises:
            Outside: the name leads out.
            NoFile: there is none.
        """
        path = self._places.within(self.root, name)
        if not path.is_file():
            raise NoFile
        return path

    def empty(self, name: str) -> bytes | None:
        """What a file holds that nobody has saved yet; None if there is nothing to say.

        Raises:
            Outside: the name leads out.
        """
        found = next((text for end, text in _EMPTY.items() if name.endswith(end)), None)
        return None if found is None or self._places.within(self.root, name).is_file() else found

    def write(self, name: str, data: bytes, *, overwrite: bool) -> Path:
        """Write a file, whole or not at all.

        Raises:
            Outside: the name leads out, or is none.
            Taken: there is one.
            Full: it keeps as much as it may.
            OSError: it cannot be written.
        """
        with self._lock:
            path = self._places.writable(self.root, name)
            if path == self.root or path.is_dir():
                raise Outside
            if not overwrite and path.exists():
                raise Taken
            self._require_room(len(data))
            write_bytes(path, data)
        return path

    def _require_room(self, size: int) -> None:
        found = [Path(base, name) for base, _, names in os.walk(self.root) for name in names]
        if len(found) >= _MOST_FILES or size + sum(path.lstat().st_size for path in found) > _MOST_BYTES:
            raise Full(f"the editor keeps {_MOST_FILES:,} files and {_MOST_BYTES:,} bytes at most: delete some")

    def remove(self, name: str) -> None:
        """Delete a file.

        Raises:
            Outside: the name leads out.
            NoFile: there is none.
        """
        self.path(name).unlink()

    def move(self, name: str, to: str, *, overwrite: bool) -> Path:
        """Give a file another name.

        Raises:
            Outside: a name leads out.
            NoFile: there is none.
            Taken: there is one of the new name.
        """
        with self._lock:
            source, path = self.path(name), self._places.writable(self.root, to)
            if path == self.root or path.is_dir():
                raise Outside
            if not overwrite and path.exists():
                raise Taken
            os.replace(source, path)
        return path

    def facts(self, path: Path, root: Path) -> Json:
        """Path, size and times of a file, in milliseconds."""
        stat = path.stat()
        return {
            "path": path.relative_to(root).as_posix(),
            "size": stat.st_size,
            "modified": int(stat.st_mtime * 1000),
            "created": int(stat.st_ctime * 1000),
        }

    def listed(self, folder: str, *, recurse: bool) -> tuple[Path, list[Path]]:
        """A folder and the files in it; one that nothing was saved in yet is empty.

        Raises:
            Outside: the name leads out.
            NoFile: it is a file.
        """
        root = self._places.within(self.root, folder)
        if not root.exists():
            return root, []
        if not root.is_dir():
            raise NoFile
        found: list[Path] = []
        for base, folders, names in os.walk(root):
            found += [path for name in sorted(names) if _own(path := Path(base, name), self.root)]
            folders[:] = sorted(folders) if recurse else []
            if len(found) > _MOST_FILES:
                break
        return root, found[:_MOST_FILES]

    def entries(self, folder: str) -> list[Json]:
        """Folders, then files, below a folder, with their facts.

        Raises:
            Outside: the name leads out.
            NoFile: there is no such folder.
        """
        base = self._places.within(self.root, folder)
        if not base.exists() and base == self.root:
            return []
        root, files = self.listed(folder, recurse=True)
        folders = sorted({parent for path in files for parent in path.parents if root in parent.parents})
        shown: list[Json] = [
            {"name": path.name, "path": path.relative_to(self.root).as_posix(), "type": "directory"} for path in folders
        ]
        for path in files:
            stat = path.stat()
            shown.append(
                {
                    "name": path.name,
                    "path": path.relative_to(self.root).as_posix(),
                    "type": "file",
                    "size": stat.st_size,
                    "modified": stat.st_mtime,
                }
            )
        return shown

    # settings

    def settings(self) -> Json:
        """All settings of the editor; what cannot be read counts as none."""
        try:
            found = json.loads(self.path(_SETTINGS).read_bytes())
        except (NoFile, Outside, OSError, ValueError, RecursionError):
            found = {}
        return {**_DEFAULTS, **(found if isinstance(found, dict) else {})}

    def set(self, changed: Json) -> None:
        """Change some settings.

        Raises:
            Full: they are too many.
            OSError: they cannot be written.
        """
        with self._lock:
            path = self._places.writable(self.root, _SETTINGS)
            data = json.dumps({**self.settings(), **changed}, indent=1).encode()
            if len(data) > _MOST_SETTINGS:
                raise Full(f"the editor keeps {_MOST_SETTINGS:,} bytes of settings at most")
            write_bytes(path, data)


def _own(path: Path, root: Path) -> bool:
    """True for a file that no link leads out to."""
    return path.is_file() and (not path.is_symlink() or below(os.path.realpath(path), os.path.realpath(root)))

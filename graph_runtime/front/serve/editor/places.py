"""The editor's own folders, and paths below them that a stranger may name."""

import os
from pathlib import Path

from ....core.context import safe_prefix
from ....core.files import make_folder
from ....core.reading.places import below, place_inside
from ...comfy.host.samples import sample
from ..settings import Settings

_DEEPEST = 12  # folders


class Outside(Exception):
    """A name leads out of its folder, or is none that every system can keep."""


class Places:
    """The folders that the editor's calls read and write.

    Attributes:
        user: what the editor saves: settings, graphs.
        pictures: what was sent to it: uploads, pasted pictures, painted masks.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.user = settings.folder / "editor"
        self.pictures = settings.pictures

    def within(self, root: Path, *names: str) -> Path:
        """A path below `root`, for reading or writing; it need not exist.

        Raises:
            Outside: it would lead out, over a link too, or a name is odd.
        """
        parts = [part for name in names for part in name.replace("\\", "/").split("/") if part not in ("", ".")]
        if len(parts) > _DEEPEST or not all(safe_prefix(part, windows=True) for part in parts):
            raise Outside
        path = root.joinpath(*parts)
        if not below(os.path.realpath(path), os.path.realpath(root)):
            raise Outside
        return path

    def input(self, name: str, subfolder: str = "") -> Path | None:
        """The picture that a node names: sent to the editor, in `--inputs`, or a sample; None if there is none."""
        text = f"{subfolder}/{name}" if subfolder else name
        roots = [root for root in self._settings.roots if root not in (self._settings.uploads, self._settings.out)]
        found = None if "\0" in text or os.path.isabs(text) else place_inside(text, roots)
        if found is not None and not found.pattern and _is_file(found.base):
            return found.base
        shipped = sample(text)
        return None if shipped is None or not os.path.isfile(shipped) else Path(shipped)

    def output(self, name: str, subfolder: str = "") -> Path | None:
        """A result; None if there is none."""
        try:
            path = self.within(self._settings.out, subfolder, name)
        except Outside:
            return None
        hidden = any(part.startswith(".") for part in path.relative_to(self._settings.out).parts)
        return path if path.is_file() and not hidden else None

    def writable(self, root: Path, *names: str) -> Path:
        """A path below `root` whose folder is there.

        Raises:
            Outside: it would lead out, or a name is odd.
            OSError: the folder cannot be made.
        """
        path = self.within(root, *names)
        try:
            make_folder(path.parent)
        except (FileExistsError, NotADirectoryError):  # a file has the name of a folder
            raise Outside from None
        return path


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is too long
        return False

"""Whether a folder can be written to."""

import os
import tempfile
from pathlib import Path


def why_unwritable(folder: Path, room: int = 2**16) -> str:
    """Why `room` bytes cannot be written below a folder, which need not exist yet; empty if they can.

    Tries it with an unnamed file, because permissions do not show a full disk or a quota.
    """
    place = folder
    try:
        if "\0" in str(folder):
            raise OSError("a name with a NUL")
        place = folder.absolute()
        while not place.exists():
            if place.is_symlink():
                raise OSError("a broken or circular link")
            place = place.parent
        if not place.is_dir():
            return f"{place} is not a folder"
        with tempfile.TemporaryFile(dir=place, prefix=".inlay-") as probe:
            probe.write(bytes(room))
    except (OSError, ValueError) as error:
        return f"nothing can be written to {place}: {getattr(error, 'strerror', None) or error}"
    return ""


def why_not_below(out: Path, prefix: str) -> str:
    """Why no file of that prefix can be written below a writable output folder; empty if one can."""
    root = os.path.realpath(out)
    folder = os.path.realpath(os.path.join(root, os.path.dirname(prefix)))
    if folder == root:
        return ""
    if not Path(folder).is_relative_to(root):
        return "a link there leads out of the output folder"
    return why_unwritable(Path(folder))

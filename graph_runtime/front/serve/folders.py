"""The folders of a server belong to one server at a time."""

from typing import TYPE_CHECKING

from ...core.errors import WorkflowError
from ...core.files import make_folder
from ...core.paths import why_unwritable
from .settings import Settings

if TYPE_CHECKING:
    from filelock import BaseFileLock


def hold_folders(settings: Settings) -> "BaseFileLock":
    """Make the folders, and keep other servers out until the lock is released, or this process ends.

    Raises:
        WorkflowError: they cannot be written to, or another server has them.
    """
    from filelock import FileLock, Timeout

    for name, folder in (("--out", settings.out), ("INLAY_HOME", settings.folder)):
        if why := why_unwritable(folder):
            raise WorkflowError.of(
                name, found=f"{str(folder)!r}: {why}", expected="a folder with room in it", fix=f"choose another {name}"
            )
        make_folder(folder)
    make_folder(settings.uploads)
    make_folder(settings.here)
    lock = FileLock(settings.folder / "server.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise WorkflowError.of(
            None,
            found=f"another server that uses {settings.folder}",
            expected="one server for one home",
            fix="stop the other one, or set INLAY_HOME to another folder",
        ) from None
    return lock

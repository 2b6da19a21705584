"""Errors of disks and folders in plain words: whatever the machine causes is named as such, and never called a bug."""

import errno
import os
import re

_IN_WORDS = re.compile(r"\(os error (\d{1,5})\)")  # as libraries written in Rust put it
_SAYS_NOTHING = re.compile(r"encoder error -\d+ when writing|image file could not be written|broken data stream")
_ROOM = "free some space, or choose another folder with --out"
_FOLDER = "choose another folder with --out"
_EXPLAINED = {
    "ENOSPC": ("no space is left on the disk", _ROOM),
    "EDQUOT": ("the disk quota is used up", _ROOM),
    "EFBIG": (
        "the file is larger than the disk or the limit of this process allows",
        f"raise `ulimit -f`, or {_FOLDER}",
    ),
    "EROFS": ("the disk can only be read", _FOLDER),
    "EACCES": ("no permission", f"check the permissions, or {_FOLDER}"),
    "EPERM": ("no permission", f"check the permissions, or {_FOLDER}"),
    "ENAMETOOLONG": ("the name is too long for this file system", "use a shorter name"),
    "ENOTDIR": ("a file is where a folder is needed", "use another name, or move that file away"),
    "EEXIST": ("a file is where a folder is needed", "use another name, or move that file away"),
    "EISDIR": ("a folder is where a file is needed", "use another name, or move that folder away"),
    "ENOENT": ("it is not there, or no longer", "put it back, then run again"),
    "ELOOP": ("a link that leads in a circle, or took the place of a folder", "remove that link"),
    "EIO": ("the disk reports an error", "check the disk, then run again"),
    "ESTALE": ("the network folder is no longer there", "check the connection, then run again"),
    "EMFILE": ("too many open files", "raise `ulimit -n`, then run again"),
    "ENFILE": ("too many open files on this machine", "close other programs, then run again"),
}
_BY_NUMBER = {getattr(errno, name): text for name, text in _EXPLAINED.items() if hasattr(errno, name)}


def disk_error(error: BaseException) -> OSError | None:
    """The error of a disk or folder behind an exception, however a library reports it; None if it is another error."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        if isinstance(cause, OSError) and cause.errno in _BY_NUMBER:
            return cause
        if match := _IN_WORDS.search(str(cause)):
            number = int(match[1])
            return OSError(number, os.strerror(number))
        if isinstance(cause, OSError) and _SAYS_NOTHING.search(str(cause)):
            return cause
        cause = cause.__cause__ or cause.__context__
    return None


def explain(error: OSError, place: object = "") -> tuple[str, str, str]:
    """Found, expected and fix of an error of a disk or folder.

    Args:
        error: from `disk_error`.
        place: the file or folder, if the error does not name it.
    """
    why, fix = _BY_NUMBER.get(error.errno or 0, (error.strerror or str(error), f"check the disk, or {_FOLDER}"))
    named = str(error.filename or place)
    return (f"{named}: {why}" if named else why), "a disk and folder that can be used", fix


def is_full(error: BaseException) -> bool:
    """True if a disk or a quota without room is behind an exception."""
    cause = disk_error(error)
    return cause is not None and cause.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))

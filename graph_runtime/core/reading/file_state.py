"""What tells that a file has changed, without reading it."""

import os
import time
from typing import NamedTuple

SETTLED_NS = 2_000_000_000  # clocks of file systems are coarse: a file younger than this is always read


class FileState(NamedTuple):
    """A file's identity and times: the key of whatever is remembered about its contents.

    Attributes:
        device: the disk.
        inode: the file on that disk.
        size: in bytes.
        modified: when its contents last changed, in nanoseconds.
        changed: when the contents or the inode last changed; nobody can set it back.
    """

    device: int
    inode: int
    size: int
    modified: int
    changed: int

    @classmethod
    def of(cls, status: os.stat_result) -> "FileState":
        """The state that `os.stat` or `os.fstat` reports."""
        return cls(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)

    @property
    def settled(self) -> bool:
        """True if the file last changed long enough ago that a further change would show in its times."""
        return time.time_ns() - max(self.modified, self.changed) > SETTLED_NS

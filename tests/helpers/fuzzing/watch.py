"""What a process does while a case runs: an audit hook for Python, inotify for everything else.

The hook sees what Python code does; it cannot be taken off, so it is switched on and off. Libraries that open files
in C or Rust pass it by: whoever opens a file outside is seen by inotify, that is by the operating system.
"""

import ctypes
import os
import re
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
_IN_OPEN, _IN_ACCESS, _IN_MODIFY, _IN_CREATE, _IN_DELETE = 0x20, 0x1, 0x2, 0x100, 0x200
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGES = {
    "os.remove": 1, "os.rmdir": 1, "os.mkdir": 1, "os.chmod": 1, "os.chown": 1, "os.truncate": 1, "os.utime": 1,
    "os.link": 2, "os.rename": 2, "os.symlink": 2, "shutil.rmtree": 1, "shutil.move": 2, "shutil.copyfile": 2,
}  # fmt: skip
_NEVER = {
    "pickle.find_class": "pickle", "marshal.loads": "", "socket.connect": "socket", "socket.bind": "socket",
    "socket.getaddrinfo": "socket", "subprocess.Popen": "process", "os.system": "process", "os.exec": "process",
    "os.posix_spawn": "process", "os.fork": "process", "os.forkpty": "process", "ctypes.dlopen": "",
}  # fmt: skip


class Watch:
    """Collects what happened that must not happen, as (kind, where, what)."""

    def __init__(self, world):
        self.world, self.on, self.seen = world, False, []
        self.reads_confined = True
        base = [sys.prefix, sys.base_prefix, *sysconfig.get_paths().values(), str(ROOT)]
        base += [os.path.realpath(path) for path in (*base, *sys.path) if path]
        base += [
            "/usr/share/zoneinfo",
            "/etc/localtime",
            "/etc/mime.types",
            "/dev/null",
            "/dev/urandom",
            "/sys/devices",
        ]
        base += ["/proc/meminfo", "/proc/cpuinfo", "/proc/mounts", "/proc/filesystems", "/sys/fs/cgroup"]
        self._readable = tuple({path.rstrip("/") for path in base if path and path != "/"})
        self._inotify = ctypes.CDLL(None, use_errno=True)
        self._notices = self._inotify.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        sys.addaudithook(self._hook)

    def start(self, folder, reads_confined, may_write=False):
        """Begin to watch; `folder` is the case's own, into which only who types its name may write."""
        self.reads_confined = reads_confined
        own = [str(folder), str(self.world.out), str(self.world.home), str(self.world.temporary)]
        self._own = tuple(own)
        self._written = (str(self.world.out), str(self.world.home), str(self.world.temporary))
        self._written += (str(folder),) if may_write else ()
        self._drain()
        self.seen = []
        self.on = True

    def stop(self):
        """What was seen since `start`."""
        self.on = False
        touched = self._drain()
        if touched and self.reads_confined:
            kinds = {kind for kind, _, _ in self.seen}
            if "escape" not in kinds:  # else it is what the hook saw
                self.seen.append(("escape", "past the hook, seen by inotify", "a file outside was opened"))
        return self.seen

    def guard_outside(self):
        """Watch the folders outside anew; to be called when they were made."""
        for place in self.world.outside:
            for folder in (place, place / "sub"):
                mask = _IN_OPEN | _IN_ACCESS | _IN_MODIFY | _IN_CREATE | _IN_DELETE
                self._inotify.inotify_add_watch(self._notices, str(folder).encode(), mask)
        self._drain()

    def _drain(self):
        """True if a file outside was opened since the last time; that a folder was listed does not count."""
        touched = False
        while True:
            try:
                data = os.read(self._notices, 65536)
            except BlockingIOError:
                return touched
            at = 0
            while at < len(data):
                mask = int.from_bytes(data[at + 4 : at + 8], sys.byteorder)
                length = int.from_bytes(data[at + 12 : at + 16], sys.byteorder)
                touched |= not mask & 0x40000000 and bool(length)  # a folder was opened
                at += 16 + length

    def _hook(self, event, arguments):
        if not self.on:
            return
        self.on = False  # what is done here is not looked at
        try:
            self._look(event, arguments)
        finally:
            self.on = True

    def _look(self, event, arguments):
        if event == "open":
            path, mode, flags = arguments
            if isinstance(path, int) or path is None:
                return
            if mode is None and flags & os.O_DIRECTORY and not flags & _WRITES:
                return  # on the way down to a file; what is opened in there is seen by inotify
            writes = (isinstance(mode, str) and set(mode) & set("wax+")) or (mode is None and flags & _WRITES)
            self._see_path(os.fsdecode(path), bool(writes))
        elif event in _CHANGES:
            for path in arguments[: _CHANGES[event]]:
                if not isinstance(path, int) and path is not None:
                    self._see_path(os.fsdecode(path), True, event)
        elif kind := _NEVER.get(event):
            self.seen.append((kind, f"{event}{_by_whom()}", f"{arguments!r:.200}"))
        elif event == "exec":
            name = getattr(arguments[0], "co_filename", "")
            if str(self.world.root) in name:
                self.seen.append(("code", "a file of the folder ran", name))
        elif event == "sqlite3.connect":
            path = os.fsdecode(arguments[0])
            if path != ":memory:" and not path.startswith("file:"):
                self._see_path(path, True, event)

    def _see_path(self, path, writes, event="open"):
        if not path.startswith("/"):
            if _beside_a_descriptor(path):
                return
            path = os.path.abspath(path)
        real = os.path.realpath(path)
        if writes:
            if not _below(real, self._written) and not _below(real, ("/dev/null",)):
                self.seen.append(("write", f"{event}{_by_whom()}", f"{path}, really {real}"))
        elif _STARTED.fullmatch(path):
            return
        elif self.reads_confined and not _below(real, (*self._own, *self._readable, *_of_this_process())):
            self.seen.append(("escape", f"{event}{_by_whom()}", f"{path}, really {real}"))


def _by_whom():
    """The innermost functions of inlay at work."""
    frame, found = sys._getframe(3), []
    while frame is not None and len(found) < 2:
        name = frame.f_code.co_filename
        if name.startswith(str(ROOT)) and "/fuzzing/" not in name and "/.venv/" not in name:
            found.append(f"{name.rpartition('/')[2]}:{frame.f_code.co_name}")
        frame = frame.f_back
    return " by " + " < ".join(found)


def _of_this_process():
    return [f"/proc/{os.getpid()}/{name}" for name in ("status", "maps", "statm", "mountinfo", "mounts", "cgroup")]


_STARTED = re.compile(r"/proc/\d+/stat")  # when a process began: whether the owner of an unfinished file still runs


def _beside_a_descriptor(path):
    """A relative path may belong to a folder's descriptor, which the hook is not told: inotify looks after these."""
    return not os.path.lexists(path)


def _below(path, places):
    return any(path == place or path.startswith(place + "/") for place in places)


def peak_begins():
    """Forget the highest memory so far, and return what the process uses now, in bytes."""
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    return _status(b"VmRSS:")


def peak():
    """The highest memory since `peak_begins`, in bytes."""
    return _status(b"VmHWM:")


def _status(name):
    with open("/proc/self/status", "rb") as file:
        for line in file:
            if line.startswith(name):
                return int(line.split()[1]) * 1024
    return 0

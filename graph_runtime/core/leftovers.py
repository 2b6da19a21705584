"""The hidden names of unfinished files, which tell whose they are, and removing those of processes that have ended.

`.image.3f2a9c01-4711-9a3f2-5be1c2d3.part` is written by process 4711 of machine 3f2a9c01, which began at 9a3f2. A
process is known by its number and its start, because numbers are used again. On a folder that machines share, nobody
can see whether another machine's process still runs: its files are left alone for a day.
"""

import contextlib
import os
import re
import secrets
import shutil
import stat
import sys
import time
import uuid
from functools import cache, lru_cache
from pathlib import Path

from .digests import short_digest

OLD_AGE = 24 * 3600  # seconds after which an unfinished file of another machine, or of unknown origin, is removed
AGAIN = 10.0  # seconds before a folder is looked through again
_OWNER = r"(?P<machine>[0-9a-f]{8})-(?P<number>\d{1,10})-(?P<began>[0-9a-f]{1,16})"
_HIDDEN = re.compile(rf"\.(?P<name>.+)\.(?:{_OWNER}|\d{{1,10}})-(?P<token>[0-9a-f]{{8}})\.(?P<end>part|old)", re.DOTALL)
_CLAIM = re.compile(r"\..+(?:_\d{5,}\.[\w.]+|-[0-9a-f]{16})\.claim", re.DOTALL)
_UNWRITTEN = 2.0  # seconds after which a claim without its owner's name was left by a kill
_LONGEST = 120  # bytes of a name that its hidden name repeats
_looked: dict[str, float] = {}  # folder -> when this process last looked through it


def hidden(name: str, *, whole: bool = False) -> str:
    """A hidden name for what will be called `name`, without its end: `.part`, or `.old`.

    Args:
        name: of the file or folder.
        whole: repeat the name also if it is long, so that the final name can be told from the hidden one.
    """
    return f".{name if whole else _shortened(name)}.{owner()}-{secrets.token_hex(4)}"


def claim_of(name: str) -> str:
    """The hidden name of the file by which a process claims that it alone writes `name`."""
    numbered = re.search(r"_\d{5,}\.[\w.]+$", name)
    return f".{_shortened(name)}{'' if numbered else f'-{short_digest(os.fsencode(name), size=8).hex()}'}.claim"


def _shortened(name: str) -> str:
    """A name short enough to carry more; different long names stay different."""
    whole = os.fsencode(name)
    if len(whole) <= _LONGEST:
        return name
    return whole[:80].decode("utf-8", "ignore") + "-" + short_digest(whole, size=8).hex()


def owner() -> str:
    """This process, as hidden names show it."""
    return _owner(os.getpid())


@lru_cache(1)
def _owner(number: int) -> str:
    return f"{_machine()}-{number}-{_began(number) or '0'}"


def has_ended(text: str) -> bool:
    """True for an `owner` of this machine that no longer runs; False also if nobody can tell."""
    match = re.fullmatch(_OWNER, text)
    if match is None or match["machine"] != _machine():
        return False
    began = _began(int(match["number"]))
    return began == "" or (began is not None and match["began"] != "0" and began != match["began"])


@cache
def _machine() -> str:
    """This machine since it started, and of its groups of processes the one that this process can see."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
        text = boot + os.readlink("/proc/self/ns/pid")
    except (OSError, ValueError):
        import platform

        text = f"{platform.node()} {uuid.getnode()}"
    return short_digest(text.encode("utf-8", "replace"), size=4).hex()


def _began(number: int) -> str | None:
    """When a process began, in the system's own count; empty if there is none of that number, None if unknown."""
    if sys.platform == "linux":
        try:
            fields = Path(f"/proc/{number}/stat").read_bytes().rpartition(b")")[2].split()
            return "" if fields[0] in (b"Z", b"X") else f"{int(fields[19]):x}"
        except (OSError, ValueError, IndexError):
            return _exists(number)
    try:
        import psutil
    except ImportError:
        return None
    try:
        process = psutil.Process(number)
        return "" if process.status() == psutil.STATUS_ZOMBIE else f"{int(process.create_time() * 1000):x}"
    except psutil.NoSuchProcess:
        return ""
    except psutil.Error:
        return None


def _exists(number: int) -> str | None:
    """For a process that `/proc` does not show: empty if there is none, None if it may belong to another user."""
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return ""
    except OSError:
        return None
    return None


def sweep(folder: Path) -> None:
    """Remove what processes that have ended left unfinished in a folder, and put back a folder caught in a swap.

    A folder is looked through at most every ten seconds. What cannot be removed stays.
    """
    place, now = str(folder), time.monotonic()
    if now - _looked.get(place, -AGAIN) < AGAIN:
        return
    if len(_looked) > 1000:
        _looked.clear()
    _looked[place] = now
    with contextlib.suppress(OSError):
        claims, busy = [], False
        for name in _unfinished(folder):
            if match := _HIDDEN.fullmatch(name):
                busy |= not _remove(folder, match)
            elif _CLAIM.fullmatch(name):
                claims.append(folder / name)
        for claim in claims:
            with contextlib.suppress(OSError):
                if _is_abandoned_claim(claim, busy):
                    claim.unlink()


def remove_abandoned_claim(claim: Path) -> None:
    """Remove the claim of a process that has ended, or one without its owner's name that is some seconds old."""
    with contextlib.suppress(OSError):
        if _is_abandoned_claim(claim, busy=False):
            claim.unlink()


def recover(folder: Path) -> bool:
    """Put back a folder that is missing because a process was killed while it replaced it; True if it is there now."""
    with contextlib.suppress(OSError):
        for match in filter(None, map(_HIDDEN.fullmatch, _unfinished(folder.parent))):
            if match["end"] == "old" and match["name"] == folder.name and _is_abandoned(folder.parent, match):
                _is_put_back(folder.parent, match)
    return folder.is_dir()


def _unfinished(folder: Path) -> list[str]:
    """Hidden names in a folder; former folders first, because a new one beside them may replace them."""
    with os.scandir(folder) as entries:
        found = [entry.name for entry in entries if entry.name.startswith(".")]
    names = [name for name in found if name.endswith((".part", ".old", ".claim"))]
    return sorted(names, key=lambda name: not name.endswith(".old"))


def _remove(folder: Path, match: re.Match[str]) -> bool:
    """Remove an unfinished file or folder of a process that has ended; False if it may still run."""
    path = folder / match.string
    try:
        if not _is_abandoned(folder, match):
            return False
        if match["end"] == "old" and not _is_put_back(folder, match):
            return True
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()
    except OSError:  # gone already, or nothing can be removed here
        return True
    return True


def _is_abandoned(folder: Path, match: re.Match[str]) -> bool:
    if match["machine"] and has_ended(f"{match['machine']}-{match['number']}-{match['began']}"):
        return True
    of_this_machine = match["machine"] == _machine()
    return not of_this_machine and time.time() - os.lstat(folder / match.string).st_mtime > OLD_AGE


def _is_abandoned_claim(path: Path, busy: bool) -> bool:
    """True if nobody holds a claim any more; `busy` if a process that may hold it writes in the same folder."""
    status = os.lstat(path)
    age = time.time() - status.st_mtime
    if not stat.S_ISREG(status.st_mode) or status.st_size > _LONGEST:
        return False
    content = path.read_bytes().decode("ascii", "replace")
    if not content:
        return not busy and age > _UNWRITTEN
    known = re.fullmatch(_OWNER, content)
    if known is None:  # not ours
        return False
    return has_ended(content) or (known["machine"] != _machine() and age > OLD_AGE)


def _is_put_back(folder: Path, match: re.Match[str]) -> bool:
    """Finish the swap of a folder, and say whether the final name is there.

    Once the former folder was renamed, the new one is complete and takes its place. Without it, the former returns.
    Whoever comes second finds nothing left to rename.
    """
    path, final = folder / match.string, folder / match["name"]
    if not os.path.lexists(final):
        new = path.with_name(match.string.removesuffix(".old") + ".part")
        with contextlib.suppress(OSError):
            os.rename(new if new.is_dir() else path, final)
    return os.path.lexists(final)

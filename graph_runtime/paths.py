"""Where files may be read from and where ours are kept.

A workflow file is data from a stranger: a path in it may only point below the file's own folder or the input folder.
What the user typed is the user's own word and is not restricted.
"""

import hashlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from .errors import BadInput

_WHOLE = 64 * 2**20  # files up to this size are hashed whole, larger ones (weights) by their size and first part
GLOB = frozenset("*?[")


def home() -> Path:
    """The folder for cache and models: `INLAY_HOME`, or the platform's folder for user data."""
    if chosen := os.environ.get("INLAY_HOME"):
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "inlay"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "inlay"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "inlay"


def resolve_inside(path: str, roots: Sequence[Path]) -> Path:
    """The real path of `path` if it lies below one of `roots` once every link is followed.

    A relative path is tried below each root in turn; the first that exists wins, else the first root is assumed.

    Raises:
        BadInput: empty, holds a NUL, or leads out of every root; says whether a link or `..` did it.
    """
    if not path or "\0" in path:
        raise BadInput(None, found=repr(path), expected="a path", fix="name a file")
    candidates = [root / path for root in roots]
    inside = [
        (candidate, real)
        for candidate, root in zip(candidates, roots, strict=True)
        if (real := Path(os.path.realpath(candidate))).is_relative_to(os.path.realpath(root))
    ]
    for _, real in inside:
        if _exists(real):
            return real
    leads_out = [
        candidate for candidate in candidates if candidate not in [c for c, _ in inside] and _exists(candidate)
    ]
    if inside and not leads_out:
        return inside[0][1]
    allowed = " or ".join(str(root) for root in roots) or "nowhere"
    lexical = any(
        Path(os.path.normpath(c)).is_relative_to(os.path.normpath(r)) for c, r in zip(candidates, roots, strict=True)
    )
    how = "a link in it leads out" if lexical else "it points outside"
    raise BadInput(
        None,
        found=f"{path!r} ({how})",
        expected=f"a path below {allowed}",
        fix="copy the file there, name its folder with --inputs, or type the path yourself on the command line",
    )


def _exists(path: Path) -> bool:
    if GLOB.intersection(path.name):
        return path.parent.is_dir()
    return path.exists()


def digest(path: Path) -> str:
    """sha256 of a file's bytes. Of a folder: names, sizes and small files; of large weights: size and first part.

    Raises:
        OSError: the path cannot be read.
    """
    if path.is_file():
        return _file_digest(path)
    if path.is_dir():
        total = hashlib.sha256()
        for item in sorted(path.rglob("*")):
            if item.is_file():
                total.update(f"{item.relative_to(path).as_posix()}\0{item.stat().st_size}\0".encode())
                if item.stat().st_size < 2**20:
                    total.update(item.read_bytes())
        return total.hexdigest()
    if GLOB.intersection(path.name):
        total = hashlib.sha256()
        for item in sorted(path.parent.glob(path.name)):
            total.update(f"{item.name}\0{_file_digest(item)}\0".encode())
        return total.hexdigest()
    raise FileNotFoundError(path)


def _file_digest(path: Path) -> str:
    size = path.stat().st_size
    with path.open("rb") as stream:
        if size <= _WHOLE:
            return hashlib.file_digest(stream, "sha256").hexdigest()
        return hashlib.sha256(f"{size}\0".encode() + stream.read(2**20)).hexdigest()

"""Where files may be read from and where ours are kept.

A workflow file is data from a stranger: a path in it may only point below the file's own folder or the input folder.
What the user typed is the user's own word and is not restricted.
"""

import hashlib
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .errors import BadInput
from .spec import PathRole

_WHOLE = 64 * 2**20  # files up to this size are hashed whole, larger ones (weights) by their size and first part
_SETTLED_NS = 2_000_000_000
GLOB = frozenset("*?[")
WEIGHTS = frozenset({".safetensors", ".ckpt", ".bin", ".pt", ".pth"})


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


@dataclass(frozen=True)
class Reader:
    """Decides what a path in a workflow may open.

    Attributes:
        roots: folders that a stranger's path may point into.
        out: the output folder, from which `.safetensors` may be read that earlier nodes write.
    """

    roots: Sequence[Path]
    out: Path | None = None

    def look(self, value: str, role: PathRole, *, trusted: bool) -> tuple[Path | None, str | None]:
        """The real path and its digest.

        The path is None where `value` names a model that is no file here (embedded, or on the hub); the digest is None
        where the file will only be written during the run.

        Raises:
            BadInput: outside what may be read, not there, unreadable, or a folder where a file is wanted.
        """
        if role.kind == "model" and not self._is_local_model(value, trusted):
            return None, None
        path = self._permitted(value, trusted)
        if role.kind == "file" and path.is_dir():
            raise BadInput(None, found=f"a folder, {value!r}", expected="a file", fix="name a file in it")
        try:
            return path, digest(path)
        except FileNotFoundError:
            if self.out is not None and path.suffix == ".safetensors" and path.is_relative_to(self.out.resolve()):
                return path, None
            raise BadInput(
                None, found=f"no such file: {value!r}", expected="a file that exists", fix=f"looked for {path}"
            ) from None
        except OSError as error:
            raise BadInput(
                None,
                found=f"{value!r}: {error.strerror}",
                expected="a file that can be read",
                fix="check its permissions",
            ) from None

    def _is_local_model(self, value: str, trusted: bool) -> bool:
        path = Path(value)
        if path.is_absolute() or value.startswith((".", "~")) or path.suffix in WEIGHTS:
            return True
        if trusted:
            return ("/" in value.rstrip("/") and path.exists()) or (path / "model_index.json").exists()
        return "/" in value and any((root / value).exists() for root in self.roots)

    def _permitted(self, value: str, trusted: bool) -> Path:
        if trusted and value and "\0" not in value:
            path = Path(value).expanduser()
            return path.absolute() if GLOB.intersection(path.name) else path.resolve()
        if self.out is not None and value.endswith(".safetensors"):
            return resolve_inside(value, [*self.roots, self.out])
        return resolve_inside(value, self.roots)


def _exists(path: Path) -> bool:
    if GLOB.intersection(path.name):
        return path.parent.is_dir()
    return path.exists()


def digest(path: Path) -> str:
    """sha256 of a file's bytes. Of a folder or glob: names and digests; of files over 64 MiB: size and first part.

    Raises:
        OSError: the path cannot be read.
    """
    if path.is_file():
        return _file_digest(path)
    if path.is_dir():
        total = hashlib.sha256()
        for item in sorted(path.rglob("*")):
            if item.is_file():
                total.update(f"{item.relative_to(path).as_posix()}\0{_file_digest(item)}\0".encode())
        return total.hexdigest()
    if GLOB.intersection(path.name):
        total = hashlib.sha256()
        for item in sorted(path.parent.glob(path.name)):
            if item.is_file():
                total.update(f"{item.name}\0{_file_digest(item)}\0".encode())
        return total.hexdigest()
    raise FileNotFoundError(path)


_digests: dict[tuple[int, ...], str] = {}  # of files as they were, by all that changes when they do


def _file_digest(path: Path) -> str:
    """Read once per state of the file; one that changed in the last two seconds is always read (clocks are coarse)."""
    with path.open("rb") as stream:
        now = os.fstat(stream.fileno())
        state = (now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns, now.st_ctime_ns)
        settled = time.time_ns() - max(now.st_mtime_ns, now.st_ctime_ns) > _SETTLED_NS
        if settled and (known := _digests.get(state)) is not None:
            return known
        if now.st_size <= _WHOLE:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
        else:
            found = hashlib.sha256(f"{now.st_size}\0".encode() + stream.read(2**20)).hexdigest()
    if settled:
        _digests[state] = found
    return found

"""Which files may be read, and whether a folder can be written to.

A workflow file is untrusted data: a path in it may only point below the file's own folder or the input folder.
What the user typed is not restricted.
"""

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import islice
from pathlib import Path

from .errors import BadInput, shorten
from .file_digests import digest
from .spec import PathRole
from .user_paths import GLOB, exists, expand, is_possible

MODEL_FILES = 5000  # a folder with more files than this is not a model
NEIGHBOURS = 2000  # names in a folder that a misspelt one is compared with
WEIGHTS = frozenset({".safetensors", ".ckpt", ".bin", ".pt", ".pth"})


def _did_you_mean(path: Path) -> str:
    """`did you mean …?` with the similar name of a file in the same folder; empty if there is none."""
    try:
        names = {entry.name.lower(): entry.name for entry in islice(path.parent.iterdir(), NEIGHBOURS)}
    except OSError:
        return ""
    near = get_close_matches(path.name.lower(), names, n=1, cutoff=0.7) if len(path.name) <= 64 else []
    return f"did you mean {shorten(names[near[0]])}? Otherwise " if near else ""


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
        if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
            return f"{place} is not a folder that can be written to"
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


def resolve_inside(path: str, roots: Sequence[Path]) -> Path:
    """The real path of `path` if it lies below one of `roots` once every link is followed.

    A relative path is tried below each root in turn; the first that exists wins, else the first root is assumed.

    Raises:
        BadInput: empty, holds a NUL, or leads out of every root; says whether a link or `..` did it.
    """
    if not is_possible(path):
        odd = ", which is not valid UTF-8" if "\0" not in path and path else ""
        raise BadInput(
            None, found=ascii(path) + odd, expected="a path", fix="rename the file" if odd else "give a path"
        )
    candidates = [root / path for root in roots]
    inside = [
        (candidate, real)
        for candidate, root in zip(candidates, roots, strict=True)
        if (real := Path(os.path.realpath(candidate))).is_relative_to(os.path.realpath(root))
    ]
    for _, real in inside:
        if exists(real):
            return real
    leads_out = [candidate for candidate in candidates if candidate not in [c for c, _ in inside] and exists(candidate)]
    if inside and not leads_out:
        return inside[0][1]
    allowed = " or ".join(str(root) for root in roots) or "nowhere"
    lexical = any(
        Path(os.path.normpath(c)).is_relative_to(os.path.normpath(r)) for c, r in zip(candidates, roots, strict=True)
    )
    how = "a link in it leads out" if lexical else "it points outside"
    raise BadInput(
        None,
        found=f"{shorten(path)} ({how})",
        expected=f"a path below {allowed}",
        fix="copy the file there, give its folder with --inputs, or give the path on the command line",
    )


@dataclass(frozen=True)
class Reader:
    """Decides which files a path in a workflow may open.

    Attributes:
        roots: folders that untrusted paths may point into.
        out: the output folder, from which `.safetensors` may be read that earlier nodes write.
    """

    roots: Sequence[Path]
    out: Path | None = None

    def look(self, value: str, role: PathRole, *, trusted: bool) -> tuple[Path | None, str | None]:
        """The real path and its digest.

        The path is None where `value` names a model that is not a file (embedded, or on the hub); the digest is None
        where the file will only be written during the run.

        Raises:
            BadInput: outside what may be read, missing, unreadable, or a folder instead of a file.
        """
        value = self._slashed(value, trusted)
        if role.kind == "model" and not self._is_local_model(value, trusted):
            return None, None
        path = self._permitted(value, trusted)
        shown = shorten(value)
        try:
            if role.kind == "file" and path.is_dir():
                raise BadInput(None, found=f"a folder, {shown}", expected="a file", fix="give a file in it")
            if role.kind == "model" and not trusted:
                self._keep_inside(path)
            return path, digest(path, weights=role.kind == "model")
        except FileNotFoundError:
            if self.out is not None and path.suffix == ".safetensors" and path.is_relative_to(self.out.resolve()):
                return path, None
            windows = ", a Windows path" if "\\" in value else ""
            raise BadInput(
                None,
                found=f"no such file: {shown}{windows}",
                expected="a file that exists",
                fix=(_did_you_mean(path) if trusted else "") + f"put it there, or correct the path: looked for {path}",
            ) from None
        except (OSError, ValueError) as error:
            raise BadInput(
                None,
                found=f"{shown}: {getattr(error, 'strerror', None) or error}",
                expected="an ordinary file that can be read",
                fix="check the name and its permissions",
            ) from None

    def _keep_inside(self, folder: Path) -> None:
        """Refuse an untrusted model folder with links that lead out of what may be read."""
        if not folder.is_dir():
            return
        allowed = [os.path.realpath(root) for root in self.roots]
        for number, item in enumerate(folder.rglob("*")):
            if number >= MODEL_FILES:
                raise BadInput(
                    None,
                    found=f"more than {MODEL_FILES} files below {folder}",
                    expected="a model folder",
                    fix="give the folder that holds model_index.json",
                )
            if item.is_symlink() and not any(Path(os.path.realpath(item)).is_relative_to(root) for root in allowed):
                raise BadInput(
                    None,
                    found=f"{item} (a link that leads out)",
                    expected="files below " + " or ".join(map(str, allowed)),
                    fix="copy the file there, or give the model's path on the command line",
                )

    def _slashed(self, value: str, trusted: bool) -> str:
        """A Windows path with its backslashes as slashes, if only that one exists."""
        slashed = value.replace("\\", "/")
        if os.sep != "/" or slashed == value or not is_possible(value):
            return value
        places = [Path()] if trusted else [*self.roots, *([self.out] if self.out else [])]
        there = [any(exists(place / expand(text)) for place in places) for text in (value, slashed)]
        return slashed if there == [False, True] else value

    def _is_local_model(self, value: str, trusted: bool) -> bool:
        path = Path(value)
        if path.is_absolute() or value.startswith((".", "~")) or path.suffix in WEIGHTS:
            return True
        if trusted:
            return ("/" in value.rstrip("/") and exists(path)) or exists(path / "model_index.json")
        return "/" in value and any(exists(root / value) for root in self.roots)

    def _permitted(self, value: str, trusted: bool) -> Path:
        if trusted and is_possible(value):
            path = expand(value)
            return path.absolute() if GLOB.intersection(path.name) else Path(os.path.realpath(path))
        if self.out is not None and value.endswith(".safetensors"):
            return resolve_inside(value, [*self.roots, self.out])
        return resolve_inside(value, self.roots)

"""The pictures of a path (one file, a folder, or a glob), and the entries that are left out."""

import glob
import re
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import TypeVar

from ...graph_runtime import BadInput
from ...graph_runtime.core.errors import shorten
from .formats import READABLE, brand, suffixes

Read = TypeVar("Read")
SIGNATURES = {  # the formats that people try most often, of those that are not read
    b"%PDF": "a PDF document",
    b"8BPS": "a Photoshop file",
    b"<svg": "an SVG drawing",
    b"<?xml": "an XML file",
    b"PK\x03\x04": "a zip archive",
    b"\x00\x00\x01\x00": "an icon file",
    b"<!DOCTYPE": "a web page",
    b"<html": "a web page",
}
PICTURES = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8")  # beginnings of readable pictures; WebP: RIFF….WEBP
TIFF = (b"II*\0", b"MM\0*")  # also the beginning of many raw photos
KINDS = {  # by suffix
    **dict.fromkeys((".heic", ".heif"), "a HEIC photo"),
    ".avif": "an AVIF picture",
    ".jxl": "a JPEG XL picture",
    **dict.fromkeys((".cr2", ".cr3", ".nef", ".arw", ".dng", ".raf", ".orf", ".rw2"), "a camera's raw photo"),
    **dict.fromkeys((".mp4", ".mov", ".avi", ".mkv", ".webm"), "a video"),
    ".psd": "a Photoshop file",
    **dict.fromkeys((".exr", ".hdr"), "a picture of high dynamic range"),
}
#: Files that operating systems put into folders; names that begin with a dot count as such, too.
SYSTEM_FILES = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "__macosx", "@eadir", "$recycle.bin"})
NAMED = 4  # files at most in a message


def find_pictures(path: str) -> list[Path]:
    """The files of `path`: one file, the pictures in a folder, or those that a glob matches, in natural order.

    Raises:
        BadInput: nothing is found, or a file in a folder is a link that leads out of it.
    """
    given = Path(path)
    try:
        if given.is_file():
            return [given]
        found, exists = _entries(path), given.exists()
    except (OSError, ValueError) as error:  # the name is too long, a null byte, no permission
        raise BadInput(
            "path",
            found=f"{shorten(path)}: {getattr(error, 'strerror', None) or error}",
            expected="a picture file, a folder or a glob",
            fix="check the name and its permissions",
        ) from error
    if given.is_dir():
        root = given
    elif glob.has_magic(path):
        root = Path(*[part for i, part in enumerate(given.parts) if not glob.has_magic("/".join(given.parts[: i + 1]))])
    elif exists:
        raise BadInput(
            "path", found=f"{path!r}, which is not an ordinary file", expected="a picture file", fix=f"give {READABLE}"
        )
    else:
        raise missing(given)
    files = sorted((entry for entry in found if _is_read(entry)), key=natural_key)
    if not files:
        rest = left_out(path)
        raise BadInput(
            "path",
            found=f"no picture among the {len(found)} entries of {path!r}" + (f" ({rest})" if rest else ""),
            expected="PNG, JPEG, WebP, BMP, TIFF or GIF files there",
            fix="convert them to PNG or JPEG" if rest else "check the folder or the pattern",
        )
    for file in files:
        if not file.resolve().is_relative_to(root.resolve()):
            raise BadInput(
                "path",
                found=f"{file.name!r}, a link that leads out of {str(root)!r}",
                expected="files in that folder",
                fix="copy the file there, or give its own path",
            )
    return files


def read_each(files: Iterable[Path], read: Callable[[Path], Read]) -> list[Read]:
    """Call `read` for each file.

    Raises:
        BadInput: the error about the first refused file, with the names of the others.
    """
    made: list[Read] = []
    refused: list[tuple[str, BadInput]] = []
    for file in files:
        try:
            made.append(read(file))
        except BadInput as error:
            refused.append((file.name, error))
    if not refused:
        return made
    first, others = refused[0][1], [name for name, _ in refused[1:]]
    more = f" and {len(others) - NAMED} more" if len(others) > NAMED else ""
    also = f"; nor can {', '.join(others[:NAMED])}{more} be read" if others else ""
    raise BadInput(first.port, found=first.found + also, expected=first.expected, fix=first.fix) from first


def left_out(path: str, *, but: frozenset[str] = frozenset()) -> str:
    """Names of the entries of a folder or glob that are not read as pictures; empty for a single file.

    Files of operating systems (`.DS_Store`, `Thumbs.db`, `._photo.jpg`) are not mentioned.

    Args:
        path: as for `find_pictures`.
        but: names that are read elsewhere.
    """
    try:
        rest = sorted(
            (
                entry
                for entry in ([] if Path(path).is_file() else _entries(path))
                if not _is_read(entry) and not _is_system_file(entry) and entry.name not in but
            ),
            key=natural_key,
        )
    except (OSError, ValueError):  # find_pictures reports it
        return ""
    if not rest:
        return ""
    named = [f"{entry.name} ({kind})" if (kind := _kind(entry)) else entry.name for entry in rest[:NAMED]]
    more = f" and {len(rest) - NAMED} more" if len(rest) > NAMED else ""
    return f"left out: {', '.join(named)}{more}"


def _entries(path: str) -> list[Path]:
    given = Path(path)
    return list(given.iterdir()) if given.is_dir() else [Path(match) for match in glob.glob(path)]


def _is_read(entry: Path) -> bool:
    return entry.suffix.lower() in suffixes() and entry.is_file() and not _is_system_file(entry)


def _is_system_file(entry: Path) -> bool:
    return entry.name.startswith(".") or entry.name.lower() in SYSTEM_FILES


def _kind(entry: Path) -> str:
    """A description of an entry that is not read; empty if its name is enough."""
    if entry.is_dir():
        return "a folder: subfolders are not read"
    if not entry.is_file():
        return "not an ordinary file"
    try:
        with entry.open("rb") as file:
            head = file.read(32)
    except OSError as error:
        return error.strerror or "cannot be read"
    if head.startswith(PICTURES) or (head.startswith(b"RIFF") and head[8:12] == b"WEBP"):
        return "a picture with the wrong extension: rename it"
    kind = kind_of(head) or KINDS.get(entry.suffix.lower(), "")
    return "a picture with the wrong extension: rename it" if not kind and head.startswith(TIFF) else kind


def kind_of(head: bytes) -> str:
    """The kind of a file by its first 32 bytes, if it is one that people try most often; else empty."""
    kind = {"HEIC": "a HEIC photo", "AVIF": "an AVIF picture"}.get(brand(head), "")
    return kind or next(
        (name for mark, name in SIGNATURES.items() if (head.startswith(mark) if mark[0] == 0 else mark in head)), ""
    )


def natural_key(path: Path) -> list[tuple[int, int, str]]:
    """A key that sorts `2.png` before `10.png`."""
    return [
        (0, int(part), "") if part.isdecimal() else (1, 0, part.casefold())
        for part in re.split(r"(\d+)", path.name)
        if part
    ] + [(1, 0, str(path))]


def missing(path: Path) -> BadInput:
    """The error about a path that does not exist, with the most similar name."""
    folder = path.parent
    names = [p.name for p in folder.glob("*")] if folder.is_dir() else []
    similar = get_close_matches(path.name, names, n=1, cutoff=0.6)
    hint = f"did you mean {similar[0]!r}?" if similar else "check the name"
    where = "" if folder.is_dir() else f" (and no folder {str(folder)!r})"
    return BadInput(
        "path", found=f"no file {str(path)!r}{where}", fix=hint, expected="a picture file, a folder or a glob"
    )

"""The pictures of a path (one file, a folder, or a glob), and the entries that are left out."""

import os
import re
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import TypeVar

from ...graph_runtime import BadInput
from ...graph_runtime.core.errors import shorten
from ...graph_runtime.core.opening import open_file
from ...graph_runtime.core.reading.listing import listed
from ...graph_runtime.core.reading.places import PICKLES, Entry, Listing
from ...graph_runtime.core.user_paths import expand
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
NEIGHBOURS = 2000  # names in a folder that a misspelt one is compared with


def find_pictures(path: str) -> list[Path]:
    """The files of `path`: one file, the pictures in a folder, or those that a glob matches, in natural order.

    Raises:
        BadInput: nothing is found, or a file in a folder is a link that leads out of it.
    """
    found = _listed(path)
    if found.kind == "file":
        return [expand(path)]
    if found.kind == "missing":
        raise missing(expand(path))
    if found.kind == "other":
        raise BadInput(
            "path", found=f"{path!r}, which is not an ordinary file", expected="a picture file", fix=f"give {READABLE}"
        )
    entries = sorted((entry for entry in found.entries if _is_read(entry)), key=lambda entry: natural_key(entry.path))
    if not entries:
        rest = left_out(path)
        raise BadInput(
            "path",
            found=f"no picture among the {len(found.entries)} entries of {path!r}" + (f" ({rest})" if rest else ""),
            expected="PNG, JPEG, WebP, BMP, TIFF or GIF files there",
            fix="convert them to PNG or JPEG" if rest else "check the folder or the pattern",
        )
    root = found.place.base
    for entry in entries:
        if not entry.real and not entry.path.resolve().is_relative_to(root):
            raise BadInput(
                "path",
                found=f"{entry.path.name!r}, a link that leads out of {str(root)!r}",
                expected="files in that folder",
                fix="copy the file there, or give its own path",
            )
    return [entry.path for entry in entries]


def _listed(path: str) -> Listing:
    """What is at a path, as the check has found it."""
    try:
        return listed(path)
    except (OSError, ValueError) as error:  # the name is too long, a null byte, no permission
        raise BadInput(
            "path",
            found=f"{shorten(path)}: {getattr(error, 'strerror', None) or error}",
            expected="a picture file, a folder or a glob",
            fix="check the name and its permissions",
        ) from error


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
        found = _listed(path)
    except BadInput:  # find_pictures reports it
        return ""
    rest = sorted(
        (
            entry
            for entry in (found.entries if found.kind in ("folder", "pattern") else ())
            if not _is_read(entry) and not _is_system_file(entry.path) and entry.path.name not in but
        ),
        key=lambda entry: natural_key(entry.path),
    )
    if not rest:
        return ""
    named = [f"{one.path.name} ({kind})" if (kind := _kind(one)) else one.path.name for one in rest[:NAMED]]
    more = f" and {len(rest) - NAMED} more" if len(rest) > NAMED else ""
    return f"left out: {', '.join(named)}{more}"


def _is_read(entry: Entry) -> bool:
    return entry.kind == "file" and entry.path.suffix.lower() in suffixes() and not _is_system_file(entry.path)


def _is_system_file(path: Path) -> bool:
    return path.name.startswith(".") or path.name.lower() in SYSTEM_FILES


def _kind(entry: Entry) -> str:
    """A description of an entry that is not read; empty if its name is enough."""
    if entry.kind != "file":
        return "a folder: subfolders are not read" if entry.kind == "folder" else "not an ordinary file"
    if entry.path.suffix.lower() in PICKLES:
        return "a pickle: it is not opened"
    try:
        with open_file(entry.path) as file:
            head = file.read(32)
    except OSError as error:
        return error.strerror or "cannot be read"
    if begins_like_a_picture(head):
        return "a picture with the wrong extension: rename it"
    kind = kind_of(head) or KINDS.get(entry.path.suffix.lower(), "")
    return "a picture with the wrong extension: rename it" if not kind and head.startswith(TIFF) else kind


def begins_like_a_picture(head: bytes) -> bool:
    """True if a file with these first bytes is a PNG, JPEG, GIF or WebP, whole or not."""
    return head.startswith(PICTURES) or (head.startswith(b"RIFF") and head[8:12] == b"WEBP")


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
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in islice(entries, NEIGHBOURS)]
    except OSError:
        names = []
    similar = get_close_matches(path.name, names, n=1, cutoff=0.6)
    hint = f"did you mean {similar[0]!r}?" if similar else "check the name"
    where = "" if folder.is_dir() else f" (and no folder {str(folder)!r})"
    return BadInput(
        "path", found=f"no file {str(path)!r}{where}", fix=hint, expected="a picture file, a folder or a glob"
    )

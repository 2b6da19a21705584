"""Paths as people and workflow files write them, and the folder where inlay keeps its own files."""

import os
import sys
from functools import cache
from pathlib import Path

import platformdirs

GLOB = frozenset("*?[")


def is_possible(path: str) -> bool:
    """False for text that cannot be a path: empty, with a NUL, or with half a character."""
    try:
        return bool(path) and "\0" not in path and bool(path.encode())
    except UnicodeEncodeError:
        return False


def expand(text: str | os.PathLike[str]) -> Path:
    """Expand `~` in a path; if that user is unknown, the path stays as it is."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        return Path(text)


def exists(path: Path) -> bool:
    """True if `path` exists; False for text that cannot be a path."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


@cache
def _chosen_home(chosen: str) -> Path:
    """The folder that `INLAY_HOME` names; a relative one stays the same wherever the process goes."""
    try:
        return expand(chosen).absolute()
    except OSError:  # the current folder was removed
        return expand(chosen)


def home() -> Path:
    """The folder for cache and models: `INLAY_HOME`, or the platform's folder for user data."""
    if chosen := os.environ.get("INLAY_HOME"):
        return _chosen_home(chosen)
    folder = platformdirs.user_data_path("inlay", appauthor=False)
    if sys.platform == "darwin":  # earlier releases of inlay ignored `XDG_DATA_HOME` on macOS: keep using that folder
        former = Path.home() / "Library" / "Application Support" / "inlay"
        return former if former.is_dir() and not folder.is_dir() else folder
    return folder

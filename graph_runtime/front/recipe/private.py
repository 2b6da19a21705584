"""What a record must not tell: the folders of the machine that made a picture.

A record holds what its author wrote, and names of files. Where a text, at any place in it, holds a path of this run or
of this machine (below the home folder, the current one, or one that was read from or written to), only the name of the
file stays.
"""

import contextlib
import os
import re
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from urllib.parse import quote

from ...core.user_paths import exists, home, is_possible

_REST = r"(?:[\\/][^\s\"'<>|*?]*)?"  # of a path in a text: up to a space
_HOME = re.compile(r"(?<![\w.])~[\w.-]*[\\/][^\s\"'<>|*?]+")
_DRIVE = re.compile(r"[A-Za-z]:[\\/]|\\\\|file:", re.IGNORECASE)
HIDDEN = "…"  # in place of a folder


def bare(path: str) -> str:
    """The last part of a path, of this system or another."""
    return re.split(r"[\\/]", path.rstrip("\\/"))[-1]


class Private:
    """The folders that a record must not tell.

    Args:
        folders: where this run reads and writes.
        files: what it reads.
    """

    def __init__(self, folders: Iterable[Path], files: Iterable[str]) -> None:
        own = [Path.cwd(), home(), *folders]
        with contextlib.suppress(RuntimeError):  # nobody's home is known
            own.append(Path.home())
        self._files = {file for file in files if file}
        named = {str(folder) for folder in own} | {os.path.dirname(file) for file in self._files}
        self._folders = {path for one in named for path in (os.path.abspath(one), os.path.realpath(one))}

    @cached_property
    def _pattern(self) -> re.Pattern[str] | None:
        """Every private path, in all its spellings, with what follows it."""
        known = {way for path in self._folders | self._files if len(Path(path).parts) > 1 for way in _spelt(path)}
        words = "|".join(re.escape(way) for way in sorted(known, key=len, reverse=True))
        return re.compile(f"(?<![\\w.])(?:{words}){_REST}") if known else None

    def name(self, path: str) -> str:
        """The name to record of a file or folder that was read; of the run's own folders, none."""
        own = os.path.realpath(path)
        return "folder" if any(own == one or one.startswith(own + os.sep) for one in self._folders) else bare(path)

    def without(self, value: object) -> object:
        """A value of a workflow file without private paths, in any of its texts."""
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, list):
            return [self.without(item) for item in value]
        if isinstance(value, dict):
            return {self._text(str(key)): self.without(item) for key, item in value.items()}
        return value

    def _text(self, text: str) -> str:
        if "/" not in text and "\\" not in text:
            return text
        if _DRIVE.match(text) or (text.startswith("/") and bare(text) and is_possible(text) and exists(Path(text))):
            return self._shown(text)
        if self._pattern is not None:
            text = self._pattern.sub(lambda found: self._shown(found.group()), text)
        return _HOME.sub(lambda found: self._shown(found.group()), text)

    def _shown(self, path: str) -> str:
        """The name of a file; of a folder, that there was one."""
        last = bare(path)
        is_file = "." in last.strip(".") and path.rstrip("\\/") not in self._folders
        return last if is_file or path in self._files else HIDDEN


def _spelt(path: str) -> set[str]:
    """The ways to write a path in a text: as it is, with the other slashes, as part of an address."""
    slashed = path.replace("\\", "/")
    return {path, slashed, quote(slashed), slashed.replace("/", "\\")}

"""Where earlier runs read their files, by the digest of the content: a picture's inputs are found again by it."""

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

from ...core.database import Database, DatabaseUnusable
from ...core.opening import open_file
from ...core.user_paths import home

MOST = 20_000  # files; the least recently used make room
_LONGEST_LIST = 16 * 2**20  # bytes of the list that earlier releases kept
_INPUTS = Database("known-inputs.sqlite", ("CREATE TABLE inputs (digest TEXT PRIMARY KEY, path BLOB NOT NULL)",))
_FORMER = "known-inputs.json"


def remember(paths: Mapping[str, str]) -> None:
    """Keep the path of each digest, for runs of any process; without a database to keep it in, nothing happens."""
    with contextlib.suppress(DatabaseUnusable):
        _take_over_former_list()
        if all(_is_recent(digest, path) for digest, path in paths.items()):
            return
        with _INPUTS.writing() as inputs:
            inputs.executemany("INSERT OR REPLACE INTO inputs VALUES (?, ?)", _rows(paths))
            inputs.execute("DELETE FROM inputs WHERE rowid <= (SELECT max(rowid) FROM inputs) - ?", (MOST,))


def recall(digest: str) -> Path | None:
    """The path where a file of this content was last read, or None; the file may have changed since."""
    with contextlib.suppress(DatabaseUnusable):
        _take_over_former_list()
        with _INPUTS.reading() as inputs:
            row = inputs.execute("SELECT path FROM inputs WHERE digest = ?", (digest,)).fetchone()
        return None if row is None else Path(os.fsdecode(row[0]))
    return None


def _is_recent(digest: str, path: str) -> bool:
    """True if this is known, and in no danger of making room soon: then a run needs to write nothing."""
    with _INPUTS.reading() as inputs:
        row = inputs.execute(
            "SELECT path, rowid > (SELECT max(rowid) FROM inputs) - ? FROM inputs WHERE digest = ?", (MOST // 2, digest)
        ).fetchone()
    return row is not None and bool(row[1]) and bytes(row[0]) == os.fsencode(path)


def _rows(paths: Mapping[str, str]) -> list[tuple[str, bytes]]:
    rows = []
    for digest, path in paths.items():
        with contextlib.suppress(UnicodeEncodeError):  # half a character: no file has this name
            digest.encode()
            rows.append((digest, os.fsencode(path)))
    return rows


def _take_over_former_list() -> None:
    """Take over the list of earlier releases, a JSON object, and put it out of the way."""
    file = home() / _FORMER
    if not os.path.lexists(file):
        return
    with contextlib.suppress(OSError, ValueError, RecursionError):
        with open_file(file) as stream:
            known = json.loads(stream.read(_LONGEST_LIST))
        rows = _rows({str(digest): str(path) for digest, path in known.items()}) if isinstance(known, dict) else []
        with _INPUTS.writing() as inputs:
            inputs.executemany("INSERT OR IGNORE INTO inputs VALUES (?, ?)", rows)
        os.replace(file, file.with_suffix(".json.former"))

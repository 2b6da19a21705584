"""Downloads in a host's own folders for models: plain files in `owner/name`, which the host's loaders find too.

A download grows in `.downloads` beside them and moves when it is whole, so a folder that is there is complete; the next
try continues an unfinished one. A file (`DOWNLOADED`) in the folder says which repository and revision it holds.
"""

import contextlib
import json
import os
import shutil
from pathlib import Path

from ...graph_runtime import ModelError
from ...graph_runtime.core.current_run import DOWNLOADED, model_folders
from ...graph_runtime.core.disk_errors import explain
from ..files.json_objects import read_json

UNFINISHED = ".downloads"
OF_THE_CLIENT = ".cache"  # what the hub's client notes about a download


def _name(repository: str, revision: str | None) -> str:
    return repository if revision is None else f"{repository}@{revision.replace('/', '--')}"


def kept_folder(repository: str, revision: str | None = None) -> Path | None:
    """The folder of a repository among the host's models, if it was downloaded there."""
    folders = model_folders()
    for place in folders.places if folders is not None else ():
        found = place / _name(repository, revision)
        if marked(found) == (repository, revision):
            return found
    return None


def marked(folder: Path) -> tuple[str, str | None] | None:
    """Repository and revision of a downloaded folder; None for any other folder."""
    if not (folder / DOWNLOADED).is_file():
        return None
    try:
        said = read_json(folder / DOWNLOADED)
    except (OSError, ModelError):
        return None
    repository, revision = said.get("repository"), said.get("revision")
    if isinstance(repository, str) and (revision is None or isinstance(revision, str)):
        return repository, revision
    return None


def staging(repository: str, revision: str | None) -> Path | None:
    """Where a download into the host's folders grows; None if it goes into the cache.

    Raises:
        ModelError: the folder cannot be made.
    """
    folders = model_folders()
    if folders is None:
        return None
    folder = folders.into / UNFINISHED / _name(repository, revision).replace("/", "--")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _no_place(folder, error) from error
    return folder


def stored_below(folder: Path) -> int:
    """Bytes below a folder, unfinished files included."""
    size = 0
    for path in folder.rglob("*"):
        try:
            size += 0 if path.is_dir() else path.stat().st_size
        except OSError:
            continue  # it was just renamed
    return size


def keep(grown: Path, repository: str, revision: str | None) -> Path:
    """Move a whole download to its place, file by file; what is there already is replaced.

    Raises:
        ModelError: a file cannot be moved.
    """
    to = grown.parents[1] / _name(repository, revision)
    try:
        shutil.rmtree(grown / OF_THE_CLIENT, ignore_errors=True)
        for path in sorted(grown.rglob("*")):
            if not path.is_dir():
                (to / path.relative_to(grown)).parent.mkdir(parents=True, exist_ok=True)
                os.replace(path, to / path.relative_to(grown))
        mark = grown / DOWNLOADED
        mark.write_text(json.dumps({"repository": repository, "revision": revision}), encoding="utf-8")
        os.replace(mark, to / DOWNLOADED)  # last: the folder counts from here on
        shutil.rmtree(grown, ignore_errors=True)
        with contextlib.suppress(OSError):  # others grow there
            grown.parent.rmdir()
    except OSError as error:
        raise _no_place(to, error) from error
    return to


def _no_place(folder: Path, error: OSError) -> ModelError:
    found, _, fix = explain(error, folder)
    return ModelError("source", found=found, expected="a folder for models that can be written", fix=fix)

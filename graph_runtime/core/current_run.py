"""The current run, for code without a context: downloading a model reports progress and can be cancelled.

The caller sets the run with `running_in`. Outside a run, nothing is reported.
"""

import logging
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from .events import ModelMoved

if TYPE_CHECKING:
    from .context import Context

_run: ContextVar["Context | None"] = ContextVar("inlay_run", default=None)
_search: ContextVar["tuple[tuple[Path, ...], Collection[str]] | None"] = ContextVar("inlay_search", default=None)


DOWNLOADED = "inlay.json"  # the file that says which repository a folder was downloaded from


class ModelFolders(NamedTuple):
    """A host's own folders for models, instead of the cache of downloads.

    Attributes:
        into: where downloads go.
        places: where earlier ones lie.
        vocabularies: folders with the tokenizers that the host brings.
    """

    into: Path
    places: tuple[Path, ...] = ()
    vocabularies: tuple[Path, ...] = ()


_folders: ContextVar[ModelFolders | None] = ContextVar("inlay_model_folders", default=None)


@contextmanager
def running_in(ctx: "Context") -> Iterator[None]:
    """Everything in the block belongs to the run of `ctx`."""
    token = _run.set(ctx)
    try:
        yield
    finally:
        _run.reset(token)


def report_progress(step: int = 0, total: int = 0, note: str = "") -> None:
    """Report that `step` of `total` is done; without a total, only check for cancelling.

    Raises:
        Cancelled: the user asked to stop.
    """
    ctx = _run.get()
    if ctx is None:
        return
    if total:
        ctx.progress(min(step, total), total, note=note)
    else:
        ctx.check_cancelled()


def running_node() -> str:
    """The node that runs in this thread; empty outside a run."""
    ctx = _run.get()
    return "" if ctx is None else ctx.node


def log_message(message: str) -> None:
    """Write one line about the current work to the log."""
    ctx = _run.get()
    if ctx is not None:
        ctx.emit(ModelMoved(message))
    else:
        logging.getLogger("inlay").info("%s", message)


@contextmanager
def searching(folders: tuple[Path, ...], typed: Collection[str]) -> Iterator[None]:
    """In the block, relative names of models are looked up in these folders; those that the user typed, also here."""
    token = _search.set((folders, typed))
    try:
        yield
    finally:
        _search.reset(token)


@contextmanager
def models_in(folders: ModelFolders | None) -> Iterator[None]:
    """In the block, models are downloaded into a host's folders, and found there."""
    token = _folders.set(folders)
    try:
        yield
    finally:
        _folders.reset(token)


def model_folders() -> ModelFolders | None:
    """The host's folders for models; None where downloads go into the cache."""
    return _folders.get()


def search_folders(name: str) -> tuple[Path, ...]:
    """Folders in which a relative name of a model is looked up: the workflow's; the current one, if the user typed it.

    A name in a stranger's file is not looked up in the current folder: no message tells what is there.
    """
    folders, typed = _search.get() or ((), (name,))
    return tuple(dict.fromkeys([*([Path.cwd()] if name in typed else []), *folders]))

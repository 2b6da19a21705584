"""The current run, for code without a context: downloading a model reports progress and can be cancelled.

The caller sets the run with `running_in`. Outside a run, nothing is reported.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING

from .events import ModelMoved

if TYPE_CHECKING:
    from .context import Context

_run: ContextVar["Context | None"] = ContextVar("inlay_run", default=None)
_folders: ContextVar[tuple[Path, ...]] = ContextVar("inlay_folders", default=())


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


def log_message(message: str) -> None:
    """Write one line about the current work to the log."""
    ctx = _run.get()
    if ctx is not None:
        ctx.emit(ModelMoved(message))
    else:
        logging.getLogger("inlay").info("%s", message)


@contextmanager
def searching(folders: tuple[Path, ...]) -> Iterator[None]:
    """In the block, relative names of models are also looked up in these folders."""
    token = _folders.set(folders)
    try:
        yield
    finally:
        _folders.reset(token)


def search_folders() -> tuple[Path, ...]:
    """Folders in which relative names of models are looked up: the current one, and the workflow's."""
    return tuple(dict.fromkeys([Path.cwd(), *_folders.get()]))

"""The run that code without a context belongs to: a model's description that downloads reports progress and can stop.

Whoever runs such code says with `running_in` which run it belongs to. Outside a run there is nobody to report to, and
the code only goes on.
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
    """`step` of `total` is done; without a total, only stop if the user asked to.

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
    """One line about what is being done, for the log."""
    ctx = _run.get()
    if ctx is not None:
        ctx.emit(ModelMoved(message))
    else:
        logging.getLogger("inlay").info("%s", message)


@contextmanager
def searching(folders: tuple[Path, ...]) -> Iterator[None]:
    """Relative names in the block may stand for files below these folders."""
    token = _folders.set(folders)
    try:
        yield
    finally:
        _folders.reset(token)


def search_folders() -> tuple[Path, ...]:
    """Folders in which a relative name of a model may be meant: the current one, and the workflow's."""
    return tuple(dict.fromkeys([Path.cwd(), *_folders.get()]))

"""Long waits of code that has no context, such as a model's description that downloads: progress, and stopping.

Whoever runs such code says with `waiting_in` which run it belongs to; the code calls `report` now and then, which shows
how far it is and raises `Cancelled` when the user asked to stop. Outside a run it only goes on.
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

_run: ContextVar["Context | None"] = ContextVar("inlay_waiting", default=None)
_places: ContextVar[tuple[Path, ...]] = ContextVar("inlay_places", default=())


@contextmanager
def waiting_in(ctx: "Context") -> Iterator[None]:
    """Everything in the block belongs to the run of `ctx`."""
    token = _run.set(ctx)
    try:
        yield
    finally:
        _run.reset(token)


def report(step: int = 0, total: int = 0, note: str = "") -> None:
    """`step` of `total` is done; without a total, only look whether to stop.

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


def say(message: str) -> None:
    """One line of what is being done, for the log."""
    ctx = _run.get()
    if ctx is not None:
        ctx.emit(ModelMoved(message))
    else:
        logging.getLogger("inlay").info("%s", message)


@contextmanager
def looking_in(places: tuple[Path, ...]) -> Iterator[None]:
    """Relative names in the block may stand for files below these folders."""
    token = _places.set(places)
    try:
        yield
    finally:
        _places.reset(token)


def places() -> tuple[Path, ...]:
    """Folders in which a relative name of a model may have been meant: the current one, and the workflow's."""
    return tuple(dict.fromkeys([Path.cwd(), *_places.get()]))

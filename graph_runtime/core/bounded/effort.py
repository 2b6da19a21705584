"""How much work one check has done, so that it stays within its time whatever a workflow names."""

import gc
import importlib.util
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import ModuleType

from .limits import LOOK, SECONDS, VALUES


class Effort:
    """The work of one check: processor time since it began, and values that it has looked at."""

    def __init__(self) -> None:
        self.began = time.thread_time()
        self.values = 0

    @property
    def late(self) -> bool:
        """True once the time for looking closely is used up."""
        return time.thread_time() - self.began > SECONDS


_effort: ContextVar[Effort | None] = ContextVar("inlay_effort", default=None)


@contextmanager
def checking() -> Iterator[Effort]:
    """The block is one check."""
    effort = Effort()
    token = _effort.set(effort)
    try:
        yield effort
    finally:
        _effort.reset(token)


def affords(values: int) -> bool:
    """True if this check may still look at so many values; what it leaves out is judged in the run. True elsewhere.

    Work is counted, not timed: what a check finds is the same on a slow machine.
    """
    effort = _effort.get()
    if effort is None:
        return True
    if effort.values + values + LOOK > VALUES:
        return False
    effort.values += values + LOOK
    return True


def imported(module: str, package: str | None = None) -> ModuleType:
    """A module, imported if it is not yet; the time of that is no work of the check that happens to be first."""
    effort, name = _effort.get(), importlib.util.resolve_name(module, package)
    if effort is None or name in sys.modules:
        return importlib.import_module(name)
    began, now = effort.began, time.thread_time()
    try:
        return importlib.import_module(name)
    finally:
        effort.began = began + time.thread_time() - now  # what modules import in turn is counted once


@contextmanager
def uncollected() -> Iterator[None]:
    """No garbage collection in the block, which builds many objects that live: that would take as long again."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()

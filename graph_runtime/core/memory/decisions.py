"""What a manager decides, and who hears of it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_listener: ContextVar[Callable[[str], None] | None] = ContextVar("inlay_decisions", default=None)


@contextmanager
def decisions_reported_to(listener: Callable[[str], None]) -> Iterator[None]:
    """Inside the block, and in this thread, managers report their decisions to `listener`: runs may share a manager."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def report(message: str) -> None:
    """Tell the run in this thread of a decision."""
    listener = _listener.get()
    if listener is not None:
        listener(message)

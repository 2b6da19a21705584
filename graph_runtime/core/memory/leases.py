"""Who sees the models that a run leases, such as a profile that counts their calls."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar

Watcher = Callable[[str, object], AbstractContextManager[object]]

_NOTHING: AbstractContextManager[object] = nullcontext()
_watcher: ContextVar[Watcher | None] = ContextVar("inlay_lease_watcher", default=None)


@contextmanager
def leases_watched_by(watcher: Watcher) -> Iterator[None]:
    """Inside the block, and in this thread, `watcher` is called with label and module of each lease.

    What it returns is entered for the length of the lease.
    """
    token = _watcher.set(watcher)
    try:
        yield
    finally:
        _watcher.reset(token)


def watched(label: str, module: object) -> AbstractContextManager[object]:
    """For the length of a lease: what the watcher of this run does around it, or nothing."""
    watcher = _watcher.get()
    return _NOTHING if watcher is None else watcher(label, module)

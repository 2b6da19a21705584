"""Whether a cluster still answers. Ray itself waits for a minute, and then ends the process without a word."""

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

from ...core.errors import Problem, WorkflowError

EVERY = 2.0  # seconds between two looks
PATIENCE = 5.0  # seconds that an answer may take
MISSES = 3  # in a row, after which the cluster is gone


class Watch:
    """Looks now and then, in a thread.

    Args:
        address: `host:port` of the cluster's head.
        gone: called once, in that thread, with the reason.
    """

    def __init__(self, address: str, gone: Callable[[str], None]) -> None:
        self._address, self._gone = address, gone
        self._over = threading.Event()

    def begin(self) -> None:
        """Look from now on."""
        threading.Thread(target=self._look, daemon=True).start()

    def end(self) -> None:
        """Look no longer."""
        self._over.set()

    def _look(self) -> None:
        misses = 0
        host, _, port = self._address.rpartition(":")
        while not self._over.wait(EVERY):
            try:
                with closing(socket.create_connection((host.strip("[]"), int(port)), PATIENCE)):
                    misses = 0
            except OSError as error:
                misses += 1
                if misses >= MISSES and not self._over.is_set():
                    self._gone(error.strerror or str(error))
                    return


@contextmanager
def watching(head: str, address: str | None) -> Iterator[Callable[[], None]]:
    """In the block, what raises a WorkflowError once a cluster is gone.

    Args:
        head: its `host:port`.
        address: as the user calls it.
    """
    why: list[str] = []
    watch = Watch(head, why.append)
    watch.begin()

    def check() -> None:
        if why:
            raise WorkflowError([gone(address, why[0])])

    try:
        yield check
    finally:
        watch.end()


#: How to mend it for a server, which connects again by itself.
SERVED = "`ray status` there tells whether it runs; once it does, the server connects again by itself"


def gone(
    address: str | None,
    why: str,
    fix: str = "`ray status` there tells whether it runs; once it does, the same command goes on",
) -> Problem:
    """A cluster that went away."""
    address = address or os.environ.get("RAY_ADDRESS")
    return Problem(
        None,
        "--engine ray",
        f"the Ray cluster{f' at {address}' if address else ''} does not answer any more: {why}",
        "a Ray cluster that answers",
        fix,
    )

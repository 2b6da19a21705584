"""Whether a cluster still answers. Ray itself waits for a minute, and then ends the process without a word."""

import socket
import threading
from collections.abc import Callable
from contextlib import closing

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

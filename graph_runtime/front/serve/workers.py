"""The worker processes of a server: each makes one run at a time, and is replaced when it dies or hangs."""

import json
import os
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ..jobs import process
from .json_data import Json

_PATH = [os.path.abspath(one) for one in sys.path]


class AnyWorker(ABC):
    """Something that makes runs, and the run that it is making.

    Args:
        slot: its place among the workers.
        told: what it is told first.

    Attributes:
        run: the id of the run that it is making; None if it is idle.
        client: whose run that is.
        began: when that run began, as time.monotonic has it.
        stopped: when it was told to cancel that run; None if it was not.
        ready: it can be given a run.
        device: where it computes, once it is ready.
    """

    def __init__(self, slot: int, told: Json) -> None:
        self.slot, self.told = slot, told
        self.run: str | None = None
        self.client: str | None = None
        self.began = 0.0
        self.stopped: float | None = None
        self.why = ""
        self.ready = False
        self.device = ""

    def make(self, run: str, client: str | None, message: Json) -> None:
        """Give it a run."""
        self.run, self.client, self.began, self.stopped, self.why = run, client, time.monotonic(), None, ""
        self.tell({"run": run, **message})

    def cancel(self, why: str) -> None:
        """Ask it to stop at the next step."""
        if self.run is not None and self.stopped is None:
            self.stopped, self.why = time.monotonic(), why
            self.tell({"cancel": self.run})

    @abstractmethod
    def tell(self, message: Json) -> None:
        """Send it a message; one that has died is noticed by its silence."""

    @abstractmethod
    def kill(self) -> None:
        """End it at once."""

    @abstractmethod
    def end(self) -> None:
        """Let it end: at once, if it is making a run."""

    @property
    @abstractmethod
    def pid(self) -> int:
        """Of its process, wherever that is."""

    @property
    @abstractmethod
    def death(self) -> str:
        """How it ended, in words."""

    @property
    def trouble(self) -> Json | None:
        """The problem of a run that no other worker can make either, once it has ended; else None."""
        return None


class Worker(AnyWorker):
    """A process beside the server.

    Args:
        slot: its place among the workers.
        told: what it is told first; see `worker.py`.
        here: its current folder.
        heard: called in a thread of the worker with each answer, and with None when it has ended.
    """

    def __init__(self, slot: int, told: Json, here: Path, heard: Callable[["AnyWorker", Json | None], None]) -> None:
        super().__init__(slot, told)
        self._heard = heard
        self.process = process.start(__name__.rpartition(".")[0] + ".worker", _PATH, cwd=here)
        self._write = threading.Lock()
        self.tell(told)
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._heard(self, json.loads(line))
        self.process.wait()
        self._heard(self, None)

    def tell(self, message: Json) -> None:
        """Write a line; a process that has died is noticed by its silence."""
        assert self.process.stdin is not None
        with self._write, suppress(OSError, ValueError):
            self.process.stdin.write(json.dumps(message).encode() + b"\n")
            self.process.stdin.flush()

    def kill(self) -> None:
        """End it at once."""
        with suppress(OSError):
            self.process.kill()

    def end(self) -> None:
        """Let it end: at once, if it is making a run."""
        process.end(self.process)

    @property
    def pid(self) -> int:
        """Of its process."""
        return self.process.pid

    @property
    def death(self) -> str:
        """How it ended, in words."""
        return process.death(self.process)


def cores_of(slot: int, workers: int) -> list[int]:
    """The cores of one of several workers; none if there is nothing to share."""
    from ..jobs.pool import share

    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    return share(cores, slot, workers) if workers > 1 else []

"""Workers on the machines of a cluster, behind one process that talks to it; see `front/ray/bridge.py`."""

import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress

from ...core.errors import Problem, WorkflowError
from ..cli.json_output import problem_json
from ..jobs import process
from ..ray.watch import SERVED
from ..ray.watch import gone as cluster_gone
from .json_data import Json
from .settings import Settings
from .workers import AnyWorker

CONNECT = 600.0  # seconds that the cluster may take to answer, or to start on this machine
FIRST = 120.0  # seconds that the server waits for a first worker before it begins all the same
LEAVE = 15.0  # seconds that workers may take to remove what they kept
_PATH = [os.path.abspath(one) for one in sys.path]
_BRIDGE = f"{__name__.rpartition('.serve.')[0]}.ray.bridge"
_LOG = logging.getLogger("inlay")


class AwayWorker(AnyWorker):
    """A worker somewhere in the cluster.

    Args:
        slot: as of `AnyWorker`.
        told: as of `AnyWorker`.
        cluster: that it is in.
    """

    def __init__(self, slot: int, told: Json, cluster: "Cluster") -> None:
        super().__init__(slot, told)
        self._cluster, self._pid, self._death = cluster, 0, "was lost"

    def tell(self, message: Json) -> None:
        """See `AnyWorker`; what it could do ahead is not told."""
        if "soon" not in message:
            self._cluster.tell({"slot": self.slot, **message})

    def noted(self, message: Json) -> None:
        """Note what it said of itself."""
        self._pid = message.get("pid", self._pid)
        if "lost" in message:
            self._death = f"was lost ({message['lost']})"

    def kill(self) -> None:
        """See `AnyWorker`."""
        self.tell({"kill": True})

    def end(self) -> None:
        """The process that talks to the cluster ends all of them."""

    @property
    def pid(self) -> int:
        """See `AnyWorker`: on its own machine."""
        return self._pid

    @property
    def death(self) -> str:
        """See `AnyWorker`."""
        return self._death

    @property
    def trouble(self) -> Json | None:
        """See `AnyWorker`."""
        return self._cluster.trouble


class Cluster:
    """The process that talks to a cluster.

    Args:
        settings: of the server.
        heard: as of `Worker`.

    Attributes:
        trouble: the problem of every run while the cluster does not answer; else None.
        count: how many workers there are to be.
    """

    def __init__(self, settings: Settings, heard: Callable[[AnyWorker, Json | None], None]) -> None:
        self._settings, self._heard = settings, heard
        self.trouble: Json | None = None
        self.count = 0
        self._refused: Json | None = None
        self._workers: dict[int, AwayWorker] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._said, self._first, self._writing = threading.Event(), threading.Event(), threading.Lock()

    def connect(self) -> None:
        """Connect, and find out how many workers there are to be.

        Raises:
            WorkflowError: it cannot be reached, or has no room.
        """
        self._open()
        if not self._said.wait(CONNECT):
            self.trouble = problem_json(_silent(self._settings.ray_address))
        if self.trouble is not None:
            raise _error(self.trouble)

    def require_worker(self) -> None:
        """Wait for a first worker; a busy cluster may have none for a while.

        Raises:
            WorkflowError: the workers cannot be used, such as those of another release.
        """
        if not self._first.wait(FIRST):
            _LOG.warning("no worker is ready after %.0f s: the cluster may be busy; runs wait for it", FIRST)
        if self._refused is not None:
            raise _error(self._refused)
        if self.trouble is not None:
            raise _error(self.trouble)

    def worker(self, slot: int) -> AwayWorker:
        """A new worker in a place."""
        if self._process is None or self._process.poll() is not None:
            self._open()
        made = self._workers[slot] = AwayWorker(slot, {"device": self._settings.device}, self)
        made.tell({"start": True})
        return made

    def _open(self) -> None:
        self._process = process.start(_BRIDGE, _PATH, cwd=self._settings.here)
        settings = self._settings
        told = {
            "address": settings.ray_address,
            "jobs": settings.workers or None,
            "device": settings.device,
            "memory": settings.memory,
            "cache": settings.cache,
        }
        self.tell(told)
        threading.Thread(target=self._listen, args=(self._process,), daemon=True).start()

    def tell(self, message: Json) -> None:
        """Write a line; a process that has died is noticed by its silence."""
        assert self._process is not None
        assert self._process.stdin is not None
        with self._writing, suppress(OSError, ValueError):
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()

    def _listen(self, bridge: "subprocess.Popen[bytes]") -> None:
        assert bridge.stdout is not None
        gone: Json | None = None
        for line in bridge.stdout:
            message = json.loads(line)
            if "slot" in message:
                self._of_worker(message)
            elif "connected" in message:
                self.count, self.trouble = message["connected"], None
                self._said.set()
            elif "warning" in message:
                _LOG.warning(message["warning"]["message"])
            else:
                gone = self.trouble = message.get("gone") or message["refused"]
        bridge.wait()
        if bridge is not self._process:
            return
        if gone is None:
            how = f"the process that talks to it {process.death(bridge)}"
            self.trouble = problem_json(cluster_gone(self._settings.ray_address, how, SERVED))
        workers, self._workers = self._workers, {}
        self._said.set()
        self._first.set()
        for worker in workers.values():
            self._heard(worker, None)

    def _of_worker(self, message: Json) -> None:
        worker = self._workers.get(message.pop("slot"))
        if worker is None:
            return
        worker.noted(message)
        if "refused" in message:
            self._refused = message["refused"]
            _LOG.error("%s", Problem(**message["refused"]))
        if message.keys() & {"ready", "refused"}:
            if "ready" in message:
                self._refused = None
            self._first.set()
        if message.keys() & {"refused", "lost", "left_out"}:
            del self._workers[worker.slot]
        self._heard(worker, None if message.keys() & {"refused", "lost"} else message)

    def end(self) -> None:
        """End all workers."""
        self._workers = {}
        if self._process is not None:
            process.end(self._process, LEAVE)


def _error(told: Json) -> WorkflowError:
    return WorkflowError([Problem(**told)])


def _silent(address: str | None) -> Problem:
    return Problem(
        None,
        "--ray-address",
        f"{address or 'a cluster'}, which does not answer within {CONNECT:.0f} s",
        "a Ray cluster that answers",
        "`ray status` there tells whether it runs",
    )

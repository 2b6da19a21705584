"""A process that makes runs, one after the other, on one device: told what to do line by line, and answering so.

It ends as soon as its parent does, whatever it is doing. A run's files appear in a folder of their own, which the
parent takes over once all of them are whole.
"""

import gc
import importlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, TextIO

from ...core.events import CancelToken
from ..kept_between_runs import forget
from .json_data import Json
from .made import ended_of, made
from .relay import Relay, Ticker
from .requests import planned

if TYPE_CHECKING:
    from ...core.run.plan import Plan
    from ..python.load_workflow import LoadedWorkflow

AT_ONCE = 2.0  # seconds after which a request that was read ahead is read again


def main() -> None:
    """Get ready, then make what is asked for; answers go to the real stdout, which nothing else writes to."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent too, which decides
    inbox = _Inbox(sys.stdin)
    told = json.loads(next(inbox))
    worker = _Worker(told, answers, inbox)
    worker.answer({"ready": worker.devices, "device": worker.device})
    for line in inbox:
        told = json.loads(line)
        if "free" in told:
            forget(results=told["free"] == "results")
        elif "soon" in told:
            if inbox.empty:
                worker.look_ahead(told["soon"])
        else:
            worker.run(told)


class _Inbox:
    """The lines that the parent writes. One that cancels is obeyed at once; at their end, the process ends."""

    def __init__(self, stream: TextIO) -> None:
        self._waiting: SimpleQueue[str] = SimpleQueue()
        self.cancel: dict[str, CancelToken] = {}
        threading.Thread(target=self._read, args=(stream,), daemon=True).start()

    def _read(self, stream: TextIO) -> None:
        for line in stream:
            message = json.loads(line)
            if "cancel" in message:
                self.cancel.setdefault(message["cancel"], CancelToken()).cancel()
            else:
                self._waiting.put(line)
        os._exit(0)

    @property
    def empty(self) -> bool:
        """True if no line waits."""
        return self._waiting.empty()

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        return self._waiting.get()


class _Worker:
    """What stays from one run to the next."""

    def __init__(self, told: Json, answers: TextIO, inbox: _Inbox) -> None:
        import torch

        from ..device import resolve_devices

        if told.get("cores") and hasattr(os, "sched_setaffinity"):  # after torch has counted all of them
            torch.set_num_threads(torch.get_num_threads())
            os.sched_setaffinity(0, told["cores"])
        self._answers, self._inbox, self._lock = answers, inbox, threading.Lock()
        self._ticker = Ticker()
        self._memory, self._cache = told["memory"], told["cache"]
        self._ahead: _Ahead | None = None
        self._nodes = [importlib.import_module(name) for name in told.get("nodes", ())]
        self.devices = list(resolve_devices(told["device"]))
        self.device = self.devices[0]
        if told["device"] in ("auto", "cuda") and self.device.startswith("cuda"):  # each run is on one: any will do
            self.devices = [f"cuda:{n}" for n in range(torch.cuda.device_count())]
        _warm()

    def answer(self, message: Json) -> None:
        """Write one line."""
        line = json.dumps(message, separators=(",", ":")) + "\n"
        with self._lock:
            self._answers.write(line)
            self._answers.flush()

    def run(self, told: Json) -> None:
        """Make one run; whatever happens to it is an answer."""
        run, out = told["run"], Path(told["out"])
        token = self._inbox.cancel.setdefault(run, CancelToken())
        relay = Relay(lambda events: self.answer({"run": run, "events": events}), out)
        with self._ticker.minding(relay):
            ended, gone = ended_of(lambda: self._made(told, out, token, relay), relay)
        self._inbox.cancel.pop(run, None)
        self.answer({"run": run, "events": relay.rest(), "ended": ended, "gone": gone})
        if gone:  # a process whose GPU disappeared cannot use it again; another one takes the next run
            os._exit(1)

    def look_ahead(self, told: Json) -> None:
        """Read a request that is still being checked; who checks it tells what is wrong with it."""
        self._ahead = None
        with suppress(Exception):
            self._ahead = _Ahead(told, *planned(told))

    def _made(self, told: Json, out: Path, token: CancelToken, relay: Relay) -> Json:
        ahead, self._ahead = self._ahead, None
        if ahead is not None and ahead.fits(told):
            loaded, plan = ahead.loaded, ahead.plan
        else:
            loaded, plan = planned(told)
        loaded.out = out
        return made(
            loaded,
            plan,
            device=self.device,
            memory=self._memory,
            cache=self._cache,
            texts=told["request"].get("texts"),
            relay=relay,
            cancel=token,
        )


@dataclass(frozen=True)
class _Ahead:
    """A request that was read before it became a run."""

    told: Json
    loaded: "LoadedWorkflow"
    plan: "Plan"
    made: float = field(default_factory=time.monotonic)

    def fits(self, told: Json) -> bool:
        """True if that run is the one that was meant, and is made at once: the files it reads are as they were."""
        return time.monotonic() - self.made < AT_ONCE and {**self.told, "run": told["run"]} == told


def _warm() -> None:
    """Import what the first run would wait for."""
    from ..installed import installed_nodes
    from ..python import run_loaded  # noqa: F401
    from . import found  # noqa: F401

    installed_nodes()
    gc.freeze()  # what is there now stays: it is not looked through again and again

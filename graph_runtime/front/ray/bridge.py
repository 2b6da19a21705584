"""The process between a server and a Ray cluster: told what to do line by line, and answering so, for all workers.

Ray ends a process whose cluster is gone, so the server has none of Ray in it. This process ends with its parent, and
as soon as the cluster does not answer any more; it then says why.
"""

import json
import os
import secrets
import signal
import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from types import ModuleType
from typing import BinaryIO, Protocol, TextIO

from ...core.context import Context
from ...core.errors import Problem, WorkflowError, first_line
from ...core.events import CancelToken, Warned
from ..cli.json_output import problem_json, warning_json
from ..jobs.pool import cores
from ..python.keywords import refusing
from ..python.preparation import decide
from ..recipe.find_inputs import remember
from ..recipe.record import record as recipe_of
from ..recipe.record import texts_of
from ..serve.json_data import Json
from ..serve.made import ended_of
from ..serve.relay import Relay
from ..serve.requests import planned
from .actors import choose, hello, new_actors
from .alike import Alike
from .connect import connected
from .contents import Contents
from .packing import pack
from .watch import SERVED, Watch, gone

CALLS = 4  # that an actor answers at once: a run, and wishes to stop it or to let go of models
IDLE = 2.0  # seconds between two looks at whether a worker with nothing to do is still there
SILENT = 60.0  # seconds that its answer may take
LEAVE = 2.0  # seconds that actors may take to remove what they kept
_LEAVE_RAY = 20.0  # seconds that Ray may take to disconnect


class Link(Protocol):
    """A worker on another machine."""

    def hello(self) -> Json:
        """What it says of itself, once it is ready."""

    def stream(self, message: Json, each: Callable[[Json], None]) -> Json:
        """Let it make a run: calls `each` with what it tells; the last thing it tells."""

    def call(self, method: str, *given: object) -> object:
        """Call a method, and do not wait; what stands for its end."""

    def require_answer(self) -> None:
        """Raise if it is gone."""

    def kill(self) -> None:
        """End it."""


@dataclass
class RayLink:
    """An actor of a Ray cluster."""

    ray: ModuleType
    new: Callable[[], object]
    told: Json
    _actor: object = None

    def hello(self) -> Json:
        """See `Link`."""
        self._actor = self.new()
        found: Json = self.ray.get(hello(self._actor, self.told, "served"))  # type: ignore[arg-type]  # of Ray
        return found

    def stream(self, message: Json, each: Callable[[Json], None]) -> Json:
        """See `Link`."""
        last: Json | None = None
        for ref in self._actor.stream.options(num_returns="streaming").remote(message):  # type: ignore[attr-defined]
            if last is not None:
                each(last)
            last = self.ray.get(ref)
        assert last is not None
        return last

    def call(self, method: str, *given: object) -> object:
        """See `Link`."""
        return None if self._actor is None else getattr(self._actor, method).remote(*given)

    def require_answer(self) -> None:
        """See `Link`."""
        self.ray.get(self.call("ping"), timeout=SILENT)

    def kill(self) -> None:
        """See `Link`."""
        if self._actor is not None:
            self.ray.kill(self._actor, no_restart=True)


@dataclass
class Place:
    """One worker of the server, and the runs that it is told to make, in a thread of its own.

    Args:
        slot: its number.
        link: to the worker.
        alike: judges it.
        contents: what was put for all workers.
        answer: writes a line for the server.
        lock: of `alike` and `contents`, which all workers share.
    """

    slot: int
    link: Link
    alike: Alike
    contents: Contents
    answer: Callable[[Json], None]
    lock: threading.Lock
    _runs: "SimpleQueue[Json]" = field(default_factory=SimpleQueue)
    _cancelled: set[str] = field(default_factory=set)
    _killed: bool = False

    def begin(self) -> None:
        """Start its thread."""
        threading.Thread(target=self._live, daemon=True).start()

    def told(self, message: Json) -> None:
        """Do what the server says."""
        if "cancel" in message:
            self._cancelled.add(message["cancel"])
            with suppress(Exception):
                self.link.call("cancel", message["cancel"])
        elif "free" in message:
            with suppress(Exception):
                self.link.call("free", message["free"] == "results")
        elif "kill" in message:
            self._killed = True
            with suppress(Exception):
                self.link.kill()
        elif "run" in message:
            self._runs.put(message)

    def _live(self) -> None:
        try:
            said = self.link.hello()
            with self.lock:
                accepted = self.alike.accept(said)
            if not accepted:
                self.answer({"slot": self.slot, "left_out": True})
                return
            device = f"{said['device']} of {said['node']}"
            self.answer({"slot": self.slot, "ready": [device], "device": device, "pid": said["pid"]})
            while not self._killed:
                try:
                    told = self._runs.get(timeout=IDLE)
                except Empty:
                    self.link.require_answer()
                    continue
                self._make(told)
        except WorkflowError as error:
            self.answer({"slot": self.slot, "refused": problem_json(error.problems[0])})
        except Exception as error:  # noqa: BLE001 - Ray has many kinds for a worker that is gone
            with suppress(Exception):
                self.link.kill()
            self.answer({"slot": self.slot, "lost": f"{type(error).__name__}: {first_line(error)}"})

    def _make(self, told: Json) -> None:
        run, out = told["run"], Path(told["out"])
        packed: list[tuple[Json, tuple[str, ...]]] = []
        relay = Relay(lambda events: self.answer({"slot": self.slot, "run": run, "events": events}), out)

        def prepared() -> Json:
            packed.append(self._packed(told, relay))
            return {}

        ended, _ = ended_of(prepared, relay)
        if not packed:
            self.answer({"slot": self.slot, "run": run, "events": relay.rest(), "ended": ended})
            return
        relay.send()
        message, digests = packed[0]
        files = _Files(out)

        def each(one: Json) -> None:
            if "events" in one:
                self.answer({"slot": self.slot, "run": run, "events": one["events"]})
            else:
                files.take(one)

        try:
            if run in self._cancelled:
                self.link.call("cancel", run)
            last = self.link.stream(message | {"run": run}, each)
        finally:
            files.close()
            self._cancelled.discard(run)
            with self.lock:
                self.contents.give_back(digests)
        ended = last["ended"]
        if last["gone"]:  # a process whose GPU disappeared cannot use it again; another one makes the run once more
            raise ConnectionError(f"its device is gone: {ended['problems'][0]['found']}")
        ended["warnings"] = [*relay.warnings, *(one for one in ended.get("warnings", ()) if one not in relay.warnings)]
        if files.trouble is not None:
            ended = {"state": "failed", "problems": [problem_json(files.trouble)]}
        self.answer({"slot": self.slot, "run": run, "events": [*relay.rest(), *last["events"]], "ended": ended})

    def _packed(self, told: Json, relay: Relay) -> tuple[Json, tuple[str, ...]]:
        """A request as another machine is told it, and what is held for it."""
        loaded, plan = planned(told)
        with refusing():
            loaded.held.require_pictures_only(plan)
        if loaded.undecided:
            plan = decide(loaded, plan, Context(out=loaded.out, listeners=(relay,), cancel=CancelToken()))
        folders = [*loaded.roots, loaded.out]
        record = recipe_of(plan, loaded.registry, loaded.recorded_names, folders)
        texts = {
            name: json.loads(text) for name, text in texts_of(plan, told["request"].get("texts") or {}, folders).items()
        }
        remember(plan, loaded.held.holds)
        for warning in loaded.held.warnings:
            relay(warning)
        with self.lock:
            message, digests = pack(loaded, plan, self.contents)
        return message | {"record": record, "texts": texts}, digests


class _Files:
    """The files of a run as they arrive."""

    def __init__(self, out: Path) -> None:
        self._out = out
        self._name = ""
        self._file: BinaryIO | None = None
        self.trouble: Problem | None = None

    def take(self, one: Json) -> None:
        """Write a piece of a file, or make a folder; what the disk refuses is the run's trouble."""
        if self.trouble is not None:
            return
        try:
            if "folder" in one:
                (self._out / one["folder"]).mkdir(parents=True, exist_ok=True)
                return
            if one["file"] != self._name:
                self.close()
                path = self._out / one["file"]
                path.parent.mkdir(parents=True, exist_ok=True)
                self._name, self._file = one["file"], path.open("wb")
            assert self._file is not None
            self._file.write(one["bytes"])
        except OSError as error:
            self.trouble = Problem(None, "--out", str(error), "a folder with room", "make room")

    def close(self) -> None:
        """The last file is whole."""
        if self._file is not None:
            try:
                self._file.close()
            except OSError as error:
                self.trouble = Problem(None, "--out", str(error), "a folder with room", "make room")
        self._file = None


class Bridge:
    """All workers of a server on one cluster.

    Args:
        told: by the server: address, jobs, device, memory, cache.
        answers: the lines for the server.
    """

    def __init__(self, told: Json, answers: TextIO) -> None:
        self._told, self._answers = told, answers
        self._lock, self._writing = threading.Lock(), threading.Lock()
        self._places: dict[int, Place] = {}
        self._alike = Alike(self._warn)

    def answer(self, message: Json) -> None:
        """Write one line."""
        line = json.dumps(message, separators=(",", ":")) + "\n"
        with self._writing:
            self._answers.write(line)
            self._answers.flush()

    def _warn(self, message: str) -> None:
        self.answer({"warning": warning_json(Warned(None, message))})

    def run(self, lines: TextIO) -> None:
        """Obey until the parent ends, or the cluster."""
        import torch

        told, threads = self._told, torch.get_num_threads()
        offered = max((told["jobs"] or 0) * threads, len(cores()), threads)
        with connected(told["address"], offered) as ray:
            count, needs, device = choose(ray, told["device"], threads, told["jobs"])
            kept = {"device": device, "memory": told["memory"], "cache": told["cache"]}
            shared = kept | {"session": secrets.token_hex(8), "threads": threads}
            new = new_actors(ray, needs, CALLS)
            self.answer({"connected": count})
            Watch(ray.get_runtime_context().gcs_address, self.gone).begin()
            self.obey(lines, lambda: RayLink(ray, new, shared), Contents(ray.put))
            threading.Timer(_LEAVE_RAY, os._exit, (0,)).start()
            self._end(lambda ends: ray.wait(ends, num_returns=len(ends), timeout=LEAVE))
        os._exit(0)

    def obey(self, lines: Iterable[str], link: Callable[[], Link], contents: Contents) -> None:
        """Do what the server says, until it says no more."""
        for line in lines:
            message = json.loads(line)
            slot = message.pop("slot")
            if "start" in message:
                place = Place(slot, link(), self._alike, contents, self.answer, self._lock)
                self._places[slot] = place
                place.begin()
            elif slot in self._places:
                self._places[slot].told(message)

    def _end(self, wait: Callable[[list[object]], object]) -> None:
        """Let workers remove what they kept, then end them."""
        ends = []
        for place in self._places.values():
            with suppress(Exception):
                ends.append(place.link.call("end"))
        with suppress(Exception):
            wait([one for one in ends if one is not None])
        for place in self._places.values():
            with suppress(Exception):
                place.link.kill()

    def gone(self, why: str) -> None:
        """Say that the cluster is gone, and end."""
        problem = gone(self._told["address"], why, SERVED)
        self.answer({"gone": problem_json(problem)})
        os._exit(1)


def main() -> None:
    """Connect, then obey; answers go to the real stdout, which nothing else writes to."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent too, which decides
    bridge = Bridge(json.loads(sys.stdin.readline()), answers)
    try:
        bridge.run(sys.stdin)
    except WorkflowError as error:
        bridge.answer({"refused": problem_json(error.problems[0])})
        os._exit(1)

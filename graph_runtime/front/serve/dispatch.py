"""Gives the queued runs to the workers, and takes over what they made.

A run's files are moved to their place first, then one transaction makes the run `done` and its results visible. A
worker that dies is replaced, and its run is queued again, once; one that does not stop when it is told to is killed.
"""

import os
import secrets
import shutil
import threading
import time
from pathlib import Path

from ...core.database import DatabaseUnusable
from ...core.errors import Problem, WorkflowError
from ...core.leftovers import owner
from ..cli.json_output import problem_json
from .cluster import Cluster
from .discreet import Discreet
from .events import Events
from .json_data import Json
from .records import Records, Run, State
from .settings import Settings
from .workers import AnyWorker, Worker, cores_of

TRIES = 2  # of one run, in workers that died
PATIENCE = 10.0  # seconds that a worker may take to reach the next step after it was told to stop
LOOK = 0.5  # seconds between two looks at time limits
START = 300.0  # seconds that a worker may take to get ready
_AGAIN = (1.0, 2.0, 5.0, 15.0, 60.0)  # seconds before a worker that did not get ready is started again


class Dispatcher:
    """The workers and what they are doing.

    Attributes:
        progress: of each running run, by id.
        waiting: how many runs wait.
    """

    def __init__(self, settings: Settings, records: Records, events: Events) -> None:
        self._settings, self._records, self._events = settings, records, events
        self._discreet = Discreet(settings)
        self._lock = threading.RLock()
        self._workers: dict[int, AnyWorker] = {}
        self._cluster = Cluster(settings, self._heard) if settings.engine != "local" else None
        self._staging: dict[str, Path] = {}
        self._running: dict[str, Run] = {}
        self._unwritten: dict[str, tuple[Run, State, Json, list[Json]]] = {}  # ends that the disk did not take yet
        self._lost: list[Run] = []  # runs of dead workers, that the disk did not take back yet
        self._over = threading.Event()
        self._mark = secrets.token_hex(4)
        self._stillborn: dict[int, int] = {}
        self._not_before: dict[int, float] = {}
        self._told_of_dead: dict[int, Json] = {}
        self.progress: dict[str, Json] = {}
        self.waiting = 0

    # the life of the server

    def recover(self) -> None:
        """Queue again what was running when the last server ended, or cancel it, if that was asked for."""
        for run in self._records.runs(["running"], limit=-1):
            shutil.rmtree(self._settings.out / folder_of(run), ignore_errors=True)  # made, but not noted
            if run.stop:
                self._records.end(run.id, "cancelled", {})
            else:
                self._records.again(run.id)
        self.waiting = self._records.counts()["queued"]

    def start(self) -> None:
        """Start the workers, and look after them.

        Raises:
            WorkflowError: a cluster cannot be reached, or not be used.
        """
        away = self._cluster
        try:
            if away is not None:
                away.connect()
            with self._lock:
                count = max(1, self._settings.workers if away is None else away.count)
                for slot in range(count):
                    self._start_worker(slot, self._settings.device, count)
            if away is not None:
                away.require_worker()
        except WorkflowError:
            self.stop()
            raise
        threading.Thread(target=self._look_after, daemon=True).start()

    def stop(self) -> None:
        """End the workers."""
        self._over.set()
        with self._lock:
            workers, self._workers = list(self._workers.values()), {}
        for worker in workers:
            worker.end()
        if self._cluster is not None:
            self._cluster.end()
        with self._lock:
            for staging in self._staging.values():
                shutil.rmtree(staging, ignore_errors=True)

    @property
    def trouble(self) -> Json | None:
        """Why no run can be made now: the cluster does not answer; else None."""
        return None if self._cluster is None else self._cluster.trouble

    def status(self) -> list[Json]:
        """How the workers are."""
        with self._lock:
            return [
                {
                    "device": worker.device or worker.told["device"],
                    "state": "starting" if not worker.ready else "running" if worker.run else "idle",
                    "run": worker.run,
                    "pid": worker.pid,
                }
                for worker in self._workers.values()
            ]

    def _start_worker(self, slot: int, device: str, count: int) -> None:
        told = {
            "device": device,
            "memory": self._settings.memory,
            "cache": self._settings.cache,
            "cores": cores_of(slot, count),
        }
        self._new_worker(slot, told)

    def _new_worker(self, slot: int, told: Json) -> None:
        here, away = self._settings.here, self._cluster
        worker = away.worker(slot) if away is not None else Worker(slot, told, here, self._heard)
        worker.began = time.monotonic()
        self._workers[slot] = worker

    # runs

    def queued(self, run: Run) -> None:
        """A run was queued."""
        with self._lock:
            self.waiting += 1
            self._tell(run, "queued", position=max(0, self.waiting - 1))
            self._give()

    def soon(self, run_id: str, request: Json) -> None:
        """Let an idle worker read a request while it is being checked: if it becomes a run, that run begins sooner."""
        with self._lock:
            idle = next((one for one in self._workers.values() if one.ready and one.run is None), None)
            if idle is not None and self.waiting == 0:
                idle.tell({"soon": self._told(run_id, request)})

    def cancel(self, run: Run) -> None:
        """Cancel a run that has not ended."""
        with self._lock:
            worker = next((one for one in self._workers.values() if one.run == run.id), None)
            if worker is not None:
                self._records.stop(run.id)
                worker.cancel("cancelled")
            elif self._records.end(run.id, "cancelled", {}):
                self.waiting -= run.state == "queued"
                self._tell(run, "cancelled")

    def free(self, *, results: bool) -> None:
        """Have every worker let go of weights, and with `results` of results in memory, once its run has ended."""
        with self._lock:
            for worker in self._workers.values():
                worker.tell({"free": "results" if results else "models"})

    def _give(self, *, look: bool = False) -> None:
        """Give every idle worker a run; `look` for one even if none is known to wait."""
        if self.waiting <= 0 and not look:
            return
        for worker in list(self._workers.values()):
            while worker.ready and worker.run is None and not self._over.is_set():
                busy = {one.client for one in self._workers.values() if one.run is not None and one.client is not None}
                try:
                    run = self._records.next_queued(busy)
                    if run is None:
                        return
                    if not self._records.begin(run.id):
                        continue
                except DatabaseUnusable:
                    return  # looked at again soon
                self.waiting -= 1
                self._begin(worker, run)

    def _begin(self, worker: AnyWorker, run: Run) -> None:
        told = self._told(run.id, run.request)
        self._staging[run.id], self._running[run.id] = Path(told["out"]), run
        worker.make(run.id, run.client, told)
        self._tell(run, "started", device=worker.device)

    def _told(self, run_id: str, request: Json) -> Json:
        """What a worker needs to know of a run."""
        staging = self._settings.out / f".run-{run_id}.{owner()}-{self._mark}.part"
        places = {"out": str(self._settings.out), "roots": [str(root) for root in self._settings.roots]}
        return {"request": request, "out": str(staging), "places": places}

    # what workers say

    def _heard(self, worker: AnyWorker, message: Json | None) -> None:
        with self._lock:
            if self._workers.get(worker.slot) is not worker:
                return
            if message is None:
                self._died(worker)
            elif "left_out" in message:  # its results could be other bytes: the others make all
                del self._workers[worker.slot]
            elif "ready" in message:
                self._ready(worker, message)
            elif message["run"] == worker.run:
                for event in message["events"]:
                    self._pass_on(worker, self._discreet.told(event))
                if "ended" in message:
                    worker.ready = not message.get("gone", False)  # with its device: it is about to end
                    self._ended(worker, message["ended"])

    def _ready(self, worker: AnyWorker, message: Json) -> None:
        worker.ready, worker.device = True, message["device"]
        self._stillborn.pop(worker.slot, None)
        others = [device for device in message["ready"] if device != worker.device]
        for number, device in enumerate(others, max(self._workers) + 1):
            if not any(one.told["device"] == device for one in self._workers.values()):
                self._start_worker(number, device, 1)
        self._give()

    def _pass_on(self, worker: AnyWorker, event: Json) -> None:
        assert worker.run is not None
        if event["kind"] == "progress":
            self.progress[worker.run] = {key: event[key] for key in ("node", "step", "total", "note")}
        elif event["kind"] == "node" and event["state"] == "started":
            self.progress[worker.run] = {"node": event["node"], "step": 0, "total": 0, "note": ""}
        self._events.publish(
            worker.run, event["kind"], worker.client, **{k: v for k, v in event.items() if k != "kind"}
        )

    def _ended(self, worker: AnyWorker, ended: Json) -> None:
        run_id, state, files = worker.run, ended.pop("state"), ended.pop("files", [])
        assert run_id is not None
        if worker.why == "time" and state == "cancelled":
            state, ended["problems"] = "failed", [problem_json(self._too_long())]
        self._end(run_id, state, ended, files)
        worker.run = worker.client = None
        self._give()

    def _end(self, run_id: str, state: State, found: Json, files: list[Json]) -> None:
        """Move the files to their place, and note the end; if the disk refuses, again later."""
        run, staging = self._running.pop(run_id), self._staging.pop(run_id, None)
        if staging is not None and state == "done":
            try:
                self._publish(staging, run, files)
            except OSError as error:
                why = Problem(None, "--out", f"{staging.parent}: {error.strerror}", "a folder with room", "make room")
                state, found, files = "failed", {"problems": [problem_json(why)]}, []
        if staging is not None:
            shutil.rmtree(staging, ignore_errors=True)
        self._note_end(run, state, found, files if state == "done" else [])

    def _publish(self, staging: Path, run: Run, files: list[Json]) -> None:
        folder = self._settings.out / folder_of(run)
        for facts in files:
            facts["file"] = f"{folder.name}/{facts['file']}"
        if not files:
            return
        shutil.rmtree(folder, ignore_errors=True)
        os.rename(staging, folder)

    def _note_end(self, run: Run, state: State, found: Json, files: list[Json]) -> None:
        self.progress.pop(run.id, None)
        for kind in ("problems", "warnings"):
            if kind in found:
                found[kind] = [self._discreet.told(one) for one in found[kind]]
        try:
            noted = self._records.end(run.id, state, found, files)
        except DatabaseUnusable:
            self._unwritten[run.id] = (run, state, found, files)
            return
        self._unwritten.pop(run.id, None)
        if not noted:
            return
        problems = {"problems": found["problems"]} if found.get("problems") else {}
        self._tell(run, state, results=len(files), **problems)

    def _died(self, worker: AnyWorker) -> None:
        """Replace a worker; what it was making is tried once more."""
        del self._workers[worker.slot]
        if worker.run is not None:
            self._end_of_dead(worker, worker.run)
        if not worker.ready:
            count = self._stillborn[worker.slot] = self._stillborn.get(worker.slot, 0) + 1
            self._not_before[worker.slot] = time.monotonic() + _AGAIN[min(count, len(_AGAIN)) - 1]
        else:
            self._not_before[worker.slot] = 0.0
        self._told_of_dead[worker.slot] = worker.told
        self._replace()

    def _end_of_dead(self, worker: AnyWorker, run_id: str) -> None:
        run = self._running[run_id]
        if worker.stopped is not None and worker.why != "time":
            self._end(run_id, "cancelled", {}, [])
        elif worker.why == "time":
            self._end(run_id, "failed", {"problems": [problem_json(self._too_long())]}, [])
        elif worker.trouble is not None:
            self._end(run_id, "failed", {"problems": [dict(worker.trouble)]}, [])
        elif run.tries + 1 >= TRIES:
            why = Problem(
                None,
                None,
                f"the process that made it {worker.death}, and so did another one",
                "a process that finishes",
                "use a smaller size or dtype if memory ran out; the server's own output says more",
            )
            self._end(run_id, "failed", {"problems": [problem_json(why)]}, [])
        else:
            self._queue_again(run)

    def _queue_again(self, run: Run) -> None:
        del self._running[run.id]
        shutil.rmtree(self._staging.pop(run.id), ignore_errors=True)
        self.progress.pop(run.id, None)
        self._put_back(run)

    def _put_back(self, run: Run) -> None:
        """Let a run wait in its old place; if the disk refuses, again later."""
        try:
            if self._records.again(run.id):
                self.waiting += 1
                self._tell(run, "queued", position=0, again=True)
        except DatabaseUnusable:
            self._lost.append(run)

    def _replace(self) -> None:
        for slot, told in list(self._told_of_dead.items()):
            if not self._over.is_set() and time.monotonic() >= self._not_before.get(slot, 0.0):
                del self._told_of_dead[slot]
                self._new_worker(slot, told)

    # time

    def _look_after(self) -> None:
        while not self._over.wait(LOOK):
            with self._lock:
                now = time.monotonic()
                for worker in list(self._workers.values()):
                    self._look_at(worker, now)
                self._replace()
                lost, self._lost = self._lost, []
                for run in lost:
                    self._put_back(run)
                for unwritten in list(self._unwritten.values()):
                    self._note_end(*unwritten)
                self._give(look=True)

    def _look_at(self, worker: AnyWorker, now: float) -> None:
        limit = self._settings.limits.run_seconds
        if worker.run is not None and limit is not None and now - worker.began > limit:
            worker.cancel("time")
        hangs = worker.stopped is not None and worker.run is not None and now - worker.stopped > PATIENCE
        if hangs or (not worker.ready and now - worker.began > START):
            worker.kill()  # it is replaced when its silence is heard

    def _too_long(self) -> Problem:
        limit = self._settings.limits.run_seconds
        return Problem(
            None,
            "time",
            f"a run of more than {limit:g} s",
            f"at most {limit:g} s, as the server was told",
            "use fewer steps or a smaller size, or start the server with a larger --run-time",
        )

    def _tell(self, run: Run, kind: str, **facts: object) -> None:
        self._events.publish(run.id, kind, run.client, **facts)


def folder_of(run: Run) -> str:
    """The name of a run's folder below the output folder."""
    return f"{run.number:05d}-{run.id}"

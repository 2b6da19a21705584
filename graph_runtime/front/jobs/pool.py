"""Runs of a job in several processes. One that dies does not take the job with it: its run is tried once more.

Bits of a result may depend on the number of threads, so each process has as many as one alone would, on its share of
the processor's cores.
"""

import json
import os
import sys
import threading
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from ...core.context import Context
from ...core.errors import Problem, WorkflowError, shorten
from ...core.events import ItemStarted
from ...core.workflow import Workflow
from ..environment import torch_numerics
from . import process
from .job import Job
from .outcome import Outcome
from .session import How

Answers = SimpleQueue[tuple["_Worker", str | None]]
TRIES = 2  # of one run, in processes that died
_WAITING = {"OMP_WAIT_POLICY": "passive", "KMP_BLOCKTIME": "0", "GOMP_SPINCOUNT": "0"}  # other processes need the cores


class _Worker:
    """A process, and the number of the run that it is making."""

    def __init__(self, slot: int, told: bytes, cores: list[int], answers: "Answers") -> None:
        self.slot, self.number, self.ready = slot, -1, False
        worker = __name__.rpartition(".")[0] + ".worker"
        self.process = process.start(worker, sys.path, env={**_WAITING, **os.environ})
        if cores and hasattr(os, "sched_setaffinity"):
            with suppress(OSError):  # it has ended already, or this system does not let us
                os.sched_setaffinity(self.process.pid, cores)
        self.tell(told)
        threading.Thread(target=self._listen, args=(answers,), daemon=True).start()

    def _listen(self, answers: "Answers") -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            answers.put((self, line.decode()))
        answers.put((self, None))

    def tell(self, line: bytes) -> None:
        """Write a line; a process that has died is noticed by its silence."""
        assert self.process.stdin is not None
        with suppress(OSError):
            self.process.stdin.write(line + b"\n")
            self.process.stdin.flush()

    def end(self) -> None:
        """Let it end: at once, if it is making a run."""
        process.end(self.process)

    @property
    def death(self) -> str:
        """How it ended, in words."""
        return process.death(self.process)


class Deal:
    """Which run each process makes next: those of one block after the other.

    Attributes:
        again: runs of processes that died.
    """

    def __init__(self, blocks: Iterator[Iterator[int]]) -> None:
        self._blocks = blocks
        self._of: dict[int, Iterator[int]] = {}  # the block that each slot works on
        self.again: deque[int] = deque()

    def next(self, slot: int) -> int:
        """The number of a run; -1 if none is left."""
        if self.again:
            return self.again.popleft()
        while True:
            number = next(self._of.get(slot, iter(())), -1)
            if number >= 0:
                return number
            block = next(self._blocks, None)
            if block is None:  # help another process with what is left of its block
                return next((left for one in self._of.values() if (left := next(one, -1)) >= 0), -1)
            self._of[slot] = block


def pooled(
    job: Job, hows: Sequence[How], ctx: Context, blocks: Iterator[Iterator[int]] | None = None
) -> Iterator[tuple[int, Outcome]]:
    """The outcomes of a job's runs as they come, with the number of each.

    Args:
        job: the runs.
        hows: how each process makes its runs.
        ctx: of the job: told when a run begins, and asked whether to stop.
        blocks: the order of the runs, in pieces of which each is one process's; None: one at a time.

    Raises:
        WorkflowError: the processes cannot be told the job, or do not start.
        Cancelled: the user asked to stop.
    """
    jobs = len(hows)
    told = [json.dumps(_told(job, how)).encode() for how in hows]
    own = cores()
    answers: Answers = SimpleQueue()
    deal = Deal(blocks if blocks is not None else (iter((number,)) for number in range(len(job.items))))
    tries: Counter[int] = Counter()
    total = len(job.items)
    begun = ended = stillborn = 0

    def start(slot: int) -> _Worker:
        return _Worker(slot, told[slot], share(own, slot, jobs), answers)

    def next_run(worker: _Worker) -> None:
        nonlocal begun
        worker.number = deal.next(worker.slot)
        if worker.number >= 0:
            begun += not tries[worker.number]
            item = job.items[worker.number]
            ctx.emit(ItemStarted(item.name, worker.number + 1, total))
            given = [dict(item.files), dict(item.values), dict(item.settings)]
            worker.tell(json.dumps([worker.number, item.name, *given]).encode())

    workers = [start(slot) for slot in range(jobs)]
    try:
        while ended < total:
            worker, line = _next(answers, ctx)
            if worker not in workers:  # its device is lost
                continue
            if line is None:
                workers.remove(worker)
                stillborn += not worker.ready
                if stillborn > TRIES * jobs:
                    raise _no_start(worker)
                if (number := worker.number) >= 0:
                    tries[number] += 1
                    if tries[number] < TRIES:
                        deal.again.append(number)
                    else:
                        ended += 1
                        yield number, _died(job, number, worker)
                if deal.again or begun < total:
                    workers.append(start(worker.slot))
                continue
            message = json.loads(line)
            if "ready" in message:
                worker.ready = True
                if message["ready"] != torch_numerics():
                    raise _other_settings()
            else:
                outcome = Outcome.from_json(message["outcome"])
                if outcome.lost and len(workers) > 1:  # the other devices go on, and make this one too
                    workers.remove(worker)
                    worker.end()
                    ctx.warn(f"{hows[worker.slot].device} does not answer any more: {outcome.lost}; the others go on")
                    deal.again.append(worker.number)
                    tries[worker.number] = 1
                    for idle in [one for one in workers if one.ready and one.number < 0][:1]:
                        next_run(idle)
                    continue
                ended += 1
                for warning in outcome.warnings:
                    ctx.pass_on(warning)
                yield message["number"], outcome
            next_run(worker)
    finally:
        for worker in workers:
            worker.end()


def cores() -> list[int]:
    """The cores of this process; none where the system does not tell."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def share(cores: list[int], slot: int, jobs: int) -> list[int]:
    """The cores of one of several processes: each core has one, or each process one."""
    if len(cores) < jobs:
        return [cores[slot % len(cores)]] if cores else []
    return cores[slot * len(cores) // jobs : (slot + 1) * len(cores) // jobs]


def _next(answers: Answers, ctx: Context) -> tuple[_Worker, str | None]:
    """The next answer; looks now and then whether the user asked to stop."""
    while True:
        ctx.check_cancelled()
        with suppress(Empty):
            return answers.get(timeout=0.2)


def can_be_told(job: Job) -> bool:
    """True if another process can import the nodes of a job."""
    return all(_name_of(module) for module in job.origin.nodes)


def _name_of(module: object) -> str:
    """The name by which another process imports a module; empty if it cannot."""
    name: str = getattr(module, "__name__", "")
    known = sys.modules.get(name)
    return name if known is module and getattr(known, "__spec__", None) is not None else ""


def _told(job: Job, how: How) -> dict[str, Any]:  # Any: JSON between two processes of one release
    """The job as a process can be told it.

    Raises:
        WorkflowError: a module of nodes that a process cannot import.
    """
    import torch

    source = job.origin.source
    if isinstance(source, Workflow):
        source = source.model_dump()
    return {
        "source": source if isinstance(source, Mapping) else os.fspath(source),
        "inputs": None if job.origin.inputs is None else os.fspath(job.origin.inputs),
        "nodes": names_of_modules(job),
        "partial": job.origin.partial,
        "out": str(Path(job.loaded.out).absolute()),
        "values": dict(job.values),
        "settings": dict(job.settings),
        "names": list(job.inputs),
        "how": asdict(how),
        "asked": job.asked,
        "measures": job.measures,
        "room": job.room,
        "unshared": sorted(job.unshared),
        "threads": torch.get_num_threads(),
    }


def names_of_modules(job: Job) -> list[str]:
    """The modules with further nodes, as another process imports them.

    Raises:
        WorkflowError: it cannot.
    """
    names = []
    for module in job.origin.nodes:
        name = _name_of(module)
        if not name:
            raise WorkflowError.of(
                "--jobs",
                found=f"nodes of {shorten(module)}, which other processes cannot import",
                expected="modules that can be imported by name",
                fix="put the nodes into a file of their own and import it, or leave jobs at 1",
            )
        names.append(name)
    return names


def _died(job: Job, number: int, worker: _Worker) -> Outcome:
    item = job.items[number]
    problem = Problem(
        None,
        "--jobs",
        f"the process that made it {worker.death}, and so did another one",
        "a process that finishes",
        "run this picture alone to see why; if memory ran out, use fewer --jobs, a smaller size or dtype",
    )
    return Outcome(item.name, dict(item.files), "failed", problems=[problem], ran=True, type="job")


def _no_start(worker: _Worker) -> WorkflowError:
    return WorkflowError.of(
        "--jobs",
        found=f"processes that do not start: the last one {worker.death}",
        expected=f"that {sys.executable} can start and import this package",
        fix="see what it printed above, or leave out --jobs",
    )


def _other_settings() -> WorkflowError:
    return WorkflowError.of(
        "--jobs",
        found=f"settings of torch that other processes do not have ({torch_numerics()})",
        expected="torch's settings as they are after its import, so that results are the same bytes",
        fix="set them by environment variables, or leave jobs at 1",
    )

"""Many cases in forked processes: each judges one batch. A crash, a hang or a runaway case ends only its batch."""

import contextlib
import faulthandler
import gc
import mmap
import os
import resource
import select
import shutil
import signal
import struct
import sys
import tempfile
import time
import traceback
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from . import judge, targets, templates, watch
from .case import Case
from .judge import Finding, Result
from .world import World

HANG = 60.0  # seconds without an answer while the CPU is idle
STUCK = 15.0  # CPU seconds of one case before it is ended, times the slack
SPACE = 5 * 2**30  # bytes of address space that a case may take
REST = 50  # cases between two clean-ups
_TWICE = 8  # one case of so many is asked twice


@dataclass
class Batch:
    """What one process does: cases of a target by number, or given ones."""

    target: str = ""
    seed: int = 0
    numbers: list[int] = field(default_factory=list)
    cases: list[Case] = field(default_factory=list)
    names: list[str] = field(default_factory=list)

    def __len__(self):
        return len(self.cases) or len(self.numbers)

    def case(self, index):
        if self.cases:
            return self.cases[index]
        return targets.build(targets.plan_of(self.target, self.seed, self.numbers[index]))

    def after(self, index):
        """The rest of the batch."""
        rest = slice(index + 1, None)
        return Batch(self.target, self.seed, self.numbers[rest], self.cases[rest], self.names[rest])


class _Process:
    """A forked process on its way through a batch."""

    def __init__(self, server, slot, batch):
        self.batch, self.slot, self.answered, self.text = batch, slot, 0, b""
        self.stack = server.root / f"stack-{slot}"
        self.now = mmap.mmap(-1, 16)  # number of the current case, CPU seconds when it began
        self.heard = time.monotonic()
        self.pipe, tell = os.pipe()
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self.pipe)
            status = 70
            try:
                _work(self, server, tell)
                status = 0
            except BaseException:  # noqa: BLE001 - a fault of the harness itself
                process_fault = traceback.format_exc()
                with contextlib.suppress(OSError):
                    (server.root / "fault").write_text(process_fault)
            os._exit(status)
        os.close(tell)

    def read(self):
        """New results; None at the end."""
        data = os.read(self.pipe, 2**20)
        if not data:
            return None
        self.heard = time.monotonic()
        *lines, self.text = (self.text + data).split(b"\n")
        self.answered += len(lines)
        return [Result.from_json(line) for line in lines]

    def overdue(self, slack):
        """Why the current case must be ended; empty if it need not."""
        if time.monotonic() - self.heard < min(STUCK, HANG) / 2:
            return ""
        index, began = struct.unpack("<qd", self.now[:16])
        cpu = _cpu_seconds(self.pid) - began
        if index >= 0 and cpu > STUCK * slack:
            return f"slow: more than {cpu:.0f} s of CPU"
        if time.monotonic() - self.heard > HANG and cpu < HANG / 50:
            return f"hang: nothing for {HANG:.0f} s"
        return ""

    def end(self):
        """The innermost functions at the moment; then the process is gone."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGUSR1)
            time.sleep(0.5)
            os.kill(self.pid, signal.SIGKILL)
        text = self.stack.read_text() if self.stack.exists() else ""
        return [line.strip() for line in text.splitlines() if "File" in line and "/fuzzing/" not in line][:6]

    def close(self):
        """The exit status."""
        os.close(self.pipe)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def leave(self):
        """Let it go in the middle of its batch: the next process of its slot gets its folders."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self.close()


class Server:
    """Judges batches in `workers` processes at a time; a context manager that removes its folders."""

    def __init__(self, workers=1, needs=()):
        place = "/dev/shm" if os.path.isdir("/dev/shm") else None
        self.root = Path(tempfile.mkdtemp(prefix="inlay-fuzz-", dir=place))
        self.workers, self.slack = workers, max(judge.calibration() for _ in range(3))
        templates.make(self.root / "templates", needs)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.root, ignore_errors=True)

    def results(self, batches):
        """(batch, index, result) of every case, in the order in which they come."""
        running = {}
        try:
            yield from self._results(iter(batches), running)
        finally:
            for process in running.values():
                process.leave()

    def _results(self, batches, running):
        waiting = deque()
        while True:
            for slot in range(self.workers):
                if slot not in running:
                    batch = waiting.popleft() if waiting else next(batches, None)
                    if batch is not None:
                        running[slot] = _Process(self, slot, batch)
            if not running:
                return
            pipes = {process.pipe: process for process in running.values()}
            for pipe in select.select(list(pipes), [], [], 1.0)[0]:
                process = pipes[pipe]
                first = process.answered
                found = process.read()
                if found is None:
                    yield from self._ended(process, waiting, running)
                else:
                    yield from ((process.batch, first + number, result) for number, result in enumerate(found))
            for process in list(running.values()):
                if why := process.overdue(self.slack):
                    yield from self._ended(process, waiting, running, why, process.end())

    def _ended(self, process, waiting, running, why="", stack=()):
        del running[process.slot]
        status = process.close()
        if status == 70:
            fault = (self.root / "fault").read_text()
            raise RuntimeError(f"the harness failed in case {process.answered} of {process.batch}:\n{fault}")
        if process.answered == len(process.batch) and not why:
            return
        kind, _, what = (why or f"crash: the process ended with {status}").partition(": ")
        where = " < ".join(line.split("/")[-1] for line in stack[:3]) or what
        finding = Finding(kind, where, f"{what}\n" + "\n".join(stack))
        yield process.batch, process.answered, Result("none", 0.0, 0, [finding])
        rest = process.batch.after(process.answered)
        if len(rest):
            waiting.append(rest)

    def judge(self, case, twice=True):
        """The result of one case in a process of its own."""
        with contextlib.closing(self.results([Batch(cases=[case, case] if twice else [case])])) as results:
            for _, _, result in results:
                if result.findings or not twice:
                    return result
        return result


def _work(process, server, tell):
    """What a forked process does."""
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with contextlib.suppress(FileNotFoundError):
        process.stack.unlink()
    stack = open(process.stack, "w")  # noqa: SIM115 - for the life of the process
    faulthandler.enable(stack)
    faulthandler.register(signal.SIGUSR1, stack)
    world = World(server.root / f"w{process.slot}", server.root / "templates")
    world.reset()
    os.environ.update(
        INLAY_HOME=str(world.home), INLAY_OFFLINE="1", HF_HUB_OFFLINE="1", HOME=str(world.home), COLUMNS="200"
    )
    tempfile.tempdir = os.environ["TMPDIR"] = str(world.temporary)
    os.environ.pop("XDG_DATA_HOME", None)
    os.chdir(world.out)
    spy = watch.Watch(world)
    spy.guard_outside()
    gc.freeze()  # what was imported is not looked through again and again
    space = _pages() * resource.getpagesize() + SPACE
    resource.setrlimit(resource.RLIMIT_AS, (space, space))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    twice_from = _TWICE if not process.batch.cases else 1
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    for index in range(len(process.batch)):
        case = process.batch.case(index)
        process.now[:16] = struct.pack("<qd", index, _cpu_seconds(os.getpid()))
        number = process.batch.numbers[index] if process.batch.numbers else 0
        result = judge.judge(case, world, spy, twice=number % twice_from == 0, slack=server.slack)
        os.write(tell, result.to_json().encode() + b"\n")
        if any(finding.kind == "leftover" for finding in result.findings):
            spy.guard_outside()
        if index % REST == REST - 1:
            judge.rest()


def _cpu_seconds(pid):
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _pages():
    return int(Path("/proc/self/statm").read_text().split()[0])

"""Run a job: its runs in this process or in several, its reports, and what it gives to Python."""

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ...core.context import Context
from ...core.errors import Cancelled, InlayError, Problem, WorkflowError, shorten
from ...core.events import CancelToken, ItemFinished, ItemStarted, Listener, Record
from ...core.paths import why_unwritable
from ...core.store.parts import tensors_in
from ..device import resolve_devices
from ..python.check_loaded import check_loaded
from ..python.load_workflow import LoadedWorkflow
from ..python.preparation import decide, fetch_models, prepare_folders
from ..python.result import SHOWN_PICTURES, Output, Result, SavedFile
from .job import Job
from .outcome import LazyOutputs, Outcome, Tally, paths_of
from .pairs import Item
from .pool import can_be_told, pooled
from .reports import Reports
from .session import How, Session, slim

if TYPE_CHECKING:
    from PIL.Image import Image

LOOKED = 8  # runs that are checked before the first one begins, until one has no problems
KEPT = 256 * 2**20  # bytes of outputs that the results hold; the rest is made again when it is asked for
TABLE_SECONDS = 30.0  # after which the table is written again


@dataclass(repr=False)
class JobResult(Result):
    """What a job gave.

    Attributes:
        results: a `Result` for each picture, or the error for which it failed.
        outcomes: what became of each picture: names, files with digests, seconds, warnings, problems.
        table: `job.csv`.
        sheets: the contact sheets.
        paths: the files of all pictures, in order.
    """

    results: list[Result | InlayError] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    table: Path | None = None
    sheets: list[Path] = field(default_factory=list)

    def __getitem__(self, name: str) -> Output:
        """Refuse: each picture has outputs of its own."""
        raise KeyError(f"{name!r}: this is a job; ask for .results[0][{name!r}]")

    def __bool__(self) -> bool:
        return True

    def pil(self, number: int = 0, *, output: str | None = None) -> "Image":
        """The first picture of result `number`; raises its error if it failed."""
        result = self.results[number]
        if isinstance(result, InlayError):
            raise result
        return result.pil(output=output)

    def pils(self, *, output: str | None = None) -> "list[Image]":
        """All pictures of the results that did not fail."""
        return [one for result in self.results if isinstance(result, Result) for one in result.pils(output=output)]

    def _shown(self) -> "list[Image]":
        good = [result for result in self.results if isinstance(result, Result)]
        return [result.pil() for result in good[:SHOWN_PICTURES]]

    def __repr__(self) -> str:
        return f"<JobResult {self.tally}>"

    @property
    def failed(self) -> list[Outcome]:
        """The pictures that failed."""
        return [one for one in self.outcomes if one.status == "failed"]

    @property
    def tally(self) -> Tally:
        """How many there are of each."""
        tally = Tally(len(self.outcomes))
        for one in self.outcomes:
            tally.add(one.status)
        return tally


def run_job(
    job: Job, how: How, *, jobs: int = 1, listeners: Iterable[Listener] = (), cancel: CancelToken | None = None
) -> JobResult:
    """Run what is missing of a job.

    A picture that fails does not stop the others. Calling it again goes on where an earlier call ended.

    Args:
        job: the runs.
        how: each is made.
        jobs: processes that share the work; of several devices, each has one anyway.
        listeners: called with every event.
        cancel: stops at the next step.

    Raises:
        WorkflowError: nothing could start.
        Cancelled: the user asked to stop; what is done stays, and is known to the next call.
    """
    events = Record()
    ctx = Context(out=job.loaded.out, listeners=(events, *listeners), cancel=cancel)
    hows = processes(jobs, how, job, len(job.items), ctx)
    if why := why_unwritable(job.loaded.out):
        raise WorkflowError.of(
            "--out",
            found=f"{str(job.loaded.out)!r}: {why}",
            expected="an output folder, with room in it",
            fix="choose another with --out (out=… from Python)",
        )
    session = Session(job, how, tuple(listeners), cancel)
    ready = require_startable(job, how)
    usable = prepare_folders(ctx, keeping=how.cache)
    for note in job.notes:
        ctx.warn(note)
    if len(hows) > 1:
        fetch_shared(job.prepared(ready), ctx)
    reports, made = Reports(job, session.ledger), _Made(session)
    with _stopping(reports, made):
        made.all(_runs(session, hows, ctx), ctx, reports)
    if not any(one.status != "failed" or one.ran for one in made.outcomes):
        raise WorkflowError(named_problems(made.outcomes))
    if not job.loaded.held.releases:
        with suppress(OSError):
            reports.write_table(made.outcomes)
            reports.write_sheets(made.outcomes)
    if usable:  # else it is told already
        warn_of(session.trouble + [why for one in made.outcomes for why in one.trouble], ctx)
    return JobResult(
        {},
        [path for one in made.results if isinstance(one, Result) for path in one.paths],
        events,
        results=made.results,
        outcomes=made.outcomes,
        table=reports.table,
        sheets=reports.sheets,
    )


STOPPED_BY_DEVICE = "the device is gone, so nothing more was made; the same command goes on from there"


def warn_of(trouble: Iterable[str], ctx: Context) -> None:
    """Warn once that nothing can be kept or noted, for each reason."""
    if reasons := dict.fromkeys(trouble):
        ctx.warn("; ".join(reasons))


def processes(jobs: int, how: How, job: Job, runs: int, ctx: Context) -> list[How]:
    """How each of the processes that share the work makes its runs: one for each device, or some on the processor.

    Raises:
        WorkflowError: not a number of processes, or no such device.
    """
    if isinstance(jobs, bool) or not isinstance(jobs, int) or not 1 <= jobs <= 1000:
        raise WorkflowError.of(
            "--jobs", found=shorten(jobs), expected="a number of processes, from 1 to 1000", fix="give --jobs 2"
        )
    devices = resolve_devices(how.device)
    if len(devices) == 1 and devices[0] == "cpu":
        return [how] * min(jobs, runs)
    if jobs > 1 and jobs != len(devices):
        ctx.warn(f"one process computes on each of {', '.join(devices)}: --jobs {jobs} is for processors")
    if len(devices) == 1 or (jobs == 1 and not can_be_told(job)):
        return [how]
    return [replace(how, device=device) for device in devices[:runs]]


def fetch_shared(loaded: LoadedWorkflow, ctx: Context) -> None:
    """Download what is missing, before several processes would do it at once.

    Raises:
        WorkflowError: it cannot be downloaded.
        Cancelled: the user asked to stop.
    """
    try:
        plan = loaded.plan()
    except WorkflowError:  # of this run: others may begin, and each says what it lacks
        return
    if loaded.undecided:
        plan = decide(loaded, plan, ctx)
    fetch_models(plan, ctx)


def require_startable(job: Job, how: How) -> Item:
    """Refuse a job whose workflow or settings are wrong, before the first run of many begins.

    Returns:
        A run that can begin, or the first one, if none of those that were looked at can.

    Raises:
        WorkflowError: none of the first runs could begin, for the same reasons, or there are no others.
    """
    seen: list[Outcome] = []
    for item in job.items[:LOOKED]:
        try:
            report = check_loaded(job.prepared(item), device=how.device, memory=how.memory)
            problems = list(report)
        except WorkflowError as error:
            problems = error.problems
        if not problems:
            return item
        seen.append(Outcome(item.name, item.files, "failed", problems=problems))
    if common := common_problems(seen):
        raise WorkflowError(common.values())
    if len(job.items) <= LOOKED:
        raise WorkflowError(named_problems(seen))
    return job.items[0]


def what(problem: Problem) -> tuple[str | None, str | None, str]:
    """What tells a problem from another one."""
    return problem.node, problem.port, problem.found


def common_problems(outcomes: Sequence[Outcome]) -> dict[tuple[str | None, str | None, str], Problem]:
    """The problems that all of several runs have: those of the workflow or of its settings, not of a picture."""
    if len(outcomes) < 2:
        return {}
    shared = set.intersection(*({what(problem) for problem in one.problems} for one in outcomes))
    return {what(problem): problem for problem in outcomes[0].problems if what(problem) in shared}


def named_problems(outcomes: Iterable[Outcome]) -> list[Problem]:
    """The problems of runs, each with the name of its picture."""
    return [
        replace(problem, found=f"{problem.found} (picture {one.name})") for one in outcomes for problem in one.problems
    ]


def _runs(session: Session, hows: list[How], ctx: Context) -> "Iterator[tuple[int, Outcome, Result | None]]":
    if len(hows) > 1:
        for number, outcome in pooled(session.job, hows, ctx):
            yield number, outcome, None
        return
    items = session.job.items
    for number, item in enumerate(items):
        ctx.check_cancelled()
        ctx.emit(ItemStarted(item.name, number + 1, len(items)))
        yield (number, *session.run(item))


class _Made:
    """What the runs gave so far, in the order of the pictures."""

    def __init__(self, session: Session) -> None:
        self.session, self.tally = session, Tally(len(session.job.items))
        self._outcomes: dict[int, Outcome] = {}
        self._results: dict[int, Result | InlayError] = {}
        self._held = 0

    @property
    def outcomes(self) -> list[Outcome]:
        return [self._outcomes[number] for number in sorted(self._outcomes)]

    @property
    def results(self) -> list[Result | InlayError]:
        return [self._results[number] for number in sorted(self._results)]

    def all(self, runs: "Iterator[tuple[int, Outcome, Result | None]]", ctx: Context, reports: Reports) -> None:
        """Take every run; now and then, write the table."""
        written = time.monotonic()
        for number, outcome, result in runs:
            self._outcomes[number] = outcome
            self._results[number] = outcome.error or self._result(number, outcome, result)
            self.tally.add(outcome.status)
            total = self.tally.total
            ctx.emit(
                ItemFinished(outcome.name, self.tally.ended, total, outcome.status, outcome.seconds, outcome.message)
            )
            if outcome.lost:
                ctx.warn(STOPPED_BY_DEVICE)
                close = getattr(runs, "close", None)
                if close is not None:
                    close()
                return
            if time.monotonic() - written > TABLE_SECONDS and not self.session.job.loaded.held.releases:
                with suppress(OSError):
                    reports.write_table(self.outcomes)
                written = time.monotonic()

    def _result(self, number: int, outcome: Outcome, result: Result | None) -> Result:
        session = self.session
        out, item = session.job.loaded.out, session.job.items[number]
        values, record = dict(outcome.values), ""
        if result is not None:
            size = sum(one.nbytes for value in result.outputs.values() for one in tensors_in(value))
            size += len(result.record)
            if self._held + size <= KEPT or session.job.loaded.held.names:  # what the caller holds is gone later
                self._held += size
                values, record = dict(result.outputs), result.record
        outputs = LazyOutputs(values, tuple(outcome.savers), lambda: session.outputs(item))
        files = {
            name: [SavedFile(out / file.path) for file in outcome.files if file.node == node]
            for name, node in outcome.savers.items()
            if node
        }
        events = slim(result.events if result is not None else outcome.warnings)
        made = Result(outputs, paths_of([outcome], out), events, files, record)
        return session.job.loaded.held.released(made)


@contextmanager
def _stopping(reports: Reports, made: _Made) -> Iterator[None]:
    """In the block, a user's wish to stop is one error, after the table was written.

    Raises:
        Cancelled: says how far the job is.
    """
    try:
        yield
    except (KeyboardInterrupt, Cancelled) as stop:
        with suppress(OSError):
            reports.write_table(made.outcomes)
        raise Cancelled(f"cancelled: {made.tally}; the same command goes on from there") from stop

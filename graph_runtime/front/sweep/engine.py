"""Where the combinations of a sweep are made: in this process, or in several on this machine.

An engine takes the work and gives back outcomes. It knows nothing of tables, sheets, resuming or failures; whoever
runs a sweep elsewhere writes another one and names it in `ENGINES`.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from ...core.context import Context
from ...core.errors import WorkflowError, did_you_mean, shorten
from ...core.events import CancelToken, ItemStarted, Listener
from ..jobs.job import Job
from ..jobs.outcome import Outcome
from ..jobs.pool import pooled
from ..jobs.run_job import processes
from ..jobs.session import How, Session
from .grid import Grid


@dataclass(frozen=True)
class Work:
    """What there is to make.

    Attributes:
        job: its runs are the combinations; `job.prepared(job.items[number])` is the workflow of one.
        grid: the combinations; `order` is that in which most is shared, `blocks` the same in pieces.
        how: each is made.
        listeners: called with every event of a run.
        cancel: stops at the next step.
    """

    job: Job
    grid: Grid
    how: How
    listeners: tuple[Listener, ...] = ()
    cancel: CancelToken | None = None


class Engine(Protocol):
    """Makes combinations."""

    def runs(self, work: Work, ctx: Context) -> Iterator[tuple[int, Outcome]]:
        """The outcome of each combination with its number, as they come; each saves its files below `ctx.out`.

        One that was made before, and whose files are there, is `known` (`Session.run` looks). When the iterator is
        closed, nothing works any more.

        Args:
            work: what there is to make.
            ctx: of the sweep: told when a run begins, and asked whether to stop.

        Raises:
            WorkflowError: nothing could start.
            Cancelled: the user asked to stop.
        """


@dataclass(frozen=True)
class Local:
    """This machine: in this process, or in `jobs` others."""

    jobs: int = 1

    def runs(self, work: Work, ctx: Context) -> Iterator[tuple[int, Outcome]]:
        """See `Engine`."""
        hows = processes(self.jobs, work.how, work.job, work.grid.total, ctx)
        if len(hows) > 1:
            yield from pooled(work.job, hows, ctx, work.grid.blocks(len(hows)))
            return
        session = Session(work.job, work.how, work.listeners, work.cancel)
        for number in work.grid.order():
            ctx.check_cancelled()
            item = work.grid[number]
            ctx.emit(ItemStarted(item.name, number + 1, work.grid.total))
            outcome, _ = session.run(item)
            yield number, outcome


#: name → makes an engine of the number of processes that were asked for
ENGINES: Mapping[str, Callable[[int], Engine]] = {"local": Local}


def engine_of(name: str, jobs: int) -> Engine:
    """The engine of a name.

    Raises:
        WorkflowError: there is none.
    """
    if name not in ENGINES:
        raise WorkflowError.of(
            "--engine",
            found=shorten(name),
            expected=" | ".join(ENGINES),
            fix=did_you_mean(name, ENGINES) if isinstance(name, str) else "give its name",
        )
    return ENGINES[name](jobs)

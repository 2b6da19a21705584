"""What an engine of a sweep is given, and what it gives back.

An engine takes the work and gives back outcomes. It knows nothing of tables, sheets, resuming or failures; whoever
runs a sweep elsewhere writes another one and names it in `engine.ENGINES`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from ...core.context import Context
from ...core.events import CancelToken, Listener
from ..jobs.job import Job
from ..jobs.outcome import Outcome
from ..jobs.session import How
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

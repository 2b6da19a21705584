"""Where the combinations of a sweep are made: in this process, in several on this machine, or on many machines."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from ...core.context import Context
from ...core.errors import WorkflowError, did_you_mean, shorten
from ...core.events import ItemStarted
from ..jobs.outcome import Outcome
from ..jobs.pool import pooled
from ..jobs.run_job import processes
from ..jobs.session import Session
from .work import Engine, Work


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


def _local(jobs: int | None, address: str | None) -> Engine:
    if address is not None:
        raise WorkflowError.of(
            "--ray-address", found="an address without --engine ray", expected="both", fix="add --engine ray"
        )
    return Local(1 if jobs is None else jobs)


def _ray(jobs: int | None, address: str | None) -> Engine:
    from ..ray.connect import require_ray
    from ..ray.engine import RayEngine

    require_ray()
    return RayEngine(jobs, address)


#: name → makes an engine of the number of workers that were asked for, and of an address
ENGINES: Mapping[str, Callable[[int | None, str | None], Engine]] = {"local": _local, "ray": _ray}


def engine_of(name: str, jobs: int | None, address: str | None = None) -> Engine:
    """The engine of a name.

    Args:
        name: one of `ENGINES`.
        jobs: processes or workers; None: the engine's own choice.
        address: of a cluster.

    Raises:
        WorkflowError: there is none, or it is not installed.
    """
    if name not in ENGINES:
        raise WorkflowError.of(
            "--engine",
            found=shorten(name),
            expected=" | ".join(ENGINES),
            fix=did_you_mean(name, ENGINES) if isinstance(name, str) else "give its name",
        )
    return ENGINES[name](jobs, address)

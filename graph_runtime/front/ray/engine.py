"""The engine of a sweep that runs whole workflows on a Ray cluster."""

import secrets
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace

from ...core.context import Context
from ..jobs.outcome import Outcome
from ..jobs.pool import Deal, cores, names_of_modules
from ..jobs.worker import Message
from ..sweep.work import Work
from .actors import Actors, choose
from .connect import connected
from .dispatch import Dispatch
from .runs import SweepRuns
from .watch import watching


@dataclass(frozen=True)
class RayEngine:
    """A Ray cluster.

    Attributes:
        jobs: the most workers; None: as many as the cluster has room for.
        address: of the cluster; None: that in `RAY_ADDRESS`, else one is started on this machine, and ended.
    """

    jobs: int | None = None
    address: str | None = None

    def runs(self, work: Work, ctx: Context) -> Iterator[tuple[int, Outcome]]:
        """See `Engine`."""
        import torch

        threads = torch.get_num_threads()
        modules = names_of_modules(work.job)
        offered = max((self.jobs or 0) * threads, len(cores()), threads)
        with connected(self.address, offered) as ray:
            room, needs, device = choose(ray, work.how.device, threads, self.jobs)
            count = min(room, work.grid.total)
            told = told_to_all(work, modules, threads, device)
            cluster = Actors(ray, told, needs)
            deal = Deal(work.grid.blocks(count))
            runs = SweepRuns(work.job, work.how, deal, cluster.put, ctx, work.grid.total)
            with watching(ray.get_runtime_context().gcs_address, self.address) as require_cluster:

                def check() -> None:
                    ctx.check_cancelled()
                    require_cluster()

                dispatch = Dispatch(cluster, runs, count, check)
                yield from dispatch.outcomes()
            if lost := dispatch.losses.workers:
                device = f"; a device did not answer any more: {said}" if (said := dispatch.losses.device) else ""
                ctx.warn(f"{_counted(lost, 'worker')} lost; {_counted(dispatch.losses.runs, 'run')} made again{device}")


def _counted(number: int, what: str) -> str:
    return f"{number} {what} was" if number == 1 else f"{number} {what}s were"


def told_to_all(work: Work, modules: list[str], threads: int, device: str) -> Message:
    """What all workers are told."""
    job = work.job
    return {
        "session": secrets.token_hex(8),
        "threads": threads,
        "nodes": modules,
        "how": asdict(replace(work.how, device=device)),
        "asked": job.asked,
        "measures": job.measures,
        "room": job.room,
        "unshared": sorted(job.unshared),
    }

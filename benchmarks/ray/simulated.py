"""The scheduler of `--engine ray` with 64 workers and measured costs, in simulated time."""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field

from inlay.graph_runtime.front.jobs.outcome import Outcome
from inlay.graph_runtime.front.ray.dispatch import Dispatch, News, Ready


@dataclass
class Costs:
    """Seconds of one run.

    Attributes:
        prepare: planning it and putting what it reads, on the driver.
        write: writing and noting what it saved, on the driver.
        travel: from the driver to a worker and back, besides the work.
        work: on a worker, in turn.
    """

    prepare: float
    write: float
    travel: float
    work: list[float]


@dataclass
class Simulated:
    """A cluster and its runs on one clock: the driver's costs pass on it, and workers work meanwhile."""

    costs: Costs
    count: int
    now: float = 0.0
    _next: int = 0
    _events: list[tuple[float, int, str]] = field(default_factory=list)

    def start(self, slot: int) -> None:
        """A worker is ready at once."""
        heapq.heappush(self._events, (self.now, slot, "ready"))

    def give(self, slot: int, message: dict) -> None:
        """A worker begins now."""
        work = self.costs.work[message["number"] % len(self.costs.work)]
        heapq.heappush(self._events, (self.now + work + self.costs.travel, slot, "made"))

    def news(self, seconds: float) -> Iterator[News]:
        """What happened up to now, or within the next seconds."""
        if seconds and self._events:
            self.now = max(self.now, min(self._events[0][0], self.now + seconds))
        while self._events and self._events[0][0] <= self.now:
            _, slot, what = heapq.heappop(self._events)
            yield News(slot, what, {})

    def close(self) -> None:
        """Nothing is left."""

    def accept(self, hello: dict) -> bool:
        """Every worker may be used."""
        return True

    def next(self, slot: int) -> Ready | None:
        """The next run, after its preparation."""
        if self._next >= self.count:
            return None
        self.now += self.costs.prepare
        self._next += 1
        return Ready(self._next - 1, {"number": self._next - 1})

    def begun(self, ready: Ready) -> None:
        """Nobody listens."""

    def made(self, number: int, value: dict) -> Outcome:
        """Its files are written."""
        self.now += self.costs.write
        return Outcome(str(number), {}, "done")

    def given_up(self, number: int, why: str) -> Outcome:
        """Does not happen here."""
        raise AssertionError("no worker is lost here")

    def waits(self, seconds: float) -> None:
        """Nobody listens."""


def efficiency(costs: Costs, workers: int, count: int) -> float:
    """Which part of the workers' time is work, from the first moment to the last file."""
    simulated = Simulated(costs, count)
    dispatch = Dispatch(simulated, simulated, workers, lambda: None, lambda: simulated.now)
    assert len(list(dispatch.outcomes())) == count
    work = sum(costs.work[number % len(costs.work)] for number in range(count))
    return work / (workers * simulated.now)

"""Timing and comparing of two ways to do the same job; both take turns in one run."""

import statistics
import time
from collections.abc import Callable, Iterable, Mapping

Work = Callable[[], object]


def seconds(work: Work, clock: Callable[[], float] = time.process_time) -> float:
    """Seconds of one call; CPU seconds by default."""
    began = clock()
    work()
    return clock() - began


def alternate(
    ways: Mapping[str, Work], rounds: int, *, warm_up: bool = True, clock: Callable[[], float] = time.process_time
) -> dict[str, list[float]]:
    """Seconds of each way in each round; every second round runs in reverse order.

    Args:
        ways: name -> what to time.
        rounds: how often each way is timed.
        warm_up: call every way once before timing.
        clock: CPU time by default.
    """
    if warm_up:
        for work in ways.values():
            work()
    times: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds):
        order: Iterable[str] = ways if number % 2 == 0 else reversed(ways)
        for name in order:
            times[name].append(seconds(ways[name], clock))
    return times


def compare(job: str, ours: list[float], baseline: str, theirs: list[float]) -> None:
    """Print both medians, and the median and range of the pairs' ratios."""
    shares = sorted(a / b for a, b in zip(ours, theirs, strict=True))
    middle = statistics.median(shares)
    print(
        f"{job}: {statistics.median(ours):.3f} s; {baseline}: {statistics.median(theirs):.3f} s. "
        f"{middle:.1%} of the time (pairs {shares[0]:.1%} to {shares[-1]:.1%}), {1 / middle:.3f}× the speed",
        flush=True,
    )

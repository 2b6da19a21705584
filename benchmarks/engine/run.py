"""CPU time of the engine per no-op node: checking and planning, a cold run, runs with all results kept; peak memory.

    python benchmarks/engine/run.py [--repeats 5]

`plan` checks and orders; `keys` makes the key of each result. With these ready, `cold` runs every node and keeps its
result in memory, and `cached` finds the outputs there. With the store on disk: `cold disk` looks for each result there
and runs the node, `disk` finds each node's result, as after a restart. `no cache` keeps nothing. The floor, in turn
with them in the same process: a 20-line indegree loop with reference counting that checks, caches and reports nothing.
Figures are medians of CPU time (not wall time) of one thread; on a busy machine read them beside the floor.
"""

import argparse
import gc
import itertools
import math
import statistics
import sys
import tempfile
import time
import tracemalloc
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from inlay.graph_runtime import Context, Port, Registry, node
from inlay.graph_runtime.core.bounded import effort
from inlay.graph_runtime.core.run.execute import execute
from inlay.graph_runtime.core.run.plan import make_plan
from inlay.graph_runtime.core.store.disk import DiskStore
from inlay.graph_runtime.core.store.kept import Kept
from inlay.graph_runtime.core.store.memory import MemoryCache
from inlay.graph_runtime.core.workflow import build

Thing = Annotated[Any, Port("THING", "anything")]


class Out(NamedTuple):
    """One value."""

    thing: Thing


@node("bench.noop")
def noop(a: Thing | None = None, b: Thing | None = None, number: int = 0) -> Out:
    """Do nothing."""
    return Out(number)


REGISTRY = Registry([noop.spec])
NUMBERS = itertools.count()
COLUMNS = ("parse", "plan", "keys", "cold", "cached", "no cache", "cold disk", "disk", "floor", "peak MiB")
MOST_OUTPUTS = 1000  # that a workflow may have
MOST_TRACED = 10_000  # nodes whose memory is traced, which takes long


def chain(count: int) -> dict[str, dict[str, str]]:
    """n0 → n1 → …"""
    return {f"n{i}": {"a": f"n{i - 1}.thing"} if i else {} for i in range(count)}


def chains(count: int, length: int) -> dict[str, dict[str, str]]:
    """`count` chains of `length` side by side."""
    return {f"c{j}_{i}": {"a": f"c{j}_{i - 1}.thing"} if i else {} for j in range(count) for i in range(length)}


def ladder(side: int) -> dict[str, dict[str, str]]:
    """A grid in which every node reads its left and its upper neighbour."""
    return {
        f"r{y}_{x}": {
            **({"a": f"r{y}_{x - 1}.thing"} if x else {}),
            **({"b": f"r{y - 1}_{x}.thing"} if y else {}),
        }
        for y in range(side)
        for x in range(side)
    }


def workflow(wires: dict[str, dict[str, str]]) -> dict[str, Any]:
    """A workflow file with these links; every node that nothing reads is an output."""
    read = {link.split(".")[0] for links in wires.values() for link in links.values()}
    return {
        "format": 1,
        "nodes": {
            name: {"type": "bench.noop", "params": {"number": number}, "inputs": links}
            for number, (name, links) in enumerate(wires.items())
        },
        "outputs": {name: f"{name}.thing" for name in wires if name not in read},
    }


def floor(wires: dict[str, dict[str, str]]) -> Any:
    """The minimum: Kahn's loop, each value dropped after its last reader."""
    readers: dict[str, list[str]] = {name: [] for name in wires}
    waiting = {}
    for name, links in wires.items():
        waiting[name] = len(links)
        for link in links.values():
            readers[link[:-6]].append(name)
    left = {name: len(who) for name, who in readers.items()}
    ready = deque(name for name, count in waiting.items() if not count)
    values: dict[str, Any] = {}
    while ready:
        name = ready.popleft()
        values[name] = name
        for link in wires[name].values():
            left[link[:-6]] -= 1
            if not left[link[:-6]]:
                del values[link[:-6]]
        for reader in readers[name]:
            waiting[reader] -= 1
            if not waiting[reader]:
                ready.append(reader)
    return values


def measure(functions: dict[str, Callable[[], Any]], count: int, repeats: int) -> dict[str, float]:
    """Median CPU µs per node of each function; they take turns."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(repeats):
        for name, function in functions.items():
            gc.collect()
            began = time.thread_time()
            function()
            times[name].append((time.thread_time() - began) / count * 1e6)
    return {name: statistics.median(taken) for name, taken in times.items()}


def fill(plan: Any, store: DiskStore) -> None:
    """Keep every result of a plan on disk, as if each had taken long."""
    values = execute(plan, Context())
    for step, key in zip(plan.steps, plan.keys, strict=True):
        store.put(key, (values[step.name],), 1000.0)


def peak(function: Callable[[], Any]) -> float:
    """Peak of newly allocated memory in MiB."""
    gc.collect()
    tracemalloc.start()
    function()
    top = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    return top


def main() -> None:
    """Print one line per graph."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    graphs = {
        "chain of 20": chain(20),
        "chain of 100": chain(100),
        "chain of 1,000": chain(1000),
        "chain of 10,000": chain(10_000),
        "chain of 100,000": chain(100_000),
        "1,000 chains of 10": chains(1000, 10),
        "100 × 100 ladder": ladder(100),
    }
    effort.SECONDS = math.inf  # the time that the check of a stranger's file may take
    make_plan(build(workflow(chain(5))), REGISTRY)  # imports
    print(f"python {sys.version.split()[0]}; CPU µs per node, median of {repeats}")
    print(f"{'graph':20} " + " ".join(f"{word:>9}" for word in COLUMNS))
    with tempfile.TemporaryDirectory() as scratch:
        for number, (name, wires) in enumerate(graphs.items()):
            figures = measured(wires, Path(scratch) / str(number), repeats)
            cells = [f"{figures[word]:9.1f}" if word in figures else f"{'':9}" for word in COLUMNS]
            print(f"{name:20} " + " ".join(cells), flush=True)


def measured(wires: dict[str, dict[str, str]], folder: Path, repeats: int) -> dict[str, float]:
    """The columns: CPU µs per node, and the peak of plan and run in MiB."""
    raw, count = workflow(wires), len(wires)
    parsed = build(raw)
    plan = make_plan(parsed, REGISTRY)
    warm = MemoryCache()

    def run(plan: Any, kept: Kept | None) -> None:
        execute(plan, Context(), kept)

    def keys() -> None:
        plan.__dict__.pop("keys")
        assert plan.keys

    run(plan, Kept(warm))
    jobs: dict[str, Callable[[], Any]] = {
        "parse": lambda: build(raw),
        "plan": lambda: make_plan(parsed, REGISTRY),
        "keys": keys,
        "cold": lambda: run(plan, Kept(MemoryCache())),
        "cached": lambda: run(plan, Kept(warm)),
        "no cache": lambda: run(plan, None),
        "floor": lambda: floor(wires),
    }
    if count <= MOST_OUTPUTS:
        every = make_plan(build(raw | {"outputs": {node: f"{node}.thing" for node in wires}}), REGISTRY)
        fill(every, DiskStore(folder, "here"))

        def from_disk() -> None:
            store = DiskStore(folder, "here")
            run(every, Kept(MemoryCache(), store))
            store.flush()

        jobs["disk"] = from_disk
        jobs["cold disk"] = lambda: run(plan, Kept(MemoryCache(), DiskStore(folder, str(next(NUMBERS)))))
    figures = measure(jobs, count, repeats)
    if count <= MOST_TRACED:
        figures["peak MiB"] = peak(lambda: execute(make_plan(parsed, REGISTRY), Context(), Kept(MemoryCache())))
    return figures


if __name__ == "__main__":
    main()

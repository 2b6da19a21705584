"""CPU time of the engine per no-op node: checking and planning, a cold run, runs with all results kept; peak memory.

    python benchmarks/engine/run.py [--repeats 5]

`cached`: every output is in memory, with the store on disk behind it. `disk`: each node's result is an output of the
workflow and comes from the disk, as after a restart. Beside it, in the same process, the floor: a 20-line indegree loop
with reference counting that checks, caches and reports nothing. Figures are medians of CPU time (not wall time), so a
busy machine disturbs them little.
"""

import argparse
import gc
import itertools
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
COLUMNS = ("parse", "plan", "cold", "cached", "disk", "no cache", "floor")
WIDTHS = (7, 7, 7, 7, 7, 9, 7)


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


def measure(function: Callable[[], Any], count: int, repeats: int) -> float:
    """Median CPU µs per node."""
    times = []
    for _ in range(repeats):
        gc.collect()
        began = time.process_time()
        function()
        times.append((time.process_time() - began) / count * 1e6)
    return statistics.median(times)


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
        "1,000 chains of 10": chains(1000, 10),
        "100 × 100 ladder": ladder(100),
    }
    make_plan(build(workflow(chain(5))), REGISTRY)  # imports
    print(f"python {sys.version.split()[0]}; CPU µs per node, median of {repeats}; peak MiB of plan and run")
    columns = [f"{word:>{width}}" for word, width in zip(COLUMNS, WIDTHS, strict=True)]
    print(f"{'graph':20} " + " ".join(columns) + f" {'peak':>7}")
    with tempfile.TemporaryDirectory() as scratch:
        measure_all(graphs, Path(scratch), repeats)


def measure_all(graphs: dict[str, Any], scratch: Path, repeats: int) -> None:
    """Print one line per graph."""
    for name, wires in graphs.items():
        raw, count = workflow(wires), len(wires)
        parsed = build(raw)
        plan = make_plan(parsed, REGISTRY)
        warm = MemoryCache()
        folder = scratch / name
        execute(plan, Context(), Kept(warm, DiskStore(folder, "here")))
        every = make_plan(build(raw | {"outputs": {node: f"{node}.thing" for node in wires}}), REGISTRY)
        fill(every, DiskStore(folder, "here"))

        def cold(plan: Any = plan, folder: Path = folder) -> None:
            plan.__dict__.pop("keys", None)  # keys belong to the run, not to the plan
            execute(plan, Context(), Kept(MemoryCache(), DiskStore(folder, str(next(NUMBERS)))))

        def cached(plan: Any = plan, warm: MemoryCache = warm, folder: Path = folder) -> None:
            plan.__dict__.pop("keys", None)
            execute(plan, Context(), Kept(warm, DiskStore(folder, "here")))

        def disk(plan: Any = every, folder: Path = folder) -> None:
            plan.__dict__.pop("keys", None)
            store = DiskStore(folder, "here")
            execute(plan, Context(), Kept(MemoryCache(), store))
            store.flush()

        figures = [
            measure(lambda raw=raw: build(raw), count, repeats),
            measure(lambda parsed=parsed: make_plan(parsed, REGISTRY), count, repeats),
            measure(cold, count, repeats),
            measure(cached, count, repeats),
            measure(disk, count, repeats),
            measure(lambda plan=plan: execute(plan, Context()), count, repeats),
            measure(lambda wires=wires: floor(wires), count, repeats),
        ]
        top = peak(lambda parsed=parsed: execute(make_plan(parsed, REGISTRY), Context(), Kept(MemoryCache())))
        print(f"{name:20} " + " ".join(f"{f:{w}.1f}" for f, w in zip(figures, WIDTHS, strict=True)) + f" {top:7.1f}")


if __name__ == "__main__":
    main()

"""How much of linear `inlay sweep --engine ray` reaches: on two local workers, and with more in simulated time.

    OMP_NUM_THREADS=1 python benchmarks/ray/run.py --out inlay-out/ray

Runs sleep, or multiply matrices, for 2 s and more, with one worker and with two, in turn. The rival makes the same
products in plain processes without Ray, one and two, in the same turns: two of them share caches, memory and clock, so
what they lose is the machine's. The driver's costs for each run are measured meanwhile, and the same scheduler then
works in simulated time with them.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import inlay  # noqa: E402
import slow_nodes  # noqa: E402
from inlay.graph_runtime.core.events import ItemFinished, ItemStarted  # noqa: E402
from inlay.graph_runtime.front.ray.runs import SweepRuns  # noqa: E402
from PIL import Image  # noqa: E402
from simulated import Costs, efficiency  # noqa: E402

TIMED: dict[str, list[float]] = {"next": [], "made": []}


def timed(name):
    """Let a method of the driver note its seconds."""
    method = getattr(SweepRuns, name)

    def measured(self, *given):
        began = time.perf_counter()
        try:
            return method(self, *given)
        finally:
            TIMED[name].append(time.perf_counter() - began)

    setattr(SweepRuns, name, measured)


def sweep(out: Path, workers: int, count: int, size: int, **settings: float) -> dict:
    """The seconds from the first run's begin to the last one's end, and those of the runs themselves."""
    photo = out / "photo.png"
    Image.linear_gradient("L").resize((size, size)).convert("RGB").save(photo)
    flow = {
        "format": 1,
        "inputs": {"number": "slow.number"},
        "nodes": {
            "photo": {"type": "image.load", "params": {"path": str(photo)}},
            "slow": {"type": "bench.slow", "params": settings, "inputs": {"image": "photo.image"}},
            "save": {"type": "image.save", "inputs": {"image": "slow.image"}},
        },
        "outputs": {"image": "slow.image"},
    }
    times = []

    def listen(event):
        if isinstance(event, ItemStarted | ItemFinished):
            times.append(time.perf_counter())

    done = inlay.sweep(
        flow,
        grid={"number": range(count)},
        engine="ray",
        jobs=workers,
        nodes=[slow_nodes],
        out=out / f"made-{time.time_ns()}",
        cache=False,
        progress=False,
        listeners=[listen],
    )
    assert done.tally.done == count, done.tally
    work = sum(row.outcome.seconds for row in done)
    wall = times[-1] - times[0]
    return {"wall": wall, "work": work, "share": work / workers / wall, **noted(out)}


def plain(out: Path, processes: int, count: int, products: int) -> dict:
    """The same work in processes that only do it, from the first one's begin to the last one's end."""
    words = [sys.executable, str(HERE / "slow_nodes.py"), str(count // processes), str(products)]
    started = [
        subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(processes)
    ]
    for one in started:
        assert one.stdout.readline() == "ready\n"
    began = time.perf_counter()
    for one in started:
        one.stdin.write("go\n")
        one.stdin.flush()
    for one in started:
        assert one.stdout.readline() == "done\n"
    wall = time.perf_counter() - began
    for one in started:
        one.communicate()
    return {"wall": wall, **noted(out)}


def noted(out: Path) -> dict:
    """What the runs of one turn took by themselves; the notes begin anew."""
    notes = [json.loads(line) for line in (out / "notes.jsonl").read_text().splitlines()]
    (out / "notes.jsonl").unlink()
    return {
        "seconds": statistics.median(one["seconds"] for one in notes),
        "cpu": statistics.median(one["cpu"] for one in notes),
        "threads": max(one["threads"] for one in notes),
        "processes": len({one["pid"] for one in notes}),
    }


def compared(turns: list[tuple[dict, dict]]) -> dict:
    """Medians over turns of one and of two."""
    found: dict = {"of linear": statistics.median(one["wall"] / (2 * two["wall"]) for one, two in turns)}
    found["each"] = [round(one["wall"] / (2 * two["wall"]), 3) for one, two in turns]
    for name, place in (("one", 0), ("two", 1)):
        found[name] = {key: statistics.median(turn[place][key] for turn in turns) for key in turns[0][place]}
    return found


def main() -> None:
    """Measure, print, and write `ray.json`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("inlay-out/ray"))
    parser.add_argument("--count", type=int, default=12, help="runs of a turn")
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--size", type=int, default=512)
    options = parser.parse_args()
    os.environ["PYTHONPATH"] = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])  # for the workers
    options.out.mkdir(parents=True, exist_ok=True)
    os.environ["BENCH_NOTES"] = str(options.out.absolute() / "notes.jsonl")
    (options.out / "notes.jsonl").unlink(missing_ok=True)
    timed("next")
    timed("made")
    products = calibrated()
    found: dict = {
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
        "load": os.getloadavg(),
        "ray": version("ray"),
        "runs": options.count,
        "picture": options.size,
    }
    for name, settings in (("asleep", {"seconds": 2.2}), ("at work", {"products": products})):
        turns, rival = [], []
        for _ in range(options.turns):
            turns.append(tuple(sweep(options.out, count, options.count, options.size, **settings) for count in (1, 2)))
            if "products" in settings:
                rival.append(tuple(plain(options.out, count, options.count, products) for count in (1, 2)))
        found[name] = compared(turns)
        if rival:
            found["plain processes"] = compared(rival)
        print(name, json.dumps(found[name]), json.dumps(found.get("plain processes")), flush=True)
    prepare, write = (statistics.mean(TIMED[name][1:]) for name in ("next", "made"))
    one = found["asleep"]["one"]
    travel = max(0.0, (one["wall"] - one["work"]) / options.count)  # holds the whole way: a bound from above
    found["costs"] = {"prepare": prepare, "write": write, "travel": travel}
    found["simulated"] = {
        f"{workers} workers, runs of {work:g} s": efficiency(
            Costs(prepare, write, travel, [work * part for part in (0.9, 1.0, 1.1)]), workers, workers * 100
        )
        for workers in (2, 16, 64, 100)
        for work in (2.0, 10.0)
    }
    found["load after"] = os.getloadavg()
    print(json.dumps(found, indent=1))
    (options.out / "ray.json").write_text(json.dumps(found, indent=1))


def calibrated() -> int:
    """How many products take a processor 2.2 s here."""
    import torch

    began = time.process_time()
    slow_nodes.slow(torch.zeros(1, 8, 8, 3), products=20)
    Path(os.environ["BENCH_NOTES"]).unlink()
    return max(1, int(2.2 / (time.process_time() - began) * 20))


if __name__ == "__main__":
    main()

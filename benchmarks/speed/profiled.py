"""What `--profile` costs: a zero-shot run of the embedded model, 30 steps, with and without, weights in memory."""

import tempfile
import time
from pathlib import Path

import inlay
from inlay.benchmarks.speed.timing import alternate, compare
from inlay.graph_runtime.core.memory.leases import watched


def measure(rounds: int) -> None:
    """Print the ratio of CPU times, and what a lease costs that nobody watches."""
    with tempfile.TemporaryDirectory() as folder:
        ways = {
            "with": lambda: inlay.run("zero_shot_inpaint", out=folder, device="cpu", cache=False, profile=True),
            "without": lambda: inlay.run("zero_shot_inpaint", out=folder, device="cpu", cache=False),
        }
        times = alternate(ways, rounds)
        pictures = {path.read_bytes() for path in Path(folder).glob("*.png")}
    compare("with --profile", times["with"], "without", times["without"])
    print(f"different pictures among {2 * rounds + 2}: {len(pictures)}")
    began = time.process_time()
    for _ in range(1_000_000):
        with watched("", None):
            pass
    print(f"a lease that nobody watches: {time.process_time() - began:.2f} µs")

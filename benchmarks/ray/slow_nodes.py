"""A node whose runs take a known time: asleep, or at work."""

import json
import os
import sys
import time
from pathlib import Path
from typing import NamedTuple

import torch
from inlay.graph_runtime import node
from inlay.nodes.ports import Image


class Slow(NamedTuple):
    """What the node gives."""

    image: Image


@node("bench.slow")
def slow(image: Image, number: int = 0, seconds: float = 0.0, products: int = 0) -> Slow:
    """The picture, a little darker, after a sleep and some products of matrices."""
    with Noted():
        time.sleep(seconds)
        found = torch.full((512, 512), 1 / 512)
        for _ in range(products):
            found = found @ found
    return Slow((image * (1 - number / 1000) * found.sum() / 512).clamp(0, 1))


class Noted:
    """Notes the seconds of a block, those of the processor, and torch's threads, in the file of `BENCH_NOTES`."""

    def __enter__(self) -> None:
        self._began, self._cpu = time.perf_counter(), time.process_time()

    def __exit__(self, *_: object) -> None:
        seconds, cpu = time.perf_counter() - self._began, time.process_time() - self._cpu
        if path := os.environ.get("BENCH_NOTES"):
            with Path(path).open("a") as file:
                line = {"seconds": seconds, "cpu": cpu, "threads": torch.get_num_threads(), "pid": os.getpid()}
                file.write(json.dumps(line) + "\n")


def main() -> None:
    """Runs of this process alone, as the rival makes them: their number, and products, from the command line."""
    torch.set_num_threads(1)
    picture = torch.zeros(1, 512, 512, 3)
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(int(sys.argv[1])):
        slow(picture, number=number, products=int(sys.argv[2]))
    print("done", flush=True)


if __name__ == "__main__":
    main()

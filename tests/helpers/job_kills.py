"""Kills a job over many small pictures at random instants: none is lost, and none is made twice.

    python tests/helpers/job_kills.py --pictures 10000 --kills 100 --seed 7

Each start is killed after a random time; the last one runs to its end. After every kill, each picture that was there
before must be the very same file (its inode). At the end there is one result for each picture, with the pixels that a
transcription of the workflow gives, and nothing else. How often a picture was computed is counted by a node of the job:
a run that a kill interrupts is computed again, so at most one a kill.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

NODES = '''
"""A node that notes that it ran."""

import os
from typing import NamedTuple

from inlay.graph_runtime import node
from inlay.nodes.ports import Image


class Made(NamedTuple):
    image: Image


@node("kills.invert")
def invert(image: Image) -> Made:
    """The negative."""
    log = os.open(os.environ["KILLS_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(log, b".")
    os.close(log)
    return Made(1 - image)
'''
RUN = """
import sys
sys.path.insert(0, sys.argv[1])
import inlay
import kills_nodes
flow = {
    "format": 1,
    "inputs": {"image": "photo.path"},
    "nodes": {
        "photo": {"type": "image.load", "params": {"path": "x.png"}},
        "negative": {"type": "kills.invert", "inputs": {"image": "photo.image"}},
        "save": {"type": "image.save", "inputs": {"image": "negative.image"}},
    },
    "outputs": {"image": "negative.image"},
}
job = inlay.run(flow, image=sys.argv[2], out=sys.argv[3], nodes=[kills_nodes])
sys.exit(1 if job.failed else 0)
"""


class Lost(Exception):
    """A picture is lost, or was made twice."""


def results_of(out: Path) -> dict[str, int]:
    """The results that are there, each with its inode."""
    if not out.is_dir():
        return {}
    return {entry.name: entry.inode() for entry in os.scandir(out) if entry.name.endswith(".png")}


def main(pictures: int, kills: int, seed: int, longest: float) -> str:
    """Kill a job so often; what was found, in words.

    Raises:
        Lost: a picture is lost, or was made twice.
    """
    chance, began = random.Random(seed), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="job-kills-") as place:
        folder = Path(place)
        (folder / "kills_nodes.py").write_text(NODES)
        (folder / "in").mkdir()
        for number in range(pictures):
            Image.fromarray(_pixels(number)).save(folder / f"in/{number:05d}.png", compress_level=1)
        log = folder / "log"
        env = {
            **os.environ,
            "KILLS_LOG": str(log),
            "INLAY_HOME": str(folder / "home"),
            "OMP_NUM_THREADS": "1",
            "PYTHONWARNINGS": "ignore",
        }
        words = [sys.executable, "-c", RUN, str(folder), str(folder / "in"), str(folder / "out")]
        before: dict[str, int] = {}
        killed = 0
        while True:
            process = subprocess.Popen(words, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            if killed < kills:
                _wait_for_work(process, log, chance.uniform(0, longest))
                process.kill()
                killed += process.wait() != 0
            status = process.wait()
            now = results_of(folder / "out")
            changed = [name for name, inode in before.items() if now.get(name) != inode]
            if changed:
                raise Lost(f"after kill {killed}: lost or made twice: {', '.join(changed[:5])}")
            before = now
            if status == 0:
                break
            if killed >= kills and status > 0:
                raise Lost(f"the last start ended with status {status}")
        computed = log.stat().st_size
        _compare(folder / "out", pictures)
        if computed > pictures + killed:
            raise Lost(f"{computed} computations of {pictures} pictures after {killed} kills")
        seconds = time.monotonic() - began
        return (
            f"{pictures:,} pictures, {killed} kills in {seconds:.0f} s: none lost, none made twice; "
            f"{computed - pictures} runs that a kill interrupted were computed again"
        )


def _wait_for_work(process: subprocess.Popen, log: Path, more: float) -> None:
    """Wait until the job computes something, or ends, and then for a while."""
    size = log.stat().st_size if log.exists() else 0
    while process.poll() is None and (log.stat().st_size if log.exists() else 0) == size:
        time.sleep(0.005)
    end = time.monotonic() + more
    while process.poll() is None and time.monotonic() < end:
        time.sleep(0.005)


def _pixels(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8)


def _compare(out: Path, pictures: int) -> None:
    wanted = {f"{number:05d}.png" for number in range(pictures)}
    found = {path.name for path in out.iterdir() if path.suffix == ".png"}
    if found != wanted:
        raise Lost(f"missing: {sorted(wanted - found)[:5]}, too many: {sorted(found - wanted)[:5]}")
    for number in range(pictures):
        with Image.open(out / f"{number:05d}.png") as made:
            if not np.array_equal(np.asarray(made.convert("RGB")), 255 - _pixels(number)):
                raise Lost(f"picture {number} has other pixels")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--pictures", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--longest", type=float, default=4.0, help="seconds from the first new picture to a kill")
    given = parser.parse_args()
    try:
        print(main(given.pictures, given.kills, given.seed, given.longest))
    except Lost as error:
        sys.exit(str(error))

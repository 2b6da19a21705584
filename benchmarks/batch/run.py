"""What a job costs beside sampling: many pictures in a folder, with the embedded model.

    python benchmarks/batch/run.py [--count 100] [--steps 30] [--size 64] [--memory-of 400]

Prints the CPU time of the job, that of its sampling nodes, that of all nodes, and where the rest goes; then a second
start, which finds everything done; then the memory of a long job that samples nothing.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import inlay
from inlay.graph_runtime.core.events import ItemFinished, NodeFinished, NodeStarted
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
CHEAP = {
    "format": 1,
    "inputs": {"image": "photo.path"},
    "nodes": {
        "photo": {"type": "image.load", "params": {"path": "photo.png"}},
        "hole": {"type": "mask.shape", "inputs": {"image": "photo.image"}},
        "fill": {"type": "image.fill", "inputs": {"image": "photo.image", "mask": "hole.mask"}},
        "save": {"type": "image.save", "inputs": {"image": "fill.image"}},
    },
}


def album(folder: Path, count: int, size: int) -> None:
    """Turned cuts of the sample room, all different, and one mask for each."""
    room = Image.open(ROOT / "workflows" / "inpaint" / "room.png").convert("RGB")
    (folder / "in").mkdir()
    (folder / "masks").mkdir()
    mask = Image.new("L", (size, size))
    mask.paste(255, (size // 4, size // 4, size // 2, size // 2))
    for number in range(count):
        room.rotate(number * 360 / count, resample=Image.Resampling.BILINEAR).resize((size, size)).save(
            folder / f"in/{number}.png"
        )
        mask.save(folder / f"masks/{number}_mask.png")


class Clock:
    """A listener: CPU seconds inside nodes, by type."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}
        self._since = 0.0

    def __call__(self, event: object) -> None:
        """Count."""
        if isinstance(event, NodeStarted):
            self._since = time.process_time()
        elif isinstance(event, NodeFinished):
            self.spent[event.type] = self.spent.get(event.type, 0.0) + time.process_time() - self._since


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--memory-of", type=int, default=400, help="pictures of the job whose memory is measured")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        album(folder, options.count, options.size)
        inlay.run(  # imports, weights and prompt: as of a job that runs already
            "zero_shot_inpaint", image=folder / "in/0.png", mask=folder / "masks/0_mask.png", steps=1, out=folder / "w"
        )
        given = {"image": folder / "in", "mask": folder / "masks", "steps": options.steps, "out": folder / "out"}
        clock, began, wall = Clock(), time.process_time(), time.perf_counter()
        inlay.run("zero_shot_inpaint", **given, listeners=[clock])
        whole, wall = time.process_time() - began, time.perf_counter() - wall
        sampling, nodes = clock.spent["sample.denoise"], sum(clock.spent.values())
        print(
            f"{options.count} pictures of {options.size}², {options.steps} steps: {whole:.1f} s CPU, {wall:.1f} s wall"
        )
        print(f"  sampling {sampling:.1f} s: the job takes {whole / sampling:.3f} times that")
        print(f"  all nodes {nodes:.1f} s: the job takes {whole / nodes:.3f} times that")
        print(f"  beside nodes {(whole - nodes) / options.count * 1000:.0f} ms a picture")
        for name, seconds in sorted(clock.spent.items(), key=lambda item: -item[1])[:6]:
            print(f"    {name:18} {seconds / options.count * 1000:6.1f} ms a picture")
        began = time.process_time()
        again = inlay.run("zero_shot_inpaint", **given)
        assert again.tally.known == options.count
        print(f"a second start, all known: {(time.process_time() - began) / options.count * 1000:.0f} ms a picture")
    if sys.platform == "linux":
        _memory(options.memory_of)


def _memory(count: int) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        album(folder, count, 512)
        seen = []

        def look(event: object) -> None:
            if isinstance(event, ItemFinished):
                pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
                seen.append((event.number, pages * os.sysconf("SC_PAGE_SIZE") / 2**20))

        inlay.run(CHEAP, image=folder / "in", out=folder / "out", listeners=[look])
        print("memory, pictures of 512²:", ", ".join(f"{size:.0f} MiB after {n}" for n, size in seen[:: count // 5]))


if __name__ == "__main__":
    main()

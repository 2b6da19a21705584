"""What reading large and hostile picture files costs: seconds and memory of a check, a run, and a recall.

    python benchmarks/hostile_pictures/run.py [--side 10000] [--count 0] [--only WORD …] [--json FILE]

Every file of `tests/helpers/hostile_pictures.py` is made, and then read in a process of its own, which imports first,
and whose further memory is measured (the kernel's high-water mark, so Linux only). `--side 10000` makes the large
pictures 100 megapixels. `--count` is the number of chunks, segments, entries or frames; 0 makes files of about 16 MiB.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 200  # seconds for each job
COUNTS = {  # of files of about 16 MiB
    "pages.tif": 60_000,
    "entries.tif": 65_000,
    "offsets-raw.tif": 2_000_000,
    "offsets-deflate.tif": 2_000_000,
    "chunks.png": 1_300_000,
    "chunks-late.png": 1_300_000,
    "texts.png": 900_000,
    "text-bombs.png": 15_000,
    "itext-bombs.png": 15_000,
    "profile-bombs.png": 15_000,
    "frames.png": 2_000,
    "empty-pixels.png": 1_300_000,
    "settings-text.png": 90_000,
    "exif-rationals.png": 2_000_000,
    "exif-entries.png": 60_000,
    "exif-rationals.jpg": 2_000_000,
    "exif-entries.jpg": 60_000,
    "comments.jpg": 3_300_000,
    "exif-segments.jpg": 1_000_000,
    "tables.jpg": 240_000,
    "junk.jpg": 4_000_000,
    "padding.jpg": 8_000_000,
    "scans.jpg": 2_000,
    "frames.webp": 300_000,
    "frames.gif": 700_000,
    "comments.gif": 8_000_000,
    "blocks.gif": 4_000_000,
}
READ = """
import sys, time, json, warnings
from pathlib import Path
job, path = sys.argv[1:]
import torch
from inlay.graph_runtime import BadInput, Context
from inlay.graph_runtime.core.errors import InlayError
from inlay.nodes.checks.image import load as check_image
from inlay.nodes.checks.mask import load as check_mask
from inlay.nodes.image.files import load
from inlay.nodes.mask.files import load as load_mask
from inlay.graph_runtime.front.recipe.read import read_recipe
import PIL.Image; PIL.Image.init()
class Quiet(Context):
    def warn(self, message): notes.append(message)
notes, error = [], ""
mask = {"path": path, "channel": "auto", "invert": False, "threshold": 0.5}
def high():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]) * 1024
open("/proc/self/clear_refs", "w").write("5")
base, start, spent = high(), time.perf_counter(), time.process_time()
pixels = 0
try:
    if job == "check": check_image({}, {"path": path})
    elif job == "check-mask": check_mask({}, mask)
    elif job == "run": pixels = load(path, Quiet()).image.numel() // 3
    elif job == "mask": pixels = load_mask(path, Quiet()).mask.numel()
    else: read_recipe(Path(path))
except (BadInput, InlayError) as problem:
    error = getattr(problem, "found", None) or str(problem)
except Exception as problem:
    error = f"!!! {type(problem).__name__}: {problem}"
took, spent = time.perf_counter() - start, time.process_time() - spent
found = {"seconds": took, "cpu": spent, "bytes": high() - base, "pixels": pixels, "error": str(error)[:150]}
print(json.dumps(found | {"notes": [note[:100] for note in notes][:3]}))
"""
JOBS = ("check", "check-mask", "run", "mask", "recall")


def measure(job, path):
    """Seconds, bytes and outcome of one job."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", READ, job, str(path)], capture_output=True, text=True, timeout=LIMIT, check=False
        )
    except subprocess.TimeoutExpired:
        return {"seconds": LIMIT, "bytes": 0, "pixels": 0, "error": f"!!! more than {LIMIT} s"}
    if done.returncode:
        return {"seconds": 0, "bytes": 0, "pixels": 0, "error": f"!!! status {done.returncode}: {done.stderr[-200:]}"}
    return json.loads(done.stdout.strip().splitlines()[-1])


def main():
    """Make the files, read them, print the table."""
    parser = argparse.ArgumentParser(
        prog="benchmarks/hostile_pictures/run.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--side", type=int, default=10_000)
    parser.add_argument("--count", type=int, default=0)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--jobs", nargs="*", default=JOBS)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--keep", type=Path, help="a folder for the files; they are used again")
    given = parser.parse_args()
    sys.path.insert(0, str(ROOT / "tests" / "helpers"))
    from hostile_pictures import table

    results = {}
    with tempfile.TemporaryDirectory() as folder:
        place = given.keep or Path(folder)
        place.mkdir(exist_ok=True, parents=True)
        for name, make, _ in table():
            if given.only and not any(word in name for word in given.only):
                continue
            path = place / name
            if not path.exists():
                make(path, given.side, given.count or COUNTS.get(name, 1000))
            size = path.stat().st_size
            results[name] = {"size": size}
            for job in given.jobs:
                found = results[name][job] = measure(job, path)
                each = f"{found['bytes'] / found['pixels']:5.1f} B/px" if found["pixels"] else ""
                print(
                    f"{name:28} {size / 2**20:8.2f} MiB  {job:10} {found['seconds']:7.2f} s "
                    f"({found.get('cpu', 0):.2f}) "
                    f"{found['bytes'] / 2**20:8.0f} MiB {each:11} {found['error']} {found.get('notes', '')}",
                    flush=True,
                )
            if given.json:
                given.json.write_text(json.dumps(results, indent=1))
            if not given.keep:
                path.unlink()


if __name__ == "__main__":
    main()

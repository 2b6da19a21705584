"""Which method fills a hole best without a prompt? On held-out drawn rooms, where the truth is known to the pixel.

    python benchmarks/inpainters/run.py [--split test] [--scenes 100] [--source FOLDER] [--write]

Each scene is a room of the drawn world at 128×128 that no training saw; a rectangle or an ellipse of 28–44 px a side
over background is cut out, 3 px clear of subject and shadow: across the skirting board or over 10–60 % of a window
where one fits, else on plain wall or floor. Scene, hole and noise (seed = number) follow from the scene's number.
Every method sees the picture with a grey hole, never the original content. Tune on --split val; run test once.

Measured inside the hole: PSNR against the truth. At its edge: mean |difference| of the pixel pairs that the edge
separates, over the same of the pairs one pixel further out, the neighbours' own jump (truth itself: about 1). 95 %
intervals by bootstrap over scenes, paired where two methods are compared. --write updates docs/results/inpainters.md.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from inlay.benchmarks.inpainters.methods import (
    METHODS,
    OURS,
    REFERENCES,
    VARIATIONS,
    Bench,
)
from inlay.benchmarks.inpainters.report import KINDS, PAGE, Score, sheet, table, verdict
from inlay.benchmarks.inpainters.tasks import (
    Task,
    make_task,
)
from inlay.benchmarks.shared import ROOT
from torch import Tensor

# Fills with the model -----------------------------------------------------------------------------------------------


# Measuring ----------------------------------------------------------------------------------------------------------


def measure(name: str, method: Callable[..., Tensor], bench: Bench, tasks: list[Task], batch: int) -> Score:
    """Run a method over all tasks."""
    score, spent, before = Score(), 0.0, bench.rows
    for first in range(0, len(tasks), batch):
        part = tasks[first : first + batch]
        truth, hole = torch.stack([task.truth for task in part]), torch.stack([task.hole for task in part])
        began = time.process_time()
        results = method(bench, truth, hole, tuple(task.number for task in part))
        spent += time.process_time() - began
        for result, task in zip(results, part, strict=True):
            score.add(result, task)
        print(f"\r{name}: {first + len(part)} of {len(tasks)}", end="", file=sys.stderr)
    print(file=sys.stderr)
    score.cpu, score.evaluations = spent / len(tasks), (bench.rows - before) / len(tasks)
    return score


# Telling ------------------------------------------------------------------------------------------------------------


def main() -> None:
    """Measure, print, and write on request."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--split", choices=("val", "test"), default="test")
    parser.add_argument("--scenes", type=int, default=100)
    parser.add_argument("--source", default="dollhouse", help="dollhouse, or a diffusers folder")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--batch", type=int, default=10)
    parser.add_argument(
        "--variations", action="store_true", help="also other settings of the null-space method (twice the time)"
    )
    parser.add_argument(
        "--only", nargs="*", help="only methods whose names contain one of these words, and the null-space method"
    )
    parser.add_argument(
        "--write", action="store_true", help="update docs/results/inpainters.md and docs/images/inpainters.png"
    )
    given = parser.parse_args()
    tasks, number = [], 0
    while len(tasks) < given.scenes:
        if (task := make_task(given.split, number)) is not None:
            tasks.append(task)
        number += 1
    local = given.source != "dollhouse" and Path(given.source).is_dir()  # the embedded name is a folder here too
    source = str(Path(given.source).resolve()) if local else given.source
    bench = Bench(source, given.steps)
    methods = METHODS | (VARIATIONS if given.variations else {}) | REFERENCES
    if given.only is not None:
        methods = {
            name: method for name, method in methods.items() if name == OURS or any(word in name for word in given.only)
        }
    with bench.ready():
        scores = {name: measure(name, method, bench, tasks, given.batch) for name, method in methods.items()}
    compared = [name for name in METHODS if name in scores]
    counts = ", ".join(f"{sum(task.across == name for task in tasks)} {KINDS[name]}" for name in KINDS)
    holes = (
        f"{len(tasks)} holes in the first {number} scenes of the {given.split} split "
        f"({counts}), {given.steps} steps, no prompt."
    )
    text = f"{holes}\n\n{table(scores, tasks)}\n\n{verdict(scores, compared, tasks)}\n"
    print(text)
    if given.write:
        flags = [flag for flag in sys.argv[1:] if flag != "--write"]
        command = " ".join(["python benchmarks/inpainters/run.py", *flags, "--write"])
        (ROOT / "docs" / "results" / "inpainters.md").write_text(
            PAGE.format(command=command, text=text), encoding="utf-8"
        )
        sheet(scores, tasks, compared).save(ROOT / "docs" / "images" / "inpainters.png", optimize=True)


if __name__ == "__main__":
    main()

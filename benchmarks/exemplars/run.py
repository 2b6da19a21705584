"""What appears in a hole filled by example: identity, copying, guidance, ablations, text compared with image.

    python benchmarks/exemplars/run.py --split val --scenes 60     the embedded model, guidance 0 (no exemplar) 1 3 5 7
    python benchmarks/exemplars/run.py --train DIR --steps 600 …   trains the ablations first (resumable)

The test split was run once, for docs/results/exemplars.md.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from inlay.benchmarks.exemplars.ablations import ablations
from inlay.benchmarks.exemplars.fill import BATCH, STEPS, Model, by_example, by_text, load_model
from inlay.benchmarks.exemplars.tasks import Task, copied, judge_fills, make_task, pasted, right
from inlay.benchmarks.shared import as_picture
from inlay.dollhouse.evaluate import wilson
from inlay.dollhouse.judge import load as load_judge
from inlay.pictures.sheet import draw_sheet
from torch import Tensor


def score(tasks: Sequence[Task], fills: Tensor, judge: Any) -> dict[str, Any]:
    """How many show class, pose and colour of the exemplar, and how much they copy it."""
    readings = judge_fills(judge, fills)
    found = [right(task, reading) for task, reading in zip(tasks, readings, strict=True)]
    row: dict[str, Any] = {}
    for name in found[0]:
        count = sum(item[name] for item in found)
        low, high = wilson(count, len(found))
        row[name] = {
            "right": count,
            "of": len(found),
            "share": round(count / len(found), 4),
            "low": round(low, 4),
            "high": round(high, 4),
        }
    scores = torch.tensor(
        [copied(task, fill, reading) for task, fill, reading in zip(tasks, fills, readings, strict=True)]
    )
    return row | {"copied": round(float(scores.mean()), 3)}


def in_batches(paint: Callable[[Sequence[Task], int], Tensor], tasks: Sequence[Task]) -> Tensor:
    """`paint` over all tasks, a batch at a time, each with its own seed."""
    return torch.cat([paint(tasks[start : start + BATCH], start) for start in range(0, len(tasks), BATCH)])


def compare(
    tasks: Sequence[Task],
    models: dict[str, Model],
    guidances: Sequence[float],
    text: float,
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Every row of the tables, and the fills."""
    judge = load_judge()
    rows: dict[str, Any] = {}
    fills: dict[str, Tensor] = {
        "the true drawing": torch.stack([task.truth for task in tasks]),
        "copy and paste": torch.stack([pasted(task) for task in tasks]),
    }
    whole = [task._replace(exemplar=task.elsewhere) for task in tasks]
    for guidance in guidances:
        fills[f"guidance {guidance:g}"] = in_batches(
            lambda some, seed, g=guidance: by_example(models["full"], some, g, seed), tasks
        )
    fills["shown in its own room"] = in_batches(lambda some, seed: by_example(models["full"], some, 5.0, seed), whole)
    for name, model in models.items():
        if name != "full":
            fills[name] = in_batches(lambda some, seed, m=model: by_example(m, some, 5.0, seed), tasks)
    if text:
        fills["from its caption"] = in_batches(lambda some, seed: by_text(some, text, seed), tasks)
    for name, fill in fills.items():
        rows[name] = score(tasks, fill, judge)
        print(name, json.dumps(rows[name]), flush=True)
    return rows, fills


def sheet(tasks: Sequence[Task], fills: dict[str, Tensor], count: int = 6) -> Tensor:
    """One row per task: hole, exemplar, and the fill of each method."""
    pictures, labels = [], []
    for number, task in enumerate(tasks[:count]):
        hole = task.truth * (1 - task.hole[..., None]) + 0.5 * task.hole[..., None]
        pictures += [hole, task.exemplar, *(fill[number] for fill in fills.values())]
        labels += ["hole", "exemplar", *fills] if number == 0 else [""] * (2 + len(fills))
    return draw_sheet(pictures, labels, 2 + len(fills))


def main() -> None:
    """Train if asked to, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", default="dollhouse-exemplar")
    parser.add_argument("--split", choices=("val", "test"), default="val")
    parser.add_argument("--scenes", type=int, default=60)
    parser.add_argument("--guidance", type=float, nargs="+", default=[0, 1, 3, 5, 7])
    parser.add_argument("--text", type=float, default=5.0, help="guidance of the fill from a caption; 0 skips it")
    parser.add_argument("--train", type=Path, help="folder to train the ablations in; needs --photos and --boxes")
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--boxes", type=Path)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--out", type=Path, help="folder for exemplars.json and exemplars.png")
    options = parser.parse_args()
    models = {"full": load_model(options.source)}
    if options.train:
        models |= ablations(options)
    tasks = [make_task(options.split, number) for number in range(options.scenes)]
    rows, fills = compare(tasks, models, options.guidance, options.text)
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        about = {"split": options.split, "scenes": options.scenes, "steps": STEPS, "source": options.source}
        (options.out / "exemplars.json").write_text(json.dumps(about | {"rows": rows}, indent=2) + "\n", "utf-8")
        as_picture(sheet(tasks, fills)[0]).save(options.out / "exemplars.png")


if __name__ == "__main__":
    main()

"""Stage exemplar: drawn scenes with their boxes, and the training workflow run on them."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from ._clip_stage import subject_box
from ._draw_stage import CHUNK, training_scene
from ._loop import save_beside
from .world import draw_layers

#: Settings of train.exemplar for the embedded model; all others are the node's defaults.
SETTINGS: dict[str, object] = {
    "batch_size": 32, "learning_rate": 4e-4, "warmup": 200, "decay": 0.4, "ema": 0.999, "variations": 1,
    "snr_limit": 5.0, "precision": "bfloat16", "condition_dropout": 0.15, "sample_every": 500, "save_every": 250,
}  # fmt: skip


def _chunk(folder: Path, start: int, stop: int) -> list[tuple[str, int, int, int, int, str]]:
    rows = []
    for index in range(start, stop):
        scene = training_scene(index)
        layers = draw_layers(scene)
        name = f"{index:05d}.png"
        layers.image.save(folder / name, compress_level=1)
        rows.append((name, *subject_box(layers.subject), scene.kind))
    return rows


def photographs(work: Path, count: int) -> Path:
    """`count` training pictures as files, and `boxes.csv` beside the folder; drawn when missing."""
    folder = work / f"photos-{count}"
    table = work / f"boxes-{count}.csv"
    if table.exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    starts = range(0, count, CHUNK)
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        blocks = pool.map(_chunk, [folder] * len(starts), starts, [min(start + CHUNK, count) for start in starts])
        rows = [row for block in blocks for row in block]

    def write(beside: Path) -> None:
        with open(beside, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["file", "left", "top", "right", "bottom", "label"])
            writer.writerows(rows)

    save_beside(write, table)
    return folder


def train_exemplar(work: Path, *, count: int, steps: int, source: Path, clip: Path, device: str, workers: int) -> Path:
    """Run the shipped workflow `train_exemplar` in the given number of processes; returns the folder of the model."""
    folder = photographs(work, count)
    out = work / "exemplar"
    inlay = ["-m", "inlay", "run", "train_exemplar", "--out", str(out), "--device", device, "--photos", str(folder),
             "--boxes", str(work / f"boxes-{count}.csv"), "--source", str(source), "--clip", str(clip),
             "--width", "160", "--steps", str(steps)]  # fmt: skip
    for name, value in SETTINGS.items():
        inlay += ["--set", f"train.{name}={value}"]
    command = [sys.executable, *inlay]
    if workers > 1:
        command = [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--standalone",
            "--nproc_per_node",
            str(workers),
            *inlay,
        ]
    threads = {"OMP_NUM_THREADS": "1"} if workers > 1 else {}
    subprocess.run(command, check=True, env=os.environ | threads)
    return max(out.glob("*/model"), key=lambda path: path.stat().st_mtime)

"""How well, and how fast, patches of a picture fill its hole.

    python benchmarks/patches/run.py [FOLDER] [--out FOLDER] [--docs]

Fills a hole of 15 % in photos of scikit-image and scikit-learn (of the packages, or copies of them in FOLDER) and in
drawn textures, 512 pixels or less a side. `--out` keeps every filled picture; `--docs` writes docs/results/patches.md
and docs/images/patches.jpg, which shows photos that may be shown (CC0, public domain, CC BY).
"""

import argparse
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from inlay.benchmarks.patches.tasks import Measures, Picture, Task, measured, tasks
from inlay.benchmarks.shared import ROOT, as_picture, write_whole
from inlay.pictures.patches.fill import fill_patches
from PIL import Image

SHOWN = ("brick", "grass", "gravel", "hubble_deep_field", "retina", "chelsea", "coffee", "rocket", "china", "flower")
LOW, HIGH, LOSS = 0.7, 1.3, 3.5  # what is aimed at
COLUMNS, TILE = 5, 300  # of the sheet, and pixels of a picture on it
HEAD = f"""# Filling a hole with patches of the picture

`benchmarks/patches/run.py` on one core (CPU time, `OMP_NUM_THREADS=1`): a hole of 15 % in pictures of at most 512
pixels a side, filled by `image.fill` with fill=patches, patch=7, seed=0. No model, nothing but the picture itself.

*High-pass* is the energy of detail (what a Gaussian of 2 pixels removes) in the hole over that of the 24 pixels around
it; beside it, that of what was really there. Aim: {LOW}–{HIGH}. *Loss* is by how much the PSNR in the hole is below
that of an exact harmonic membrane, which is smooth and so errs less where nothing can be known. Aim: at most {LOSS} dB.
Of 16 random places, the hole is in the one where the picture's own detail is most like that around it.

![Holes and what fills them](../images/patches.jpg)

"""


@dataclass(frozen=True)
class Row:
    """One filled picture."""

    name: str
    seconds: float
    measures: Measures

    def line(self) -> str:
        """As a line of a Markdown table."""
        found = self.measures
        return (
            f"| {self.name.replace('_', ' ')} | {self.seconds:.1f} | {found.energy:.2f} | {found.truth:.2f} "
            f"| {found.psnr:.1f} | {found.harmonic:.1f} | {found.harmonic - found.psnr:.1f} |"
        )


def filled(task: Task) -> tuple[Picture, float]:
    """The filled picture, and CPU seconds; what was in the hole is gone before."""
    hole = torch.from_numpy(task.hole)[None]
    image = torch.where(hole[..., None], 0, torch.from_numpy(task.picture).float()[None])
    start = time.process_time()
    out = fill_patches(image, hole)
    return out[0].double().numpy(), time.process_time() - start


def table(rows: list[Row]) -> str:
    """All rows and what they have in common."""
    loss = [row.measures.harmonic - row.measures.psnr for row in rows]
    energies = [row.measures.energy for row in rows]
    lines = [
        "| picture | CPU s | high-pass | of the truth | PSNR | harmonic | loss |",
        "|---|---|---|---|---|---|---|",
        *[row.line() for row in rows],
        "",
        f"Median high-pass {statistics.median(energies):.2f}; {sum(LOW <= value <= HIGH for value in energies)} of "
        f"{len(rows)} within {LOW}–{HIGH}. Median loss {statistics.median(loss):.1f} dB; "
        f"{sum(value <= LOSS for value in loss)} of {len(rows)} lose at most {LOSS} dB. "
        f"CPU time {statistics.mean(row.seconds for row in rows):.1f} s on average, at most "
        f"{max(row.seconds for row in rows):.1f} s.",
    ]
    return "\n".join(lines) + "\n"


def sheet(pairs: list[tuple[Task, Picture]]) -> Image.Image:
    """Each hole with what fills it below."""
    rows = -(-len(pairs) // COLUMNS)
    out = Image.new("RGB", (COLUMNS * TILE, rows * 2 * TILE), "white")
    for number, (task, picture) in enumerate(pairs):
        grey = np.where(task.hole[..., None], 0.5, task.picture)
        for below, values in enumerate((grey, picture)):
            tile = as_picture(torch.from_numpy(np.asarray(values)))
            side = min(tile.size)
            box = _around(task, side)
            tile = tile.crop(box).resize((TILE - 4, TILE - 4), Image.Resampling.LANCZOS)
            out.paste(tile, (number % COLUMNS * TILE + 2, (number // COLUMNS * 2 + below) * TILE + 2))
    return out


def _around(task: Task, side: int) -> tuple[int, int, int, int]:
    """A square that holds the hole."""
    middle = np.argwhere(task.hole).mean(0)
    top, left = (
        int(np.clip(centre - side / 2, 0, length - side))
        for centre, length in zip(middle, task.hole.shape, strict=True)
    )
    return left, top, left + side, top + side


def main() -> None:
    """Measure, print, and write what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, help="photos; without it those of the installed packages")
    parser.add_argument("--out", type=Path, help="folder for the filled pictures")
    parser.add_argument("--docs", action="store_true", help="write the page and the sheet in docs/")
    arguments = parser.parse_args()
    rows, shown = [], []
    for task in tasks(arguments.folder):
        picture, seconds = filled(task)
        rows.append(Row(task.name, seconds, measured(task, picture)))
        print(rows[-1].line(), flush=True)
        if task.name in SHOWN:
            shown.append((task, picture))
        if arguments.out is not None:
            arguments.out.mkdir(parents=True, exist_ok=True)
            as_picture(torch.from_numpy(picture)).save(arguments.out / f"{task.name}.png")
    print(table(rows))
    if arguments.docs:
        shown.sort(key=lambda pair: SHOWN.index(pair[0].name))
        sheet(shown).save(ROOT / "docs" / "images" / "patches.jpg", quality=80, optimize=True)
        write_whole(ROOT / "docs" / "results" / "patches.md", HEAD + table(rows))


if __name__ == "__main__":
    main()

"""Stage draw: the training pictures, drawn once into a file that every later stage reads."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._loop import save_beside
from .world import Scene, draw, sample_scene

SIZE = 128
CHUNK = 256


def training_scene(index: int) -> Scene:
    """Picture `index` of the training set: scene index // 2, mirrored when the index is odd."""
    scene = sample_scene("train", index // 2)
    if index % 2 == 0:
        return scene
    facing = "left" if scene.facing == "right" else "right"
    return replace(scene, facing=facing, x=1 - scene.x, window_x=1 - scene.window_x, phrase=scene.phrase + 1)


def _chunk(start: int, stop: int) -> NDArray[np.uint8]:
    return np.stack([np.asarray(draw(training_scene(i), SIZE)) for i in range(start, stop)])


def in_chunks(path: Path, chunk: Callable[[int, int], NDArray[Any]], count: int) -> None:
    """Write what `chunk(start, stop)` makes of 0…count, one process a core, unless the file is there.

    `chunk` must be a function of a module.
    """
    if path.exists():
        return
    starts = range(0, count, CHUNK)
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        found = np.concatenate(list(pool.map(chunk, starts, [min(start + CHUNK, count) for start in starts])))

    def write(beside: Path) -> None:
        with open(beside, "wb") as file:
            np.save(file, found)

    save_beside(write, path)


def pictures(work: Path, count: int) -> NDArray[np.uint8]:
    """The first `count` training pictures, uint8, count × 128 × 128 × 3, mapped from a file; drawn when missing."""
    path = work / f"pictures-{count}.npy"

    def write(beside: Path) -> None:
        with open(beside, "wb") as file:
            np.lib.format.write_array_header_1_0(
                file, {"descr": "|u1", "fortran_order": False, "shape": (count, SIZE, SIZE, 3)}
            )
            starts = range(0, count, CHUNK)
            stops = [min(start + CHUNK, count) for start in starts]
            with ProcessPoolExecutor(os.cpu_count()) as pool:
                file.writelines(block.tobytes() for block in pool.map(_chunk, starts, stops))

    if not path.exists():
        save_beside(write, path)
    return np.load(path, mmap_mode="r")

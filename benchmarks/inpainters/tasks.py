"""Tasks and measures of the inpainting benchmark: rooms with a hole over background, fills without a model.

Pure functions of a scene number and of pixels; no model, no network, no randomness other than from the scene number.
"""

import hashlib
import random
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from inlay.dollhouse.world import draw_layers, sample_scene
from inlay.pictures.masks.shapes import draw_shape
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import spsolve
from torch import Tensor

SIZE, SHORT, LONG, CLEAR, RING = 128, 28, 44, 3, 8
SKIRTING = 0.034 * SIZE  # its height, pixels
WINDOW_LEAST, WINDOW_MOST = 0.1, 0.6  # share of the window that a hole may hide
RESAMPLES = 10_000
Plane = NDArray[np.bool_]
Picture = NDArray[np.float64]


class Task(NamedTuple):
    """A picture, its hole, and what the hole interrupts: `skirting`, `window` or `nothing`."""

    number: int
    truth: Tensor  # [h w 3]
    hole: Tensor  # [h w], 1 = repaint
    across: str


def make_task(split: str, number: int) -> Task | None:
    """Scene and hole of a number; None where the room has no place for a hole of the least size.

    Of the places that are free, one that interrupts something is preferred, the skirting board or the window by a coin:
    a hole on a plain wall asks for nothing but its colour.
    """
    scene = sample_scene(split, number)
    layers = draw_layers(scene, SIZE)
    digest = hashlib.sha256(f"inlay-{split}-hole:{number}".encode()).digest()
    uniform = random.Random(int.from_bytes(digest, "big")).random
    width, height = (SHORT + int(uniform() * (LONG - SHORT + 1)) for _ in range(2))
    kind, where = "ellipse" if uniform() < 0.5 else "rectangle", uniform()
    prefer = ("skirting", "window", "nothing") if uniform() < 0.5 else ("window", "skirting", "nothing")
    subject = binary_dilation(layers.subject | layers.shadow, np.ones((3, 3)), iterations=CLEAR)
    while True:
        free = free_places(subject, width, height)
        places = sort_places(free, width, height, scene.horizon * SIZE, layers.window)
        across = next((name for name in prefer if places[name]), None)
        if across or (width, height) == (SHORT, SHORT):
            break
        width, height = max(SHORT, width - 4), max(SHORT, height - 4)
    if across is None:
        return None
    x, y = places[across][int(where * len(places[across]))]
    truth = torch.from_numpy(np.asarray(layers.image, dtype=np.float32) / np.float32(255))
    return Task(number, truth, draw_shape((x, y, x + width, y + height), kind, SIZE, SIZE), across)


def sort_places(
    places: list[tuple[int, int]], width: int, height: int, horizon: float, window: Plane
) -> dict[str, list[tuple[int, int]]]:
    """Places by what a hole there interrupts; those that leave too little of a window to continue it are dropped."""
    table = np.pad(window.astype(np.int64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    found: dict[str, list[tuple[int, int]]] = {"skirting": [], "window": [], "nothing": []}
    for x, y in places:
        hidden = table[y + height, x + width] - table[y, x + width] - table[y + height, x] + table[y, x]
        over_skirting = y + height >= horizon - SKIRTING - 3 and y <= horizon + 3
        if hidden == 0 and y <= horizon - SKIRTING - 4 and y + height >= horizon + 4:
            found["skirting"].append((x, y))
        elif hidden == 0 and not over_skirting:
            found["nothing"].append((x, y))
        elif WINDOW_LEAST * window.sum() <= hidden <= WINDOW_MOST * window.sum() and not over_skirting:
            found["window"].append((x, y))
    return found


def free_places(taken: Plane, width: int, height: int) -> list[tuple[int, int]]:
    """Top left corners (x, y) of the boxes of that size that hold no taken pixel, by a summed-area table."""
    table = np.pad(taken.astype(np.int64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    inside = table[height:, width:] - table[:-height, width:] - table[height:, :-width] + table[:-height, :-width]
    ys, xs = np.nonzero(inside == 0)
    return list(zip(xs.tolist(), ys.tolist(), strict=True))


def mean_colour(picture: Picture, hole: Plane) -> Picture:
    """The mean of the known pixels within 8 px of the hole."""
    ring = binary_dilation(hole, np.ones((3, 3)), iterations=RING) & ~hole
    out = picture.copy()
    out[hole] = picture[ring].mean(0)
    return out


def harmonic(picture: Picture, hole: Plane) -> Picture:
    """The membrane: Laplace's equation in the hole, solved exactly; known pixels at its edge, no flux at the border."""
    index = np.full(hole.shape, -1)
    index[hole] = np.arange(hole.sum())
    ys, xs = np.nonzero(hole)
    count = len(ys)
    rows, columns, values = [], [], []
    diagonal, right = np.zeros(count), np.zeros((count, 3))
    for dy, dx in ((-1, 0), (1, 0), (0, -1), (0, 1)):
        y, x = ys + dy, xs + dx
        there = (y >= 0) & (y < hole.shape[0]) & (x >= 0) & (x < hole.shape[1])
        diagonal += there
        here, y, x = np.flatnonzero(there), y[there], x[there]
        unknown = hole[y, x]
        rows.append(here[unknown])
        columns.append(index[y[unknown], x[unknown]])
        values.append(-np.ones(unknown.sum()))
        right[here[~unknown]] += picture[y[~unknown], x[~unknown]]
    rows.append(np.arange(count))
    columns.append(np.arange(count))
    values.append(diagonal)
    matrix = csr_matrix((np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))), (count, count))
    out = picture.copy()
    out[hole] = spsolve(matrix.tocsc(), right)
    return out


def edge_jumps(picture: Tensor, hole: Tensor) -> tuple[float, float]:
    """Mean |difference| (of 255) of the pairs that the edge separates, and of the pairs one pixel further out."""
    across, outside = [], []
    for axis, turn in ((0, False), (0, True), (1, False), (1, True)):
        x = picture.transpose(0, axis) if axis else picture
        h = hole.transpose(0, axis) if axis else hole
        if turn:
            x, h = x.flip(0), h.flip(0)
        triple = h[:-2] & ~h[1:-1] & ~h[2:]  # hole, then known, then known, along one direction
        across.append((x[:-2] - x[1:-1]).abs()[triple])
        outside.append((x[1:-1] - x[2:]).abs()[triple])
    return float(torch.cat(across).mean()) * 255, float(torch.cat(outside).mean()) * 255


def interval(statistic: Callable[[NDArray[np.int64]], NDArray[np.float64]], count: int) -> tuple[float, float]:
    """95 % bootstrap interval of a statistic of scene numbers `[resamples, count]`."""
    draws = np.random.default_rng(0).integers(0, count, (RESAMPLES, count))
    low, high = np.percentile(statistic(draws), (2.5, 97.5))
    return float(low), float(high)

"""Masks on the latent grid."""

import functools
from typing import cast

import numpy as np
from numpy.typing import NDArray

from ...graph_runtime.core.light.later import Bool, F, Float, Tensor, torch
from ...graph_runtime.core.light.sketch import Sketch
from ..boxes import Box


def latent_hole(hole: Bool[Tensor, "b h w"], factor: int, reduce: str) -> Float[Tensor, "b 1 lh lw"]:
    """The hole on the latent grid, without growing; h and w are multiples of `factor`.

    `nearest` reads pixel (factor·i, factor·j) of cell (i, j), as `F.interpolate(mode="nearest")` does (Kakinuma et
    al., §3); `max` marks a cell with any hole pixel, so thin holes survive.
    """
    if isinstance(hole, Sketch):
        return cast(Tensor, _sketched(hole.numpy(), factor, reduce))
    pixels = hole[:, None].to(torch.float32)
    if reduce == "max":
        return F.max_pool2d(pixels, factor)
    return F.interpolate(pixels, size=(hole.shape[1] // factor, hole.shape[2] // factor), mode="nearest")


def grow_cells(cells: Float[Tensor, "b 1 lh lw"], dilate: int) -> Float[Tensor, "b 1 lh lw"]:
    """`max_pool3x3`, `dilate` times (one pool of 2·dilate + 1 is the same)."""
    if isinstance(cells, Sketch):
        return cast(Tensor, Sketch.of(_grown(cells.numpy(), dilate)))
    return F.max_pool2d(cells, 2 * dilate + 1, stride=1, padding=dilate) if dilate else cells


def _sketched(hole: NDArray[np.bool_], factor: int, reduce: str) -> Sketch:
    """`latent_hole` for a check, without torch."""
    rows, height, width = hole.shape
    if reduce == "max":
        cells = np.asarray(hole.reshape(rows, height // factor, factor, width // factor, factor).any((2, 4)))
    else:
        cells = hole[:, ::factor, ::factor]
    return Sketch.of(cells[:, None].astype(np.float32))


def _grown(cells: NDArray[np.float32], dilate: int) -> NDArray[np.float32]:
    """`grow_cells` for a check: the largest of each row's window, then of each column's."""
    for axis in (2, 3):
        length = cells.shape[axis]
        padded = np.pad(cells, [(dilate, dilate) if one == axis else (0, 0) for one in range(4)])
        parts = (np.take(padded, range(start, start + length), axis) for start in range(2 * dilate + 1))
        cells = functools.reduce(np.maximum, parts)
    return cells


def _may_lose(hole: NDArray[np.bool_], cells: NDArray[np.bool_], factor: int) -> bool:
    """False where each hole pixel is seen to be connected to a covered one, over the sides of two cells."""
    found = hole & cells.repeat(factor, 0).repeat(factor, 1)
    for _ in range(2 * factor):
        if not (hole & ~found).any():
            return False
        wide = found.copy()
        wide[1:] |= found[:-1]
        wide[:-1] |= found[1:]
        near = wide.copy()
        near[:, 1:] |= wide[:, :-1]
        near[:, :-1] |= wide[:, 1:]
        found = near & hole
    return bool((hole & ~found).any())


def lost_components(hole: Bool[Tensor, "h w"], cells: Float[Tensor, "lh lw"], factor: int) -> list[Box]:
    """Boxes of the hole's 8-connected components that no latent hole cell touches."""
    if not _may_lose(np.asarray(hole.cpu().numpy()), np.asarray(cells.cpu().numpy()) > 0, factor):
        return []
    from scipy.ndimage import find_objects, label

    labels, count = label(hole.cpu().numpy(), structure=np.ones((3, 3)))
    covered = np.kron(cells.cpu().numpy() > 0, np.ones((factor, factor), dtype=bool))
    lost = np.setdiff1d(np.arange(1, count + 1), labels[covered])
    boxes = find_objects(labels)
    return [(s[1].start, s[0].start, s[1].stop, s[0].stop) for s in (boxes[i - 1] for i in lost)]

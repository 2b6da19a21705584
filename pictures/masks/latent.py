"""Masks on the latent grid."""

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from ..boxes import Box


def latent_hole(hole: Bool[Tensor, "b h w"], factor: int, reduce: str) -> Float[Tensor, "b 1 lh lw"]:
    """The hole on the latent grid, without growing; h and w are multiples of `factor`.

    `nearest` reads pixel (factor·i, factor·j) of cell (i, j), as `F.interpolate(mode="nearest")` does (Kakinuma et
    al., §3); `max` marks a cell with any hole pixel, so thin holes survive.
    """
    pixels = hole[:, None].to(torch.float32)
    if reduce == "max":
        return F.max_pool2d(pixels, factor)
    return F.interpolate(pixels, size=(hole.shape[1] // factor, hole.shape[2] // factor), mode="nearest")


def grow_cells(cells: Float[Tensor, "b 1 lh lw"], dilate: int) -> Float[Tensor, "b 1 lh lw"]:
    """`max_pool3x3`, `dilate` times (one pool of 2·dilate + 1 is the same)."""
    return F.max_pool2d(cells, 2 * dilate + 1, stride=1, padding=dilate) if dilate else cells


def lost_components(hole: Bool[Tensor, "h w"], cells: Float[Tensor, "lh lw"], factor: int) -> list[Box]:
    """Boxes of the hole's 8-connected components that no latent hole cell touches."""
    from scipy.ndimage import find_objects, label

    labels, count = label(hole.cpu().numpy(), structure=np.ones((3, 3)))
    covered = np.kron(cells.cpu().numpy() > 0, np.ones((factor, factor), dtype=bool))
    lost = np.setdiff1d(np.arange(1, count + 1), labels[covered])
    boxes = find_objects(labels)
    return [(s[1].start, s[0].start, s[1].stop, s[0].stop) for s in (boxes[i - 1] for i in lost)]

"""Growing, shrinking, feathering and resizing masks.

A mask is `[b h w]` with 1 = repaint, 0 = keep. Its *hole* is every pixel above zero: it may change, so nothing may
treat it as known. Pictures end at their border: outside is neither hole nor known, so a hole that touches the border
is not feathered or shrunk from that side.
"""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor

from ..boxes import bounding_box
from .values import per_mask


def depth(hole: Bool[Tensor, "b h w"]) -> Float[Tensor, "b h w"]:
    """Euclidean distance in pixels from each hole pixel to the nearest pixel outside the hole (0 outside, ≥ 1 inside).

    Where a plane has no pixel outside, the distance is infinite.
    """
    from scipy.ndimage import distance_transform_edt

    out = torch.zeros(hole.shape, dtype=torch.float64)
    for distance, plane in zip(out, hole.cpu(), strict=True):
        box = bounding_box(plane[None])
        if plane.all():
            distance.fill_(torch.inf)
        elif box is not None:  # the nearest pixel outside lies at most one beyond the box
            left, top, right, bottom = box
            part = (slice(max(0, top - 1), bottom + 1), slice(max(0, left - 1), right + 1))
            distance[part] = torch.from_numpy(distance_transform_edt(plane[part].numpy()))
    return out.to(hole.device)


def inward_ramp(mask: Float[Tensor, "b h w"], feather: int) -> Float[Tensor, "b h w"]:
    """`mask` times a smooth ramp that rises inside the hole: `s(d / (feather + 1))`, `s(t) = 3t² − 2t³`.

    `d` is the depth in the hole, so the ramp is above 0 on every hole pixel, 1 from depth `feather + 1` on, and the
    product is 0 exactly where the mask is. `feather = 0` returns the mask.
    """
    part = None if feather == 0 else _part_around(mask, 1)
    if part is None:
        return mask
    out = mask.clone()
    t = (depth(mask[part] > 0) / (feather + 1)).clamp(0, 1)
    out[part] *= (t * t * (3 - 2 * t)).to(mask)
    return out


def _part_around(mask: Float[Tensor, "b h w"], margin: int) -> tuple[slice, slice, slice] | None:
    """The part of the masks that holds all holes and `margin` pixels around them; None where there are none."""
    box = bounding_box(mask > 0)
    if box is None:
        return None
    left, top, right, bottom = box
    return slice(None), slice(max(0, top - margin), bottom + margin), slice(max(0, left - margin), right + margin)


def grow_mask(mask: Float[Tensor, "b h w"], pixels: int) -> Float[Tensor, "b h w"]:
    """The mask dilated by a Euclidean disc of radius `pixels` (negative: eroded); soft masks by its maximum (minimum).

    On binary masks this is `distance to the hole ≤ pixels`; eroding is its mirror, `depth > |pixels|`. Time and memory
    go with the box around the holes; `pixels = 0` returns the mask.
    """
    part = None if pixels == 0 else _part_around(mask, abs(pixels))
    if part is None:
        return mask
    out = mask.clone()
    out[part] = _grown(mask[part], pixels)
    return out


def _grown(mask: Float[Tensor, "b h w"], pixels: int) -> Float[Tensor, "b h w"]:
    if not _binary(mask):
        return per_mask(_disc_maximum(pixels), mask) if pixels > 0 else -per_mask(_disc_maximum(-pixels), -mask)
    if pixels < 0:
        return (depth(mask > 0) > -pixels).to(mask)  # infinite where nothing is outside: stays full
    return (depth(mask <= 0) <= pixels).to(mask)  # infinite where the mask is empty: stays empty


def _binary(mask: Tensor) -> bool:
    return bool(((mask == 0) | (mask == 1)).all())


def _disc_maximum(radius: int) -> Callable[[NDArray[np.float32]], NDArray[np.generic]]:
    """Grey dilation by a disc, one row of the disc at a time: O(radius) running maxima instead of O(radius²) reads."""
    from scipy.ndimage import maximum_filter1d

    def dilate(plane: NDArray[np.float32]) -> NDArray[np.generic]:
        height = plane.shape[0]
        out = plane.copy()
        for dy in range(-min(radius, height - 1), min(radius, height - 1) + 1):
            half = int(np.sqrt(radius * radius - dy * dy))
            rows = maximum_filter1d(plane, 2 * half + 1, axis=1, mode="constant", cval=-np.inf) if half else plane
            here = slice(max(0, dy), height + min(0, dy))
            there = slice(max(0, -dy), height + min(0, -dy))
            np.maximum(out[here], rows[there], out=out[here])
        return out

    return dilate


def resize_mask(mask: Float[Tensor, "b h w"], height: int, width: int) -> Float[Tensor, "b height width"]:
    """A resized mask that keeps every hole: each new pixel is the maximum of the old ones that it overlaps.

    At its own size, a copy.
    """
    if mask.shape[1:] == (height, width):
        return mask.clone()
    return F.adaptive_max_pool2d(mask[:, None], (height, width))[:, 0]

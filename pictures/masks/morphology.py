"""Growing, shrinking, feathering and resizing masks.

A mask is `[b h w]` with 1 = repaint, 0 = keep. Its *hole* is every pixel above zero: it may change, so nothing may
treat it as known. Pictures end at their border: outside is neither hole nor known, so a hole that touches the border
is not feathered or shrunk from that side.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ...graph_runtime.core.light.later import Bool, F, Float, Tensor
from ...graph_runtime.core.light.sketch import Sketch
from ..boxes import bounding_box, box_around
from .values import as_tensor, per_mask

QUICK = 2**24  # pixels times radius that a check dilates itself


def depth(hole: Bool[Tensor, "b h w"]) -> Float[Tensor, "b h w"]:
    """Euclidean distance in pixels from each hole pixel to the nearest pixel outside the hole (0 outside, ≥ 1 inside).

    Where a plane has no pixel outside, the distance is infinite.
    """
    from scipy.ndimage import distance_transform_edt

    out = np.zeros(hole.shape, np.float64)
    for distance, plane in zip(out, hole.cpu().numpy(), strict=True):
        box = box_around(plane)
        if plane.all():
            distance.fill(np.inf)
        elif box is not None:  # the nearest pixel outside lies at most one beyond the box
            left, top, right, bottom = box
            part = (slice(max(0, top - 1), bottom + 1), slice(max(0, left - 1), right + 1))
            distance[part] = distance_transform_edt(plane[part])
    return as_tensor(out, hole).to(hole.device)


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
    if isinstance(mask, Sketch) and abs(pixels) * mask.numel() <= QUICK:
        hole = mask.numpy() > 0 if pixels > 0 else mask.numpy() <= 0
        grown = np.stack([_dilated(plane, abs(pixels)) for plane in hole])
        return as_tensor(grown if pixels > 0 else ~grown, mask).to(mask)
    if pixels < 0:
        return (depth(mask > 0) > -pixels).to(mask)  # infinite where nothing is outside: stays full
    return (depth(mask <= 0) <= pixels).to(mask)  # infinite where the mask is empty: stays empty


def _binary(mask: Tensor) -> bool:
    return bool(((mask == 0) | (mask == 1)).all())


def _dilated(hole: NDArray[np.bool_], radius: int) -> NDArray[np.bool_]:
    """`distance to the hole ≤ radius`, one row of the disc at a time, for a check, which does without SciPy."""
    out = np.zeros_like(hole)
    box = box_around(hole)
    if box is None:
        return out
    height, width = hole.shape
    left, top, right, bottom = max(0, box[0] - radius), box[1], min(width, box[2] + radius), box[3]
    counts = np.pad(np.cumsum(hole[top:bottom, left:right], axis=1, dtype=np.int32), ((0, 0), (radius + 1, 0)))
    counts = np.pad(counts, ((0, 0), (0, radius)), mode="edge")  # of hole pixels up to each column
    columns = np.arange(right - left) + radius + 1
    for dy in range(-radius, radius + 1):
        half = math.isqrt(radius * radius - dy * dy)
        wide = counts[:, columns + half] > counts[:, columns - half - 1]
        first, last = max(0, top + dy), min(height, bottom + dy)
        if first < last:
            out[first:last, left:right] |= wide[first - top - dy : last - top - dy]
    return out


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
    if isinstance(mask, Sketch):
        return as_tensor(_pooled(_pooled(mask.numpy(), height, 1), width, 2), mask)
    return F.adaptive_max_pool2d(mask[:, None], (height, width))[:, 0]


def _pooled(mask: NDArray[np.generic], length: int, axis: int) -> NDArray[np.generic]:
    """`resize_mask` along one axis, for a check."""
    old = mask.shape[axis]
    spans = ((new * old // length, -(-(new + 1) * old // length)) for new in range(length))
    return np.stack([np.take(mask, range(*span), axis).max(axis) for span in spans], axis)

"""Boxes in pictures: `(left, top, right, bottom)` in pixels of the upright picture, right and bottom exclusive."""

import math

import numpy as np

from ..graph_runtime import BadInput
from ..graph_runtime.core.light.later import Bool, Tensor

Box = tuple[int, int, int, int]
Shape = tuple[int, int]  # height, width
Size = tuple[int, int]  # width, height
ROUNDING = 0.01  # pixels beyond a whole one that are rounding errors


def whole_pixels(corners: tuple[float, float, float, float], size: Size) -> Box | None:
    """The smallest box of whole pixels around `corners` in a picture of `size` (width, height); None: it is outside.

    A hundredth of a pixel beyond a whole one counts as rounding and adds no pixel.
    """
    left, top, right, bottom = corners
    box = (
        max(0, math.floor(left + ROUNDING)),
        max(0, math.floor(top + ROUNDING)),
        min(size[0], math.ceil(right - ROUNDING)),
        min(size[1], math.ceil(bottom - ROUNDING)),
    )
    return box if box[2] > box[0] and box[3] > box[1] else None


def area_share(box: Box, size: Size) -> float:
    """The share of a picture of `size` (width, height) that a box fills."""
    return (box[2] - box[0]) * (box[3] - box[1]) / (size[0] * size[1])


def padded(box: Box, size: Size, padding: float) -> Box:
    """The box grown on each side by a share of its own length, within a picture of `size` (width, height)."""
    across, down = (round(padding * length) for length in (box[2] - box[0], box[3] - box[1]))
    return (max(0, box[0] - across), max(0, box[1] - down), min(size[0], box[2] + across), min(size[1], box[3] + down))


def bounding_box(hole: Bool[Tensor, "b h w"]) -> Box | None:
    """`(left, top, right, bottom)` of all holes together, right and bottom exclusive; None when there is none."""
    return box_around(hole.any(0).cpu().numpy())


def box_around(hole: Bool[np.ndarray, "h w"]) -> Box | None:
    """The same of one hole that is an array."""
    rows, columns = np.flatnonzero(hole.any(1)), np.flatnonzero(hole.any(0))
    if not len(rows):
        return None
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def require_box(box: Box, shape: Shape, port: str = "box") -> Box:
    """`box`, if it holds a pixel and lies in a picture of `shape` (height, width).

    Raises:
        BadInput: the box is empty, or reaches out of the picture.
    """
    left, top, right, bottom = box
    height, width = shape
    if not (left < right and top < bottom):
        raise BadInput(
            port,
            found=f"the box {tuple(box)}, {right - left} px wide and {bottom - top} px high",
            expected="left < right and top < bottom, at least one pixel",
            fix="give left, top, right, bottom; COCO boxes are left, top, width, height",
        )
    if left < 0 or top < 0 or right > width or bottom > height:
        raise BadInput(
            port,
            found=f"the box {tuple(box)}",
            expected=f"one within (0, 0, {width}, {height}), the picture is {width}×{height} px",
            fix="move or shrink it; scale it with the picture if that was resized",
        )
    return left, top, right, bottom

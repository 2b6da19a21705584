"""Rectangles and ellipses as masks."""

from ...graph_runtime.core.light.later import Float, Tensor, torch
from ..boxes import Box


def draw_shape(box: Box, kind: str, height: int, width: int) -> Float[Tensor, "height width"]:
    """1 in the box or, for `kind=ellipse`, in its inscribed ellipse (where a pixel's centre is inside), 0 elsewhere."""
    left, top, right, bottom = box
    mask = torch.zeros(height, width)
    if kind != "ellipse":
        mask[top:bottom, left:right] = 1
        return mask
    box_height, box_width = bottom - top, right - left
    y = (torch.arange(height, dtype=torch.float64) + 0.5 - top - box_height / 2) / (box_height / 2)
    x = (torch.arange(width, dtype=torch.float64) + 0.5 - left - box_width / 2) / (box_width / 2)
    return ((x[None] ** 2 + y[:, None] ** 2) <= 1).to(torch.float32)

"""Where a hole is, and what around it is looked at: a picture is filled window by window."""

import math

from ...graph_runtime.core.light.later import Bool, F, Tensor
from ..boxes import Box, bounding_box

LEAST_MARGIN = 96  # pixels around a hole in which sources are searched
MARGIN = 0.5  # of the hole's size, where that is more
CELLS = 64  # along a picture's longer side: holes in cells that touch belong together
FEW = 0.25  # of the hole's pixels: if the surroundings hold less of a source than this, the whole picture is taken

Part = tuple[slice, slice]


def groups(hole: Bool[Tensor, "h w"]) -> list[Box]:
    """Boxes around what lies together of a hole, from the top down."""
    height, width = hole.shape
    side = max(16, math.ceil(max(height, width) / CELLS))
    across = F.max_pool2d(hole[None].float(), (1, side), ceil_mode=True)
    cells = F.max_pool2d(across, (side, 1), ceil_mode=True)[0] > 0
    rest = {(row, column) for row, column in cells.nonzero().tolist()}
    boxes = []
    while rest:
        first = min(rest)
        rest.remove(first)
        together, found = [first], [first]
        while together:
            row, column = together.pop()
            near = {(row + down, column + right) for down in (-1, 0, 1) for right in (-1, 0, 1)} & rest
            rest -= near
            together += near
            found += near
        rows, columns = zip(*found, strict=True)
        top, left = min(rows) * side, min(columns) * side
        box = bounding_box(hole[None, top : (max(rows) + 1) * side, left : (max(columns) + 1) * side])
        if box is not None:
            boxes.append((left + box[0], top + box[1], left + box[2], top + box[3]))
    return boxes


def surroundings(box: Box, hole: Bool[Tensor, "h w"], source: Bool[Tensor, "h w"]) -> Part:
    """The window around a box in which sources are searched."""
    left, top, right, bottom = box
    margin = max(LEAST_MARGIN, round(MARGIN * math.sqrt((right - left) * (bottom - top))))
    part = (slice(max(0, top - margin), bottom + margin), slice(max(0, left - margin), right + margin))
    if int(source[part].sum()) < FEW * int(hole[part].sum()):
        return slice(None), slice(None)
    return part

"""Where windows around holes lie, and at which size a model sees them.

A window is a square of `context` times its hole's longer side, limited to the picture and moved inside. Holes that lie
far apart may get windows of their own, which a model then sees larger than in one window around all of them.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..graph_runtime.core.light.later import Bool, Tensor
from .boxes import Box, bounding_box, box_around
from .windows import Place

SMALLEST_WINDOW = 64  # pixels; a smaller window gives a model too little context
MOST_WINDOWS = 16  # a model works on all of them
CELL = 16  # pixels; holes in cells that touch are one hole
MOST_HOLES = 64  # dust: one window around all


class Frame(NamedTuple):
    """What all windows of a picture have in common.

    Attributes:
        height, width: of the picture.
        context: window side over hole side.
        size: the patch's longer side, or None for the picture's own pixels.
        multiple: of the patch's sides.
        least: the smallest side of a window, in pixels.
    """

    height: int
    width: int
    context: float
    size: int | None
    multiple: int = 8
    least: int = SMALLEST_WINDOW


class Planned(NamedTuple):
    """Windows, the height and width of their patches, and the box of the holes in each."""

    places: tuple[Place, ...]
    size: tuple[int, int]
    holes: tuple[Box, ...]

    @property
    def reduction(self) -> float:
        """By which factor a window is scaled down, the largest if they differ; below 1: it is enlarged."""
        return max(max(place.height, place.width) / max(self.size) for place in self.places)


def plan_window(box: Box, frame: Frame) -> Planned:
    """One window around `box` (left, top, right, bottom).

    With a `size`, its long side becomes that; without one, its sides grow to a multiple.
    """
    return _planned([box], frame)


def _planned(boxes: list[Box], frame: Frame) -> Planned:
    """A window around each box. Windows that are not all square, or are not scaled, get the sides of the largest."""
    sides = [_sides(box, frame) for box in boxes]
    if frame.size is None or any(height != width for height, width in sides):
        height, width = (max(lengths) for lengths in zip(*sides, strict=True))
        if frame.size is None:
            height, width = (-(-side // frame.multiple) * frame.multiple for side in (height, width))
        sides = [(height, width)] * len(boxes)
    height, width = sides[0]
    patch = height, width
    if frame.size is not None:
        scale = frame.size / max(height, width)
        patch = _near(height * scale, frame.multiple), _near(width * scale, frame.multiple)
    return Planned(
        tuple(_placed(box, *lengths, frame) for box, lengths in zip(boxes, sides, strict=True)), patch, tuple(boxes)
    )


def _sides(box: Box, frame: Frame) -> tuple[int, int]:
    """Height and width of a window around a box."""
    left, top, right, bottom = box
    side = max(frame.least, round(max(right - left, bottom - top) * frame.context))
    return min(side, frame.height), min(side, frame.width)


def _near(side: float, multiple: int) -> int:
    return max(1, int(round(side) / multiple + 0.5)) * multiple


def _placed(box: Box, height: int, width: int, frame: Frame) -> Place:
    left, top, right, bottom = box
    return Place(_start(top, bottom, height, frame.height), _start(left, right, width, frame.width), height, width)


def _start(low: int, high: int, length: int, limit: int) -> int:
    """Where a window of `length` begins: centred on low … high, inside the picture where it fits there."""
    centred = (low + high - length) // 2
    return min(max(0, centred), limit - length) if length <= limit else -((length - limit) // 2)


def plan_windows(hole: Bool[Tensor, "h w"], frame: Frame) -> Planned:
    """A window for each group of holes, where one around all of them would show them smaller; the hole is not empty.

    Holes whose windows overlap are one group, and so are those that one window holds without being scaled down.
    """
    box = bounding_box(hole[None])
    assert box is not None
    together = plan_window(box, frame)
    if frame.size is not None and together.reduction <= 1:
        return together
    apart = _planned(_grouped(_holes(hole, box), frame), frame)
    if frame.size is not None:
        return apart if apart.reduction < together.reduction else together
    return apart if 2 * sum(map(_area, apart.places)) <= _area(together.places[0]) else together


def _area(place: Place) -> int:
    return place.height * place.width


def _holes(hole: Bool[Tensor, "h w"], box: Box) -> list[Box]:
    """The boxes of the holes, from the top and then from the left; pixels in touching cells belong to one hole."""
    left, top, right, bottom = box
    part = hole[top:bottom, left:right].cpu().numpy()
    height, width = part.shape
    rows, columns = np.arange(0, height, CELL), np.arange(0, width, CELL)
    cells = np.logical_or.reduceat(np.logical_or.reduceat(part, rows, axis=0), columns, axis=1)
    if _in_one_piece(cells):  # as most masks are; SciPy takes longer to import than a check of all else
        return [box]
    from scipy.ndimage import find_objects, label

    labels, count = label(cells, structure=np.ones((3, 3)))
    if count > MOST_HOLES:
        return [box]
    found = []
    for number, (down, across) in enumerate(find_objects(labels), start=1):
        own = (labels[down, across] == number).repeat(CELL, 0).repeat(CELL, 1)
        y, x = down.start * CELL, across.start * CELL
        inner = part[y : y + own.shape[0], x : x + own.shape[1]]
        inner = inner & own[: inner.shape[0], : inner.shape[1]]
        exact = box_around(inner)
        assert exact is not None
        found.append((left + x + exact[0], top + y + exact[1], left + x + exact[2], top + y + exact[3]))
    return sorted(found, key=lambda one: (one[1], one[0]))


def _in_one_piece(cells: NDArray[np.bool_]) -> bool:
    """True where the cells are seen to be one 8-connected piece; false of pieces that wind more than a few times."""
    piece = np.zeros_like(cells)
    first = np.unravel_index(int(cells.argmax()), cells.shape)
    piece[first] = cells[first]
    for _ in range(64):
        wide = np.pad(piece, 1)
        grown = np.logical_or.reduce([wide[1:-1, :-2], wide[1:-1, 2:], wide[1:-1, 1:-1]])
        grown = np.pad(grown, ((1, 1), (0, 0)))
        grown = (grown[:-2] | grown[1:-1] | grown[2:]) & cells
        if (grown == piece).all():
            break
        piece = grown
    return bool((piece == cells).all())


def _grouped(boxes: list[Box], frame: Frame) -> list[Box]:
    """Boxes merged until their windows are apart, no two could be one, and they are not too many."""
    while len(boxes) > 1:
        places = _planned(boxes, frame).places
        pairs = [(i, j) for i in range(len(boxes)) for j in range(i)]
        chosen = next(((i, j) for i, j in pairs if _overlap(places[i], places[j])), None)
        if chosen is None:
            chosen = min(pairs, key=lambda pair: _longer_side(_union(boxes[pair[0]], boxes[pair[1]])))
            merged = _union(boxes[chosen[0]], boxes[chosen[1]])
            if len(boxes) <= MOST_WINDOWS and not _costs_nothing(merged, places[chosen[0]], places[chosen[1]], frame):
                break
        merged = _union(boxes[chosen[0]], boxes[chosen[1]])
        boxes = [*(box for number, box in enumerate(boxes) if number not in chosen), merged]
    return sorted(boxes, key=lambda one: (one[1], one[0]))


def _overlap(one: Place, other: Place) -> bool:
    return (
        one.left < other.left + other.width
        and other.left < one.left + one.width
        and one.top < other.top + other.height
        and other.top < one.top + one.height
    )


def _union(one: Box, other: Box) -> Box:
    return min(one[0], other[0]), min(one[1], other[1]), max(one[2], other[2]), max(one[3], other[3])


def _longer_side(box: Box) -> int:
    return max(box[2] - box[0], box[3] - box[1])


def _costs_nothing(merged: Box, one: Place, other: Place, frame: Frame) -> bool:
    """True if one window around both is not scaled down; without scaling, if it has no more pixels than two."""
    sides = _sides(merged, frame)
    if frame.size is not None:
        return max(sides) <= frame.size
    return sides[0] * sides[1] <= _area(one) + _area(other)

"""Strokes of a round brush as masks."""

import math
import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ...graph_runtime import BadInput
from ...graph_runtime.core.light.later import Float, Tensor, torch

LONGEST = 1_000_000  # characters
MOST_POINTS = 10_000
FAR = 1_000_000  # pixels; no picture is so wide

Point = tuple[float, float]
Stroke = Sequence[Point]


def parse_strokes(text: str, port: str = "strokes") -> list[Stroke]:
    """Strokes of points, of `x,y x,y …; x,y …`.

    Raises:
        BadInput: no stroke, or what is no point; it is named.
    """
    if len(text) > LONGEST:
        raise _refused(port, f"{len(text):,} characters", f"at most {LONGEST:,}")
    strokes: list[Stroke] = []
    for number, part in enumerate(text.split(";"), 1):
        points = [_point(word, number, port) for word in re.sub(r"\s*,\s*", ",", part).split()]
        if points:
            strokes.append(points)
    count = sum(map(len, strokes))
    if not count or count > MOST_POINTS:
        raise _refused(port, f"{count:,} points" if count else "no stroke", f"1 to {MOST_POINTS:,} points")
    return strokes


def _point(word: str, number: int, port: str) -> Point:
    try:
        x, y = (float(value) for value in word.split(","))
    except ValueError:
        raise _refused(port, f"{word[:40]!r} in stroke {number}", "points as x,y") from None
    if not (abs(x) <= FAR and abs(y) <= FAR):  # also NaN
        raise _refused(port, f"the point {word[:40]} in stroke {number}", "a place in the picture, or near it")
    return x, y


def _refused(port: str, found: str, expected: str) -> BadInput:
    return BadInput(
        port, found=found, expected=expected, fix='write "x,y x,y; x,y", with spaces between points, ; between strokes'
    )


def draw_strokes(strokes: Sequence[Stroke], radius: float, height: int, width: int) -> Float[Tensor, "height width"]:
    """1 where a pixel's centre is at most `radius` from a stroke, 0 elsewhere; pixel (x, y) has its centre at x, y.

    Exact: the part of a row near a segment is one interval, whose ends have a closed form.
    """
    steps = np.zeros((height, width + 1), np.int32)  # +1 where an interval begins, −1 behind its end
    for stroke in strokes:
        for one, other in zip(stroke, stroke[1:] or stroke, strict=False):
            _add_segment(steps, one, other, radius)
    return torch.from_numpy((np.cumsum(steps[:, :width], axis=1, out=steps[:, :width]) > 0).astype(np.float32))


def _add_segment(steps: NDArray[np.int32], one: Point, other: Point, radius: float) -> None:
    height, width = steps.shape[0], steps.shape[1] - 1
    first = max(0, math.ceil(min(one[1], other[1]) - radius))
    last = min(height - 1, math.floor(max(one[1], other[1]) + radius))
    if first > last:
        return
    rows = np.arange(first, last + 1)
    low, high = _interval(rows.astype(np.float64), one, other, radius)
    start = np.clip(np.ceil(low), 0, width).astype(np.int64)
    stop = np.clip(np.floor(high) + 1, 0, width).astype(np.int64)
    some = (low <= high) & (start < stop)
    np.add.at(steps, (rows[some], start[some]), 1)
    np.subtract.at(steps, (rows[some], stop[some]), 1)


def _interval(
    y: NDArray[np.float64], one: Point, other: Point, radius: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lowest and highest x of each row within `radius` of a segment: two discs and the strip between them."""
    low, high = np.full(y.shape, np.inf), np.full(y.shape, -np.inf)
    for x0, y0 in (one, other):
        half = radius * radius - (y - y0) ** 2
        inside = half >= 0
        half = np.sqrt(np.maximum(half, 0))
        low = np.where(inside, np.minimum(low, x0 - half), low)
        high = np.where(inside, np.maximum(high, x0 + half), high)
    dx, dy = other[0] - one[0], other[1] - one[1]
    length = math.hypot(dx, dy)
    if length == 0:
        return low, high
    ends = np.stack([low, high])
    ahead, aside = (dx / length, dy / length), (-dy / length, dx / length)
    left, right = np.full(y.shape, -np.inf), np.full(y.shape, np.inf)
    for (ux, uy), least, most in ((ahead, 0.0, length), (aside, -radius, radius)):
        base = (y - one[1]) * uy - one[0] * ux  # the row's points have ux · x + base in [least, most]
        if ux == 0:
            outside = (base < least) | (base > most)
            left, right = np.where(outside, np.inf, left), np.where(outside, -np.inf, right)
            continue
        near, far = (least - base) / ux, (most - base) / ux
        left, right = np.maximum(left, np.minimum(near, far)), np.minimum(right, np.maximum(near, far))
    strip = left <= right
    return (
        np.where(strip, np.minimum(ends[0], left), ends[0]),
        np.where(strip, np.maximum(ends[1], right), ends[1]),
    )

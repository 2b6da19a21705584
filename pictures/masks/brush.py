"""Random holes around a box, as if drawn by hand: mask augmentation of Paint by Example (Yang et al. 2022, §3.3).

All randomness comes from the given CPU generator, only as uniform doubles and integers, and points are rounded from
    exact fractions: the same seed gives the same points on every machine. Pillow fills the shapes; releases from
    11.2.1 on agree on every pixel, older ones differ in a few.

The paper and the authors' code (`ldm/data/open-images.py`) differ. The choices here, with reasons: - 20 points per
edge, at t = 0, 1/20, …, 19/20 (paper; each corner once). The code takes t = .05 … .9 and drops a point when rounding
makes its x or y equal to an earlier one's, which happens to most of them on edges that do not bulge. - Offsets of 1
to 5 px, either sign (paper). The code draws −5 … 5, zero included: `offset_min=0`. - The control point lies above the
edge's centre, on the extended side (code). - The centre pixel of the box is always hole, so that a tiny box does not
give an empty mask.
"""

from PIL import Image, ImageDraw

from ...graph_runtime.core.light.later import Float, Tensor, torch
from ..boxes import Box, Shape, require_box


def _integer(draw: float, low: int, high: int) -> int:
    """An integer in low … high (both included) from a uniform number in [0, 1)."""
    return low + int(draw * (high - low + 1))


def extend(box: Box, shape: Shape, generator: torch.Generator, amount: float = 0.4) -> Box:
    """The box with each side moved out by a whole number of pixels, uniform in 0 … ⌊amount · free space on that side⌋.

    Draws `u = rand(4)` in float64, for left, top, right and bottom; a side moves by `⌊u · (⌊amount · free⌋ + 1)⌋`.

    Raises:
        BadInput: a box that is empty or not in the picture.
    """
    left, top, right, bottom = require_box(box, shape)
    free = (left, top, shape[1] - right, shape[0] - bottom)
    draws = torch.rand(4, generator=generator, dtype=torch.float64).tolist()
    moves = [_integer(draw, 0, int(amount * space)) for draw, space in zip(draws, free, strict=True)]
    return left - moves[0], top - moves[1], right + moves[2], bottom + moves[3]


def outline(
    box: Box, outer: Box, generator: torch.Generator, *, points: int = 20, offset_min: int = 1, offset_max: int = 5
) -> Float[Tensor, "n 2"]:
    """An arbitrary shape around `box`: 4 · `points` corners (x, y) in float64, joined by straight lines.

    Each edge gives a quadratic Bézier from corner to corner whose control point is the edge's middle, moved to the same
    side of `outer`, so it bulges half as far. On it, `points` points at t = i / points, i = 0 … points − 1; each x and
    each y is then moved by an integer drawn uniformly from those with offset_min ≤ |v| ≤ offset_max. Edges run top,
    right, bottom, left, clockwise from the top left corner.

    Draws `k = randint(m, [4 · points, 2])`, where m is the count of such integers; k is an index in ascending order.
    """
    return _shape_points(box, outer, _offsets(generator, points, offset_min, offset_max))


def _offsets(generator: torch.Generator, points: int, low: int, high: int) -> Tensor:
    """Integers v with low ≤ |v| ≤ high, uniform, `[4 · points, 2]`."""
    values = torch.tensor([v for v in range(-high, high + 1) if abs(v) >= low])
    return values[torch.randint(len(values), (4 * points, 2), generator=generator)]


def _shape_points(box: Box, outer: Box, offsets: Tensor) -> Float[Tensor, "n 2"]:
    """The curves' points plus offsets, each the nearest double to the exact fraction over 2 · points²."""
    left, top, right, bottom = box
    across, down = left + right, top + bottom  # twice the centre
    edges = torch.tensor(
        [  # start, twice the control point, end
            [[left, top], [across, 2 * outer[1]], [right, top]],
            [[right, top], [2 * outer[2], down], [right, bottom]],
            [[right, bottom], [across, 2 * outer[3]], [left, bottom]],
            [[left, bottom], [2 * outer[0], down], [left, top]],
        ]
    )
    points = len(offsets) // 4
    i = torch.arange(points)[None, :, None]
    start, control, end = (edges[:, None, number] for number in range(3))
    rest = points - i
    curve = 2 * rest * rest * start + 2 * i * rest * control + 2 * i * i * end
    denominator = 2 * points * points
    return (curve.flatten(0, 1) + denominator * offsets).to(torch.float64) / denominator


def fill_polygon(points: Float[Tensor, "n 2"], shape: Shape) -> Float[Tensor, "h w"]:
    """1 inside the polygon and on its border, 0 elsewhere: Pillow's polygon fill, coordinates truncated to integers.

    The part outside the picture is clipped.
    """
    height, width = shape
    canvas = Image.new("L", (width, height))
    ImageDraw.Draw(canvas).polygon([(int(x), int(y)) for x, y in points.tolist()], fill=1)
    return torch.frombuffer(bytearray(canvas.tobytes()), dtype=torch.uint8).view(height, width).to(torch.float32)


def brush_mask(
    box: Box,
    shape: Shape,
    generator: torch.Generator,
    *,
    arbitrary: float = 0.5,
    amount: float = 0.4,
    points: int = 20,
    offset_min: int = 1,
    offset_max: int = 5,
) -> Float[Tensor, "h w"]:
    """A hole for the thing in `box`: the extended box, or with probability `arbitrary` an arbitrary shape, in {0, 1}.

    The rectangle covers the box. The shape covers every pixel of the box that is more than `offset_max` pixels from its
    border, and its centre pixel in any case; it reaches at most `offset_max` + 1 pixels beyond the
    extended box.

    Always draws as `extend`, `rand(1)` in float64 (below `arbitrary`: the shape), and `outline` do, in this order, so
    that later draws depend on no setting but `points`.

    Raises:
        BadInput: a box that is empty or not in the picture.
    """
    outer = extend(box, shape, generator, amount)
    is_arbitrary = float(torch.rand(1, generator=generator, dtype=torch.float64)) < arbitrary
    offsets = _offsets(generator, points, offset_min, offset_max)
    left, top, right, bottom = outer
    if not is_arbitrary:
        mask = torch.zeros(shape)
        mask[top:bottom, left:right] = 1
        return mask
    mask = fill_polygon(_shape_points(box, outer, offsets), shape)
    mask[(box[1] + box[3]) // 2, (box[0] + box[2]) // 2] = 1
    return mask


def crop_around(box: Box, shape: Shape, generator: torch.Generator, *, aspect: float = 1.0, zoom: float = 0.6) -> Box:
    """A random crop of width / height = `aspect` that contains the box and lies in the picture.

    The largest such crop, placed uniformly among those that contain the box; then all its sides move in together, by
    an integer uniform in 0 … ⌊zoom · the box's smallest distance to them⌋ pixels (as published, for squares). A picture
    that already has this aspect is taken whole, and so is one in which no such crop contains the box: resizing then
    stretches it (both as published).

    Draws `u = rand(3)` in float64: left, top, move.

    Raises:
        BadInput: a box that is empty or not in the picture.
    """
    left, top, right, bottom = require_box(box, shape)
    height, width = shape
    wide = min(width, max(1, round(height * aspect)))
    high = height if wide < width else min(height, max(1, round(width / aspect)))
    draws = torch.rand(3, generator=generator, dtype=torch.float64).tolist()
    if (wide, high) == (width, height) or right - left > wide or bottom - top > high:
        return 0, 0, width, height
    x = _integer(draws[0], max(0, right - wide), min(left, width - wide))
    y = _integer(draws[1], max(0, bottom - high), min(top, height - high))
    free = min(left - x, x + wide - right, int((top - y) * aspect), int((y + high - bottom) * aspect))
    move = _integer(draws[2], 0, int(zoom * free))
    rise = int(move / aspect)
    return x + move, y + rise, x + wide - move, y + high - rise

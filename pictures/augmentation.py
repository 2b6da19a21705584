"""Augmented exemplars: cut from the picture that they are put back into, and changed so that copying does not help.

The augmentation of Paint by Example (Yang et al. 2022, §3.2): resize, flip, rotate, blur, elastic, in this order. The
authors' code uses albumentations with the defaults of its time; this is the same in torch, for any size. Differences,
with reasons: - It rotates half of the exemplars (the default chance); here all are rotated, as in the paper. - Its
`ElasticTransform` is, in effect, a random affine map: three points move by up to 50 of 224 px, and its field of
displacements (strength 1, smoothed over 50 px) moves pixels by hundredths. Here that map, plus a visible field. - It
pads the box by 10 px: `pad`. It resizes with plain bilinear; here bicubic, antialiased, as CLIP's own pictures.
Corners that a rotation leaves empty show the mirror image (reflected about the border pixels, as published), so
nothing from outside the cut is shown.
"""

import math
from dataclasses import dataclass

from ..graph_runtime import BadInput
from ..graph_runtime.core.light.later import F, Float, Tensor, torch
from .boxes import Box, require_box

CLIP_SIDE = 224  # pixels to which the published numbers refer
BLUR_SIDE = 7  # pixels of CLIP_SIDE: the widest blur
FIELD = 4  # points along a side on which displacements are drawn
DRAWS = 5 + 6 + 2 * FIELD * FIELD


@dataclass(frozen=True)
class Augment:
    """How an exemplar is augmented; all zeros change nothing. Chances are in [0, 1].

    Attributes:
        flip: chance of mirroring it, left to right.
        rotate: the angle is uniform in ± this many degrees.
        blur: chance of blurring it, by the mean over a square of 3, 5 … px, up to 7 per 224 px of its side.
        elastic: chance of warping it: sheared, scaled, moved and bent.
        pad: pixels cut with the box on each side, within the picture.
        reach: how far three points move when it is warped, uniform in ± this share of its side, in x and in y.
        bend: displacements of the smooth field on top, uniform in ± this share of its side.

    Raises:
        BadInput: a chance outside [0, 1], an angle outside [0, 180], or a negative length.
    """

    flip: float = 0.5
    rotate: float = 20.0
    blur: float = 0.3
    elastic: float = 0.3
    pad: int = 0
    reach: float = 50 / 224
    bend: float = 0.02

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name, high in (
            ("flip", 1),
            ("rotate", 180),
            ("blur", 1),
            ("elastic", 1),
            ("pad", math.inf),
            ("reach", 1),
            ("bend", 1),
        ):
            value = getattr(self, name)
            if not 0 <= value <= high:
                raise BadInput(
                    name,
                    found=f"{value:g}",
                    expected=f"a number from 0 to {high:g}",
                    fix="0 leaves this augmentation out",
                )


def cut_reference(
    picture: Float[Tensor, "3 h w"], box: Box, size: int, augment: Augment, generator: torch.Generator
) -> Float[Tensor, "3 size size"]:
    """The exemplar of a box: cut with its padding, stretched to `size` × `size`, augmented; values in [0, 1].

    Random draws: see `augmented`.

    Raises:
        BadInput: a box that is empty or not in the picture.
    """
    height, width = picture.shape[1:]
    left, top, right, bottom = require_box(box, (height, width))
    pad = augment.pad
    cut = picture[:, max(0, top - pad) : bottom + pad, max(0, left - pad) : right + pad]
    if cut.shape[1:] == (size, size):
        cut = cut.clone()
    else:
        cut = F.interpolate(cut[None], (size, size), mode="bicubic", antialias=True)[0].clamp(0, 1)
    return augmented(cut, augment, generator)


def augmented(picture: Float[Tensor, "3 n n"], augment: Augment, generator: torch.Generator) -> Float[Tensor, "3 n n"]:
    """A square picture, flipped, rotated, blurred and warped at random.

    Draws `u = rand(43)` in float64 whatever the settings, so later draws do not depend on them: u[0] < flip;
    the angle is (2·u[1] − 1) · rotate degrees, counter-clockwise; u[2] < blur, by the square that u[3] picks;
    u[4] < elastic; u[5:11] move three points (x, y each), u[11:43] are the field, x then y, each row by row.
    """
    u = torch.rand(DRAWS, generator=generator, dtype=torch.float64)
    flip, turn, blur, width, elastic = u[:5].tolist()
    if flip < augment.flip:
        picture = picture.flip(-1)
    angle = (2 * turn - 1) * augment.rotate
    if angle:
        picture = rotated(picture, angle)
    if blur < augment.blur:
        widest = max(3, BLUR_SIDE * picture.shape[-1] // CLIP_SIDE)
        picture = blurred(picture, 3 + 2 * int(width * ((widest - 1) // 2)))
    if elastic < augment.elastic:
        field = (2 * u[11:].view(2, FIELD, FIELD) - 1) * augment.bend
        picture = warped(picture, (2 * u[5:11].view(3, 2) - 1) * augment.reach, field)
    return picture


def rotated(picture: Float[Tensor, "3 n n"], degrees: float) -> Float[Tensor, "3 n n"]:
    """Rotated counter-clockwise about its centre, bilinear, corners mirrored."""
    if picture.shape[-1] == 1:
        return picture
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return _sample(picture, _places(picture, [[cos, -sin, 0.0], [sin, cos, 0.0]]))


def blurred(picture: Float[Tensor, "3 n n"], width: int) -> Float[Tensor, "3 n n"]:
    """The mean over squares of `width` (odd) pixels, cut to the picture's size, borders mirrored."""
    reach = min(width // 2, picture.shape[-1] - 1)
    if reach < 1:
        return picture
    return F.avg_pool2d(F.pad(picture[None], (reach,) * 4, mode="reflect"), 2 * reach + 1, stride=1)[0]


def warped(
    picture: Float[Tensor, "3 n n"], moves: Float[Tensor, "3 2"], field: Float[Tensor, "2 g g"]
) -> Float[Tensor, "3 n n"]:
    """The affine map under which three points read from where `moves` puts them, then displaced by a smooth field.

    The points lie a third of the side off the centre: right and below, right and above, left and above. Lengths are
    shares of the side; the field is interpolated (bicubic) from its g × g points.
    """
    if picture.shape[-1] == 1:
        return picture
    off = 2 / 3  # a third of the side, where the side is 2
    corner, right, left = (
        torch.tensor(at, dtype=torch.float64) * off + 2 * move
        for at, move in zip(((1, 1), (1, -1), (-1, -1)), moves, strict=True)
    )
    columns = ((right - left) / (2 * off), (corner - right) / (2 * off), (corner + left) / 2)
    places = _places(picture, torch.stack(columns, dim=1).tolist())
    bend = F.interpolate(2 * field[None].to(picture), picture.shape[1:], mode="bicubic", align_corners=True)
    return _sample(picture, places + bend.permute(0, 2, 3, 1))


def _places(picture: Tensor, matrix: list[list[float]]) -> Tensor:
    theta = torch.tensor([matrix], dtype=picture.dtype, device=picture.device)
    return F.affine_grid(theta, [1, *picture.shape], align_corners=True)


def _sample(picture: Tensor, places: Tensor) -> Tensor:
    return F.grid_sample(picture[None], places, mode="bilinear", padding_mode="reflection", align_corners=True)[0]

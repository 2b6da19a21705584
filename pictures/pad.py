"""A picture with more room around it, for what continues it beyond its border."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ..graph_runtime import BadInput
from ..graph_runtime.core.light.later import Float, Tensor, torch
from .containers.container import MAX_PIXELS
from .files.info import Alpha, FileInfo
from .resize import reflect_index

MOST = 3.0  # times the picture's own side; what is further away has nothing to do with it


class Margins(NamedTuple):
    """Pixels to add on each side."""

    left: int
    top: int
    right: int
    bottom: int


def plan_margins(sides: tuple[float, float, float, float], unit: str, height: int, width: int) -> Margins:
    """Whole pixels, from left, top, right and bottom in pixels or in fractions of the picture's width and height.

    Raises:
        BadInput: nothing to add, more than three times the picture's own side, or a result above 100 megapixels.
    """
    margins = []
    for name, value, own in zip(Margins._fields, sides, (width, height, width, height), strict=True):
        added = value if unit == "px" else value * own
        if added > MOST * own:
            raise BadInput(
                name,
                found=f"{added:.0f} pixels beside a picture of {own}, {added / own:.0%}",
                expected=f"at most {MOST:.0%} of the picture's own {'width' if own == width else 'height'}",
                fix="add less, or extend the result once more; check unit=px|fraction",
            )
        margins.append(round(added))
    if not any(margins):
        small = f"{max(sides):g} of {width}×{height} pixels is less than one" if any(sides) else "0 on all sides"
        raise BadInput(
            "left", found=small, expected="room on at least one side", fix="set left, top, right or bottom; check unit"
        )
    found = Margins(*margins)
    high, wide = height + found.top + found.bottom, width + found.left + found.right
    if high * wide > MAX_PIXELS:
        raise BadInput(
            "left",
            found=f"a result of {wide}×{high} pixels",
            expected=f"at most {MAX_PIXELS / 1e6:.0f} megapixels",
            fix="add less, or make the picture smaller first",
        )
    return found


def pad_image(image: Float[Tensor, "b h w 3"], margins: Margins, border: str) -> Float[Tensor, "b ph pw 3"]:
    """The picture with its mirror image around it, or with its edge drawn out; its own pixels keep their bits."""
    height, width = image.shape[1:3]
    rows = _index(-margins.top, height + margins.bottom, height, border).to(image.device)
    columns = _index(-margins.left, width + margins.right, width, border).to(image.device)
    return image[:, rows][:, :, columns]


def _index(start: int, stop: int, length: int, border: str) -> Tensor:
    return reflect_index(start, stop, length) if border == "mirror" else torch.arange(start, stop).clamp(0, length - 1)


def pad_mask(
    height: int, width: int, margins: Margins, hole: Float[Tensor, "b h w"] | None = None
) -> Float[Tensor, "b ph pw"]:
    """1 in the margins of a picture; where it lies itself, a hole that is there already, or 0."""
    left, top, right, bottom = margins
    mask = torch.ones(1 if hole is None else len(hole), height + top + bottom, width + left + right)
    mask[:, top : top + height, left : left + width] = 0 if hole is None else hole
    return mask


def pad_info(info: FileInfo, height: int, width: int, margins: Margins) -> FileInfo:
    """What the larger picture's file will say: the same, and opaque in the margins."""
    alpha = info.alpha
    if alpha is None or (alpha.height, alpha.width) != (height, width):
        return info
    left, top, right, bottom = margins
    samples = alpha.samples
    padded = np.full((height + top + bottom, width + left + right), 2**alpha.bits - 1, samples.dtype)
    padded[top : top + height, left : left + width] = samples
    return replace(info, alpha=Alpha.of(padded))

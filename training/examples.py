"""Training examples of Paint by Example (Yang et al. 2022), each made of a picture and a box in it.

Making one needs only the CPU, so threads can work ahead (`prefetch.py`); encoding it needs the models
(`encoding.py`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ..graph_runtime.core.light.later import F, Tensor, torch
from ..pictures.augmentation import Augment, cut_reference
from ..pictures.boxes import Box
from ..pictures.masks.brush import brush_mask, crop_around


class Example(NamedTuple):
    """One training example: picture `[3 s s]` in [0, 1], keep mask `[1 s s]` in {0, 1}, exemplar `[3 r r]`."""

    picture: Tensor
    keep: Tensor
    exemplar: Tensor


@dataclass(frozen=True)
class ExampleOptions:
    """How an example is made of a picture and a box.

    Attributes:
        size: side of the square that is cut out around the box, after resizing, pixels.
        exemplar_size: side of the exemplar, pixels.
        augment: augmentation of the exemplar.
        arbitrary_mask: share of holes of an arbitrary shape; the others are rectangles.
        mask_jitter: how far the hole may reach beyond the box, as a share of the free space on each side.
    """

    size: int
    exemplar_size: int
    augment: Augment
    arbitrary_mask: float = 0.5
    mask_jitter: float = 0.4


def make_example(picture: Tensor, box: Box, options: ExampleOptions, generator: torch.Generator) -> Example:
    """One example of a picture `[h w 3]` in [0, 1] and a box in it; draws crop, hole, exemplar in this order."""
    height, width = picture.shape[:2]
    left, top, right, bottom = crop_around(box, (height, width), generator)
    planes = picture.permute(2, 0, 1)
    cut = planes[:, top:bottom, left:right]
    side = options.size
    if cut.shape[1:] != (side, side):
        cut = F.interpolate(cut[None], (side, side), mode="bicubic", antialias=True)[0].clamp(0, 1)
    across, down = side / (right - left), side / (bottom - top)
    scaled = ((box[0] - left) * across, (box[1] - top) * down, (box[2] - left) * across, (box[3] - top) * down)
    hole = brush_mask(
        _rounded(scaled, side), (side, side), generator, arbitrary=options.arbitrary_mask, amount=options.mask_jitter
    )
    exemplar = cut_reference(planes, box, options.exemplar_size, options.augment, generator)
    return Example(cut, 1 - hole[None], exemplar)


def _rounded(box: Sequence[float], size: int) -> Box:
    """A box of whole pixels, at least one, in a square of `size`."""
    left, top = (min(max(int(value), 0), size - 1) for value in box[:2])
    right, bottom = (min(max(round(value), low + 1), size) for value, low in zip(box[2:], (left, top), strict=True))
    return left, top, right, bottom

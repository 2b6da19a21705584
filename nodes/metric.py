"""Metrics: how near a picture is to another one."""

import math
from typing import Annotated, NamedTuple

import torch

from ..graph_runtime import BadInput, Port, node
from ._ports import Image, Mask, require_finite, require_image, require_mask

Value = Annotated[float, Port("FLOAT", "a number")]


class Measured(NamedTuple):
    """What was measured."""

    value: Value


def _pair(image: Image, reference: Image, mask: Mask | None) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """Both pictures in float64, of one size and as many rows, and where to look `[b h w]` or everywhere."""
    image, reference = require_image(image), require_image(reference, "reference")
    for port, value in (("image", image), ("reference", reference)):
        require_finite(value, port, what="the picture", fix="look for the node that made it")
    if image.shape[1:3] != reference.shape[1:3]:
        raise BadInput("reference", found=f"a picture of {reference.shape[2]}×{reference.shape[1]}",
                       expected=f"the image's size, {image.shape[2]}×{image.shape[1]}",
                       fix="compare pictures of one size: undo image.fit with image.unfit")
    rows = max(len(image), len(reference))
    if {len(image), len(reference)} - {1, rows}:
        raise BadInput("reference", found=f"{len(reference)} pictures for {len(image)}",
                       expected="one, or one for each picture", fix="wire as many")
    where = None
    if mask is not None:
        where = require_mask(mask, image).expand(rows, -1, -1)
    shape = (rows, *image.shape[1:])
    return image.double().expand(shape), reference.double().expand(shape), where


@node("metric.psnr", version=1)
def psnr(image: Image, reference: Image, mask: Mask | None = None) -> Measured:
    """Peak signal-to-noise ratio in dB: 10·log₁₀(1 / mean squared difference), values in [0, 1].

    All pictures of a batch together. Equal pictures: infinity.

    Args:
        image: the picture.
        reference: what it is compared with.
        mask: weights of the pixels; where it is 0 nobody looks. Nothing wired: everywhere.

    Raises:
        BadInput: other sizes, or a mask that is 0 everywhere.
    """
    found, wanted, where = _pair(image, reference, mask)
    squares = (found - wanted).square().mean(-1)
    if where is not None:
        weights = where.double()
        if float(weights.sum()) == 0:
            raise BadInput("mask", found="a mask that is 0 everywhere", expected="something to look at",
                           fix="draw the mask in white where the pictures are to be compared")
        error = float((squares * weights).sum() / weights.sum())
    else:
        error = float(squares.mean())
    return Measured(math.inf if error == 0 else -10 * math.log10(error))


@node("metric.known_region", version=1)
def known_region(image: Image, reference: Image, mask: Mask) -> Measured:
    """The largest difference of any value outside the mask, in [0, 1]: 0 where an edit kept all that it had to keep.

    Args:
        image: the edited picture.
        reference: the picture before.
        mask: 1 = repainted; every pixel where it is above 0 is left out.
    """
    found, wanted, where = _pair(image, reference, mask)
    assert where is not None
    difference = (found - wanted).abs().amax(-1)[where <= 0]
    return Measured(float(difference.max()) if difference.numel() else 0.0)

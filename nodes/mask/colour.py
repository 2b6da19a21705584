"""A mask of one colour."""

from typing import Annotated

import numpy as np
from pydantic import Field

from ...graph_runtime import BadInput, Context, node
from ...graph_runtime.core.light.later import torch
from ...graph_runtime.core.values import require_finite
from ...pictures.masks.colour import colour_mask, main_colours, parse_colour
from ...pictures.masks.warnings import value_warnings
from ..checks.before_run import Facts, Known, Params, shaped
from ..ports import Image
from .results import OneMask


def _check(known: Known, params: Params) -> Facts:
    """A text that is no colour; the mask's size."""
    parse_colour(params["colour"])
    image = known.get("image")
    return {} if image is None else {"mask": shaped(*image.shape[:3])}


@node("mask.colour", check=_check)
def colour(
    image: Image,
    colour: str,
    tolerance: Annotated[float, Field(ge=0, le=200)] = 20.0,
    ctx: Context | None = None,
) -> OneMask:
    """Mask every pixel of a colour, such as a green screen or a red marker: 1 where it is near enough, else 0.

    The distance is ΔE*ab (CIE 1976): Euclidean in CIE L*a*b*, with D65. About 2 can just be seen, 20 is another shade,
    100 lies between black and white. The picture's numbers are taken as sRGB: connect the image of image.to_srgb for a
    photo of another space. `[b h w]` of {0, 1}.

    Args:
        image: The picture, `[b h w 3]`.
        colour: `#ff0000`, `#f00`, `rgb(255, 0, 0)`, `hsl(0, 100%, 50%)`, or a CSS name as red.
        tolerance: The largest ΔE that counts as this colour.

    Raises:
        BadInput: a text that is no colour, NaN in the picture, or a picture without that colour; its nearest and its
            commonest colours are named.
    """
    wanted = parse_colour(colour)
    require_finite(image, "image", what="the picture", fix="check the node that made them")
    mask = torch.empty(image.shape[:3])
    for number, (picture, plane) in enumerate(zip(image, mask, strict=True), 1):
        pixels = picture.to(torch.float32).cpu().numpy()
        nearest = colour_mask(pixels, wanted, tolerance, plane.numpy())
        which = f" {number} of {len(image)}" if len(image) > 1 else ""
        if not plane.any():
            raise BadInput(
                "colour",
                found=f"nothing within ΔE {tolerance:g} of {colour} in picture{which}: the nearest pixel is "
                f"{nearest:.1f} away; most of it is {main_colours(pixels)}",
                expected="a colour of the picture",
                fix=f"use one of these, or tolerance={int(np.ceil(nearest))} or more",
            )
        if ctx is not None:
            for note in value_warnings(plane.numpy(), plane.numpy(), None):
                ctx.warn(f"mask{which}: {note}" if which else note)
    return OneMask(mask)

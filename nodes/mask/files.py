"""Read masks. 1 = repaint, 0 = keep."""

from typing import Annotated, Literal

from pydantic import Field

from ...graph_runtime import Context, ReadEach, node
from ...graph_runtime.core.light.later import torch
from ...pictures.masks.read import read_masks
from ..checks.mask import load as check_load
from .results import OneMask


@node("mask.load", check=check_load)
def load(
    path: ReadEach,
    ctx: Context,
    channel: Literal["auto", "alpha", "luminance", "drawn"] = "auto",
    invert: bool = False,
    threshold: Annotated[float, Field(gt=0, le=1)] | None = 0.5,
) -> OneMask:
    """Read a mask from a picture file: white, or transparent, means repaint.

    `auto` reads 1 − alpha if the alpha varies, else the luminance (a palette is looked up first). `drawn` also knows
    what a pen drew: strokes on a transparent layer, in red on a copy of the photo, or in any strong colour on grey;
    else it reads as auto. Then `invert`, then values ≥ `threshold` become 1 and others 0. A warning names a mask that
    is empty, full, faint, hazy or half-grey, and a file that looks wrong: strokes on a transparent layer, channels
    that disagree, a picture.
    Modes 1, L, P, LA, RGB, RGBA, 16-bit grey; the EXIF orientation is applied. `[b h w]`.

    Args:
        path: A picture, or a folder or glob of them, all of one size.
        channel: alpha (1 − alpha, as the host reads it), luminance, auto, or drawn.
        invert: Swap keep and repaint, for masks in which black means repaint.
        threshold: From this value on a pixel is repainted; null keeps soft values.

    Raises:
        BadInput: what image.load refuses; channel=alpha for a file without transparency.
    """
    return OneMask(torch.from_numpy(read_masks(path, channel, invert, threshold, ctx.warn)))

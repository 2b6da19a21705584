"""Read masks. 1 = repaint, 0 = keep."""

from typing import Annotated, Literal

from pydantic import Field

from ...graph_runtime import Context, ReadEach, node
from ...graph_runtime.core.light.later import torch
from ...pictures.colour.space import Colour
from ...pictures.masks.copies import Photo
from ...pictures.masks.read import read_masks
from ..checks.mask import load as check_load
from ..ports import Image, Profile
from .results import OneMask


@node("mask.load", check=check_load)
def load(
    path: ReadEach,
    ctx: Context,
    channel: Literal["auto", "alpha", "luminance", "drawn", "red", "green", "blue"] = "auto",
    invert: bool = False,
    threshold: Annotated[float, Field(gt=0, le=1)] | None = 0.5,
    image: Image | None = None,
    profile: Profile | None = None,
) -> OneMask:
    """Read a mask from a picture file: white, or transparent, means repaint.

    `auto` reads 1 − alpha if the alpha varies, else the luminance (a palette is looked up first). `drawn` also knows
    what a pen drew: strokes on a transparent layer, in red on a copy of the photo, or in any strong colour on grey;
    else it reads as auto. With `image` connected, strokes on a copy of that photo are what differs from it, in any
    colours, however red the photo is; the copy has its size, and may be a JPEG. An outline is a stroke: it is not
    filled. Then `invert`, then values ≥ `threshold` become 1 and others 0. A warning names a mask that is empty, full,
    faint, hazy or half-grey, and a file that looks wrong: strokes on a transparent layer, channels that disagree, a
    picture.
    Modes 1, L, P, LA, RGB, RGBA, 16-bit grey; the EXIF orientation is applied. `[b h w]`.

    Args:
        path: A picture, or a folder or glob of them, all of one size.
        channel: alpha (1 − alpha, as the host reads it), luminance, auto, drawn, or one of red, green and blue.
        invert: Swap keep and repaint, for masks in which black means repaint.
        threshold: From this value on a pixel is repainted; null keeps soft values.
        image: The photo that the mask belongs to, `[b h w 3]` from image.load, for channel=drawn: one, or one for each
            mask. Masks that are no copy of it are read as without it.
        profile: Its profile, for copies in another colour space.

    Raises:
        BadInput: what image.load refuses; channel=alpha for a file without transparency; a profile of another number
            of pictures.
    """
    photos = []
    if image is not None and channel == "drawn":
        size = image.shape[2], image.shape[1]
        colours = [Colour()] * len(image) if profile is None else [about.colour for about in profile.rows(len(image))]
        pictures = image.detach().to("cpu", torch.float32).numpy()
        photos = [Photo(size, values, colour) for values, colour in zip(pictures, colours, strict=True)]
    return OneMask(torch.from_numpy(read_masks(path, channel, invert, threshold, ctx.warn, photos)))

"""Masks from the pixels of a picture."""

from typing import Annotated, Literal

from pydantic import Field

from ...graph_runtime import node
from ...graph_runtime.core.light.later import torch
from ...graph_runtime.core.values import require_finite
from ..checks.before_run import Facts, Known, Params, shaped
from ..ports import Image
from .results import OneMask

_CHANNELS = ("red", "green", "blue")


def _check(known: Known, params: Params) -> Facts:
    image = known.get("image")
    return {} if image is None else {"mask": shaped(*image.shape[:3])}


@node("mask.channel", check=_check)
def channel(image: Image, channel: Literal["red", "green", "blue"] = "red") -> OneMask:
    """Take one colour channel of a picture as the mask.

    Args:
        image: The picture, `[b h w 3]`.
        channel: red, green or blue.

    Raises:
        BadInput: NaN in the picture.
    """
    require_finite(image, "image", what="the picture", fix="check the node that made them")
    return OneMask(image[..., _CHANNELS.index(channel)].clone())


@node("mask.exact_colour", check=_check)
def exact_colour(image: Image, colour: Annotated[int, Field(ge=0, le=0xFFFFFF)] = 0) -> OneMask:
    """Mask every pixel of exactly one colour: 1 where the picture, rounded to 8 bits, has it, else 0.

    mask.colour takes colours by name, and those that are near.

    Args:
        image: The picture, `[b h w 3]`.
        colour: Red · 65536 + green · 256 + blue, as 16711680 for red.

    Raises:
        BadInput: NaN in the picture.
    """
    require_finite(image, "image", what="the picture", fix="check the node that made them")
    red, green, blue = (image.clamp(0, 1.0) * 255.0).round().to(torch.int32).unbind(-1)
    return OneMask((red * 65536 + green * 256 + blue == colour).float())

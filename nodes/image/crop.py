"""A window around a hole, cut out for a model and put back."""

from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from ...graph_runtime import SocketRole, node
from ...pictures.batches import common_batch
from ...pictures.boxes import bounding_box
from ...pictures.masks.values import unit_mask
from ...pictures.require import require_mask_fits
from ...pictures.windows import Window, cut_window, place_patch, plan_window
from ..checks.image import crop_to_mask as check_crop_to_mask
from ..checks.image import require_hole, require_patch, require_stitch
from ..checks.image import stitch as check_stitch
from ..ports import Crop, Image, Mask
from .paste import paste_back
from .results import OneImage


class Cropped(NamedTuple):
    """The surroundings of a hole, and where they came from."""

    image: Image
    mask: Mask
    crop: Crop


@node("image.crop_to_mask", check=check_crop_to_mask)
def crop_to_mask(
    image: Annotated[Image, SocketRole("base")],
    mask: Annotated[Mask, SocketRole("changed")],
    context: Annotated[float, Field(ge=1, le=100)] = 1.5,
    size: Annotated[int, Field(ge=8, le=16384, multiple_of=8)] | None = 512,
) -> Cropped:
    """Cut a square window around the hole for a model to work on at its own resolution; image.stitch puts it back.

    The window's side is `context` times the hole's longer side (at least 64 px), cut to the picture and moved inside;
    a batch shares one window around all its holes. Both sides of the patch are multiples of 8.

    Args:
        image: The whole picture, `[b h w 3]`.
        mask: The hole, 1 = repaint.
        context: Window side over hole side: 1 is tight, 1.5 shows half as much again, more helps exemplars fit in.
        size: The patch's longer side in pixels; null keeps the picture's own pixels.

    Raises:
        BadInput: an empty mask, one of another size, or a patch above 100 megapixels.
    """
    plane = unit_mask(require_mask_fits(mask, image)).to(image)
    image, plane = common_batch(image=image, mask=plane)
    box = require_hole(bounding_box(plane > 0))
    height, width = image.shape[1:3]
    top, left, window_h, window_w, patch = plan_window(box, height, width, context, size)
    require_patch(patch, size)
    window = Window(image.clone(), plane.clone(), top, left, window_h, window_w, patch)
    part, hole = cut_window(window)
    return Cropped(part, hole, window)


@node("image.stitch", check=check_stitch)
def stitch(
    patch: Image,
    crop: Annotated[Crop, SocketRole("base")],
    feather: Annotated[int, Field(ge=0, le=1024)] = 0,
    color_match: Literal["none", "mean", "histogram"] = "none",
    blend: Literal["none", "membrane"] = "none",
) -> OneImage:
    """Put the patch of image.crop_to_mask back into its picture; every pixel outside the mask keeps its exact bits.

    Args:
        patch: The edited window, at the size image.crop_to_mask gave it.
        crop: The crop output of image.crop_to_mask: the whole picture, its mask and the position of the window.
        feather: As in image.paste_back.
        color_match: As in image.paste_back.
        blend: As in image.paste_back.

    Raises:
        BadInput: a patch of another size, or NaN in it where it shows.
    """
    require_stitch(patch, crop)
    placed = place_patch(patch, crop)
    return paste_back(crop.base, placed, crop.mask, feather=feather, color_match=color_match, blend=blend)

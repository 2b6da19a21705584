"""Random variations of a picture, as training sees exemplars."""

from typing import Annotated

from pydantic import Field

from ...graph_runtime import node
from ...graph_runtime.core.light.later import torch
from ...graph_runtime.core.values import require_finite
from ...pictures.augmentation import Augment, cut_reference
from ...pictures.batches import common_batch
from ...pictures.boxes import bounding_box
from ...pictures.masks.values import unit_mask
from ...pictures.require import require_mask_fits
from ..checks.image import augment as check_augment
from ..checks.image import require_thing
from ..ports import Image, Mask
from .results import OneImage


@node("image.augment", check=check_augment)
def augment(
    image: Image,
    mask: Mask | None = None,
    flip: Annotated[float, Field(ge=0, le=1)] = 0.5,
    rotate: Annotated[float, Field(ge=0, le=180)] = 20.0,
    blur: Annotated[float, Field(ge=0, le=1)] = 0.3,
    elastic: Annotated[float, Field(ge=0, le=1)] = 0.3,
    seed: Annotated[int, Field(ge=0, le=2**64 - 1)] = 0,
    size: Annotated[int, Field(ge=8, le=1024)] = 224,
    pad: Annotated[int, Field(ge=0, le=4096)] = 0,
    count: Annotated[int, Field(ge=1, le=64)] = 1,
) -> OneImage:
    """Cut a thing out and vary it at random: the exemplars as training sees them (Yang et al. 2022, §3.2).

    Cut, stretched to a square, flipped, turned, blurred and warped, in this order; corners that rotation leaves empty
    are mirrored, nothing from outside the cut is used. All zero: only cut and resized. `[b·count size size 3]`.

    Args:
        image: The picture, `[b h w 3]`.
        mask: The thing: its bounding box is cut out; without one, the whole picture is taken.
        flip: Probability that it is mirrored, left to right.
        rotate: Largest rotation, in degrees; the angle is uniform within ±.
        blur: Probability of a mean over a square of up to 7 px for each 224 px of `size` (at least 3 px).
        elastic: Probability that it is sheared, scaled, moved and bent.
        seed: Random seed.
        size: Side of the result in pixels; CLIP ViT-L/14 sees 224.
        pad: Pixels around the box that are cut out with it, as far as the picture reaches.
        count: Variations of each picture, one after the other.

    Raises:
        BadInput: NaN in the picture, a mask of another size, or an empty one.
    """
    require_finite(image, "image", what="the picture", fix="check the node that made them")
    plane = image.new_ones(image.shape[:3]) if mask is None else unit_mask(require_mask_fits(mask, image)).to(image)
    image, plane = common_batch(image=image, mask=plane)
    how = Augment(flip=flip, rotate=rotate, blur=blur, elastic=elastic, pad=pad)
    draws, made = torch.Generator("cpu").manual_seed(seed), []
    for picture, hole in zip(image, plane, strict=True):
        box = bounding_box(hole[None] > 0)
        require_thing(box)
        assert box is not None
        made += [cut_reference(picture.movedim(-1, 0), box, size, how, draws) for _ in range(count)]
    return OneImage(torch.stack(made).movedim(1, -1).contiguous())

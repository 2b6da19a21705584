"""Pictures of any size brought to sides that a model takes, and back."""

from dataclasses import replace
from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from ...graph_runtime import SocketRole, node
from ...pictures.fit import fit_image, plan_fit, require_bounded, unfit_image
from ...pictures.masks.values import unit_mask
from ...pictures.require import require_mask_fits
from ..checks.image import fit as check_fit
from ..checks.image import require_unfit
from ..checks.image import unfit as check_unfit
from ..ports import Fit, Image, Mask
from .results import OneImage


class Fitted(NamedTuple):
    """A picture that fits, and how to undo it."""

    image: Image
    mask: Mask
    fit: Fit


@node("image.fit", check=check_fit)
def fit(
    image: Annotated[Image, SocketRole("base")],
    mask: Mask | None = None,
    multiple: Annotated[int, Field(ge=1, le=1024)] = 8,
    size: Annotated[int, Field(ge=8, le=16384)] | None = None,
    mode: Literal["pad", "crop", "resize"] = "pad",
    square: bool = False,
) -> Fitted:
    """Fit a picture of any size to sides that a model accepts; image.unfit brings the result back.

    `size` first scales the picture (aspect kept, bicubic with antialiasing; masks keep every hole). Then `pad`
    mirrors the border outwards (known: mask 0), `crop` cuts the centre, `resize` stretches to the nearest multiple.
    `size=512, mode=crop, square=true` is the papers' centre crop of 512².

    Args:
        image: The picture, `[b h w 3]`, any size.
        mask: Travels along, 1 = repaint; without one, a mask of zeros comes out.
        multiple: Both sides become multiples of this (8 for Stable Diffusion).
        size: Short side in pixels after scaling (the square's side with square=true); null keeps the scale.
        mode: pad (nothing is lost), crop (the margin is restored by image.unfit) or resize (aspect changes a little).
        square: Make both sides equal: pad to the longer, crop or resize to the shorter.

    Raises:
        BadInput: a mask of another size, a picture smaller than `multiple` with mode=crop, or a result above 100
            megapixels.
    """
    plane = image.new_zeros(image.shape[:3]) if mask is None else unit_mask(require_mask_fits(mask, image)).to(image)
    height, width = image.shape[1:3]
    plan = plan_fit(height, width, multiple, size, mode, square)
    require_bounded(plan, size, multiple)
    fitted, plane = fit_image(image, plane, plan)
    if mode == "crop":
        plan = replace(plan, original=image.clone())
    return Fitted(fitted, plane, plan)


@node("image.unfit", check=check_unfit)
def unfit(image: Image, fit: Fit) -> OneImage:
    """Restore the exact original size of a picture that image.fit changed.

    Padding is cut off, scaling is undone, and the margin that mode=crop cut away is restored from the original. What
    was only padded or cropped keeps its bits; after scaling, image.paste_back brings the known pixels back exactly.

    Args:
        image: The result at the fitted size.
        fit: The fit output of image.fit.

    Raises:
        BadInput: a picture of another size than image.fit made.
    """
    require_unfit(image, fit)
    return OneImage(unfit_image(image, fit))

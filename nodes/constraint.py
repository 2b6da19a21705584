"""Constraints: what is known about the result, imposed on the predicted clean latent at every step."""

from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from ..graph_runtime import node
from ..graph_runtime.core.values import plain, require_finite
from ..methods.blended_diffusion import Blended
from ..methods.null_space import NullSpace
from ..methods.pixel_space import PixelSpace
from ..methods.sampling.constraints import in_turn
from ..pictures.batches import common_batch
from ..pictures.masks.latent import latent_hole
from ..pictures.masks.values import unit_mask
from ..pictures.require import require_mask_fits
from .checks.before_run import Facts, Known, Params, rehearse
from .checks.constraint import require_mask_on_grid
from .checks.latent import require_multiple
from .ports import ConstraintPort, Image, Latent, LatentMask, Mask, Vae


class Constrained(NamedTuple):
    """A constraint on the sampler."""

    constraint: ConstraintPort


def _check_null_space(known: Known, params: Params) -> Facts:
    return rehearse(null_space, known, params)


@node("constraint.null_space", version=1, check=_check_null_space)
def null_space(
    latent: Latent,
    latent_mask: LatentMask,
    then: ConstraintPort | None = None,
    dilate_start: Annotated[int, Field(ge=0, le=64)] = 2,
    dilate_end: Annotated[int, Field(ge=0, le=64)] | None = None,
) -> Constrained:
    """Keep the encoded picture's values exactly in known cells; only their null space, the hole, is generated.

    x̂0 = Ml·Ey + (1 − Ml)·x0 with Ml = 1 − latent_mask (Kakinuma et al. 2024, eq. 5).

    Args:
        latent: Ey, the encoding of the picture whose hole was filled with grey.
        latent_mask: 1 = repaint, on the latent grid; give it the dilation of mask.to_latent.
        then: another constraint, applied after this one in each step.
        dilate_start: cells by which the hole grows at the first step, beyond latent_mask; only with dilate_end.
        dilate_end: cells by which the hole still grows at the last step; between, the growth changes evenly. Set dilate
            of mask.to_latent to 0 with it. null: latent_mask is the hole in all steps.
    """
    known = plain(latent)
    hole = require_mask_on_grid(latent_mask, known)
    grow = (0, 0) if dilate_end is None else (dilate_start, dilate_end)
    return Constrained(in_turn(NullSpace(known, hole, *grow), then))


def _check_blended(known: Known, params: Params) -> Facts:
    return rehearse(blended, known, params)


@node("constraint.blended", version=1, check=_check_blended)
def blended(latent: Latent, latent_mask: LatentMask, then: ConstraintPort | None = None) -> Constrained:
    """Replace the known cells by the picture at that noise level after each step; a baseline for comparison.

    Blended latent diffusion (Avrahami et al. 2023), with the run's own first noise.

    Args:
        latent: the encoded picture.
        latent_mask: 1 = repaint, on the latent grid.
        then: another constraint, applied after this one in each step.
    """
    known = plain(latent)
    return Constrained(in_turn(Blended(known, require_mask_on_grid(latent_mask, known)), then))


def _check_pixel_space(known: Known, params: Params) -> Facts:
    return rehearse(pixel_space, known, params)


@node("constraint.pixel_space", version=1, check=_check_pixel_space)
def pixel_space(
    image: Image,
    mask: Mask,
    vae: Vae,
    then: ConstraintPort | None = None,
    last_steps: Annotated[int, Field(ge=1, le=1000)] = 4,
    share: Annotated[float, Field(gt=0, le=1)] | None = None,
    times: Annotated[int, Field(ge=1, le=1000)] | None = None,
    blend: Literal["none", "membrane"] = "none",
) -> Constrained:
    """Decode the predicted clean latent, put the known pixels in, and encode it again, in late steps.

    x̂0 = E(m·D(x0) + (1 − m)·y), with m = 1 in the hole and y the picture. Cells beside the hole then come from a
    picture whose hole holds what is being made, not a fill. Each time costs a decoding and an encoding.

    Args:
        image: y, of the size that the model sees; what it holds in the hole is not looked at.
        mask: the hole, 1 = repaint; each pixel above 0 is hole.
        vae: the model's VAE, in memory beside the UNet during the run.
        then: another constraint, applied after this one in each step.
        last_steps: how many steps before the end it begins; at most all of them.
        share: begin with this share of the run's steps instead, whatever their number; null: with last_steps.
        times: how often, spread evenly over these steps; between, known cells keep the last values. null: in each step.
        blend: membrane first moves the hole to meet the known pixels at its edge, as in image.paste_back.

    Raises:
        BadInput: a mask of another size, sides that are no multiples of the VAE's factor, or NaN among known pixels.
    """
    plane = unit_mask(require_mask_fits(mask, image))
    picture, plane = common_batch(image=plain(image), mask=plain(plane))
    require_multiple(picture, vae)
    hole = plane > 0
    if not (picture.is_meta or plane.is_meta):
        require_finite(picture[~hole], "image", what="the known pixels", fix="check the node that made them")
    cells = latent_hole(hole, vae.factor, "max")
    constraint = PixelSpace(picture, plane, cells, vae, last_steps, share, times, blend == "membrane")
    return Constrained(in_turn(constraint, then))

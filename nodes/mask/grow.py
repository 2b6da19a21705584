"""Grow, shrink and soften a hole."""

from typing import Annotated

from pydantic import Field

from ...graph_runtime import Context, node
from ...pictures.masks.morphology import grow_mask, inward_ramp
from ...pictures.masks.values import unit_mask
from ...pictures.pairing import files_of, named
from ..checks.before_run import Facts, Known, Params, cheap, rehearse
from ..checks.mask import grow as check_grow
from ..ports import Mask
from .results import OneMask


def _check_grow(known: Known, params: Params) -> Facts:
    mask = known.get("mask")
    if not cheap(mask):
        return check_grow(known, params)
    return {"mask": named(rehearse(grow, known, params)["mask"], files_of(mask))}


@node("mask.grow", check=_check_grow)
def grow(
    mask: Mask,
    ctx: Context,
    pixels: Annotated[int, Field(ge=-4096, le=4096)] = 0,
    feather: Annotated[int, Field(ge=0, le=4096)] = 0,
) -> OneMask:
    """Grow the hole by a round brush, or shrink it, and soften its border inward.

    The radius is Euclidean; soft masks take the largest (shrinking: the smallest) value under the brush. The feather
    is a smooth ramp inside the grown hole, so nothing outside it is ever above 0. The picture's own border neither
    shrinks nor softens a hole that touches it.

    Args:
        mask: The hole, 1 = repaint.
        pixels: Radius of the brush; negative shrinks.
        feather: Width of the soft border in pixels, measured inward.

    Raises:
        BadInput: NaN, or values outside [0, 1].
    """
    before = unit_mask(mask)
    after = grow_mask(before, pixels)
    for number, (old, new) in enumerate(zip(before, after, strict=True) if pixels else (), start=1):
        which = f" {number} of {len(after)}" if len(after) > 1 else ""
        if bool((old > 0).any()) and not bool((new > 0).any()):
            ctx.warn(f"mask-empty: shrinking by {-pixels} pixels left nothing of mask{which}")
        elif bool((new > 0).all()) and not bool((old > 0).all()):
            ctx.warn(f"mask-full: growing by {pixels} pixels made mask{which} cover the whole picture")
    soft = inward_ramp(after, feather)
    return OneMask(soft.clone() if soft is mask else soft)  # what reads a result may write to it in a host

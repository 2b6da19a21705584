"""Masks on the latent grid."""

from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from ...graph_runtime import BadInput, Context, SocketRole, node
from ...graph_runtime.core.light.later import Tensor
from ...pictures.masks.latent import grow_cells, latent_hole, lost_components
from ...pictures.masks.values import unit_mask
from ..checks.before_run import Facts, Known, Params, cheap, rehearse
from ..checks.mask import require_grid
from ..checks.mask import to_latent as check_to_latent
from ..ports import LatentMask, Mask, Vae


class OneLatentMask(NamedTuple):
    """A mask on the latent grid."""

    latent_mask: LatentMask


def _check_to_latent(known: Known, params: Params) -> Facts:
    return rehearse(to_latent, known, params) if cheap(known.get("mask")) else check_to_latent(known, params)


@node("mask.to_latent", check=_check_to_latent)
def to_latent(
    mask: Mask,
    vae: Annotated[Vae, SocketRole("described")],
    ctx: Context,
    dilate: Annotated[int, Field(ge=0, le=64)] = 2,
    reduce: Literal["max", "nearest"] = "max",
) -> OneLatentMask:
    """Map the hole onto the latent grid, then grow it by `dilate` latent cells (Kakinuma et al., §3).

    The hole is every pixel with mask > 0, since image.paste_back lets each of them change: soft masks count in full.
    Cells next to a hole hold colour that bled in while encoding (about 1.05 apart without, 0.09 with 2 cells), which is
    what dilating removes. `[b 1 lh lw]` of {0, 1}, 1 = repaint; sides are the mask's over the VAE's factor.

    Args:
        mask: The hole in pixels, 1 = repaint; both sides multiples of the VAE's factor.
        vae: The model's VAE; its factor is the number of pixels that one latent cell spans.
        dilate: Cells by which the hole grows on every side (3×3 maximum, repeated).
        reduce: max: a cell with any hole pixel is hole; nearest: one pixel decides, as in the paper, which loses thin
            holes.

    Raises:
        BadInput: an empty mask, sides that are no multiple of the factor, or a part of the hole that no cell covers.
    """
    hole = unit_mask(mask) > 0
    factor = int(vae.factor)
    require_grid(hole, factor)
    cells = latent_hole(hole, factor, reduce)
    grown = grow_cells(cells, dilate)
    for number, plane in enumerate(hole):
        which = f"mask {number + 1} of {len(hole)}" if len(hole) > 1 else "the mask"
        if not plane.any():
            raise BadInput(
                "mask",
                found=f"{which} is empty: nothing to repaint",
                expected="a hole",
                fix="check the mask file, its channel and invert; white = repaint",
            )
        if reduce == "nearest":
            _require_covered(plane, cells[number, 0], factor, which)
            _warn_of_rest(plane, grown[number, 0], factor, which, ctx)
        if plane.all():
            ctx.warn(f"mask-full: {which} covers the whole picture, so nothing is known and all of it is made up")
        elif bool(grown[number].all()):
            ctx.warn(
                f"mask-full: {which}, reduced and grown by {dilate} cells, covers the whole latent grid, so "
                f"nothing is known; use a smaller dilate or a larger picture"
            )
    return OneLatentMask(grown)


def _require_covered(plane: Tensor, cells: Tensor, factor: int, which: str) -> None:
    lost = lost_components(plane, cells, factor)
    if lost:
        where = "; ".join(f"x {left}–{right - 1}, y {top}–{bottom - 1}" for left, top, right, bottom in lost[:4])
        more = f" and {len(lost) - 4} more" if len(lost) > 4 else ""
        raise BadInput(
            "reduce",
            found=f"{len(lost)} part{'s' if len(lost) > 1 else ''} of {which} that no latent cell "
            f"covers ({where}{more})",
            expected="every part of the hole in at least one cell, or its grey counts as known",
            fix="use reduce=max, or grow the mask with mask.grow",
        )


def _warn_of_rest(plane: Tensor, grown: Tensor, factor: int, which: str, ctx: Context) -> None:
    reached = grown.repeat_interleave(factor, 0).repeat_interleave(factor, 1) > 0
    missed = int((plane & ~reached).sum())
    if missed:
        ctx.warn(
            f"mask-uncovered: {missed} of {int(plane.sum())} hole pixels of {which} lie in cells that count as "
            f"known; reduce=max covers them all"
        )

"""Paste a patch back exactly."""

from typing import Annotated, Literal

from pydantic import Field

from ...graph_runtime import Context, SocketRole, node
from ...graph_runtime.core.light.later import torch
from ...graph_runtime.core.values import require_finite
from ...pictures.batches import common_batch, per_variation
from ...pictures.gradients import even_gradients
from ...pictures.masks.morphology import inward_ramp
from ...pictures.masks.values import unit_mask
from ...pictures.paste import blend as mix
from ...pictures.paste import edge, even_out, match_colours, shown_through
from ...pictures.require import require_mask_fits
from ..checks.image import paste_back as check_paste_back
from ..checks.image import require_one_size
from ..ports import Image, Mask
from .results import OneImage

APART = 0.2  # mean difference of old and new picture in a soft border from which that is reported


@node("image.paste_back", check=check_paste_back)
def paste_back(
    base: Annotated[Image, SocketRole("base")],
    patch: Image,
    mask: Annotated[Mask, SocketRole("changed")],
    feather: Annotated[int, Field(ge=0, le=1024)] = 0,
    color_match: Literal["none", "mean", "histogram"] = "none",
    blend: Literal["none", "membrane", "gradients"] = "none",
    ctx: Context | None = None,
) -> OneImage:
    """Paste the patch into the base: where mask = 0 the base keeps its exact bits, where it is 1 the patch's are used.

    Between, soft masks mix. `feather` works inward only: the mixture rises smoothly from the hole's border to the
    patch alone at a depth of `feather` pixels. With k variations a picture, patch i belongs to base and mask i // k.

    Args:
        base: The original picture, `[b h w 3]`.
        patch: A picture of the same size, e.g. what a model made.
        mask: Where the patch shows, 1 = patch, 0 = base.
        feather: Width of the soft border in pixels, measured inward; 0 for none. What the mask covers there shows
            through: where it is drawn tightly around a thing to remove, grow it first by as much (mask.grow).
        color_match: Correct the patch's colours first, judged on known pixels around the hole: mean shifts each
            channel, histogram remaps it.
        blend: membrane hides the seam: the patch's error on the known pixels beside the hole is carried over the whole
            hole, smoothly (seamless cloning, Pérez et al. 2003, eq. 7), after color_match and before feather. gradients
            also shortens the patch's gradients where those of the base are shorter, judged on known pixels within 64 px
            of the hole: a model's flat areas are never quite flat. It is for holes that continue their surroundings; a
            thing painted anew loses faint shading by it. Where nothing is known, nothing changes.

    Raises:
        BadInput: sizes or batches that differ, NaN in the patch where it shows or is compared, NaN in the base beside
            the hole with blend=membrane|gradients, or color_match without known pixels.
    """
    require_one_size(base, patch)
    plane = unit_mask(require_mask_fits(mask, base)).to(base)
    base, plane = per_variation(patch.shape[0], base=base, mask=plane)
    base, patch, plane = common_batch(base=base, patch=patch.to(base), mask=plane)
    hole = plane > 0
    beside = edge(hole) if blend != "none" else torch.zeros_like(hole)
    judged = patch[hole | beside] if color_match == "none" else patch
    require_finite(judged, "patch", what="the patch", fix="check the node that made them; try dtype=float32")
    if color_match != "none":
        patch = match_colours(patch, base, hole, color_match)
    if blend != "none":
        require_finite(base[beside], "base", what="the base beside the hole", fix="check the node that made it")
        patch = (even_out if blend == "membrane" else even_gradients)(patch, base, hole)
    weight = inward_ramp(plane, feather)
    if feather and ctx is not None and (shown := shown_through(base, patch, plane, weight)) > APART:
        ctx.warn(
            f"feather-shows: in the soft border of {feather} px, which lies inside the mask, old and new differ "
            f"by {shown:.0%} and show through each other; grow the mask by {feather} px first (mask.grow)"
        )
    return OneImage(mix(base, patch, weight))

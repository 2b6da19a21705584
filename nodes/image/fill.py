"""Fill a hole before a model sees the picture."""

from typing import Annotated, Literal

from pydantic import Field

from ...graph_runtime import Context, SocketRole, node
from ...graph_runtime.core.light.later import torch
from ...graph_runtime.core.values import require_finite
from ...pictures.batches import common_batch
from ...pictures.fill import nearest_known, noise_like, smooth_fill
from ...pictures.masks.values import unit_mask
from ...pictures.membrane import harmonic_fill
from ...pictures.paste import edge
from ...pictures.patches.fill import fill_patches
from ...pictures.require import require_mask_fits
from ..checks.image import fill as check_fill
from ..checks.image import require_odd, require_some_known, require_source
from ..ports import Image, Mask
from .results import OneImage


@node("image.fill", check=check_fill)
def fill(
    image: Annotated[Image, SocketRole("base")],
    mask: Mask,
    fill: Literal["neutral", "original", "noise", "blur", "edge", "harmonic", "patches"] = "neutral",
    seed: Annotated[int, Field(ge=0, le=2**64 - 1)] = 0,
    patch: Annotated[int, Field(ge=3, le=31)] = 7,
    source: Mask | None = None,
    ctx: Context | None = None,
) -> OneImage:
    """Fill the hole from the picture itself or with something plain; known pixels keep their exact bits.

    Every pixel with mask > 0 counts as hole, also where a soft mask is faint: what is to be blended is not known.
    neutral is exactly 0.5, which is `x·(1 − hole) = 0` in the model's [−1, 1] (Kakinuma et al., Algorithm 1).
    patches is content-aware and needs no model: patches of the known part, found on several scales (PatchMatch, Barnes
    et al. 2009; Wexler et al. 2007), are copied, and a screened Poisson equation hides the seams between them.

    Args:
        image: The picture, `[b h w 3]`.
        mask: The hole, 1 = repaint.
        fill: neutral (mid-grey), original (unchanged), noise (Gaussian around grey), edge (nearest known colour), blur
            (a smooth membrane from the edge, nearly harmonic), harmonic (that membrane exactly: each pixel is the mean
            of its four neighbours) or patches (pieces of the picture itself).
        seed: Random seed of noise and of the search for patches, drawn on the CPU; the others do not use it.
        patch: Side of a patch in pixels, odd; larger ones keep larger structures together. For fill=patches.
        source: Where patches may be copied from, 1 = from here (at least half); not connected: from all that is known.
            For fill=patches.

    Raises:
        BadInput: a mask of another size, fill=blur|edge|harmonic|patches with a mask that leaves nothing known, an even
            patch, or a source with nothing in it to copy.
    """
    plane = unit_mask(require_mask_fits(mask, image)).to(image)
    image, plane = common_batch(image=image, mask=plane)
    hole = plane > 0
    if fill == "original":
        return OneImage(image.clone())
    if fill in ("edge", "blur", "harmonic", "patches"):
        require_some_known(hole, fill)
    if fill == "patches":
        usable = None if source is None else require_source(source.to(image), image, hole)
        known = image[~hole]
        require_finite(known, "image", what="the known pixels", fix="check the node that made them")
        progress = None if ctx is None else ctx.progress
        return OneImage(
            fill_patches(image, hole, source=usable, patch=require_odd(patch), seed=seed, progress=progress)
        )
    if fill == "edge":
        return OneImage(nearest_known(image, hole))
    if fill == "blur":
        return OneImage(smooth_fill(image, hole))
    if fill == "harmonic":
        beside = image[edge(hole)]
        require_finite(beside, "image", what="the pixels beside the hole", fix="check the node that made them")
        return OneImage(harmonic_fill(image, hole))
    content = noise_like(image, seed) if fill == "noise" else torch.full_like(image, 0.5)
    return OneImage(torch.where(hole[..., None], content, image))

"""Room around a picture, for a model to continue it (outpainting)."""

from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from ...graph_runtime import Context, FromUpstream, SocketRole, node
from ...graph_runtime.core.light.later import Tensor
from ...pictures.files.info import FileInfo
from ...pictures.files.profile import PictureProfile, choose_info
from ...pictures.masks.values import unit_mask
from ...pictures.pad import pad_image, pad_info, pad_mask, plan_margins
from ...pictures.require import require_mask_fits
from ..checks.before_run import Counted, Facts, Known, Params, shaped, worth
from ..checks.image import require_profile
from ..ports import Image, Mask, Profile

Side = Annotated[float, Field(ge=0, le=100_000)]


class Padded(NamedTuple):
    """The larger picture, its margins as a hole, and what its file will say."""

    image: Image
    mask: Mask
    profile: Profile


def _check(known: Known, params: Params) -> Facts:
    """Margins that are nothing or too large; the new size."""
    image = known.get("image")
    if image is None:
        return {}
    require_profile(known, image)
    count, height, width = image.shape[:3]
    if (given := known.get("mask")) is not None:
        require_mask_fits(given, image)
    sides = params["left"], params["top"], params["right"], params["bottom"]
    margins = plan_margins(sides, params["unit"], height, width)
    size = height + margins.top + margins.bottom, width + margins.left + margins.right
    there = known.get("mask", ...)
    mask = None
    if worth(size[0] * size[1] * count) and there is not ... and not (there is not None and there.is_meta):
        mask = _of_each(pad_mask(height, width, margins, there), count)
    return {
        "image": shaped(count, *size, 3),
        "mask": shaped(count, *size) if mask is None else mask,
        "profile": Counted(count),
    }


@node("image.pad", check=_check)
def pad(
    image: Annotated[Image, SocketRole("base")],
    left: Side = 0.0,
    top: Side = 0.0,
    right: Side = 0.0,
    bottom: Side = 0.0,
    unit: Literal["px", "fraction"] = "px",
    border: Literal["mirror", "edge"] = "mirror",
    mask: Mask | None = None,
    profile: Annotated[Profile, FromUpstream("image")] | None = None,
    ctx: Context | None = None,
) -> Padded:
    """Add room around a picture, and mark it as the hole to fill: outpainting.

    `mask` is 1 in the new margins. The picture's own pixels keep their bits, and its file's colours, depth and metadata
    are those of the larger picture; where the photo has transparency, the margins are opaque.

    Args:
        image: The picture, `[b h w 3]`.
        left: Room on the left, in pixels, or as a fraction of the picture's width; at most 3 times that.
        top: Room above, in pixels, or as a fraction of the picture's height; at most 3 times that.
        right: Room on the right, as on the left.
        bottom: Room below, as above.
        unit: px (rounded to whole ones) or fraction.
        border: What stands in the margins until they are filled: mirror (the mirrored picture) or edge (its last row
            or column, drawn out).
        mask: A hole that is there already, which stays one: a mask of the picture, 1 = repaint.
        profile: What the photo's file says. Not connected: that of the only image.load that leads to the picture.

    Raises:
        BadInput: a mask of another size, 0 on all sides, more than three times the picture on one, or a result above
            100 megapixels.
    """
    count, height, width = image.shape[:3]
    hole = None if mask is None else unit_mask(require_mask_fits(mask, image)).to(image)
    margins = plan_margins((left, top, right, bottom), unit, height, width)
    notes: list[str] = []
    infos = choose_info(profile, count, notes) or [FileInfo()] * count
    if ctx is not None:
        for note in notes:
            ctx.warn(note)
    return Padded(
        pad_image(image, margins, border),
        _of_each(pad_mask(height, width, margins, hole), count).clone(),
        PictureProfile(tuple(pad_info(info, height, width, margins) for info in infos)),
    )


def _of_each(mask: Tensor, count: int) -> Tensor:
    """A mask for each of so many pictures; several masks of one picture stay several."""
    return mask.expand(max(count, len(mask)), -1, -1)

"""Room around a picture, for a model to continue it (outpainting)."""

from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from ...graph_runtime import Context, FromUpstream, SocketRole, node
from ...pictures.files.info import FileInfo
from ...pictures.files.profile import PictureProfile, choose_info
from ...pictures.pad import pad_image, pad_info, pad_mask, plan_margins
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
    sides = params["left"], params["top"], params["right"], params["bottom"]
    margins = plan_margins(sides, params["unit"], height, width)
    size = height + margins.top + margins.bottom, width + margins.left + margins.right
    mask = pad_mask(height, width, margins).expand(count, -1, -1) if worth(size[0] * size[1] * count) else None
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
        profile: What the photo's file says. Not connected: that of the only image.load that leads to the picture.

    Raises:
        BadInput: 0 on all sides, more than three times the picture on one, or a result above 100 megapixels.
    """
    count, height, width = image.shape[:3]
    margins = plan_margins((left, top, right, bottom), unit, height, width)
    notes: list[str] = []
    infos = choose_info(profile, count, notes) or [FileInfo()] * count
    if ctx is not None:
        for note in notes:
            ctx.warn(note)
    return Padded(
        pad_image(image, margins, border),
        pad_mask(height, width, margins).expand(count, -1, -1).clone(),
        PictureProfile(tuple(pad_info(info, height, width, margins) for info in infos)),
    )

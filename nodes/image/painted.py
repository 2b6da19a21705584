"""Read a picture together with the mask that was painted on it."""

from dataclasses import replace

from ...graph_runtime import Context, ReadPicture, node
from ...pictures.files.profile import PictureProfile
from ..checks.image import blaming
from ..checks.image import with_mask as check_with_mask
from .files import Loaded, load


@node("image.with_mask", check=check_with_mask)
def with_mask(image: ReadPicture, ctx: Context) -> Loaded:
    """Read one picture and the mask that was painted on it, which is kept in its transparency: 1 − alpha.

    In a node editor this is the node to paste a picture on, to drop one on, and to paint on: the mask editor saves what
    is painted as the transparency of a copy, and chooses that copy here. A picture without transparency has no mask:
    `mask` is zeros of its size. `profile` is that of image.load, but opaque, because the
    transparency is the mask.

    Args:
        image: A picture file.

    Raises:
        BadInput: as image.load; a folder or a pattern.
    """
    with blaming("image"):
        pixels, mask, profile = load(image, ctx)
    return Loaded(pixels, mask, PictureProfile(tuple(replace(one, alpha=None) for one in profile.pictures)))

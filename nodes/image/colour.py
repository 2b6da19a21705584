"""Colours on the way into a model and out of it: a photo's own space and sRGB, which models know."""

from typing import Annotated, NamedTuple

from ...graph_runtime import Context, SocketRole, node
from ...graph_runtime.core.light.later import Tensor, torch
from ...pictures.arrays import Float32Array
from ...pictures.colour.space import is_unknown, space_of, values_from_srgb, values_to_srgb
from ..checks.image import same_size
from ..ports import Image, Profile


class Converted(NamedTuple):
    """A picture in another colour space, and what its numbers mean now."""

    image: Image
    profile: Profile


@node("image.to_srgb", check=same_size)
def to_srgb(image: Annotated[Image, SocketRole("base")], profile: Profile, ctx: Context) -> Converted:
    """Convert a photo from its own colour space to sRGB, which models expect.

    What the profile does decides, not its name: where that is sRGB, every bit stays. Colours that sRGB does not have
    are clipped; image.from_srgb, then image.paste_back onto the photo itself, bring its own colours back. Computed
    in float64 for profiles of a matrix and curves, by littleCMS at 8 bits for profiles of tables (perceptual intent).

    Args:
        image: The photo, `[b h w 3]`, as image.load gave it (image.fit may have changed its size).
        profile: The photo's colour profile, from image.load.

    Raises:
        BadInput: a profile of another number of pictures.
    """
    for about in profile.pictures:
        if is_unknown(about.colour):
            ctx.warn(
                f"{about.name or 'the picture'}: its colour profile works one way only, or is of high dynamic "
                "range: its numbers are taken as if they were sRGB"
            )
    rows = profile.rows(len(image))
    if all(space_of(about.colour) is None for about in rows):
        return Converted(image, profile.as_srgb())
    pictures = [values_to_srgb(picture, about.colour) for picture, about in zip(_arrays(image), rows, strict=True)]
    return Converted(_tensor(pictures, image), profile.as_srgb())


@node("image.from_srgb", check=same_size)
def from_srgb(image: Annotated[Image, SocketRole("base")], profile: Profile) -> Converted:
    """Convert a model's picture from sRGB to a photo's own colour space, to paste back or save; inverts image.to_srgb.

    Where the photo is sRGB, every bit stays. Inside both gamuts the way there and back is exact to a hundredth of
    1/255 (profiles of tables: 2/255).

    Args:
        image: A picture in sRGB, `[b h w 3]`.
        profile: The photo's colour profile, from image.load.

    Raises:
        BadInput: a profile of another number of pictures.
    """
    rows = profile.rows(len(image))
    if all(space_of(about.colour) is None for about in rows):
        return Converted(image, profile)
    pictures = [values_from_srgb(picture, about.colour) for picture, about in zip(_arrays(image), rows, strict=True)]
    return Converted(_tensor(pictures, image), profile)


def _arrays(image: Tensor) -> list[Float32Array]:
    return [picture.detach().to("cpu", torch.float32).numpy() for picture in image]


def _tensor(pictures: list[Float32Array], like: Tensor) -> Tensor:
    return torch.stack([torch.from_numpy(picture) for picture in pictures]).to(like)

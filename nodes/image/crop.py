"""Windows around holes, cut out for a model and put back."""

from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from ...graph_runtime import Context, SocketRole, node
from ...graph_runtime.core.light.later import Tensor
from ...pictures.batches import common_batch
from ...pictures.masks.values import unit_mask
from ...pictures.require import require_mask_fits
from ...pictures.windows import Window, cut_windows, put_back
from ..checks.windows import crop_to_mask as check_crop_to_mask
from ..checks.windows import frame_of, judge, planned_windows, require_patch, require_picture, require_stitch
from ..checks.windows import stitch as check_stitch
from ..ports import Crop, Denoiser, Image, Mask, Vae
from .paste import paste_back
from .results import OneImage


class Cropped(NamedTuple):
    """The surroundings of a hole, and where they came from."""

    image: Image
    mask: Mask
    crop: Crop


@node("image.crop_to_mask", check=check_crop_to_mask)
def crop_to_mask(
    image: Annotated[Image, SocketRole("base")],
    mask: Annotated[Mask, SocketRole("changed")],
    context: Annotated[float, Field(ge=1, le=100)] = 1.5,
    size: Annotated[int, Field(ge=8, le=16384, multiple_of=8)] | Literal["model"] | None = 512,
    windows: Literal["one", "each"] = "one",
    multiple: Annotated[int, Field(ge=1, le=64)] = 8,
    beyond: Literal["known", "mirrored"] = "known",
    denoiser: Annotated[Denoiser, SocketRole("described")] | None = None,
    vae: Annotated[Vae, SocketRole("described")] | None = None,
    ctx: Context | None = None,
) -> Cropped:
    """Cut a square window around the hole for a model to work on at its own resolution; image.stitch puts it back.

    The window's side is `context` times the hole's longer side (at least 64 px; with size=model, at least half the
    model's size), cut to the picture and moved inside; a batch shares its windows. Both sides of the patch are
    multiples of what a connected model takes and, except with size=model, of `multiple`. Only the window is copied,
    so a photo may be of any size.

    Args:
        image: The whole picture, `[b h w 3]`.
        mask: The hole, 1 = repaint.
        context: Window side over hole side: 1 is tight, 1.5 shows half as much again, more helps exemplars fit in.
        size: The patch's longer side in pixels; model: the size that the connected model was trained on (its
            sample_size, times the VAE's factor); null keeps the picture's own pixels.
        windows: one: around all holes. each: where that one would be scaled down (with size=null: be more than twice as
            large), one for each group of holes that lie apart, at most 16; the patches of a picture follow each other.
        multiple: What both sides of a patch are multiples of. With size=null, 1 keeps the window inside the picture;
            else what is beyond its border is mirrored.
        beyond: What counts as hole beyond the picture's border, where pixels are mirrored. known: nothing. mirrored:
            the mirrored hole, so that nothing of what is to go is seen.
        denoiser: The model whose size is used, for size=model. Only its configuration is read.
        vae: Its VAE; without one, the model works on pixels.

    Raises:
        BadInput: an empty mask, one of another size, or a patch above 100 megapixels. With size=model: no denoiser, or
            one that does not say its size; a picture smaller than 8 px; a window that the model would see scaled down
            by more than 4, or with nothing known in it.
    """
    plane = unit_mask(require_mask_fits(mask, image)).to(image)
    if size == "model":
        require_picture(image)
    frame = frame_of(image, context, size, denoiser, vae, multiple)
    warn = (lambda message: None) if ctx is None else ctx.warn
    planned = planned_windows(plane, frame, windows, warn)
    require_patch(planned.size, size)
    judge(planned, plane, size, warn)
    image, plane = common_batch(image=image, mask=plane)
    window = Window(image, plane, planned.places, planned.size)
    return Cropped(*cut_windows(window, mirror_mask=beyond == "mirrored"), window)


@node("image.stitch", check=check_stitch)
def stitch(
    patch: Image,
    crop: Annotated[Crop, SocketRole("base")],
    feather: Annotated[int, Field(ge=0, le=1024)] = 0,
    color_match: Literal["none", "mean", "histogram"] = "none",
    blend: Literal["none", "membrane", "gradients"] = "none",
    ctx: Context | None = None,
) -> OneImage:
    """Put the patch of image.crop_to_mask back into its picture; every pixel outside the mask keeps its exact bits.

    Args:
        patch: The edited window, at the size image.crop_to_mask gave it; of several windows, as many patches. With k
            variations of each, one after the other, there are k results for each picture.
        crop: The crop output of image.crop_to_mask: the whole picture, its mask and the position of the window.
        feather: As in image.paste_back.
        color_match: As in image.paste_back.
        blend: As in image.paste_back.

    Raises:
        BadInput: a patch of another size, or NaN in it where it shows.
    """
    require_stitch(patch, crop)

    def paste(base: Tensor, part: Tensor, mask: Tensor) -> Tensor:
        return paste_back(base, part, mask, feather=feather, color_match=color_match, blend=blend, ctx=ctx).image

    return OneImage(put_back(patch, crop, paste, ringed=color_match != "none"))

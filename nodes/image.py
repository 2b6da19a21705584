"""Pictures: reading, writing, filling holes, pasting back exactly, and making any size fit a model."""

from dataclasses import replace
from typing import Annotated, Literal, NamedTuple

import numpy as np
import torch
from pydantic import Field

from ..graph_runtime import BadInput, Context, FromUpstream, ReadPaths, SocketRole, node
from ..graph_runtime.core.values import require_finite
from ..pictures.augmentation import Augment, cut_reference
from ..pictures.batches import common_batch, per_variation
from ..pictures.boxes import bounding_box
from ..pictures.files.folders import left_out
from ..pictures.files.formats import WRITTEN_SUFFIX
from ..pictures.files.profile import PictureProfile, choose_info, masks_of
from ..pictures.files.read import read_pictures
from ..pictures.files.write import SavedMetadata, write_picture
from ..pictures.fill import nearest_known, noise_like, smooth_fill
from ..pictures.fit import fit_image, plan_fit, require_bounded, unfit_image
from ..pictures.masks.morphology import inward_ramp
from ..pictures.masks.values import unit_mask
from ..pictures.paste import blend, match_colours
from ..pictures.require import require_mask_fits
from ..pictures.windows import Window, cut_window, place_patch, plan_window
from .checks.image import (
    INEXACT,
    require_hole,
    require_one_size,
    require_patch,
    require_sides,
    require_some_known,
    require_stitch,
    require_thing,
    require_unfit,
    transparency,
)
from .checks.image import augment as check_augment
from .checks.image import crop_to_mask as check_crop_to_mask
from .checks.image import fill as check_fill
from .checks.image import fit as check_fit
from .checks.image import load as check_load
from .checks.image import paste_back as check_paste_back
from .checks.image import save as check_save
from .checks.image import stitch as check_stitch
from .checks.image import unfit as check_unfit
from .ports import Crop, Fit, Image, Mask, Paths, Profile


class Loaded(NamedTuple):
    """What a picture file holds."""

    image: Image
    mask: Mask
    profile: Profile


class OneImage(NamedTuple):
    """A picture."""

    image: Image


class Saved(NamedTuple):
    """Files that were written."""

    paths: Paths


class Fitted(NamedTuple):
    """A picture that fits, and how to undo it."""

    image: Image
    mask: Mask
    fit: Fit


class Cropped(NamedTuple):
    """The surroundings of a hole, and where they came from."""

    image: Image
    mask: Mask
    crop: Crop


@node("image.load", check=check_load)
def load(path: ReadPaths, ctx: Context) -> Loaded:
    """Read one picture, or a folder or glob of pictures of one size, upright and with its numbers as stored.

    PNG, JPEG, WebP, BMP, TIFF and GIF of 8 (`x / 255`) or 16 bits (`x / 65535`): 1, L, LA, P, RGB, RGBA; CMYK and Lab
    are converted to sRGB. The EXIF orientation is applied. `image` is `[b h w 3]`; `mask` is 1 − alpha `[b h w]`, zeros
    where a file has no alpha; `profile` is what the file says beside its pixels, for image.save and image.to_srgb.
    An animated file gives its first frame, and files of a folder that are not pictures are skipped; a warning says so.

    Args:
        path: A picture, a folder of pictures, or a glob such as `photos/*.png` (sorted naturally, all of one size).

    Raises:
        BadInput: no such file, not a picture, damaged, empty, over 100 megapixels, an unscaled mode (F, 32-bit), or
            sizes that differ (they are listed).
    """
    pictures = read_pictures(path)
    if rest := left_out(path):
        ctx.warn(rest)
    for picture in pictures:
        for note in (*picture.notes, *picture.colour_notes):
            ctx.warn(f"{picture.path.name}: {note}")
    image = np.stack([picture.rgb() for picture in pictures])
    mask = np.stack([transparency(picture) for picture in pictures])
    said = PictureProfile(tuple(picture.info for picture in pictures))
    return Loaded(torch.from_numpy(image), torch.from_numpy(mask), said)


@node("image.save", effects=True, saves="image", check=check_save)
def save(image: Image, ctx: Context, prefix: str = "image", format: Literal["png", "jpeg", "webp"] = "png",
         metadata: bool = True, gps: bool = False, profile: Annotated[Profile, FromUpstream("image")] | None = None,
         mask: Annotated[Mask, FromUpstream("image", "changed")] | None = None) -> Saved:
    """Write each picture of the batch as a file below the output folder; nothing is ever overwritten.

    8-bit samples are `round(255 · x)` after clamping to [0, 1], so what image.load read comes back exactly in PNG and
    (lossless) WebP; 16-bit pictures in 16-bit PNG. The same picture and metadata give the same bytes.

    Args:
        image: The pictures to write, `[b h w 3]` in [0, 1].
        prefix: Beginning of the file name; `tests/room` makes a folder `tests`. A number follows.
        format: png and webp are exact; jpeg (quality 95, no chroma subsampling) is not, and says so.
        metadata: Carry the workflow inside the file, so that it can be run again from the picture, and the source's
            EXIF data, DPI and texts. false: only pixels and their colour profile.
        gps: Also carry where the source was taken (GPS).
        profile: What the source's file says: colours, depth, transparency, EXIF, DPI, texts. Unwired: that of the
            only image.load that leads to the picture (to the base, where something was pasted back).
        mask: What was painted: 1 becomes opaque where the source was transparent. Unwired: the mask of what was
            pasted back.

    Raises:
        BadInput: NaN or infinity, a prefix outside the output folder, a side too long for the format, a profile of
            another number of pictures, or a disk that is full or read-only. No half-written file is left.
    """
    require_finite(image, "image", what="the picture", fix="check the node that made them")
    require_sides(image, format)
    notes = [INEXACT] if format == "jpeg" else []
    infos = choose_info(profile, len(image), notes)
    beside = SavedMetadata(ctx.metadata if metadata else {}, bare=ctx.bare or not metadata, gps=gps)
    paths = []
    for row, picture in enumerate(image.detach() if image.dtype == torch.float64 else image.detach().float()):
        ctx.check_cancelled()
        try:
            with ctx.new_file(prefix, WRITTEN_SUFFIX[format]) as path:
                notes += write_picture(picture.cpu().numpy(), path, format, beside,
                                       None if infos is None else infos[row], masks_of(mask, row, len(image)))
        except OSError as error:
            raise BadInput("prefix", found=f"{str(ctx.out)!r} cannot be written to ({error.strerror or error})",
                           expected="an output folder with room for the file",
                           fix="free some space, or choose another folder with --out") from error
        for note in notes:
            ctx.warn(note)
        notes = []
        paths.append(str(ctx.saved[-1]))
    return Saved(paths)


@node("image.fit", check=check_fit)
def fit(image: Annotated[Image, SocketRole("base")], mask: Mask | None = None,
        multiple: Annotated[int, Field(ge=1, le=1024)] = 8,
        size: Annotated[int, Field(ge=8, le=16384)] | None = None, mode: Literal["pad", "crop", "resize"] = "pad",
        square: bool = False) -> Fitted:
    """Bring a picture of any size to sides that a model takes; image.unfit brings the result back.

    `size` first scales the picture (aspect kept, bicubic with antialiasing; masks keep every hole). Then `pad`
    mirrors the border outwards (known: mask 0), `crop` cuts the centre, `resize` stretches to the nearest multiple.
    `size=512, mode=crop, square=true` is the papers' centre crop of 512².

    Args:
        image: The picture, `[b h w 3]`, any size.
        mask: Travels along, 1 = repaint; without one, a mask of zeros comes out.
        multiple: Both sides become multiples of this (8 for Stable Diffusion).
        size: Short side in pixels after scaling (the square's side with square=true); null leaves the scale alone.
        mode: pad (nothing is lost), crop (the margin is restored by image.unfit) or resize (aspect changes a little).
        square: Make both sides equal: pad to the longer, crop or resize to the shorter.

    Raises:
        BadInput: a mask of another size, a picture smaller than `multiple` with mode=crop, or a result above 100
            megapixels.
    """
    plane = image.new_zeros(image.shape[:3]) if mask is None else unit_mask(require_mask_fits(mask, image)).to(image)
    height, width = image.shape[1:3]
    plan = plan_fit(height, width, multiple, size, mode, square)
    require_bounded(plan, size, multiple)
    fitted, plane = fit_image(image, plane, plan)
    if mode == "crop":
        plan = replace(plan, original=image.clone())
    return Fitted(fitted, plane, plan)


@node("image.unfit", check=check_unfit)
def unfit(image: Image, fit: Fit) -> OneImage:
    """Give a picture that image.fit changed its original size back, exactly.

    Padding is cut off, scaling is undone, and the margin that mode=crop cut away is restored from the original. What
    was only padded or cropped keeps its bits; after scaling, image.paste_back brings the known pixels back exactly.

    Args:
        image: The result at the fitted size.
        fit: What image.fit gave out.

    Raises:
        BadInput: a picture of another size than image.fit made.
    """
    require_unfit(image, fit)
    return OneImage(unfit_image(image, fit))


@node("image.fill", check=check_fill)
def fill(image: Annotated[Image, SocketRole("base")], mask: Mask,
         fill: Literal["neutral", "original", "noise", "blur", "edge"] = "neutral",
         seed: Annotated[int, Field(ge=0, le=2**64 - 1)] = 0) -> OneImage:
    """Put something plain into the hole before a model sees the picture; known pixels keep their exact bits.

    Every pixel with mask > 0 counts as hole, also where a soft mask is faint: what is to be blended is not known.
    neutral is exactly 0.5, which is `x·(1 − hole) = 0` in the model's [−1, 1] (Kakinuma et al., Algorithm 1).

    Args:
        image: The picture, `[b h w 3]`.
        mask: The hole, 1 = repaint.
        fill: neutral (mid-grey), original (unchanged), noise (Gaussian around grey), edge (nearest known colour) or
            blur (a smooth membrane from the edge).
        seed: Of the noise, drawn on the CPU; the others do not use it.

    Raises:
        BadInput: a mask of another size, or fill=blur|edge with a mask that leaves nothing known.
    """
    plane = unit_mask(require_mask_fits(mask, image)).to(image)
    image, plane = common_batch(image=image, mask=plane)
    hole = plane > 0
    if fill == "original":
        return OneImage(image.clone())
    if fill in ("edge", "blur"):
        require_some_known(hole, fill)
    if fill == "edge":
        return OneImage(nearest_known(image, hole))
    if fill == "blur":
        return OneImage(smooth_fill(image, hole))
    content = noise_like(image, seed) if fill == "noise" else torch.full_like(image, 0.5)
    return OneImage(torch.where(hole[..., None], content, image))


@node("image.paste_back", check=check_paste_back)
def paste_back(base: Annotated[Image, SocketRole("base")], patch: Image, mask: Annotated[Mask, SocketRole("changed")],
               feather: Annotated[int, Field(ge=0, le=1024)] = 0,
               color_match: Literal["none", "mean", "histogram"] = "none") -> OneImage:
    """Lay the patch into the base: wherever mask = 0 the base's exact bits stay, wherever it is 1 the patch's.

    Between, soft masks mix. `feather` works inward only: the mixture rises smoothly from the hole's border to the
    patch alone at a depth of `feather` pixels. With k variations a picture, patch i belongs to base and mask i // k.

    Args:
        base: The original picture, `[b h w 3]`.
        patch: A picture of the same size, e.g. what a model made.
        mask: Where the patch shows, 1 = patch, 0 = base.
        feather: Width of the soft border in pixels, measured inward; 0 for none.
        color_match: Correct the patch's colours first, judged on known pixels around the hole: mean shifts each
            channel, histogram remaps it.

    Raises:
        BadInput: sizes or batches that differ, NaN in the patch where it shows, or color_match without known pixels.
    """
    require_one_size(base, patch)
    plane = unit_mask(require_mask_fits(mask, base)).to(base)
    base, plane = per_variation(patch.shape[0], base=base, mask=plane)
    base, patch, plane = common_batch(base=base, patch=patch.to(base), mask=plane)
    judged = patch[plane > 0] if color_match == "none" else patch
    require_finite(judged, "patch", what="the patch", fix="check the node that made them; try dtype=float32")
    if color_match != "none":
        patch = match_colours(patch, base, plane > 0, color_match)
    return OneImage(blend(base, patch, inward_ramp(plane, feather)))


@node("image.augment", check=check_augment)
def augment(image: Image, mask: Mask | None = None, flip: Annotated[float, Field(ge=0, le=1)] = 0.5,
            rotate: Annotated[float, Field(ge=0, le=180)] = 20.0, blur: Annotated[float, Field(ge=0, le=1)] = 0.3,
            elastic: Annotated[float, Field(ge=0, le=1)] = 0.3, seed: Annotated[int, Field(ge=0, le=2**64 - 1)] = 0,
            size: Annotated[int, Field(ge=8, le=1024)] = 224, pad: Annotated[int, Field(ge=0, le=4096)] = 0,
            count: Annotated[int, Field(ge=1, le=64)] = 1) -> OneImage:
    """Cut a thing out and vary it at random: the exemplars as training sees them (Yang et al. 2022, §3.2).

    Cut, stretched to a square, flipped, turned, blurred and warped, in this order; corners that turning leaves empty
    are mirrored, nothing from outside the cut is seen. All zero: only cut and resized. `[b·count size size 3]`.

    Args:
        image: The picture, `[b h w 3]`.
        mask: The thing: its bounding box is cut out; without one, the whole picture is taken.
        flip: Chance of being mirrored, left to right.
        rotate: Turned by an angle drawn evenly from ± this many degrees.
        blur: Chance of a mean over a square of up to 7 px for each 224 px of `size` (at least 3 px).
        elastic: Chance of being sheared, scaled, moved and bent.
        seed: Of everything random.
        size: Side of the result in pixels; CLIP ViT-L/14 sees 224.
        pad: Pixels of the picture around the box that are cut along, as far as there are any.
        count: Variations of each picture, one after the other.

    Raises:
        BadInput: NaN in the picture, a mask of another size, or an empty one.
    """
    require_finite(image, "image", what="the picture", fix="check the node that made them")
    plane = image.new_ones(image.shape[:3]) if mask is None else unit_mask(require_mask_fits(mask, image)).to(image)
    image, plane = common_batch(image=image, mask=plane)
    how = Augment(flip=flip, rotate=rotate, blur=blur, elastic=elastic, pad=pad)
    draws, made = torch.Generator("cpu").manual_seed(seed), []
    for picture, hole in zip(image, plane, strict=True):
        box = bounding_box(hole[None] > 0)
        require_thing(box)
        assert box is not None
        made += [cut_reference(picture.movedim(-1, 0), box, size, how, draws) for _ in range(count)]
    return OneImage(torch.stack(made).movedim(1, -1).contiguous())


@node("image.crop_to_mask", check=check_crop_to_mask)
def crop_to_mask(image: Annotated[Image, SocketRole("base")], mask: Annotated[Mask, SocketRole("changed")],
                 context: Annotated[float, Field(ge=1, le=100)] = 1.5,
                 size: Annotated[int, Field(ge=8, le=16384, multiple_of=8)] | None = 512) -> Cropped:
    """Cut a square window around the hole for a model to work on at its own resolution; image.stitch puts it back.

    The window's side is `context` times the hole's longer side (at least 64 px), cut to the picture and moved inside;
    a batch shares one window around all its holes. Both sides of the patch are multiples of 8.

    Args:
        image: The whole picture, `[b h w 3]`.
        mask: The hole, 1 = repaint.
        context: Window side over hole side: 1 is tight, 1.5 shows half as much again, more helps exemplars fit in.
        size: The patch's longer side in pixels; null keeps the picture's own pixels.

    Raises:
        BadInput: an empty mask, one of another size, or a patch above 100 megapixels.
    """
    plane = unit_mask(require_mask_fits(mask, image)).to(image)
    image, plane = common_batch(image=image, mask=plane)
    box = require_hole(bounding_box(plane > 0))
    height, width = image.shape[1:3]
    top, left, window_h, window_w, patch = plan_window(box, height, width, context, size)
    require_patch(patch, size)
    window = Window(image.clone(), plane.clone(), top, left, window_h, window_w, patch)
    part, hole = cut_window(window)
    return Cropped(part, hole, window)


@node("image.stitch", check=check_stitch)
def stitch(patch: Image, crop: Annotated[Crop, SocketRole("base")], feather: Annotated[int, Field(ge=0, le=1024)] = 0,
           color_match: Literal["none", "mean", "histogram"] = "none") -> OneImage:
    """Put the patch of image.crop_to_mask back into its picture; every pixel outside the mask keeps its exact bits.

    Args:
        patch: The edited window, at the size image.crop_to_mask gave it.
        crop: What image.crop_to_mask gave out: the whole picture, its mask and the place of the window.
        feather: As in image.paste_back.
        color_match: As in image.paste_back.

    Raises:
        BadInput: a patch of another size, or NaN in it where it shows.
    """
    require_stitch(patch, crop)
    placed = place_patch(patch, crop)
    return paste_back(crop.base, placed, crop.mask, feather=feather, color_match=color_match)

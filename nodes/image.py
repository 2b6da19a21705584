"""Pictures: reading, writing, filling holes, and pasting back exactly."""

from typing import Annotated, Literal, NamedTuple

import numpy as np
import torch
from pydantic import Field

from ..graph_runtime import Context, FromUpstream, ReadPaths, SocketRole, node
from ..graph_runtime.core.values import require_finite
from ..pictures.batches import common_batch, per_variation
from ..pictures.files.folders import left_out
from ..pictures.files.formats import WRITTEN_SUFFIX
from ..pictures.files.profile import PictureProfile, choose_info, masks_of
from ..pictures.files.read import each_picture, picture_files
from ..pictures.files.write import SavedMetadata, write_picture
from ..pictures.fill import nearest_known, noise_like, smooth_fill
from ..pictures.masks.morphology import inward_ramp
from ..pictures.masks.values import unit_mask
from ..pictures.paste import blend, match_colours
from ..pictures.patches.fill import fill_patches
from ..pictures.require import require_mask_fits
from .checks.image import (
    INEXACT,
    require_odd,
    require_one_size,
    require_sides,
    require_some_known,
    require_source,
    transparency,
)
from .checks.image import fill as check_fill
from .checks.image import load as check_load
from .checks.image import paste_back as check_paste_back
from .checks.image import save as check_save
from .ports import Image, Mask, Paths, Profile


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
    files = picture_files(path)
    if rest := left_out(path):
        ctx.warn(rest)
    image, mask, profile = np.empty(0, np.float32), np.empty(0, np.float32), []
    for number, picture in enumerate(each_picture(files)):
        for note in (*picture.notes, *picture.colour_notes):
            ctx.warn(f"{picture.path.name}: {note}")
        if not number:
            width, height = picture.size
            image, mask = (np.zeros((len(files), height, width, *more), np.float32) for more in ((3,), ()))
        picture.rgb(image[number])
        transparency(picture, mask[number])
        profile.append(picture.info)
    return Loaded(torch.from_numpy(image), torch.from_numpy(mask), PictureProfile(tuple(profile)))


@node("image.save", effects=True, saves="image", check=check_save)
def save(
    image: Image,
    ctx: Context,
    prefix: str = "image",
    format: Literal["png", "jpeg", "webp"] = "png",
    metadata: bool = True,
    gps: bool = False,
    profile: Annotated[Profile, FromUpstream("image")] | None = None,
    mask: Annotated[Mask, FromUpstream("image", "changed")] | None = None,
) -> Saved:
    """Write each picture of the batch as a file below the output folder; nothing is ever overwritten.

    8-bit samples are `round(255 · x)` after clamping to [0, 1], so what image.load read comes back exactly in PNG and
    (lossless) WebP; 16-bit pictures in 16-bit PNG. The same picture and metadata give the same bytes.

    Args:
        image: The pictures to write, `[b h w 3]` in [0, 1].
        prefix: Beginning of the file name; `tests/room` makes a folder `tests`. A number follows.
        format: png and webp are exact; jpeg (quality 95, no chroma subsampling) is not, and a warning says so.
        metadata: Carry the workflow inside the file, so that it can be run again from the picture, and the source's
            EXIF data, DPI and texts. false: only pixels and their colour profile.
        gps: Also carry where the source was taken (GPS).
        profile: What the source's file says: colours, depth, transparency, EXIF, DPI, texts. Not connected: that of the
            only image.load that leads to the picture (to the base, where something was pasted back).
        mask: What was painted: 1 becomes opaque where the source was transparent. Not connected: the mask of what was
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
        with ctx.new_file(prefix, WRITTEN_SUFFIX[format]) as path:
            notes += write_picture(
                picture.cpu().numpy(),
                path,
                format,
                beside,
                None if infos is None else infos[row],
                masks_of(mask, row, len(image)),
            )
        for note in notes:
            ctx.warn(note)
        notes = []
        paths.append(str(ctx.saved[-1]))
    return Saved(paths)


@node("image.fill", check=check_fill)
def fill(
    image: Annotated[Image, SocketRole("base")],
    mask: Mask,
    fill: Literal["neutral", "original", "noise", "blur", "edge", "patches"] = "neutral",
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
            (a smooth membrane from the edge) or patches (pieces of the picture itself).
        seed: Random seed of noise and of the search for patches, drawn on the CPU; the others do not use it.
        patch: Side of a patch in pixels, odd; larger ones keep larger structures together. For fill=patches.
        source: Where patches may be copied from, 1 = from here (at least half); not connected: from all that is known.
            For fill=patches.

    Raises:
        BadInput: a mask of another size, fill=blur|edge|patches with a mask that leaves nothing known, an even patch,
            or a source with nothing in it to copy.
    """
    plane = unit_mask(require_mask_fits(mask, image)).to(image)
    image, plane = common_batch(image=image, mask=plane)
    hole = plane > 0
    if fill == "original":
        return OneImage(image.clone())
    if fill in ("edge", "blur", "patches"):
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
    content = noise_like(image, seed) if fill == "noise" else torch.full_like(image, 0.5)
    return OneImage(torch.where(hole[..., None], content, image))


@node("image.paste_back", check=check_paste_back)
def paste_back(
    base: Annotated[Image, SocketRole("base")],
    patch: Image,
    mask: Annotated[Mask, SocketRole("changed")],
    feather: Annotated[int, Field(ge=0, le=1024)] = 0,
    color_match: Literal["none", "mean", "histogram"] = "none",
) -> OneImage:
    """Paste the patch into the base: where mask = 0 the base keeps its exact bits, where it is 1 the patch's are used.

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

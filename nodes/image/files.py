"""Read and write pictures."""

from typing import Annotated, Literal, NamedTuple

import numpy as np

from ...graph_runtime import Context, FromUpstream, ReadEach, node
from ...graph_runtime.core.light.later import torch
from ...graph_runtime.core.values import require_finite
from ...pictures.files.folders import left_out
from ...pictures.files.formats import WRITTEN_SUFFIX
from ...pictures.files.profile import PictureProfile, choose_info, masks_of
from ...pictures.files.read import each_picture, picture_files
from ...pictures.files.write import SavedMetadata, write_picture
from ..checks.image import INEXACT, require_sides, transparency
from ..checks.image import load as check_load
from ..checks.image import save as check_save
from ..ports import Image, Mask, Paths, Profile


class Loaded(NamedTuple):
    """What a picture file holds."""

    image: Image
    mask: Mask
    profile: Profile


class Saved(NamedTuple):
    """Files that were written."""

    paths: Paths


@node("image.load", check=check_load)
def load(path: ReadEach, ctx: Context) -> Loaded:
    """Read one picture, or a folder or glob of pictures of one size, upright and with its numbers as stored.

    PNG, JPEG, WebP, BMP, TIFF and GIF of 8 (`x / 255`) or 16 bits (`x / 65535`): 1, L, LA, P, RGB, RGBA; CMYK and Lab
    are converted to sRGB. The EXIF orientation is applied. `image` is `[b h w 3]`; `mask` is 1 − alpha `[b h w]`, zeros
    where a file has no alpha; `profile` is what the file says beside its pixels, for image.save and image.to_srgb.
    An animated file gives its first frame, and files of a folder that are not pictures are skipped; a warning says so.
    A folder given on the command line or to `inlay.run`, of any sizes, is a job: one run a picture.

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
            `%date:yyyy-MM-dd%`, `%width%`, `%height%` and `%node.setting%` stand for what they say.
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
        size = {"width": picture.shape[1], "height": picture.shape[0]}
        with ctx.new_file(prefix, WRITTEN_SUFFIX[format], size) as path:
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

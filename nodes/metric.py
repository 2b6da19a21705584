"""Metrics: how near a picture is to another one."""

import importlib.util
import math
from typing import NamedTuple

from ..graph_runtime import BadInput, Context, ReadPaths, node
from ..graph_runtime.core.light.later import Tensor, torch
from ..graph_runtime.core.notices import notice
from ..graph_runtime.core.values import plain_mode, require_finite
from ..models.embedded import mark_own_pictures, unknown_words
from ..models.image_encoder import picture_vectors, unit
from ..models.protocols import ImageEncoderDescription
from ..pictures.batches import each_with_mask
from ..pictures.boxes import bounding_box
from ..pictures.files.folders import find_pictures, left_out
from ..pictures.files.read import read_picture
from ..pictures.metrics import frechet, similarity_map
from ..pictures.require import require_mask_fits
from .checks.before_run import Known, Params
from .checks.metric import fid as check_fid
from .checks.metric import pair as check_pair
from .checks.metric import psnr as check_psnr
from .checks.metric import region as check_region
from .checks.metric import (
    require_looked_at,
    require_pair,
    require_region,
    require_set,
    require_weight,
    require_window,
    windowed,
)
from .checks.metric import ssim as check_ssim
from .ports import Clip, Dino, HigherValue, Image, LowerValue, Mask


class Likeness(NamedTuple):
    """How alike two things are: higher is better."""

    value: HigherValue


class Distance(NamedTuple):
    """How far apart two things are: lower is better."""

    value: LowerValue


def _pair(image: Image, reference: Image, mask: Mask | None) -> tuple[Tensor, Tensor, Tensor | None]:
    """Both pictures in float64, of one size and as many rows, and the mask `[b h w]` or None."""
    for port, value in (("image", image), ("reference", reference)):
        require_finite(value, port, what="the picture", fix="check the node that made it")
    require_pair(image, reference)
    rows = max(len(image), len(reference))
    where = None
    if mask is not None:
        rows = max(rows, len(require_mask_fits(mask, max(image, reference, key=len))))
        where = mask.expand(rows, -1, -1)
    shape = (rows, *image.shape[1:])
    return image.double().expand(shape), reference.double().expand(shape), where


@node("metric.psnr", version=1, check=check_psnr)
def psnr(image: Image, reference: Image, mask: Mask | None = None) -> Likeness:
    """Peak signal-to-noise ratio in dB: 10·log₁₀(1 / mean squared difference), values in [0, 1].

    All pictures of a batch together. Equal pictures: infinity.

    Args:
        image: the picture.
        reference: what it is compared with.
        mask: weights of the pixels; 0 leaves a pixel out. Not connected: all pixels.

    Raises:
        BadInput: other sizes, or a mask that is 0 everywhere.
    """
    found, wanted, where = _pair(image, reference, mask)
    squares = (found - wanted).square().mean(-1)
    if where is not None:
        weights = where.double()
        require_weight(float(weights.sum()))
        error = float((squares * weights).sum() / weights.sum())
    else:
        error = float(squares.mean())
    return Likeness(math.inf if error == 0 else -10 * math.log10(error))


@node("metric.known_region", version=1, check=check_pair)
def known_region(image: Image, reference: Image, mask: Mask) -> Distance:
    """The largest difference of any value outside the mask, in [0, 1]: 0 where an edit kept all of that exactly.

    Args:
        image: the edited picture.
        reference: the picture before.
        mask: 1 = repainted; every pixel where it is above 0 is left out.
    """
    found, wanted, where = _pair(image, reference, mask)
    assert where is not None
    difference = (found - wanted).abs().amax(-1)[where <= 0]
    return Distance(float(difference.max()) if difference.numel() else 0.0)


@node("metric.ssim", version=1, check=check_ssim)
def ssim(image: Image, reference: Image, mask: Mask | None = None) -> Likeness:
    """Structural similarity (Wang et al. 2004): 1 for equal pictures. Gaussian window of 11 × 11, σ 1.5, mean of RGB.

    Args:
        image: the picture.
        reference: what it is compared with.
        mask: the windows that count: those whose middle is above 0.5. Not connected: everywhere the window fits.

    Raises:
        BadInput: other sizes, sides below 11, or a mask with no window in it.
    """
    found, wanted, where = _pair(image, reference, mask)
    require_window(found)
    values = similarity_map(found, wanted)
    if where is not None:
        chosen = windowed(where)
        require_looked_at(chosen)
        values = values[chosen]
    return Likeness(float(values.mean()))


def _check_lpips(known: Known, params: Params) -> None:
    check_pair(known, params)
    if importlib.util.find_spec("lpips") is None:
        raise _no_lpips()


def _no_lpips() -> BadInput:
    return BadInput(
        None,
        found="no package lpips",
        expected="it, with torchvision, which it needs",
        fix="pip install lpips; or use metric.ssim",
    )


@node("metric.lpips", version=1, check=_check_lpips)
def lpips(image: Image, reference: Image, mask: Mask | None = None) -> Distance:
    """Perceptual distance (Zhang et al. 2018) with AlexNet: 0 for equal pictures. Needs `pip install lpips`.

    Args:
        image: the picture.
        reference: what it is compared with.
        mask: pixels that count, above 0.5; the others are made equal in both. Not connected: the whole picture.

    Raises:
        BadInput: the package is not installed, or other sizes.
    """
    try:
        import lpips as package  # type: ignore[import-not-found,unused-ignore]
    except ImportError as error:
        raise _no_lpips() from error
    found, wanted, where = _pair(image, reference, mask)
    if where is not None:
        found = wanted + (found - wanted) * (where > 0.5)[..., None]
    with plain_mode():
        network = package.LPIPS(net="alex", verbose=False)
        distance = network(*(value.float().movedim(-1, 1) * 2 - 1 for value in (found, wanted)))
    return Distance(float(distance.mean()))


def _regions(image: Tensor, mask: Mask | None) -> list[Tensor]:
    """Each picture `[h w 3]`, cut to the box around its mask."""
    if mask is None:
        return list(image)
    cut = []
    for picture, plane in each_with_mask(image, require_mask_fits(mask, image)):
        box = bounding_box(plane[None] > 0.5)
        require_region(box)
        assert box is not None
        left, top, right, bottom = box
        cut.append(picture[top:bottom, left:right])
    return cut


def _likeness(
    image: Tensor, reference: Tensor, mask: Tensor | None, encoder: ImageEncoderDescription, ctx: Context
) -> Likeness:
    with plain_mode(), ctx.lease(encoder) as module:
        found = unit(picture_vectors(module, encoder, _regions(image, mask)))
        wanted = unit(picture_vectors(module, encoder, list(reference)))
    return Likeness(100 * float((found @ wanted.T).mean()))


@node("metric.clip_image", version=1, check=check_region)
def clip_image(image: Image, reference: Image, clip: Clip, ctx: Context, mask: Mask | None = None) -> Likeness:
    """Similarity of two pictures to CLIP: 100 × the cosine of their embeddings, the mean over all pairs.

    Args:
        image: the picture.
        reference: what it should be like, such as an exemplar; any size.
        clip: from model.clip.
        mask: the region of the picture that counts, cut out by its box. Not connected: the whole picture.
    """
    return _likeness(image, reference, mask, clip, ctx)


@node("metric.dino", version=1, check=check_region)
def dino(image: Image, reference: Image, dino: Dino, ctx: Context, mask: Mask | None = None) -> Likeness:
    """Similarity of two pictures to DINO, which tells one subject from another of its kind: 100 × the cosine.

    Args:
        image: the picture.
        reference: what it should be like, such as an exemplar; any size.
        dino: from model.dino.
        mask: the region of the picture that counts, cut out by its box. Not connected: the whole picture.
    """
    return _likeness(image, reference, mask, dino, ctx)


def _check_words(known: Known, params: Params) -> None:
    check_region(known, params)
    if note := unknown_words(getattr(known.get("clip"), "origin", None), params["text"]):
        notice(note)


@node("metric.clip_score", version=1, check=_check_words)
def clip_score(image: Image, clip: Clip, ctx: Context, text: str = "", mask: Mask | None = None) -> Likeness:
    """How well a picture fits a text (Hessel et al. 2021): 100 × the cosine, never below 0, the mean over pictures.

    Args:
        image: the picture.
        clip: from model.clip.
        text: what it should show.
        mask: the region of the picture that counts, cut out by its box. Not connected: the whole picture.
    """
    if note := unknown_words(clip.origin, text):
        ctx.warn(note)
    with plain_mode(), ctx.lease(clip) as module:
        found = unit(picture_vectors(module, clip, _regions(image, mask)))
        wanted = unit(module.texts([text]).cpu().double())
    return Likeness(100 * float((found @ wanted.T).clamp(min=0).mean()))


def _check_fid(known: Known, params: Params) -> None:
    mark_own_pictures([params["path"], params["reference"]])
    for port in ("path", "reference"):
        if rest := left_out(params[port]):
            notice(f"{port}: {rest}")
    check_fid(known, params)


@node("metric.fid", version=1, check=_check_fid)
def fid(path: ReadPaths, reference: ReadPaths, features: Dino, ctx: Context) -> Distance:
    """Fréchet distance of two sets of pictures (Heusel et al. 2017), in the space of the connected encoder.

    Compare only distances that one encoder gave for sets of one size: published FIDs use Inception.

    Args:
        path: a folder or glob of pictures, of any sizes.
        reference: the pictures that they should be like.
        features: from model.clip or model.dino.

    Raises:
        BadInput: fewer than two pictures in a set.
    """
    sets = []
    with plain_mode(), ctx.lease(features) as module:
        for port, where in (("path", path), ("reference", reference)):
            files = find_pictures(where)
            if rest := left_out(where):
                ctx.warn(f"{port}: {rest}")
            require_set(port, len(files))
            rows = []
            for number, file in enumerate(files, 1):
                picture = torch.from_numpy(read_picture(file).srgb())
                rows.append(picture_vectors(module, features, [picture]))
                ctx.progress(number, len(files), note=port)
            sets.append(torch.cat(rows))
    return Distance(frechet(*sets))

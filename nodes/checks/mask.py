"""What is wrong with masks, known before a run: from files where they are small, from sizes where not.

Each function is the check hook of one node (see `before_run.py`).
"""

import contextlib

from ...graph_runtime import BadInput
from ...graph_runtime.core.bounded.effort import affords
from ...graph_runtime.core.light.later import Tensor
from ...graph_runtime.core.notices import notice
from ...pictures.boxes import Box, bounding_box
from ...pictures.files.headers import headers
from ...pictures.masks.copies import Photo, PhotoNeededError
from ...pictures.masks.read import no_alpha, read_masks
from ...pictures.masks.values import unit_mask
from ...pictures.pairing import files_of, named
from ...pictures.require import require_mask_fits
from .before_run import Facts, Known, Params, cheap, described, shaped, with_values

READ = 12_500_000  # pixels of mask files that are decoded while checking: a phone's photo, and about a second


def load(known: Known, params: Params) -> Facts:
    """What is wrong with the file, and, where it is not too large, with the mask in it."""
    found = headers(params["path"])
    for one in found:
        if params["channel"] == "alpha" and not one.transparent:
            raise no_alpha(one.path.name, one.mode)
    mask = shaped(len(found), found[0].height, found[0].width)
    pixels = sum(one.pixels for one in found)
    if pixels <= READ and affords(pixels):
        how = params["channel"], params["invert"], params["threshold"]
        with contextlib.suppress(PhotoNeededError):
            mask = with_values(read_masks(params["path"], *how, notice, _photos(known.get("image", ...))))
    return {"mask": named(mask, [one.path.name for one in found])}


def _photos(image: object) -> list[Photo]:
    """The photos whose masks are read: their size, before they are."""
    if image is None:
        return []
    return [Photo((image.shape[2], image.shape[1]))] * len(image) if isinstance(image, Tensor) else [Photo(None)]


def detect(known: Known, params: Params) -> Facts:
    """A given mask that does not fit the picture, or is empty; sizes."""
    image, mask = known.get("image"), known.get("mask", ...)
    if mask is not None and mask is not ...:
        unit_mask(require_mask_fits(mask, image))
        if cheap(mask):
            require_marked(mask, len(mask) if image is None else max(len(mask), len(image)))
    if image is None or mask is ...:
        return {}
    rows = len(image) if mask is None else max(len(image), len(mask))
    return {
        "mask": shaped(rows, *image.shape[1:3]) if mask is None else mask.expand(rows, -1, -1),
        "overlay": shaped(rows, *image.shape[1:]),
    }


def require_marked(mask: Tensor, count: int) -> list[Box]:
    """The box of each mask; raises BadInput where one is empty."""
    boxes = []
    for number, plane in enumerate(mask.expand(count, -1, -1), 1):
        box = bounding_box(plane[None] > 0)
        if box is None:
            raise BadInput(
                "mask",
                found=f"mask {number} of {count} is empty" if count > 1 else "an empty mask",
                expected="a mask with something in it, or none",
                fix="disconnect the mask to detect instead",
            )
        boxes.append(box)
    return boxes


def to_latent(known: Known, params: Params) -> Facts:
    """Sides that are no multiple of the VAE's factor; the grid that comes out."""
    mask, vae = known.get("mask"), known.get("vae")
    if mask is None or not described(vae):
        return {}
    unit_mask(mask)
    factor = int(vae.factor)
    require_grid(mask, factor)
    return {"latent_mask": shaped(len(mask), 1, mask.shape[1] // factor, mask.shape[2] // factor)}


def require_grid(mask: Tensor, factor: int) -> None:
    """Raise BadInput unless the mask's sides are multiples of the VAE's factor."""
    height, width = mask.shape[1:]
    if height % factor or width % factor:
        raise BadInput(
            "mask",
            found=f"a mask of {width}×{height} pixels",
            expected=f"sides that are multiples of {factor}, the pixels of one latent cell",
            fix=f"use image.fit with multiple={factor} first",
        )


def grow(known: Known, params: Params) -> Facts:
    """The mask's shape."""
    mask = known.get("mask")
    if mask is None:
        return {}
    return {"mask": named(shaped(*unit_mask(mask).shape), files_of(mask))}

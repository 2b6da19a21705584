"""What is wrong with measurements, known before a run: sizes that differ, masks with nothing in them.

Each function is the check hook of one node, or what hook and node both ask for (see `before_run.py`).
"""

from ...graph_runtime import BadInput
from ...graph_runtime.core.light.later import Tensor
from ...pictures.boxes import Box, bounding_box
from ...pictures.files.folders import find_pictures
from ...pictures.metrics import WINDOW
from ...pictures.require import require_mask_fits
from .before_run import Known, Params, cheap


def pair(known: Known, params: Params) -> None:
    """Pictures of two sizes."""
    image, reference, mask = (known.get(name) for name in ("image", "reference", "mask"))
    if image is not None and reference is not None:
        require_pair(image, reference)
    if mask is not None:
        pictures = (picture for picture in (image, reference) if picture is not None)
        require_mask_fits(mask, max(pictures, key=len, default=None))


def require_pair(image: Tensor, reference: Tensor) -> None:
    """Raise BadInput unless two pictures have one size, and as many rows or one."""
    if image.shape[1:3] != reference.shape[1:3]:
        raise BadInput(
            "reference",
            found=f"a picture of {reference.shape[2]}×{reference.shape[1]}",
            expected=f"the image's size, {image.shape[2]}×{image.shape[1]}",
            fix="compare pictures of one size: undo image.fit with image.unfit",
        )
    if {len(image), len(reference)} - {1, max(len(image), len(reference))}:
        raise BadInput(
            "reference",
            found=f"{len(reference)} pictures for {len(image)}",
            expected="one, or one for each picture",
            fix="connect as many",
        )


def psnr(known: Known, params: Params) -> None:
    """As for a pair, and a mask that is 0 everywhere."""
    pair(known, params)
    if cheap(mask := known.get("mask")):
        require_weight(float(mask.sum()))


def require_weight(total: float) -> None:
    """Raise BadInput where a mask leaves no pixel to compare."""
    if total == 0:
        raise BadInput(
            "mask",
            found="a mask that is 0 everywhere",
            expected="some pixels to compare",
            fix="draw the mask in white where the pictures are to be compared",
        )


def ssim(known: Known, params: Params) -> None:
    """As for a pair, and pictures smaller than the window, or a mask with no window in it."""
    pair(known, params)
    if (image := known.get("image")) is not None:
        require_window(image)
    if cheap(mask := known.get("mask")) and min(mask.shape[1:]) >= WINDOW:
        require_looked_at(windowed(mask))


def require_window(image: Tensor) -> None:
    """Raise BadInput where the window is larger than the picture."""
    if min(image.shape[1:3]) < WINDOW:
        raise BadInput(
            "image",
            found=f"a picture of {image.shape[2]}×{image.shape[1]}",
            expected=f"sides of {WINDOW} pixels or more",
            fix="measure a larger picture",
        )


def windowed(mask: Tensor) -> Tensor:
    """Windows that a mask `[b h w]` chooses, by their middles."""
    edge = WINDOW // 2
    return mask[:, edge:-edge, edge:-edge] > 0.5


def require_looked_at(chosen: Tensor) -> None:
    """Raise BadInput where no window is chosen."""
    if not chosen.any():
        raise BadInput(
            "mask",
            found="a mask with no window in it",
            expected="white where the pictures are to be compared",
            fix="use metric.psnr for thin regions",
        )


def require_region(box: Box | None) -> None:
    """Raise BadInput where a mask marks no region."""
    if box is None:
        raise BadInput("mask", found="an empty mask", expected="something marked in white", fix="draw the mask")


def region(known: Known, params: Params) -> None:
    """A mask that fits no picture, or is empty."""
    image, mask = known.get("image"), known.get("mask")
    if mask is not None:
        require_mask_fits(mask, image)
        for plane in mask if cheap(mask) else ():
            require_region(bounding_box(plane[None] > 0.5))


def fid(known: Known, params: Params) -> None:
    """A set of fewer than two pictures."""
    for port in ("path", "reference"):
        require_set(port, len(find_pictures(params[port])))


def require_set(port: str, count: int) -> None:
    """Raise BadInput where a set is too small for a spread."""
    if count < 2:
        raise BadInput(
            port, found=f"{count} pictures", expected="two or more, better a thousand", fix="name a folder of pictures"
        )


def caption(known: Known, params: Params) -> None:
    """Several pictures."""
    if (image := known.get("image")) is not None:
        require_single(image)


def require_single(image: Tensor) -> None:
    """Raise BadInput unless it is one picture."""
    if len(image) != 1:
        raise BadInput(
            "image", found=f"{len(image)} pictures", expected="one: a caption is one text", fix="load one picture"
        )

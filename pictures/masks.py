"""Masks as numbers: distances, growth, ramps, shapes, the latent grid, and what a careful eye notices about a mask.

A mask is `[b h w]` with 1 = repaint, 0 = keep. Its *hole* is every pixel above zero: such a pixel may change, so
nothing may treat it as known. Pictures end at their border: outside is neither hole nor known, so a hole that touches
the border is not feathered or shrunk from that side.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor

from ..graph_runtime import BadInput

RANGE_SLACK = 1e-3  # how far resampling in other packs may overshoot [0, 1]
ALMOST = 0.1  # closer than this to black or white, yet not there
HAZE_SHARE = 0.1  # such pixels are worth a word from this share on
SOFT_SHARE = 0.25  # greys among the non-black pixels, from which a hard threshold is worth a word
LARGE_SHARE = 0.9  # a hole this large is more often an inverted mask than a wish


def unit_mask(mask: Float[Tensor, "b h w"], port: str = "mask") -> Float[Tensor, "b h w"]:
    """`mask` clamped to [0, 1]; NaN, infinity or values well outside raise BadInput that names `port`."""
    if mask.is_meta:  # of a mask that does not exist yet only the shape is known
        return mask
    if not mask.is_floating_point():
        mask = mask.to(torch.float32)
    low, high = float(mask.min()), float(mask.max())
    if not (low >= -RANGE_SLACK and high <= 1 + RANGE_SLACK):  # also true for NaN
        raise BadInput(
            port,
            found=f"mask values from {low:g} to {high:g}",
            expected="values in [0, 1], 1 = repaint",
            fix="divide by 255 if it holds bytes; check the node that made NaN or infinity otherwise",
        )
    return mask.clamp(0, 1)


def per_mask(
    function: Callable[[NDArray[np.float32]], NDArray[np.generic]], mask: Float[Tensor, "b h w"]
) -> Float[Tensor, "b h w"]:
    """Apply a numpy function to every `[h w]` plane; the result has the mask's dtype and device."""
    planes = [torch.from_numpy(np.ascontiguousarray(function(plane))) for plane in mask.detach().cpu().numpy()]
    return torch.stack(planes).to(mask)


def depth(hole: Bool[Tensor, "b h w"]) -> Float[Tensor, "b h w"]:
    """Euclidean distance in pixels from each hole pixel to the nearest pixel outside the hole (0 outside, ≥ 1 inside).

    Where a plane has no pixel outside, the distance is infinite.
    """
    from scipy.ndimage import distance_transform_edt

    out = torch.zeros(hole.shape, dtype=torch.float64)
    for distance, plane in zip(out, hole.cpu(), strict=True):
        box = bounding_box(plane[None])
        if plane.all():
            distance.fill_(torch.inf)
        elif box is not None:  # the nearest pixel outside is at most one beyond the hole's box
            left, top, right, bottom = box
            part = (slice(max(0, top - 1), bottom + 1), slice(max(0, left - 1), right + 1))
            distance[part] = torch.from_numpy(distance_transform_edt(plane[part].numpy()))
    return out.to(hole.device)


def inward_ramp(mask: Float[Tensor, "b h w"], feather: int) -> Float[Tensor, "b h w"]:
    """`mask` times a smooth ramp that rises inside the hole: `s(d / (feather + 1))`, `s(t) = 3t² − 2t³`.

    `d` is the depth in the hole, so the ramp is above 0 on every hole pixel, 1 from depth `feather + 1` on, and the
    product is 0 exactly where the mask is. `feather = 0` returns the mask.
    """
    if feather == 0:
        return mask
    t = (depth(mask > 0) / (feather + 1)).clamp(0, 1)
    return mask * (t * t * (3 - 2 * t)).to(mask)


def grow_mask(mask: Float[Tensor, "b h w"], pixels: int) -> Float[Tensor, "b h w"]:
    """Dilate by a Euclidean disc of radius `pixels` (negative: erode). Soft masks take the disc's maximum (minimum).

    On binary masks this is `distance to the hole ≤ pixels`; eroding is its mirror, `depth > |pixels|`.
    """
    if pixels == 0:
        return mask.clone()
    if pixels < 0:
        return 1 - grow_mask(1 - mask, -pixels) if _binary(mask) else -per_mask(_disc_maximum(-pixels), -mask)
    if not _binary(mask):
        return per_mask(_disc_maximum(pixels), mask)
    outside = depth(mask <= 0)  # infinite where the mask is empty: stays empty
    return (outside <= pixels).to(mask)


def _binary(mask: Tensor) -> bool:
    return bool(((mask == 0) | (mask == 1)).all())


def _disc_maximum(radius: int) -> Callable[[NDArray[np.float32]], NDArray[np.generic]]:
    """Grey dilation by a disc, one row of the disc at a time: O(radius) running maxima instead of O(radius²) reads."""
    from scipy.ndimage import maximum_filter1d

    def dilate(plane: NDArray[np.float32]) -> NDArray[np.generic]:
        height = plane.shape[0]
        out = plane.copy()
        for dy in range(-min(radius, height - 1), min(radius, height - 1) + 1):
            half = int(np.sqrt(radius * radius - dy * dy))
            rows = maximum_filter1d(plane, 2 * half + 1, axis=1, mode="constant", cval=-np.inf) if half else plane
            here = slice(max(0, dy), height + min(0, dy))
            there = slice(max(0, -dy), height + min(0, -dy))
            np.maximum(out[here], rows[there], out=out[here])
        return out

    return dilate


def resize_mask(mask: Float[Tensor, "b h w"], height: int, width: int) -> Float[Tensor, "b height width"]:
    """Resize so that no hole is lost: each new pixel is the maximum of the old ones that it overlaps."""
    return F.adaptive_max_pool2d(mask[:, None], (height, width))[:, 0]


def latent_hole(hole: Bool[Tensor, "b h w"], factor: int, reduce: str) -> Float[Tensor, "b 1 lh lw"]:
    """The hole on the latent grid, before it is grown; h and w are multiples of `factor`.

    `nearest` reads pixel (factor·i, factor·j) of cell (i, j), as `F.interpolate(mode="nearest")` does (Kakinuma et
    al., §3); `max` takes a cell with any hole pixel, so thin holes survive.
    """
    pixels = hole[:, None].to(torch.float32)
    if reduce == "max":
        return F.max_pool2d(pixels, factor)
    return F.interpolate(pixels, size=(hole.shape[1] // factor, hole.shape[2] // factor), mode="nearest")


def grow_cells(cells: Float[Tensor, "b 1 lh lw"], dilate: int) -> Float[Tensor, "b 1 lh lw"]:
    """`max_pool3x3`, `dilate` times (one pool of 2·dilate + 1 is the same)."""
    return F.max_pool2d(cells, 2 * dilate + 1, stride=1, padding=dilate) if dilate else cells


def lost_components(hole: Bool[Tensor, "h w"], cells: Float[Tensor, "lh lw"], factor: int) -> list[tuple[int, ...]]:
    """Boxes `(left, top, right, bottom)` of the hole's 8-connected components that no latent hole cell touches."""
    from scipy.ndimage import find_objects, label

    labels, count = label(hole.cpu().numpy(), structure=np.ones((3, 3)))
    covered = np.kron(cells.cpu().numpy() > 0, np.ones((factor, factor), dtype=bool))
    lost = np.setdiff1d(np.arange(1, count + 1), labels[covered])
    boxes = find_objects(labels)
    return [(s[1].start, s[0].start, s[1].stop, s[0].stop) for s in (boxes[i - 1] for i in lost)]


def bounding_box(hole: Bool[Tensor, "b h w"]) -> tuple[int, int, int, int] | None:
    """`(left, top, right, bottom)` of all holes together, right and bottom exclusive; None when there is none."""
    rows, columns = hole.any(0).any(1).nonzero(), hole.any(0).any(0).nonzero()
    if not len(rows):
        return None
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels."""

    left: int
    top: int
    width: int
    height: int


def draw_shape(box: Box, kind: str, height: int, width: int) -> Float[Tensor, "height width"]:
    """1 inside the rectangle or the ellipse inscribed in it (a pixel counts when its centre is inside), 0 elsewhere."""
    mask = torch.zeros(height, width)
    if kind != "ellipse":
        mask[box.top : box.top + box.height, box.left : box.left + box.width] = 1
        return mask
    y = (torch.arange(height, dtype=torch.float64) + 0.5 - box.top - box.height / 2) / (box.height / 2)
    x = (torch.arange(width, dtype=torch.float64) + 0.5 - box.left - box.width / 2) / (box.width / 2)
    return ((x[None] ** 2 + y[:, None] ** 2) <= 1).to(torch.float32)


def mask_notes(soft: Float[Tensor, "h w"], mask: Float[Tensor, "h w"], threshold: float | None) -> list[str]:
    """What is suspicious about a mask, each as `name: what, and what to do`. `soft` is it before the threshold."""
    peak, floor = float(soft.max()), float(soft.min())
    if float(mask.max()) == 0:
        if peak == 0:
            return [
                "mask-empty: it is black (or opaque) everywhere, so nothing would be repainted; "
                "white = repaint: use invert=true if black was meant, or another channel"
            ]
        return [
            f"mask-faint: its strongest value is {peak:.3g}, below the threshold {threshold:g}, so nothing would "
            f"be repainted; lower the threshold, paint with full opacity, or use another channel"
        ]
    if float(mask.min()) == 1:
        if floor == 1:
            return [
                "mask-full: it is white (or transparent) everywhere, so nothing of the picture is kept; "
                "use invert=true or another channel if that is not meant"
            ]
        return [
            f"mask-full: its weakest value is {floor:.3g}, not below the threshold {threshold:g}, so nothing of "
            f"the picture is kept; raise the threshold, or use another channel"
        ]
    notes = _soft_notes(soft) if threshold is None else _cut_notes(soft, threshold)
    share = float((mask > 0).float().mean())
    if share > LARGE_SHARE:
        notes.append(
            f"mask-large: it repaints {share:.1%} of the picture; white = repaint: use invert=true if the "
            f"white part was to be kept"
        )
    return notes


def _soft_notes(soft: Tensor) -> list[str]:
    peak, floor, notes = float(soft.max()), float(soft.min()), []
    if peak < 1:
        notes.append(
            f"mask-not-opaque: its strongest value is {peak:.3g}, so the old picture shines through "
            f"everywhere; set threshold=0.5 or paint with full opacity"
        )
    haze = float(((soft > 0) & (soft < ALMOST)).float().mean())
    if floor > 0:
        notes.append(
            f"mask-haze: its weakest value is {floor:.3g}, so no pixel is kept exactly; set threshold=0.5, or "
            f"make its background fully black (or opaque)"
        )
    elif haze > HAZE_SHARE:
        notes.append(
            f"mask-haze: {haze:.0%} of its pixels are nearly but not quite black and would be repainted "
            f"faintly; set threshold=0.5, or clean its background"
        )
    return notes


def _cut_notes(soft: Tensor, threshold: float) -> list[str]:
    kept, notes = soft >= threshold, []
    haze = (soft > 0) & (soft < ALMOST) & ~kept
    white = (soft < 1) & (soft > 1 - ALMOST) & kept
    grey = (soft >= ALMOST) & (soft <= 1 - ALMOST)
    if float(haze.float().mean()) > HAZE_SHARE:
        notes.append(
            f"mask-haze: {float(haze.float().mean()):.0%} of its pixels are nearly but not quite black (up to "
            f"{float(soft[haze].max()):.3g}); the threshold {threshold:g} reads them as keep"
        )
    if int(white.sum()) > HAZE_SHARE * int(kept.sum()):
        notes.append(
            f"mask-not-opaque: {int(white.sum()) / int(kept.sum()):.0%} of its hole is nearly but not quite "
            f"white (from {float(soft[white].min()):.3g}); the threshold {threshold:g} reads it as repaint"
        )
    marked = int((soft >= ALMOST).sum())
    if int(grey.sum()) > SOFT_SHARE * marked:
        dropped = int((grey & ~kept).sum())
        notes.append(
            f"mask-soft: {int(grey.sum()) / marked:.0%} of what it marks is grey; the threshold {threshold:g} "
            f"reads {dropped} grey pixels as keep and {int(grey.sum()) - dropped} as repaint; threshold=null "
            f"keeps it soft"
        )
    return notes


def each_with_mask(image: Tensor, mask: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Every picture `[h w 3]` with its mask `[h w]`; one mask serves for all pictures, one picture for all masks."""
    rows = max(len(image), len(mask))
    return zip(image.expand(rows, *image.shape[1:]), mask.expand(rows, *mask.shape[1:]), strict=True)

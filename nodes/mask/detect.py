"""Masks around what a detector finds."""

from typing import Annotated, NamedTuple

from pydantic import Field

from ...graph_runtime import Context, node
from ...graph_runtime.core.light.later import Tensor, torch
from ...graph_runtime.core.values import require_finite
from ...models.detr.detections import (
    Criteria,
    Detection,
    Pick,
    check_wanted,
    choose,
    draw,
    fill_boxes,
    find_in,
    grow,
    nothing_found,
)
from ...pictures.boxes import area_share
from ...pictures.masks.values import unit_mask
from ...pictures.masks.warnings import LARGE_SHARE, size_warnings
from ...pictures.require import require_mask_fits
from ..checks.before_run import Facts, Known, Params
from ..checks.mask import detect as check_detect
from ..checks.mask import require_marked
from ..ports import Boxes, Detector, Image, Mask

Share = Annotated[float, Field(ge=0, le=1)]
LARGE = "mask-large: it marks {:.1%} of the picture; white = the thing: was it drawn the other way round?"
INSTEAD = "draw a mask: connect mask.load or mask.shape to mask, which overrides detection"


class Detected(NamedTuple):
    """A mask, what it was made from, and a picture of that."""

    mask: Mask
    boxes: Boxes
    overlay: Image


def _check(known: Known, params: Params) -> Facts:
    check_wanted(known.get("detector"), params["label"], params["min_area"], params["max_area"])
    return check_detect(known, params)


@node("mask.detect", version=1, check=_check)
def detect(
    image: Image,
    detector: Detector,
    ctx: Context,
    mask: Mask | None = None,
    label: str | None = None,
    pick: Pick = "best",
    score: Share = 0.9,
    min_area: Share = 0.02,
    max_area: Share = 0.8,
    padding: Annotated[float, Field(ge=0, le=2)] = 0.0,
) -> Detected:
    """Find a thing in each picture with a DETR, and mask its box (Carion et al. 2020).

    A box is cut at the picture's border and rounded outward to whole pixels; the area is judged before padding. Of
    every query the likeliest class but "no object" counts. `mask` is `[b h w]` of {0, 1}. `boxes` has a list for each
    picture of (left, top, right, bottom, label, score, area), right and bottom exclusive, padding included.

    Args:
        image: pictures of any size; the detector sees them as its preprocessor_config.json says.
        detector: from model.detector.
        mask: a mask of the pictures that overrides detection: it is passed on as it is, and nothing is looked for.
        label: what to look for, one of the detector's labels in any case; null takes whatever is found.
        pick: best: the most probable of each picture; largest: the one with the largest box; all: every one.
        score: the lowest probability that counts.
        min_area: boxes that fill less of the picture do not count.
        max_area: boxes that fill more of it do not count.
        padding: grows each box on every side, as a share of its own length.

    Raises:
        BadInput: a label that the detector does not know; nothing found in a picture, with what was found instead; a
            mask of another size, or an empty one.
    """
    check_wanted(detector, label, min_area, max_area)
    require_finite(image, "image", what="the picture", fix="check the node that made them")
    if mask is not None:
        return _given(unit_mask(require_mask_fits(mask, image)), image, ctx)
    wanted = Criteria(label, score, min_area, max_area, pick)
    height, width = image.shape[1:3]
    masks, boxes, overlays = [], [], []
    for number, (picture, found) in enumerate(zip(image, find_in(list(image), detector, ctx), strict=True), 1):
        taken = choose(found, wanted)
        if not taken:
            where = f"picture {number} of {len(image)}" if len(image) > 1 else "the picture"
            raise nothing_found("image", where, found, wanted, INSTEAD)
        grown = [grow(item, (width, height), padding) for item in taken]
        masks.append(fill_boxes(grown, height, width))
        boxes.append(grown)
        overlays.append(draw(picture, grown, [item for item in found if item not in taken]))
    return Detected(torch.stack(masks), boxes, torch.stack(overlays))


def _given(mask: Tensor, image: Tensor, ctx: Context) -> Detected:
    """A mask that somebody drew, in the form of a detection; one mask serves for all pictures, one picture for all."""
    count = max(len(mask), len(image))
    mask, image = (value.expand(count, *value.shape[1:]) for value in (mask, image))
    boxes = [
        [Detection(*box, "mask", 1.0, area_share(box, (mask.shape[2], mask.shape[1])))]
        for box in require_marked(mask, count)
    ]
    for plane in mask:
        hole = (plane > 0).cpu().numpy()
        share = float(hole.mean())
        for note in size_warnings(hole, int(hole.sum())) + ([LARGE.format(share)] if share > LARGE_SHARE else []):
            ctx.warn(note)
    overlays = [draw(picture, found, []) for picture, found in zip(image, boxes, strict=True)]
    return Detected(mask.clone(), boxes, torch.stack(overlays))

"""Masks drawn around a thing as a hand would."""

from typing import Annotated

from pydantic import Field

from ...graph_runtime import BadInput, Renamed, node
from ...graph_runtime.core.light.later import Tensor, torch
from ...pictures.boxes import Box, bounding_box, require_box
from ...pictures.masks.brush import brush_mask
from ...pictures.masks.values import unit_mask
from ...pictures.require import require_mask_fits
from ..checks.before_run import Facts, Known, Params, cheap, rehearse, shaped, worth
from ..ports import Image, Mask
from .results import OneMask


def _require_brush(known: Known, params: Params) -> None:
    """Settings that contradict each other or the connections; an absent key: connected, but not known yet."""
    low, high = params["offset_min"], params["offset_max"]
    if low > high:
        raise BadInput(
            "offset_min",
            found=f"offset_min={low} with offset_max={high}",
            fix="swap the two",
            expected="offset_min ≤ offset_max",
        )
    boxed, masked, pictured = (
        value is not None for value in (params["box"], known.get("mask", ...), known.get("image", ...))
    )
    if boxed and masked:
        raise BadInput(
            "box",
            found="a mask and a box",
            expected="one of them; a mask has a box of its own",
            fix="disconnect the mask, or set box to null",
        )
    if not boxed and not masked:
        raise BadInput(
            "mask",
            found="neither a mask nor a box",
            expected="something to draw around",
            fix="connect a mask, or set box=[left, top, right, bottom] and connect the picture to image",
        )
    if boxed and not pictured:
        raise BadInput(
            "image",
            found="a box without a picture",
            expected="a picture: it gives the mask its size",
            fix="connect the picture that the box belongs to",
        )


def _check_brush(known: Known, params: Params) -> Facts:
    """`_require_brush`, and the mask where it is cheap to draw."""
    _require_brush(known, params)
    mask, image = known.get("mask", ...), known.get("image", ...)
    if mask is ... or image is ...:
        return {}
    if mask is None or cheap(mask):
        if mask is None or (image is None or worth(image[..., 0].numel())):
            return rehearse(brush, known, params)
    else:
        require_mask_fits(mask, image)
    size = mask.shape if image is None or len(mask) > 1 else image.shape[:3]
    return {"mask": shaped(*size)}


@node("mask.brush", version=2, check=_check_brush, migrations={1: Renamed({"amount": "mask_jitter"})})
def brush(
    mask: Mask | None = None,
    image: Image | None = None,
    box: Annotated[list[int], Field(min_length=4, max_length=4)] | None = None,
    seed: Annotated[int, Field(ge=0, le=2**64 - 1)] = 0,
    points: Annotated[int, Field(ge=2, le=1000)] = 20,
    offset_min: Annotated[int, Field(ge=0, le=4096)] = 1,
    offset_max: Annotated[int, Field(ge=0, le=4096)] = 5,
    mask_jitter: Annotated[float, Field(ge=0, le=1)] = 0.4,
    arbitrary: Annotated[float, Field(ge=0, le=1)] = 1.0,
) -> OneMask:
    """Draw a hole around a thing as a hand would, larger than it and of an arbitrary shape (Yang et al. 2022, §3.3).

    Each side of the thing's box moves out by a random part of the free space; each edge bulges towards the moved side
    (a quadratic Bézier), its points are jittered and joined by straight lines. Training draws the same holes, half of
    them as plain rectangles (`arbitrary=0.5`). Each mask of a batch, and each picture, gets a shape of its own.
    Pixels of the box at least `offset_max` px inside it are always covered, as is its middle. `[b h w]` of {0, 1}.

    Args:
        mask: The thing: its bounding box is what counts, every pixel above 0. Or set box.
        image: The picture that box belongs to; one mask for each of a batch. Optional with a mask.
        box: Left, top, right, bottom of the thing in pixels, right and bottom exclusive, instead of a mask.
        seed: Random seed; gives the same shape on every machine.
        points: Points on each of the four edges.
        offset_min: Each point moves by at least this many pixels, in x and in y, either way.
        offset_max: Each point moves by at most this many pixels.
        mask_jitter: A side moves out by up to this share of the free space between it and the picture's border.
        arbitrary: Chance of an arbitrary shape; else the extended box is filled as a rectangle.

    Raises:
        BadInput: a mask and a box, or neither; a box without a picture or not in it; an empty mask; a mask of another
            size than the picture; offset_min above offset_max, or fewer than two points.
    """
    _require_brush({"mask": mask, "image": image}, {"box": box, "offset_min": offset_min, "offset_max": offset_max})
    if points < 2:
        raise BadInput(
            "points", found=str(points), expected="at least 2 on each edge", fix="use points=20, as published"
        )
    boxes, size = _boxes(mask, image, box)
    draws = torch.Generator("cpu").manual_seed(seed)
    planes = [
        brush_mask(
            one,
            size,
            draws,
            arbitrary=arbitrary,
            amount=mask_jitter,
            points=points,
            offset_min=offset_min,
            offset_max=offset_max,
        )
        for one in boxes
    ]
    return OneMask(torch.stack(planes))


def _boxes(mask: Tensor | None, image: Tensor | None, box: list[int] | None) -> tuple[list[Box], tuple[int, int]]:
    """A box for each mask to draw, and the size of all of them; `_require_brush` has passed."""
    pictures = 1 if image is None else len(image)
    if mask is None:
        assert image is not None
        assert box is not None
        height, width = image.shape[1:3]
        left, top, right, bottom = box
        return [require_box((left, top, right, bottom), (height, width))] * pictures, (height, width)
    holes = unit_mask(require_mask_fits(mask, image)) > 0
    boxes = []
    for number, plane in enumerate(holes, start=1):
        found = bounding_box(plane[None])
        if found is None:
            which = f"mask {number} of {len(holes)}" if len(holes) > 1 else "the mask"
            raise BadInput(
                "mask",
                found=f"{which} is empty: nothing to draw around",
                expected="a thing marked in white",
                fix="check the mask file, its channel and invert; or set box instead",
            )
        boxes.append(found)
    return boxes * (pictures if len(boxes) == 1 else 1), (holes.shape[1], holes.shape[2])

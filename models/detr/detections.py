"""Detections from a DETR's output (Carion et al. 2020, §3): boxes, labels, scores; selection; a drawing."""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image as Pil
from PIL import ImageDraw, ImageFont

from ...graph_runtime import BadInput, Context, ModelError
from ...graph_runtime.core.errors import clean, did_you_mean
from ...graph_runtime.core.light.later import Float, Int, Tensor, nn, torch
from ...pictures.boxes import Box, area_share, padded, whole_pixels
from ...pictures.photos.boxes import area_problem
from ..protocols import DetectorDescription

Pick = Literal["best", "largest", "all"]
LISTED, FAINT = 6, 0.3  # candidates that a message lists; the score from which an overlay shows unused detections
WORTH_LISTING = 0.02  # score below which a detection is noise, unless there is nothing else
TAKEN, OTHER = (230, 40, 40), (150, 150, 150)


class Detection(NamedTuple):
    """A thing in a picture: its box in pixels (right and bottom exclusive), label and score."""

    left: int
    top: int
    right: int
    bottom: int
    label: str
    score: float
    area: float  # of the picture, before padding

    @property
    def box(self) -> Box:
        """Left, top, right, bottom."""
        return self[:4]

    def __str__(self) -> str:
        return f"{clean(self.label)[:40]} {self.score:.2f} ({self.area:.1%} of the picture)"


class Criteria(NamedTuple):
    """What to look for: label (None: anything), lowest score, bounds of the area, which of several."""

    label: str | None = None
    score: float = 0.9
    min_area: float = 0.02
    max_area: float = 0.8
    pick: Pick = "best"

    def refusal(self, found: Detection) -> str:
        """Why `found` is not used, or empty."""
        if self.label is not None and found.label.casefold() != self.label.strip().casefold():
            return f"not {self.label.strip()}"
        if found.score < self.score:
            return f"score below {self.score:g}"
        return area_problem(found.area, self.min_area, self.max_area)


def to_corners(boxes: Float[Tensor, "n 4"]) -> Float[Tensor, "n 4"]:
    """(centre x, centre y, width, height) to (left, top, right, bottom)."""
    centre, half = boxes[:, :2], boxes[:, 2:] / 2
    return torch.cat([centre - half, centre + half], dim=1)


def decode(
    logits: Float[Tensor, "q k"],
    boxes: Float[Tensor, "q 4"],
    height: int,
    width: int,
) -> tuple[Float[Tensor, " q"], Int[Tensor, " q"], Float[Tensor, "q 4"]]:
    """Score, label number and corners in pixels of every query.

    The last of the k classes means "no object": it takes part in the softmax and is never the label.
    """
    scores, labels = logits.softmax(-1)[:, :-1].max(-1)
    return scores, labels, to_corners(boxes) * boxes.new_tensor([width, height, width, height])


def find_all(picture: Float[Tensor, "h w 3"], detector: DetectorDescription, module: nn.Module) -> list[Detection]:
    """Every query's best guess in a picture in [0, 1], highest score first; boxes are cut at the picture's border.

    Raises:
        ModelError: the detector gives NaN.
    """
    height, width = picture.shape[:2]
    place = next(module.parameters())
    with torch.inference_mode():
        output = module(pixel_values=detector.preprocessing(picture).to(place.device, place.dtype))
    logits, boxes = output.logits[0].cpu().double(), output.pred_boxes[0].cpu().double()
    if not (torch.isfinite(logits).all() and torch.isfinite(boxes).all()):
        raise ModelError(
            "detector",
            found=f"the {detector.label} gives NaN",
            expected="scores and boxes",
            fix="download the model again, or use another",
        )
    scores, numbers, corners = decode(logits, boxes, height, width)
    found = []
    for score, number, (left, top, right, bottom) in zip(
        scores.tolist(), numbers.tolist(), corners.tolist(), strict=True
    ):
        box = whole_pixels((left, top, right, bottom), (width, height))
        if box is not None:
            found.append(Detection(*box, detector.labels[number], score, area_share(box, (width, height))))
    return sorted(found, key=lambda item: -item.score)


def choose(found: Sequence[Detection], wanted: Criteria) -> list[Detection]:
    """The selected ones: the one with the highest score, the largest, or all, highest score first."""
    fit = [item for item in found if not wanted.refusal(item)]
    if wanted.pick == "all" or not fit:
        return fit
    return [max(fit, key=lambda item: item.area if wanted.pick == "largest" else item.score)]


def grow(found: Detection, size: tuple[int, int], padding: float) -> Detection:
    """The detection with its box padded by a share of its sides, within a picture of `size` (width, height)."""
    return Detection(*padded(found.box, size, padding), *found[4:])


def describe_candidates(found: Sequence[Detection], wanted: Criteria) -> str:
    """All candidates, highest score first, and why each is not used."""
    if not found:
        return "nothing at all"
    sure = [item for item in found if item.score >= WORTH_LISTING] or list(found[:1])
    listed = list(dict.fromkeys(f"{item}, {wanted.refusal(item)}" for item in sure))
    alike = (
        []
        if wanted.label is None
        else [words for words in listed[LISTED:] if words.casefold().startswith(wanted.label.strip().casefold())]
    )
    return "; ".join([*listed[:LISTED], *alike[:2]])


def nothing_found(port: str, where: str, found: Sequence[Detection], wanted: Criteria, mask: str) -> BadInput:
    """The message about a picture without any match; `mask` tells the user how to give a mask instead."""
    what = "any of its labels" if wanted.label is None else repr(wanted.label.strip())
    return BadInput(
        port,
        found=f"in {where}: {describe_candidates(found, wanted)}",
        expected=f"{what} with score ≥ {wanted.score:g} on {wanted.min_area:.0%} to {wanted.max_area:.0%} "
        "of the picture",
        fix=f"lower score, change label, min_area or max_area, or {mask}",
    )


def check_wanted(detector: DetectorDescription | None, label: str | None, min_area: float, max_area: float) -> None:
    """Refuse settings that no detection can match; the label only if the detector's labels are known.

    Raises:
        BadInput: a label that the detector does not know, or bounds that leave nothing.
    """
    if min_area >= max_area:
        raise BadInput(
            "min_area",
            found=f"min_area={min_area:g} with max_area={max_area:g}",
            expected="min_area < max_area",
            fix="as published: 0.02 and 0.8",
        )
    if label is None or detector is None or not detector.known:
        return
    names = sorted({name for name in detector.labels if name != "N/A"})
    if label.strip().casefold() not in {name.casefold() for name in detector.labels}:
        raise BadInput(
            "label",
            found=repr(label),
            expected=f"one of the {len(names)} labels of {detector.origin.name}",
            fix=f"{did_you_mean(label.strip(), names)} – null takes whatever is found",
        )


def find_in(
    pictures: Sequence[Float[Tensor, "h w 3"]], detector: DetectorDescription, ctx: Context
) -> list[list[Detection]]:
    """`find_all` of each picture under one lease, with progress."""
    found = []
    with ctx.lease(detector) as module:
        for number, picture in enumerate(pictures, 1):
            found.append(find_all(picture, detector, module))
            ctx.progress(number, len(pictures))
    return found


def draw(
    picture: Float[Tensor, "h w 3"], taken: Sequence[Detection], others: Sequence[Detection]
) -> Float[Tensor, "h w 3"]:
    """The picture at 8 bits with boxes, labels and scores: used detections in red, others in grey."""
    levels = (picture.detach().cpu().double().clamp(0, 1) * 255).round().to(torch.uint8).numpy()
    canvas = Pil.fromarray(levels)
    pen = ImageDraw.Draw(canvas)
    thick = max(1, round(max(canvas.size) / 300))
    font = ImageFont.load_default(min(40, max(10, round(min(canvas.size) / 24))))
    shown = [(item, OTHER, max(1, thick // 2)) for item in others if item.score >= FAINT]
    for item, colour, width in [*shown, *((item, TAKEN, thick) for item in taken)]:
        pen.rectangle((item.left, item.top, item.right - 1, item.bottom - 1), outline=colour, width=width)
        words = f"{clean(item.label)[:40]} {item.score:.2f}"
        reach = pen.textbbox((0, 0), words, font=font)
        x = max(0, min(item.left, canvas.width - math.ceil(reach[2]) - 4))
        y = item.top - math.ceil(reach[3]) - 3 if item.top > reach[3] + 3 else item.top
        pen.rectangle((x, y, x + reach[2] + 4, y + reach[3] + 3), fill=colour)
        pen.text((x + 2, y + 1), words, fill=(255, 255, 255), font=font)
    return torch.from_numpy(np.asarray(canvas).copy()).to(torch.float32) / 255


def fill_boxes(found: Sequence[Detection], height: int, width: int) -> Float[Tensor, "h w"]:
    """1 inside any of the boxes."""
    mask = torch.zeros(height, width)
    for left, top, right, bottom in (item.box for item in found):
        mask[top:bottom, left:right] = 1
    return mask

"""Boxes of photos: annotations brought to whole pixels, and filtered by label and size."""

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from ...graph_runtime import BadInput
from ...graph_runtime.core.errors import did_you_mean, shorten
from ..boxes import Box, Size, area_share, whole_pixels
from ..pairing import comparable_name
from .annotations import Annotation, bad_box, read_annotations

SLACK = 1.0  # pixels by which rounding may move a box out of its picture


def read_boxes(
    path: Path,
    sizes: Mapping[str, Size],
    *,
    label: str | None = None,
    min_area: float = 0.02,
    max_area: float = 0.8,
) -> tuple[dict[str, list[Box]], Counter[str]]:
    """A file's boxes by picture, and the number of omitted ones with reasons: `place_boxes` of `read_annotations`."""
    return place_boxes(read_annotations(path), sizes, label=label, min_area=min_area, max_area=max_area)


def place_boxes(
    annotations: Iterable[Annotation],
    sizes: Mapping[str, Size],
    *,
    label: str | None,
    min_area: float,
    max_area: float,
) -> tuple[dict[str, list[Box]], Counter[str]]:
    """The boxes to use, by picture and in whole pixels, and the number of omitted ones with reasons.

    Args:
        annotations: the boxes of a file.
        sizes: width and height of each picture by name.
        label: only boxes of this label; None keeps all.
        min_area: boxes below this share of their picture are left out.
        max_area: boxes above this share are left out.

    Raises:
        BadInput: a box of a missing picture, a box outside its picture, or no box is left.
    """
    annotations = list(annotations)
    known = {comparable_name(name): name for name in sizes}
    others = len({item.file for item in annotations if item.file not in known}) - 1
    kept: dict[str, list[Box]] = {}
    left_out: Counter[str] = Counter()
    total = 0
    for item in annotations:
        total += 1
        name = known.get(item.file)
        if name is None:
            more = f", nor are {others} more pictures of the file" if others else ""
            raise bad_box(
                item.where,
                f"the picture {shorten(item.file)}, which is not among the {len(sizes)} photos" + more,
                f"{did_you_mean(item.file, sizes)} Otherwise put it into the folder, or delete the line",
            )
        if label is not None and item.label.casefold() != label.strip().casefold():
            left_out[f"labelled {shorten(item.label, 40)}" if item.label else "without a label"] += 1
            continue
        box, share = _placed(item, sizes[name])
        problem = "marked as a crowd" if item.crowd else area_problem(share, min_area, max_area)
        if problem:
            left_out[problem] += 1
        else:
            kept.setdefault(name, []).append(box)
    if not kept:
        reasons = ", ".join(f"{count} {reason}" for reason, count in left_out.most_common(6))
        raise BadInput(
            "boxes",
            found=f"{total} boxes, none of which is used: {reasons}",
            expected="at least one box of "
            f"{min_area:.0%} to {max_area:.0%} of its picture" + (f", labelled {label!r}" if label else ""),
            fix="change min_area, max_area or label, or take other pictures",
        )
    return kept, left_out


def area_problem(share: float, min_area: float, max_area: float) -> str:
    """Why a box that fills `share` of its picture is not used; empty if it is."""
    if share < min_area:
        return f"below {min_area:.0%} of the picture"
    return f"above {max_area:.0%} of the picture" if share > max_area else ""


def _placed(item: Annotation, size: Size) -> tuple[Box, float]:
    """An annotation in whole pixels, and its share of the picture."""
    width, height = size
    left, top, right, bottom = item.corners
    if left < -SLACK or top < -SLACK or right > width + SLACK or bottom > height + SLACK:
        raise bad_box(
            item.where,
            f"a box from {left:g}, {top:g} to {right:g}, {bottom:g} in {shorten(item.file)} of {width}×{height}",
            "correct the box; boxes are measured on the upright picture, in pixels",
        )
    box = whole_pixels(item.corners, size)
    if box is None:
        raise bad_box(
            item.where,
            f"a box from {left:g}, {top:g} to {right:g}, {bottom:g} that holds no pixel of {width}×{height}",
            "correct the box, or delete the line",
        )
    return box, area_share(box, size)

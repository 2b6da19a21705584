"""Draw a rectangle or an ellipse as a hole."""

from typing import Annotated, Literal

from pydantic import Field

from ...graph_runtime import BadInput, node
from ...graph_runtime.core.light.later import torch
from ...pictures.boxes import Box
from ...pictures.masks.shapes import draw_shape
from ..checks.before_run import Facts, Known, Params, rehearse, shaped, worth
from ..ports import Image
from .results import OneMask

FAR = 10_000_000  # pixels; no picture is so wide


def _check_shape(known: Known, params: Params) -> Facts:
    """A shape that does not lie in the picture; the shape itself where the picture is small."""
    image = known.get("image")
    if image is None:
        return {}
    size = image.shape[:3]
    if worth(size.numel()):
        return rehearse(shape, known, params)
    _placed(*size[1:], **{name: value for name, value in params.items() if name != "seed"})
    return {"mask": shaped(*size)}


@node("mask.shape", check=_check_shape)
def shape(
    image: Image,
    kind: Literal["rectangle", "ellipse", "center"] = "rectangle",
    x: float | None = None,
    y: float | None = None,
    width: Annotated[float, Field(gt=0)] | None = None,
    height: Annotated[float, Field(gt=0)] | None = None,
    unit: Literal["px", "fraction"] = "px",
    jitter: Annotated[float, Field(ge=0)] = 0.0,
    seed: Annotated[int, Field(ge=0, le=2**64 - 1)] = 0,
) -> OneMask:
    """Draw a rectangle or an ellipse as the hole, one for each picture of the batch.

    `kind=center, width=168, height=168` is the centred hole of the papers. Lengths are rounded to whole pixels. With
    no numbers at all, the hole is the middle half of the picture. `[b h w]`, 1 inside.

    Args:
        image: Gives the size, and one mask for each of its pictures.
        kind: rectangle, ellipse (inscribed in that rectangle), or center (a rectangle in the middle).
        x: Left edge; null: centred. For center: how far right of the middle.
        y: Top edge; null: centred. For center: how far below the middle.
        width: Of the shape; null: half the picture's width (for center: the height, if that is given).
        height: Of the shape; null: half the picture's height (for center: the width, if that is given).
        unit: px, or fraction of the picture's width and height.
        jitter: Move each shape by up to this much either way, in x and in y, but not out of the picture.
        seed: Random seed of the jitter.

    Raises:
        BadInput: a shape that is less than a pixel or reaches out of the picture, or a number far outside it.
    """
    rows, columns = image.shape[1:3]
    left, top, right, bottom = _placed(rows, columns, kind, x, y, width, height, unit, jitter)
    per_x, per_y = (columns, rows) if unit == "fraction" else (1, 1)
    moves = torch.rand(len(image), 2, generator=torch.Generator("cpu").manual_seed(seed), dtype=torch.float64) * 2 - 1
    planes = []
    for dx, dy in moves.tolist():
        x0 = min(max(0, left + round(dx * jitter * per_x)), columns - (right - left))
        y0 = min(max(0, top + round(dy * jitter * per_y)), rows - (bottom - top))
        planes.append(draw_shape((x0, y0, x0 + right - left, y0 + bottom - top), kind, rows, columns))
    return OneMask(torch.stack(planes))


def _placed(
    rows: int,
    columns: int,
    kind: str,
    x: float | None,
    y: float | None,
    width: float | None,
    height: float | None,
    unit: str,
    jitter: float,
) -> Box:
    """Where the shape lies before it is moved; raises BadInput where that is not in the picture."""
    per_x, per_y = (columns, rows) if unit == "fraction" else (1, 1)
    for port, value in (("x", x), ("y", y), ("width", width), ("height", height), ("jitter", jitter)):
        if value is not None and not abs(value * max(per_x, per_y)) <= FAR:
            raise BadInput(
                port,
                found=f"{value:g}",
                expected=f"a place or a length in a picture of {columns}×{rows}",
                fix="check the number, and unit=px|fraction",
            )
    if kind == "center" and unit == "px":
        width, height = width or height, height or width
    box_w = round(width * per_x) if width is not None else max(1, columns // 2)
    box_h = round(height * per_y) if height is not None else max(1, rows // 2)
    left, top = (columns - box_w) // 2, (rows - box_h) // 2
    if kind == "center":
        left, top = left + round((x or 0) * per_x), top + round((y or 0) * per_y)
    else:
        left = left if x is None else round(x * per_x)
        top = top if y is None else round(y * per_y)
    box = (left, top, left + box_w, top + box_h)
    _require_inside(box, rows, columns)
    return box


def _require_inside(box: Box, rows: int, columns: int) -> None:
    left, top, right, bottom = box
    box_w, box_h = right - left, bottom - top
    if box_w < 1 or box_h < 1:
        raise BadInput(
            "width" if box_w < 1 else "height",
            found=f"a shape of {box_w}×{box_h} pixels",
            expected="at least one pixel each way",
            fix="make it larger, or check unit=px|fraction",
        )
    for port, length_port, start, length, limit in (
        ("x", "width", left, box_w, columns),
        ("y", "height", top, box_h, rows),
    ):
        if start < 0 or start + length > limit:
            port = length_port if length > limit else port
            raise BadInput(
                port,
                found=f"a shape from {start} to {start + length} px",
                expected=f"one within 0 to {limit} px, the picture is {columns}×{rows}",
                fix="move or shrink it, or check unit=px|fraction",
            )

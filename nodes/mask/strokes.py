"""A mask of strokes that are given as text."""

from typing import Annotated, Literal

from pydantic import Field

from ...graph_runtime import BadInput, node
from ...pictures.masks.strokes import Stroke, draw_strokes, parse_strokes
from ..checks.before_run import Facts, Known, Params, rehearse, shaped, worth
from ..ports import Image
from .results import OneMask


def _check(known: Known, params: Params) -> Facts:
    """A text that holds no strokes, or strokes beside the picture; the mask itself where the picture is small."""
    parsed = parse_strokes(params["strokes"])
    image = known.get("image")
    if image is None:
        return {}
    if worth(image.shape[:3].numel()):
        return rehearse(strokes, known, params)
    _placed(parsed, params["width"], params["unit"], *image.shape[1:3])
    return {"mask": shaped(*image.shape[:3])}


@node("mask.strokes", check=_check)
def strokes(
    image: Image,
    strokes: str,
    width: Annotated[float, Field(gt=0, le=100_000)] = 32.0,
    unit: Literal["px", "fraction"] = "px",
) -> OneMask:
    """Draw strokes of a round brush as the hole, the same for each picture of the batch.

    A pixel belongs to a stroke if its centre is at most half the width away from it; nothing is smoothed. A stroke of
    one point is a dot. Strokes may reach out of the picture. `[b h w]` of {0, 1}.

    Args:
        image: Gives the size.
        strokes: `x,y x,y …; x,y …`: points of a stroke are separated by spaces, strokes by semicolons.
        width: Of the brush; with unit=fraction, as a share of the picture's longer side.
        unit: px (0,0 is the centre of the pixel at the top left) or fraction of the picture's width and height (0,0 is
            its corner).

    Raises:
        BadInput: a text without strokes, what is no point, or strokes that mark no pixel.
    """
    height, columns = image.shape[1:3]
    placed, radius = _placed(parse_strokes(strokes), width, unit, height, columns)
    mask = draw_strokes(placed, radius, height, columns)
    if not mask.any():
        raise _beside(height, columns)
    return OneMask(mask.expand(len(image), -1, -1).clone())


def _placed(parsed: list[Stroke], width: float, unit: str, height: int, columns: int) -> tuple[list[Stroke], float]:
    """The strokes and the brush's radius in pixels; raises BadInput where no stroke comes near the picture."""
    placed, radius = parsed, width / 2
    if unit == "fraction":
        placed = [[(x * columns - 0.5, y * height - 0.5) for x, y in stroke] for stroke in parsed]
        radius = width * max(height, columns) / 2
    points = [point for stroke in placed for point in stroke]
    (left, right), (top, bottom) = ((min(axis) - radius, max(axis) + radius) for axis in zip(*points, strict=True))
    if right < 0 or bottom < 0 or left > columns - 1 or top > height - 1:
        raise _beside(height, columns)
    return placed, radius


def _beside(height: int, width: int) -> BadInput:
    return BadInput(
        "strokes",
        found="strokes that mark no pixel",
        expected=f"strokes within 0,0 and {width - 1},{height - 1}, the picture is {width}×{height}",
        fix="check the points, the width, and unit=px|fraction",
    )

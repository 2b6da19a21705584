"""Masks: reading, drawing and growing them. 1 = repaint, 0 = keep."""

from typing import Annotated, Literal, NamedTuple

import torch
from pydantic import Field

from ..graph_runtime import BadInput, Context, ReadPaths, node
from ..pictures.boxes import Box
from ..pictures.masks.morphology import grow_mask, inward_ramp
from ..pictures.masks.read import read_masks
from ..pictures.masks.shapes import draw_shape
from ..pictures.masks.values import unit_mask
from ..pictures.pairing import files_of, named
from .checks.before_run import Facts, Known, Params, cheap, rehearse, shaped, worth
from .checks.mask import grow as check_grow
from .checks.mask import load as check_load
from .ports import Image, Mask

FAR = 10_000_000  # pixels; no picture is so wide


class OneMask(NamedTuple):
    """A mask."""

    mask: Mask


@node("mask.load", check=check_load)
def load(
    path: ReadPaths,
    ctx: Context,
    channel: Literal["auto", "alpha", "luminance"] = "auto",
    invert: bool = False,
    threshold: Annotated[float, Field(gt=0, le=1)] | None = 0.5,
) -> OneMask:
    """Read a mask from a picture file: white, or transparent, means repaint.

    `auto` reads 1 − alpha if the alpha varies, else the luminance (a palette is looked up first). Then `invert`, then
    values ≥ `threshold` become 1 and others 0. A warning names a mask that is empty, full, faint, hazy or
    half-grey, and a file that looks wrong: strokes on a transparent layer, channels that disagree, a picture.
    Modes 1, L, P, LA, RGB, RGBA, 16-bit grey; the EXIF orientation is applied. `[b h w]`.

    Args:
        path: A picture, or a folder or glob of them, all of one size.
        channel: alpha (1 − alpha, as the host reads it), luminance, or auto.
        invert: Swap keep and repaint, for masks in which black means repaint.
        threshold: From this value on a pixel is repainted; null keeps soft values.

    Raises:
        BadInput: what image.load refuses; channel=alpha for a file without transparency.
    """
    return OneMask(read_masks(path, channel, invert, threshold, ctx.warn))


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


def _check_grow(known: Known, params: Params) -> Facts:
    mask = known.get("mask")
    if not cheap(mask):
        return check_grow(known, params)
    return {"mask": named(rehearse(grow, known, params)["mask"], files_of(mask))}


@node("mask.grow", check=_check_grow)
def grow(
    mask: Mask,
    ctx: Context,
    pixels: Annotated[int, Field(ge=-4096, le=4096)] = 0,
    feather: Annotated[int, Field(ge=0, le=4096)] = 0,
) -> OneMask:
    """Grow the hole by a round brush, or shrink it, and soften its border inward.

    The radius is Euclidean; soft masks take the largest (shrinking: the smallest) value under the brush. The feather
    is a smooth ramp inside the grown hole, so nothing outside it is ever above 0. The picture's own border neither
    shrinks nor softens a hole that touches it.

    Args:
        mask: The hole, 1 = repaint.
        pixels: Radius of the brush; negative shrinks.
        feather: Width of the soft border in pixels, measured inward.

    Raises:
        BadInput: NaN, or values outside [0, 1].
    """
    before = unit_mask(mask)
    after = grow_mask(before, pixels)
    for number, (old, new) in enumerate(zip(before, after, strict=True), start=1):
        which = f" {number} of {len(after)}" if len(after) > 1 else ""
        if bool((old > 0).any()) and not bool((new > 0).any()):
            ctx.warn(f"mask-empty: shrinking by {-pixels} pixels left nothing of mask{which}")
        elif bool((new > 0).all()) and not bool((old > 0).all()):
            ctx.warn(f"mask-full: growing by {pixels} pixels made mask{which} cover the whole picture")
    return OneMask(inward_ramp(after, feather))

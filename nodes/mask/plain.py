"""Invert, threshold, crop, fade, step and join masks: the plain operations that node editors have."""

from typing import Annotated, Literal

from pydantic import Field

from ...graph_runtime import BadInput, node
from ...graph_runtime.core.light.later import Tensor, torch
from ...pictures.batches import common_batch
from ...pictures.masks.plain import combine as combined
from ...pictures.masks.plain import fade as faded
from ...pictures.masks.plain import step as stepped
from ...pictures.masks.values import unit_mask
from ..checks.before_run import Facts, Known, Params, shaped
from ..ports import Mask
from .results import OneMask

Place = Annotated[int, Field(ge=0, le=16384)]
Side = Annotated[int, Field(ge=1, le=16384)]


def _check_same(known: Known, params: Params) -> Facts:
    """Values that no mask has; the size stays."""
    mask = known.get("mask")
    return {} if mask is None else {"mask": shaped(*unit_mask(mask).shape)}


@node("mask.invert", check=_check_same)
def invert(mask: Mask) -> OneMask:
    """Swap keep and repaint: 1 − mask.

    Args:
        mask: The hole, 1 = repaint.

    Raises:
        BadInput: NaN, or values outside [0, 1].
    """
    return OneMask(1.0 - unit_mask(mask))


@node("mask.threshold", check=_check_same)
def threshold(mask: Mask, value: Annotated[float, Field(ge=0, le=1)] = 0.5) -> OneMask:
    """Make a mask hard: 1 where it is above a value, else 0.

    Args:
        mask: The hole, 1 = repaint.
        value: The largest value that still counts as keep.

    Raises:
        BadInput: NaN, or values outside [0, 1].
    """
    return OneMask((unit_mask(mask) > value).float())


@node("mask.step", check=_check_same)
def step(mask: Mask, pixels: Annotated[int, Field(ge=-16384, le=16384)] = 0, square: bool = False) -> OneMask:
    """Grow or shrink a hole in steps of one pixel: towards four sides, or towards eight.

    After n steps a point is a diamond, or a square, with arms of n pixels. mask.grow has a round brush.

    Args:
        mask: The hole, 1 = repaint.
        pixels: Number of steps; negative shrinks.
        square: Also grow along the diagonals.

    Raises:
        BadInput: NaN, or values outside [0, 1].
    """
    return OneMask(stepped(unit_mask(mask), pixels, square=square) if pixels else unit_mask(mask).clone())


@node("mask.fade", check=_check_same)
def fade(mask: Mask, left: Place = 0, top: Place = 0, right: Place = 0, bottom: Place = 0) -> OneMask:
    """Let a mask fade out towards the sides of the picture.

    Args:
        mask: The hole, 1 = repaint.
        left: Width of the ramp at the left side, in pixels.
        top: The same at the top.
        right: The same at the right side.
        bottom: The same at the bottom.

    Raises:
        BadInput: NaN, or values outside [0, 1].
    """
    return OneMask(faded(unit_mask(mask), left, top, right, bottom))


def _check_crop(known: Known, params: Params) -> Facts:
    """A part that lies outside; its size."""
    mask = known.get("mask")
    if mask is None:
        return {}
    left, top, right, bottom = _part(unit_mask(mask), **params)
    return {"mask": shaped(len(mask), bottom - top, right - left)}


@node("mask.crop", check=_check_crop)
def crop(mask: Mask, x: Place = 0, y: Place = 0, width: Side = 512, height: Side = 512) -> OneMask:
    """Cut a rectangle out of a mask; what of it lies outside is left off.

    Args:
        mask: The hole, 1 = repaint.
        x: Left edge, in pixels.
        y: Top edge, in pixels.
        width: Of the rectangle, in pixels.
        height: Of the rectangle, in pixels.

    Raises:
        BadInput: a rectangle outside the mask; NaN, or values outside [0, 1].
    """
    plane = unit_mask(mask)
    left, top, right, bottom = _part(plane, x, y, width, height)
    return OneMask(plane[:, top:bottom, left:right].clone())


def _part(mask: Tensor, x: int, y: int, width: int, height: int) -> tuple[int, int, int, int]:
    high, wide = mask.shape[1:]
    for port, start, limit in (("x", x, wide), ("y", y, high)):
        if start >= limit:
            raise BadInput(
                port,
                found=f"a rectangle from {start}",
                expected=f"one that begins before {limit}: the mask is {wide}×{high}",
                fix="move it",
            )
    return x, y, min(wide, x + width), min(high, y + height)


def _check_solid(known: Known, params: Params) -> Facts:
    """The size."""
    return {"mask": shaped(1, params["height"], params["width"])}


@node("mask.solid", check=_check_solid)
def solid(value: Annotated[float, Field(ge=0, le=1)] = 1.0, width: Side = 512, height: Side = 512) -> OneMask:
    """Make a mask of one value.

    Args:
        value: 1 = repaint all, 0 = keep all.
        width: In pixels.
        height: In pixels.
    """
    return OneMask(torch.full((1, height, width), value, dtype=torch.float32))


def _check_combine(known: Known, params: Params) -> Facts:
    """Batches that do not go together; the size is the destination's."""
    destination, source = known.get("destination"), known.get("source")
    for port, mask in (("destination", destination), ("source", source)):
        if mask is not None:
            unit_mask(mask, port)
    if destination is None or source is None:
        return {}
    common_batch(destination=destination, source=source)
    return {"mask": shaped(max(len(destination), len(source)), *destination.shape[1:])}


@node("mask.combine", check=_check_combine)
def combine(
    destination: Mask,
    source: Mask,
    x: Place = 0,
    y: Place = 0,
    operation: Literal["multiply", "add", "subtract", "and", "or", "xor"] = "multiply",
) -> OneMask:
    """Lay one mask on another and combine their values; mask.union joins holes of one size.

    `multiply`, `add` and `subtract` work on the values, clamped to [0, 1]; `and`, `or` and `xor` on the values rounded
    to 0 and 1. What of `source` lies outside `destination` is not used.

    Args:
        destination: The mask below; the result has its size.
        source: The mask on top.
        x: Where its left edge lies, in pixels.
        y: Where its top edge lies, in pixels.
        operation: How the values are combined.

    Raises:
        BadInput: batches that do not go together; NaN, or values outside [0, 1].
    """
    below, above = common_batch(destination=unit_mask(destination, "destination"), source=unit_mask(source, "source"))
    return OneMask(combined(below, above, x, y, operation))

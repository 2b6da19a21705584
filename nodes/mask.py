"""Masks: reading, drawing and growing them, and bringing them to the latent grid. 1 = repaint, 0 = keep."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from ..graph_runtime import BadInput, Context, ReadPaths, Renamed, node
from ..pictures.boxes import Box, bounding_box, require_box
from ..pictures.masks.brush import brush_mask
from ..pictures.masks.latent import grow_cells, latent_hole, lost_components
from ..pictures.masks.morphology import grow_mask, inward_ramp
from ..pictures.masks.read import read_masks
from ..pictures.masks.shapes import draw_shape
from ..pictures.masks.values import unit_mask
from ..pictures.pairing import files_of, named
from ..pictures.require import require_mask_fits
from .checks.before_run import CHEAP, cheap, rehearse, shaped
from .checks.mask import grow as check_grow
from .checks.mask import load as check_load
from .checks.mask import require_grid
from .checks.mask import to_latent as check_to_latent
from .ports import Image, LatentMask, Mask, Vae

FAR = 10_000_000  # pixels; no picture is so wide


class OneMask(NamedTuple):
    """A mask."""

    mask: Mask


class OneLatentMask(NamedTuple):
    """A mask on the latent grid."""

    latent_mask: LatentMask


@node("mask.load", check=check_load)
def load(path: ReadPaths, ctx: Context, channel: Literal["auto", "alpha", "luminance"] = "auto", invert: bool = False,
         threshold: Annotated[float, Field(gt=0, le=1)] | None = 0.5) -> OneMask:
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


def _check_shape(known: Mapping[str, Any], params: Mapping[str, Any]) -> Mapping[str, Any]:
    """A shape that does not lie in the picture; the shape itself where the picture is small."""
    image = known.get("image")
    if image is None:
        return {}
    size = image.shape[:3]
    if size.numel() <= CHEAP:
        return rehearse(shape, known, params)
    _placed(*size[1:], **{name: value for name, value in params.items() if name != "seed"})
    return {"mask": shaped(*size)}


@node("mask.shape", check=_check_shape)
def shape(image: Image, kind: Literal["rectangle", "ellipse", "center"] = "rectangle", x: float | None = None,
          y: float | None = None, width: Annotated[float, Field(gt=0)] | None = None,
          height: Annotated[float, Field(gt=0)] | None = None, unit: Literal["px", "fraction"] = "px",
          jitter: Annotated[float, Field(ge=0)] = 0.0, seed: Annotated[int, Field(ge=0, le=2**64 - 1)] = 0) -> OneMask:
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
        seed: Of the jitter.

    Raises:
        BadInput: a shape that is less than a pixel or reaches out of the picture, or a number that is far from any.
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


def _placed(rows: int, columns: int, kind: str, x: float | None, y: float | None, width: float | None,
            height: float | None, unit: str, jitter: float) -> Box:
    """Where the shape lies before it is moved; raises BadInput where that is not in the picture."""
    per_x, per_y = (columns, rows) if unit == "fraction" else (1, 1)
    for port, value in (("x", x), ("y", y), ("width", width), ("height", height), ("jitter", jitter)):
        if value is not None and not abs(value * max(per_x, per_y)) <= FAR:
            raise BadInput(port, found=f"{value:g}", expected=f"a place or a length in a picture of {columns}×{rows}",
                           fix="check the number, and unit=px|fraction")
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
        raise BadInput("width" if box_w < 1 else "height", found=f"a shape of {box_w}×{box_h} pixels",
                       expected="at least one pixel each way", fix="make it larger, or check unit=px|fraction")
    for port, length_port, start, length, limit in (("x", "width", left, box_w, columns),
                                                    ("y", "height", top, box_h, rows)):
        if start < 0 or start + length > limit:
            port = length_port if length > limit else port
            raise BadInput(port, found=f"a shape from {start} to {start + length} px",
                           expected=f"one within 0 to {limit} px, the picture is {columns}×{rows}",
                           fix="move or shrink it, or check unit=px|fraction")


def _check_brush(known: Mapping[str, Any], params: Mapping[str, Any]) -> None:
    """Settings that contradict each other or the wiring; where a key is absent, something unknown is wired to it."""
    low, high = params["offset_min"], params["offset_max"]
    if low > high:
        raise BadInput("offset_min", found=f"offset_min={low} with offset_max={high}", fix="swap the two",
                       expected="offset_min ≤ offset_max")
    boxed, masked, pictured = (value is not None for value in (params["box"], known.get("mask", ...),
                                                               known.get("image", ...)))
    if boxed and masked:
        raise BadInput("box", found="a mask and a box", expected="one of them; a mask has a box of its own",
                       fix="remove the wire from mask, or set box to null")
    if not boxed and not masked:
        raise BadInput("mask", found="neither a mask nor a box", expected="something to draw around",
                       fix="wire a mask, or set box=[left, top, right, bottom] and wire the picture to image")
    if boxed and not pictured:
        raise BadInput("image", found="a box without a picture", expected="a picture: it gives the mask its size",
                       fix="wire the picture that the box belongs to")


def _check_brush_facts(known: Mapping[str, Any], params: Mapping[str, Any]) -> Mapping[str, Any]:
    """`_check_brush`, and the mask where it is cheap to draw."""
    _check_brush(known, params)
    mask, image = known.get("mask", ...), known.get("image", ...)
    if mask is ... or image is ...:
        return {}
    if mask is None or cheap(mask):
        if mask is None or (image is None or image[..., 0].numel() <= CHEAP):
            return rehearse(brush, known, params)
    else:
        require_mask_fits(mask, image)
    size = mask.shape if image is None or len(mask) > 1 else image.shape[:3]
    return {"mask": shaped(*size)}


@node("mask.brush", version=2, check=_check_brush_facts, migrations={1: Renamed({"amount": "mask_jitter"})})
def brush(mask: Mask | None = None, image: Image | None = None,
          box: Annotated[list[int], Field(min_length=4, max_length=4)] | None = None,
          seed: Annotated[int, Field(ge=0, le=2**64 - 1)] = 0, points: Annotated[int, Field(ge=2, le=1000)] = 20,
          offset_min: Annotated[int, Field(ge=0, le=4096)] = 1, offset_max: Annotated[int, Field(ge=0, le=4096)] = 5,
          mask_jitter: Annotated[float, Field(ge=0, le=1)] = 0.4,
          arbitrary: Annotated[float, Field(ge=0, le=1)] = 1.0) -> OneMask:
    """Draw a hole around a thing as a hand would, larger than it and of an arbitrary shape (Yang et al. 2022, §3.3).

    Each side of the thing's box moves out by a random part of the free space; each edge bulges towards the moved side
    (a quadratic Bézier), its points are jittered and joined by straight lines. Training draws the same holes, half of
    them as plain rectangles (`arbitrary=0.5`). Each mask of a batch, and each picture, gets a shape of its own.
    Pixels of the box at least `offset_max` px inside it are always covered, as is its middle. `[b h w]` of {0, 1}.

    Args:
        mask: The thing: its bounding box is what counts, every pixel above 0. Or set box.
        image: The picture that box belongs to; one mask for each of a batch. Optional with a mask.
        box: Left, top, right, bottom of the thing in pixels, right and bottom exclusive, instead of a mask.
        seed: Of everything random; the same shape on every machine.
        points: On each of the four edges.
        offset_min: Each point moves by at least this many pixels, in x and in y, either way.
        offset_max: And by at most this many.
        mask_jitter: A side moves out by up to this share of the free space between it and the picture's border.
        arbitrary: Chance of an arbitrary shape; else the extended box is filled as a rectangle.

    Raises:
        BadInput: a mask and a box, or neither; a box without a picture or not in it; an empty mask; a mask of another
            size than the picture; offset_min above offset_max, or fewer than two points.
    """
    _check_brush({"mask": mask, "image": image}, {"box": box, "offset_min": offset_min, "offset_max": offset_max})
    if points < 2:
        raise BadInput("points", found=str(points), expected="at least 2 on each edge",
                       fix="use points=20, as published")
    boxes, size = _boxes(mask, image, box)
    draws = torch.Generator("cpu").manual_seed(seed)
    planes = [brush_mask(one, size, draws, arbitrary=arbitrary, amount=mask_jitter, points=points,
                         offset_min=offset_min, offset_max=offset_max) for one in boxes]
    return OneMask(torch.stack(planes))


def _boxes(mask: Tensor | None, image: Tensor | None, box: list[int] | None) -> tuple[list[Box], tuple[int, int]]:
    """A box for each mask to draw, and the size of all of them; `_check_brush` has passed."""
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
            raise BadInput("mask", found=f"{which} is empty: nothing to draw around",
                           expected="a thing marked in white",
                           fix="check the mask file, its channel and invert; or set box instead")
        boxes.append(found)
    return boxes * (pictures if len(boxes) == 1 else 1), (holes.shape[1], holes.shape[2])


def _check_grow(known: Mapping[str, Any], params: Mapping[str, Any]) -> Mapping[str, Any]:
    mask = known.get("mask")
    if not cheap(mask):
        return check_grow(known, params)
    return {"mask": named(rehearse(grow, known, params)["mask"], files_of(mask))}


@node("mask.grow", check=_check_grow)
def grow(mask: Mask, ctx: Context, pixels: Annotated[int, Field(ge=-4096, le=4096)] = 0,
         feather: Annotated[int, Field(ge=0, le=4096)] = 0) -> OneMask:
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


def _check_to_latent(known: Mapping[str, Any], params: Mapping[str, Any]) -> Mapping[str, Any]:
    return rehearse(to_latent, known, params) if cheap(known.get("mask")) else check_to_latent(known, params)


@node("mask.to_latent", check=_check_to_latent)
def to_latent(mask: Mask, vae: Vae, ctx: Context, dilate: Annotated[int, Field(ge=0, le=64)] = 2,
              reduce: Literal["max", "nearest"] = "max") -> OneLatentMask:
    """Bring the hole to the latent grid, then grow it by `dilate` latent cells (Kakinuma et al., §3).

    The hole is every pixel with mask > 0, since image.paste_back lets each of them change: soft masks count in full.
    Cells next to a hole hold colour that bled in while encoding (about 1.05 apart without, 0.09 with 2 cells), which is
    what dilating removes. `[b 1 lh lw]` of {0, 1}, 1 = repaint; sides are the mask's over the VAE's factor.

    Args:
        mask: The hole in pixels, 1 = repaint; both sides multiples of the VAE's factor.
        vae: Its factor is how many pixels one latent cell spans.
        dilate: Cells by which the hole grows on every side (3×3 maximum, repeated).
        reduce: max: a cell with any hole pixel is hole; nearest: one pixel decides, as in the paper, which loses thin
            holes.

    Raises:
        BadInput: an empty mask, sides that are no multiple of the factor, or a part of the hole that no cell covers.
    """
    hole = unit_mask(mask) > 0
    factor = int(vae.factor)
    require_grid(hole, factor)
    cells = latent_hole(hole, factor, reduce)
    grown = grow_cells(cells, dilate)
    for number, plane in enumerate(hole):
        which = f"mask {number + 1} of {len(hole)}" if len(hole) > 1 else "the mask"
        if not plane.any():
            raise BadInput("mask", found=f"{which} is empty: nothing to repaint", expected="a hole",
                           fix="check the mask file, its channel and invert; white = repaint")
        if reduce == "nearest":
            _require_covered(plane, cells[number, 0], factor, which)
            _warn_of_rest(plane, grown[number, 0], factor, which, ctx)
        if plane.all():
            ctx.warn(f"mask-full: {which} covers the whole picture, so nothing is known and all of it is made up")
        elif bool(grown[number].all()):
            ctx.warn(f"mask-full: {which}, reduced and grown by {dilate} cells, covers the whole latent grid, so "
                     f"nothing is known; use a smaller dilate or a larger picture")
    return OneLatentMask(grown)


def _require_covered(plane: Tensor, cells: Tensor, factor: int, which: str) -> None:
    lost = lost_components(plane, cells, factor)
    if lost:
        where = "; ".join(f"x {left}–{right - 1}, y {top}–{bottom - 1}" for left, top, right, bottom in lost[:4])
        more = f" and {len(lost) - 4} more" if len(lost) > 4 else ""
        raise BadInput("reduce", found=f"{len(lost)} part{'s' if len(lost) > 1 else ''} of {which} that no latent cell "
                       f"covers ({where}{more})", expected="every part of the hole in at least one cell, or its grey "
                       "counts as known", fix="use reduce=max, or grow the mask with mask.grow")


def _warn_of_rest(plane: Tensor, grown: Tensor, factor: int, which: str, ctx: Context) -> None:
    reached = grown.repeat_interleave(factor, 0).repeat_interleave(factor, 1) > 0
    missed = int((plane & ~reached).sum())
    if missed:
        ctx.warn(f"mask-uncovered: {missed} of {int(plane.sum())} hole pixels of {which} lie in cells that count as "
                 f"known; reduce=max covers them all")

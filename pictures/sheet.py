"""A comparison sheet: pictures side by side at one height, each with a label."""

import unicodedata
from bisect import bisect_right
from collections.abc import Sequence
from functools import cache
from math import ceil, sqrt
from typing import NamedTuple

import numpy as np
from PIL import Image as Pil
from PIL import ImageDraw, ImageFont

from ..graph_runtime import BadInput, Context
from ..graph_runtime.core.light.later import Float, Tensor, torch
from ..graph_runtime.core.values import require_finite
from .resize import resize_image

TALLEST = 1024  # pixels; taller pictures are scaled down on a sheet
PAPER, INK = 1.0, (32, 32, 32)


def scale_to_height(picture: Float[Tensor, "h w 3"], height: int) -> Float[Tensor, "h2 w2 3"]:
    """Scale down bicubically with antialiasing to exactly `height`, or up by the largest integer factor, without
    blur."""
    if picture.shape[0] > height:
        return resize_image(picture[None], *_scaled(picture.shape[0], picture.shape[1], height))[0]
    factor = height // picture.shape[0]
    return picture.repeat_interleave(factor, 0).repeat_interleave(factor, 1)


def _scaled(height: int, width: int, goal: int) -> tuple[int, int]:
    """The size that `scale_to_height` makes of a picture."""
    if height > goal:
        return goal, max(1, round(width * goal / height))
    return height * (goal // height), width * (goal // height)


class Plan(NamedTuple):
    """How a sheet is laid out, in pixels.

    Attributes:
        height: of each row of pictures.
        gap: between pictures.
        text: size of the labels.
        strip: height of a label.
        widths: of the columns.
        size: height and width of the sheet.
    """

    height: int
    gap: int
    text: int
    strip: int
    widths: list[int]
    size: tuple[int, int]


def plan_sheet(sizes: Sequence[tuple[int, int]], labelled: bool, columns: int) -> Plan:
    """The layout of pictures of these heights and widths."""
    height = min(TALLEST, max(tall for tall, _ in sizes))
    across = [_scaled(tall, wide, height)[1] for tall, wide in sizes]
    gap = max(4, height // 64)
    text = min(40, max(12, height // 18))
    strip = round(text * 1.6) if labelled else 0
    widths = [max(across[column::columns]) for column in range(min(columns, len(across)))]
    rows = ceil(len(across) / columns)
    return Plan(
        height,
        gap,
        text,
        strip,
        widths,
        (gap + rows * (strip + height + gap), gap + sum(width + gap for width in widths)),
    )


def columns_for(count: int) -> int:
    """One row for up to four pictures, otherwise a nearly square grid."""
    return count if count <= 4 else ceil(sqrt(count))


def labelled(
    images: Sequence[Float[Tensor, "b h w 3"] | None], labels: Sequence[str]
) -> tuple[list[Float[Tensor, "h w 3"]], list[str]]:
    """Every picture of all batches, and its label: the batch's, numbered where the batch has several pictures.

    Raises:
        BadInput: NaN in a picture, fewer than two pictures, or a label without one.
    """
    pictures: list[Tensor] = []
    captions: list[str] = []
    for number, batch in enumerate(images, start=1):
        if batch is None:
            continue
        require_finite(
            batch,
            f"image_{number}",
            what="the picture",
            fix="check the node that made them",
        )
        label = (labels[number - 1] if number <= len(labels) else "") or ""
        for item, picture in enumerate(batch.detach().cpu(), start=1):
            pictures.append(picture)
            captions.append(f"{label} ({item})" if label and len(batch) > 1 else label)
    if len(pictures) < 2:
        raise BadInput(
            "image_1",
            found=f"{len(pictures)} pictures",
            expected="at least two to compare",
            fix="connect image_1 and image_2",
        )
    for number, label in enumerate(labels, start=1):
        if label and (number > len(images) or images[number - 1] is None):
            raise BadInput(
                f"label_{number}",
                found=f"the label {label!r} without a picture",
                expected=f"a picture at image_{number}",
                fix=f"connect image_{number}, or remove the label",
            )
    return pictures, captions


def timed(labels: Sequence[str], count: int, ctx: Context) -> list[str]:
    """Labels with the seconds that each picture took in this run; unchanged where part of the work was cached."""
    spent = [ctx.time_of(f"image_{number}") for number in range(1, count + 1)]
    padded = [*labels, *[""] * (count - len(labels))]
    return [
        label if seconds is None or seconds < 0.05 else f"{label}, {seconds:.1f} s".removeprefix(", ")
        for label, seconds in zip(padded, spent, strict=True)
    ]


def draw_sheet(pictures: list[Float[Tensor, "h w 3"]], labels: list[str], columns: int) -> Float[Tensor, "1 h w 3"]:
    """The pictures row by row on white, each below its label. Unscaled pictures keep their bits."""
    sizes = [(picture.shape[0], picture.shape[1]) for picture in pictures]
    height, gap, text, strip, widths, size = plan_sheet(sizes, any(labels), columns)
    tiles = [scale_to_height(picture, height) for picture in pictures]
    sheet = torch.full((*size, 3), PAPER)
    for number, (tile, label) in enumerate(zip(tiles, labels, strict=True)):
        row, column = divmod(number, columns)
        top, left = gap + row * (strip + height + gap), gap + sum(width + gap for width in widths[:column])
        if label:
            sheet[top : top + strip, left : left + widths[column]] = draw_label(label, widths[column], strip, text)
        y, x = top + strip + (height - tile.shape[0]) // 2, left + (widths[column] - tile.shape[1]) // 2
        sheet[y : y + tile.shape[0], x : x + tile.shape[1]] = tile.to(sheet)
    return sheet[None]


REPLACEMENTS = {"×": "x", "−": "-", "≤": "<=", "≥": ">=", "→": "->"}


def draw_label(label: str, width: int, height: int, size: int) -> Float[Tensor, "height width 3"]:
    """One centred line of text; smaller if it is long, cut with an ellipsis if even that does not fit."""
    strip = Pil.new("RGB", (width, height), (255, 255, 255))
    pen = ImageDraw.Draw(strip)
    label, font = fitted_text(pen, label, width, size)
    pen.text((width / 2, height / 2), label, fill=INK, font=font, anchor="mm")
    return torch.from_numpy(np.asarray(strip, dtype=np.float32) / np.float32(255))


def fitted_text(pen: ImageDraw.ImageDraw, label: str, width: int, size: int) -> tuple[str, ImageFont.FreeTypeFont]:
    """One line of text that is at most so wide, and its font: smaller if it is long, or cut with an ellipsis."""
    label = "".join(_writable(letter) for letter in " ".join(label[: 4 * width].split()))[
        :width
    ]  # at least a pixel per letter
    font = _font(size)
    while size > 10 and pen.textlength(label, font=font) > width:
        size -= 1
        font = _font(size)
    if pen.textlength(label, font=font) > width:
        ends = range(1, len(label))
        cut = bisect_right(ends, width, key=lambda end: ceil(pen.textlength(label[:end] + "…", font=font)))
        label = label[:cut] + "…"
    return label, font


@cache
def _writable(letter: str) -> str:
    """The letter, or its replacement if Pillow's built-in font lacks it: η becomes eta, × becomes x."""
    name = unicodedata.name(letter, "").split()
    if letter in REPLACEMENTS:
        return REPLACEMENTS[letter]
    missing = bytes(_font(16).getmask("\uffff")) == bytes(_font(16).getmask(letter))
    return name[-1].lower() if missing and name[:1] == ["GREEK"] and "LETTER" in name[:-1] else letter


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont)  # load_default(size) always scales
    return font

"""From a scene to pixels: soft light, supersampled outlines, and every layer as an exact mask."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from ._scene import FLOOR_COLOURS, SUBJECT_COLOURS, WALL_COLOURS, Scene
from ._shapes import RGB, SHADOWS, Part, parts

SUPERSAMPLING = 4
Floats = NDArray[np.float32]


class Layers(NamedTuple):
    """What `draw_layers` gives: pictures are RGB, masks are bool arrays of h × w."""

    image: Image.Image
    subject: NDArray[np.bool_]  # every pixel that the subject touches
    shadow: NDArray[np.bool_]  # every pixel that its shadow darkens
    window: NDArray[np.bool_]  # the window with its frame, also where the subject hides it
    background: Image.Image  # the same room with neither subject nor shadow


def _soft(edge: Floats) -> Floats:
    """Coverage of a pixel whose centre lies `edge` pixels inside an outline."""
    return np.clip(edge + 0.5, 0.0, 1.0)


def _blend(canvas: Floats, colour: Floats | RGB, alpha: Floats) -> Floats:
    return canvas + (np.asarray(colour, np.float32) - canvas) * alpha[..., None]


def _box(size: int, x0: float, y0: float, x1: float, y1: float) -> Floats:
    """Antialiased rectangle, pixels."""
    at = np.arange(size, dtype=np.float32) + 0.5
    across = _soft(np.minimum(at - x0, x1 - at))
    down = _soft(np.minimum(at - y0, y1 - at))
    return down[:, None] * across[None, :]


def _room(scene: Scene, size: int) -> tuple[Floats, Floats]:
    """Wall, floor, skirting board and window: h × w × 3 in 0…255, and the window's coverage, h × w."""
    at = (np.arange(size, dtype=np.float32) + 0.5) / size
    light = 0.5 if not scene.window else scene.window_x
    # Brighter towards the window and higher up; slow changes only, which a small autoencoder keeps.
    shade = 1.035 - 0.07 * (at[None, :] - light) ** 2 - 0.06 * at[:, None]
    canvas = np.asarray(WALL_COLOURS[scene.wall], np.float32) * shade[..., None]
    horizon = scene.horizon * size
    depth = np.clip((at - scene.horizon) / (1 - scene.horizon), 0, 1)
    floor = np.asarray(FLOOR_COLOURS[scene.floor], np.float32) * (0.90 + 0.14 * depth)[:, None, None]
    below = _soft(np.arange(size, dtype=np.float32) + 0.5 - horizon)[:, None].repeat(size, 1)
    canvas = _blend(canvas, floor.repeat(size, 1), below)
    canvas = _blend(canvas, (250, 247, 240), 0.8 * _box(size, -9, horizon - 0.034 * size, size + 9, horizon))
    if not scene.window:
        return canvas, np.zeros((size, size), np.float32)
    side, frame = scene.window_size * size, 0.022 * size
    x0, y0 = scene.window_x * size - side / 2, scene.window_y * size
    outer = _box(size, x0, y0, x0 + side, y0 + side)
    canvas = _blend(canvas, (252, 250, 246), outer)
    up = np.clip((at * size - y0) / side, 0, 1)[:, None, None]
    sky = np.asarray((120, 184, 236), np.float32) * (1 - up) + np.asarray((206, 230, 246), np.float32) * up
    panes = _box(size, x0 + frame, y0 + frame, x0 + side - frame, y0 + side - frame)
    canvas = _blend(canvas, sky.repeat(size, 1), panes)
    middle = x0 + side / 2
    bar = _box(size, middle - frame / 2, y0, middle + frame / 2, y0 + side)
    return _blend(canvas, (252, 250, 246), bar), outer


class _Pen:
    """Draws parts, given in a subject's own units, on supersampled PIL canvases."""

    def __init__(self, scene: Scene, size: int) -> None:
        self.unit = scene.size * size * SUPERSAMPLING
        self.x, self.y = scene.x * size * SUPERSAMPLING, scene.y * size * SUPERSAMPLING
        self.sign = 1 if scene.facing == "right" else -1

    def points(self, flat: tuple[float, ...]) -> list[tuple[float, float]]:
        pairs = zip(flat[::2], flat[1::2], strict=True)
        return [(self.x + self.sign * x * self.unit, self.y - y * self.unit) for x, y in pairs]

    def draw(self, on: ImageDraw.ImageDraw, part: Part, fill: RGB | int) -> None:
        if part.shape == "poly":
            on.polygon(self.points(part.at), fill=fill)
        elif part.shape == "line":
            joints, width = self.points(part.at[:-1]), part.at[-1] * self.unit
            on.line(joints, fill=fill, width=round(width))
            for x, y in joints:
                on.ellipse((x - width / 2, y - width / 2, x + width / 2, y + width / 2), fill=fill)
        elif part.shape == "ellipse":
            cx, cy, rx, ry = part.at
            on.ellipse(self._corners(cx - rx, cy - ry, cx + rx, cy + ry), fill=fill)
        else:
            on.rounded_rectangle(self._corners(*part.at[:4]), radius=part.at[4] * self.unit, fill=fill)

    def _corners(self, x0: float, y0: float, x1: float, y1: float) -> tuple[float, float, float, float]:
        (ax, ay), (bx, by) = self.points((x0, y0, x1, y1))
        return min(ax, bx), min(ay, by), max(ax, bx), max(ay, by)


def _tint(colour: RGB, factor: float) -> RGB:
    red, green, blue = (min(255, round(value * factor)) for value in colour)
    return red, green, blue


def _painted(pen: _Pen, pieces: list[Part], colour: RGB, side: int) -> Image.Image:
    canvas = Image.new("RGB", (side, side), colour)
    brush = ImageDraw.Draw(canvas)
    for part in pieces:
        pen.draw(brush, part, part.paint if isinstance(part.paint, tuple) else _tint(colour, part.paint))
    return canvas


def _pattern(scene: Scene, pen: _Pen, side: int) -> Image.Image:
    """Where the second colour shows: broad stripes, or dots in a staggered grid. They move with the subject."""
    mask = Image.new("L", (side, side), 0)
    brush = ImageDraw.Draw(mask)
    step = 0.16 * pen.unit
    for i in range(-8, 9):
        x = pen.x + i * step
        if scene.pattern == "striped":
            brush.rectangle((x - step / 4, 0, x + step / 4, side), fill=255)
            continue
        for j in range(9):
            y = pen.y - (j + 0.5 * (i % 2)) * step
            brush.ellipse((x - step / 4, y - step / 4, x + step / 4, y + step / 4), fill=255)
    return mask


def _subject(scene: Scene, size: int) -> tuple[Floats, Floats]:
    """The subject's colours, h × w × 3 in 0…255, and its coverage, h × w in 0…1."""
    side, pen, pieces = size * SUPERSAMPLING, _Pen(scene, size), parts(scene.kind, scene.pose)
    paint = _painted(pen, pieces, SUBJECT_COLOURS[scene.colour], side)
    if scene.pattern != "plain":
        other = _painted(pen, pieces, SUBJECT_COLOURS[scene.second_colour], side)
        paint = Image.composite(other, paint, _pattern(scene, pen, side))
    outline = Image.new("L", (side, side), 0)
    brush = ImageDraw.Draw(outline)
    for part in pieces:
        pen.draw(brush, part, 255)
    colours = np.asarray(paint.reduce(SUPERSAMPLING), np.float32)
    height = np.clip((scene.y - (np.arange(size, dtype=np.float32) + 0.5) / size) / scene.size, 0, 1)
    return colours * (0.94 + 0.10 * height)[:, None, None], np.asarray(outline.reduce(SUPERSAMPLING), np.float32) / 255


def _shadow(scene: Scene, size: int) -> Floats:
    """How much light the subject takes from the floor, h × w in 0…0.4; exactly 0 outside an ellipse."""
    at = (np.arange(size, dtype=np.float32) + 0.5) / size
    half = SHADOWS[scene.kind] * scene.size
    across, down = (at - scene.x) / half, (at - scene.y + 0.005) / (0.16 * half + 0.015)
    away = across[None, :] ** 2 + down[:, None] ** 2
    return (0.4 * np.clip(1 - away, 0, 1)).astype(np.float32)


def _picture(values: Floats) -> Image.Image:
    return Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8), "RGB")


def draw_layers(scene: Scene, size: int = 128) -> Layers:
    """Draw a scene with all its layers, `size` pixels a side.

    Outside subject and shadow, image and background are the same. ValueError when `size` is below 16.
    """
    if size < 16:
        raise ValueError(f"size is {size}; a room needs at least 16 pixels")
    room, window = _room(scene, size)
    shadow, (colours, cover) = _shadow(scene, size), _subject(scene, size)
    image = _blend(room * (1 - shadow[..., None]), colours, cover)
    return Layers(_picture(image), cover > 0, shadow > 0, window > 0, _picture(room))


def draw(scene: Scene, size: int = 128) -> Image.Image:
    """Draw a scene as an RGB picture of `size` × `size`; the model is trained at 128."""
    return draw_layers(scene, size).image

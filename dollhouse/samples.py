"""The pictures that the shipped workflows start from: a room with an ink blot, and the mask that covers the blot.

`python -m inlay.dollhouse.samples --out workflows` writes room.png (RGB) and room-mask.png (L, white = repaint).
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter

from .world import draw, sample_scene

#: A held-out room, its dog a little smaller and further right so that wall and floor beside it are free.
SCENE = replace(sample_scene("test", 395), size=0.53, x=0.69)
#: Centre and radius of the blot's drops, in fractions of the side.
DROPS = ((0.15, 0.63, 0.075), (0.10, 0.69, 0.05), (0.205, 0.695, 0.05), (0.175, 0.555, 0.035), (0.145, 0.755, 0.03))
INK = (38, 30, 62)
#: The mask reaches this far beyond the ink, in fractions of the side.
MARGIN = 0.02
SUPERSAMPLING = 4


def _drops(size: int, grow: float) -> Image.Image:
    side = size * SUPERSAMPLING
    drops = Image.new("L", (side, side), 0)
    brush = ImageDraw.Draw(drops)
    for x, y, radius in DROPS:
        reach = radius + grow
        brush.ellipse([side * v for v in (x - reach, y - reach, x + reach, y + reach)], fill=255)
    return drops


def room(size: int = 128) -> tuple[Image.Image, Image.Image]:
    """The blotted room, RGB, and its mask, L with 255 = repaint; the mask covers every pixel that ink has touched."""
    clean = draw(SCENE, size)
    ink = _drops(size, 0.0).filter(ImageFilter.GaussianBlur(1.5)).reduce(SUPERSAMPLING)
    blotted = Image.composite(Image.new("RGB", clean.size, INK), clean, ink)
    mask = _drops(size, MARGIN).reduce(SUPERSAMPLING).point(lambda value: 255 if value else 0)
    return blotted, mask


def main() -> None:
    """Write both pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("workflows"), help="folder to write to (default: workflows)")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    for name, picture in zip(("room.png", "room-mask.png"), room(), strict=True):
        picture.save(out / name)


if __name__ == "__main__":
    main()

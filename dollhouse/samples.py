"""The pictures that the shipped workflows start from: rooms, masks of what is repainted, an exemplar.

`python -m inlay.dollhouse.samples --out workflows` writes them; masks are L, white = repaint.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from .world import draw, draw_layers, sample_scene

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
    """The blotted room, RGB, and its mask, L with 255 = repaint; the mask covers every pixel that the ink touches."""
    clean = draw(SCENE, size)
    ink = _drops(size, 0.0).filter(ImageFilter.GaussianBlur(1.5)).reduce(SUPERSAMPLING)
    blotted = Image.composite(Image.new("RGB", clean.size, INK), clean, ink)
    mask = _drops(size, MARGIN).reduce(SUPERSAMPLING).point(lambda value: 255 if value else 0)
    return blotted, mask


#: The room in which paint_by_example puts another thing, and where that thing is shown.
LIVING_ROOM, SHOWN = sample_scene("test", 431), sample_scene("test", 428)
ROUND, EDGE, BORDER = 0.06, 0.035, 0.04


def _bounds(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def living_room(size: int = 128) -> tuple[Image.Image, Image.Image, Image.Image]:
    """A room, RGB; a mask over the thing in it, L with 255 = repaint; and the thing that replaces it, RGB."""
    layers = draw_layers(LIVING_ROOM, size)
    left, top, right, bottom = _bounds(layers.subject | layers.shadow)
    edge = round(EDGE * size)
    mask = Image.new("L", (size, size), 0)
    hole = (max(0, left - edge), max(0, top - edge), min(size, right + edge) - 1, min(size, bottom + edge) - 1)
    ImageDraw.Draw(mask).rounded_rectangle(hole, radius=ROUND * size, fill=255)
    shown = draw_layers(SHOWN, 2 * size)
    left, top, right, bottom = _bounds(shown.subject)
    edge = round(BORDER * 2 * size)
    return layers.image, mask, shown.image.crop((left - edge, top - edge, right + edge, bottom + edge))


#: The dog that baret_edit lays down: "a blue dog standing in a room with green walls".
DOG = replace(
    next(
        scene
        for scene in (sample_scene("test", index) for index in range(600, 2000))
        if scene.label == "dog-standing" and scene.wall == "green"
    ),
    colour="blue",
)

#: How many photos train_exemplar starts from.
PHOTOS = 8


def photographs(size: int = 128) -> list[tuple[str, Image.Image, tuple[int, int, int, int], str]]:
    """Name, picture, box and label of each photo that train_exemplar starts from."""
    found = []
    for number in range(PHOTOS):
        scene = sample_scene("val", 500 + number)
        layers = draw_layers(scene, size)
        found.append((f"photo-{number + 1}.png", layers.image, _bounds(layers.subject), scene.kind))
    return found


#: A sofa that no split has: stripes in another colour. Four photos of it.
SUBJECT = {"kind": "sofa", "pose": "none", "colour": "purple", "pattern": "striped", "second_colour": "orange"}
SUBJECT_PHOTOS = (900, 903, 905, 911)


def subject_photographs(size: int = 128) -> list[tuple[Image.Image, Image.Image]]:
    """Photos of the subject, RGB, each with its mask, L, white = subject."""
    found = []
    for index in SUBJECT_PHOTOS:
        layers = draw_layers(replace(sample_scene("test", index), **SUBJECT), size)
        found.append((layers.image, Image.fromarray((layers.subject * 255).astype(np.uint8))))
    return found


def main() -> None:
    """Write the pictures of all shipped workflows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("workflows"), help="folder to write to (default: workflows)")
    out = parser.parse_args().out
    for folder in ("inpaint", "edit", "exemplar/photos", "exemplar/subject", "exemplar/subject-masks"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    for names, pictures in (
        (("inpaint/room.png", "inpaint/room-mask.png"), room()),
        (("exemplar/living-room.png", "exemplar/living-room-mask.png", "exemplar/exemplar.png"), living_room()),
    ):
        for name, picture in zip(names, pictures, strict=True):
            picture.save(out / name)
    draw(DOG).save(out / "edit" / "dog.png")
    for number, (picture, mask) in enumerate(subject_photographs(), 1):
        picture.save(out / "exemplar" / "subject" / f"sofa-{number}.png")
        mask.save(out / "exemplar" / "subject-masks" / f"sofa-{number}.png")
    lines = ["file,left,top,right,bottom,label"]
    for name, picture, box, label in photographs():
        picture.save(out / "exemplar" / "photos" / name)
        lines.append(",".join([name, *map(str, box), label]))
    (out / "exemplar" / "boxes.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

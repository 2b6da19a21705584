"""Make the animation of README, docs/images/inpaint.webp: a photo, its mask, how the fill grows, and the result.

    python scripts/animation.py

What lies in the hole is real: the state of the search after each scale, from coarse to fine, then the command's result.
"""

import tempfile
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as functional
from inlay.nodes.image.crop import crop_to_mask, stitch
from inlay.pictures.patches.copying import copy_pixels
from inlay.pictures.patches.displacements import displacements
from inlay.pictures.patches.level import Level
from inlay.pictures.patches.pyramid import pyramid
from inlay.pictures.patches.surroundings import groups, surroundings
from PIL import Image

from pictures import IMAGES, run, samples

MARK = (255, 40, 120)
STROKES = 12  # frames in which the mask appears
COMMAND = "inlay inpaint photo.jpg hole.png"
PATCH = 7  # as image.fill
#: How long frames are shown, in milliseconds; the result until ten seconds are over.
PHOTO, STROKE, MARKED, SCALE, ALL = 1800, 80, 900, 800, 10_000


def frames(folder: Path) -> list[tuple[Image.Image, int]]:
    """The frames and their times, from a folder of samples."""
    with Image.open(folder / "photo.jpg") as opened:
        photo = opened.convert("RGB")
    with Image.open(folder / "hole.png") as opened:
        hole = opened.convert("L")
    [path] = run(COMMAND, folder)
    with Image.open(path) as opened:
        result = opened.convert("RGB")
    shown = [(photo, PHOTO)]
    drawn = [marked(photo, swept(hole, number / STROKES)) for number in range(1, STROKES + 1)]
    shown += [*((picture, STROKE) for picture in drawn[:-1]), (drawn[-1], MARKED)]
    shown += [(picture, SCALE) for picture in scales(photo, hole)]
    return [*shown, (result, ALL - sum(time for _, time in shown))]


def swept(hole: Image.Image, share: float) -> Image.Image:
    """The left part of a mask."""
    plane = np.asarray(hole).copy()
    columns = np.flatnonzero(plane.any(0))
    plane[:, columns[round(len(columns) * share) - 1] + 1 :] = 0
    return Image.fromarray(plane)


def marked(photo: Image.Image, hole: Image.Image) -> Image.Image:
    """The photo with the hole in a transparent colour."""
    colour = Image.blend(photo, Image.new("RGB", photo.size, MARK), 0.65)
    return Image.composite(colour, photo, hole)


def scales(photo: Image.Image, hole: Image.Image) -> list[Image.Image]:
    """The photo with its hole as it is filled on each scale of the search, the coarsest first."""
    picture = torch.from_numpy(np.asarray(photo).copy()).float()[None] / 255
    mask = torch.from_numpy(np.asarray(hole) > 127)[None].float()
    cropped = crop_to_mask(picture, mask, context=3.0, size=None, windows="each", multiple=1)  # as the command does
    window, rest = cropped.image[0].clone(), cropped.mask[0] > 0
    generator = torch.Generator("cpu").manual_seed(0)
    stages: list[torch.Tensor] = []
    source = ~rest
    for box in groups(rest):
        part = surroundings(box, rest, source)
        levels, scale = pyramid(window[part], rest[part], source[part], PATCH)
        before = generator.get_state()
        for stage, number in enumerate(reversed(range(len(levels)))):
            generator.set_state(before)
            copied = displacements(levels[number:], generator, lambda share: None)
            if stage == len(stages):
                stages.append(stages[-1].clone() if stages else window.clone())
            rough = coloured(levels[number], copied, rest[part])
            stages[stage][part] = torch.where(rest[part][..., None], rough, stages[stage][part])
        for later in stages[len(levels) :]:
            later[part] = torch.where(rest[part][..., None], rough, later[part])
        copy_pixels(window[part], rest[part], source[part], levels[0], copied, scale, blend=True)
        rest[part] = False
    whole = [stitch(stage[None], cropped.crop).image[0] for stage in stages]
    return [Image.fromarray((stage * 255).round().to(torch.uint8).numpy()) for stage in whole]


def coloured(level: Level, copied: torch.Tensor, hole: torch.Tensor) -> torch.Tensor:
    """The colours that a scale of the search copies, at the size of the hole's surroundings."""
    small = level.colours[:3].flatten(1).clone()
    small[:, level.pixels] = small[:, copied]
    small = small.reshape(1, 3, *level.shape)
    return functional.interpolate(small, size=hole.shape, mode="bilinear")[0].movedim(0, -1).clamp(0, 1)


def write(shown: list[tuple[Image.Image, int]], path: Path) -> None:
    """Write an animated WebP that repeats forever."""
    first, *others = [picture for picture, _ in shown]
    times = [time for _, time in shown]
    first.save(path, save_all=True, append_images=others, duration=times, loop=0, quality=82, method=6)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        write(frames(samples(Path(place) / "samples")), IMAGES / "inpaint.webp")

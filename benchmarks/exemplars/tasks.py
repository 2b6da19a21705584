"""Tasks and measures of the exemplar benchmark: rooms whose subject is hidden, and another drawing of the same thing.

The scene number determines everything; no model, no network.
"""

import hashlib
import random
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from inlay.benchmarks.shared import as_picture, as_tensor
from inlay.dollhouse.judge import Judge, Reading, read
from inlay.dollhouse.world import Scene, caption, draw, draw_layers, sample_scene
from inlay.pictures.masks.brush import brush_mask
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

SIZE, MARGIN, PADDING, ELSEWHERE = 128, 3, 0.06, 100_000


class Task(NamedTuple):
    """A room with a hole where its subject was, and another drawing of the subject."""

    number: int
    scene: Scene
    truth: Tensor  # [h w 3]
    hole: Tensor  # [h w], 1 = repaint; covers subject and shadow
    exemplar: Tensor  # [h w 3], any size
    elsewhere: Tensor  # [h w 3], the whole drawing that the exemplar was cut from
    words: str

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Left, top, right, bottom of the hole."""
        return bounds(self.hole.numpy() > 0)


def bounds(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """Left, top, right, bottom (exclusive) of True pixels."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def uniform_of(split: str, number: int) -> random.Random:
    """The random numbers of a task."""
    digest = hashlib.sha256(f"inlay-{split}-exemplar:{number}".encode()).digest()
    return random.Random(int.from_bytes(digest, "big"))


def make_task(split: str, number: int, *, arbitrary: bool | None = None) -> Task:
    """Scene `number` with its subject hidden, and that subject mirrored, of another size, elsewhere, in another room.

    Half of the holes are rectangles around subject and shadow, each side moved out by up to 0.4 of its free space; half
    are of an arbitrary shape, together with every pixel of subject and shadow (nothing of it may be seen).
    """
    scene = sample_scene(split, number)
    layers = draw_layers(scene, SIZE)
    draws = uniform_of(split, number)
    shape = draws.random() < 0.5 if arbitrary is None else arbitrary
    left, top, right, bottom = bounds(layers.subject | layers.shadow)
    box = (max(0, left - MARGIN), max(0, top - MARGIN), min(SIZE, right + MARGIN), min(SIZE, bottom + MARGIN))
    hole = brush_mask(box, (SIZE, SIZE), torch.Generator().manual_seed(draws.getrandbits(32)), arbitrary=float(shape))
    hole = torch.maximum(hole, torch.from_numpy(layers.subject | layers.shadow).float())
    other = replace(
        sample_scene(split, number + ELSEWHERE), kind=scene.kind, pose=scene.pose, colour=scene.colour,
        facing="left" if scene.facing == "right" else "right", size=scene.size * (0.75 + 0.2 * draws.random()),
        x=1 - scene.x, pattern=scene.pattern, second_colour=scene.second_colour)  # fmt: skip
    drawn = draw_layers(other, SIZE)
    left, top, right, bottom = bounds(drawn.subject)
    room = round(PADDING * max(right - left, bottom - top))
    cut = np.asarray(drawn.image)[max(0, top - room) : bottom + room, max(0, left - room) : right + room]
    return Task(
        number,
        scene,
        as_tensor(draw(scene, SIZE)),
        hole,
        torch.from_numpy(cut.copy()).float() / 255,
        as_tensor(drawn.image),
        caption(scene),
    )


def judge_fills(judge: Judge, fills: Tensor) -> list[Reading]:
    """The judge's reading of each picture `[b h w 3]`."""
    return [
        reading
        for start in range(0, len(fills), 50)
        for reading in read(judge, [as_picture(fill) for fill in fills[start : start + 50]])
    ]


def right(task: Task, reading: Reading) -> dict[str, bool]:
    """Class, pose and colour of what appears, each right or wrong."""
    found = {
        "class": reading.kind == task.scene.kind,
        "pose": reading.label == task.scene.label,
        "colour": reading.colour == task.scene.colour,
    }
    return found | {"class and colour": found["class"] and found["colour"]}


def copied(task: Task, fill: Tensor, reading: Reading) -> float:
    """Copy-and-paste score: correlation of what appears, pixel by pixel, with the exemplar stretched onto its box.

    1 is a paste. The true drawing, which is another view of the thing, says how much a faithful picture has of itself.
    """
    region = reading.region
    left, top, right_, bottom = bounds(region) if region.any() else task.box
    if right_ - left < 4 or bottom - top < 4:
        return 0.0
    seen = fill[top:bottom, left:right_].numpy().reshape(-1)
    stretched = as_picture(task.exemplar).resize((right_ - left, bottom - top), Image.Resampling.BICUBIC)
    wanted = np.asarray(stretched, np.float64).reshape(-1) / 255
    spread = seen.std() * wanted.std()
    return float(((seen - seen.mean()) * (wanted - wanted.mean())).mean() / spread) if spread > 1e-9 else 0.0


def pasted(task: Task) -> Tensor:
    """The exemplar stretched onto the hole's box: copy and paste, like with scissors."""
    left, top, right_, bottom = task.box
    fill = task.truth * (1 - task.hole[..., None])
    patch = as_tensor(as_picture(task.exemplar).resize((right_ - left, bottom - top), Image.Resampling.BICUBIC))
    return fill + task.hole[..., None] * torch.nn.functional.pad(patch, (0, 0, left, SIZE - right_, top, SIZE - bottom))

"""Tasks of the subject benchmark: patterned things that occur in no split, photos of them, and rooms with a hole.

Everything follows from a subject's and a room's number. Which kind of thing is seen, and where, the judge says; which
pattern, a small network that is trained here on drawings of the training split; which two colours, a closed form.
On 100 drawings of the val split pattern and colours are read right in 100, and as the autoencoder shows them in 94.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from inlay.benchmarks.exemplars.tasks import bounds, judge_fills, uniform_of
from inlay.benchmarks.shared import as_picture, as_tensor
from inlay.benchmarks.subjects.reader import (
    COLOURS,
    Pattern,
    Reader,
    read_patterns,
)
from inlay.dollhouse import judge
from inlay.dollhouse.world import (
    POSES,
    Scene,
    caption,
    draw_layers,
    sample_scene,
)
from inlay.pictures.masks.brush import brush_mask
from torch import Tensor

SIZE, PHOTOS, MARGIN = 128, 4, 3
#: Chairs and tables are left out: their parts are hardly wider than a dot, so even the autoencoder shows half of them.
BROAD = ("sofa", "bed", "lamp", "dog", "cat", "bird")
#: Photos and rooms come from scenes that no other benchmark uses.
PHOTO_START, ROOM_START = 40_000, 60_000


@dataclass(frozen=True)
class Subject:
    """One thing: the attributes that all its photos share."""

    kind: str
    colour: str
    pattern: str
    second_colour: str
    number: int = 0

    @property
    def look(self) -> dict[str, Any]:
        """The attributes of a scene that make it this subject."""
        return {
            "kind": self.kind,
            "pose": POSES[self.kind][0],
            "colour": self.colour,
            "pattern": self.pattern,
            "second_colour": self.second_colour,
        }

    @property
    def words(self) -> str:
        """What it is called, without a room: "a dotted purple and orange sofa"."""
        return caption(replace(sample_scene("train", 0), **self.look), 7)


def subject(split: str, number: int) -> Subject:
    """Subject `number` of a split: kinds in turn, stripes and dots in turn, two colours of its own."""
    draws = uniform_of(f"{split}-subject", number)
    first = int(draws.random() * len(COLOURS))
    second = (first + 1 + int(draws.random() * (len(COLOURS) - 1))) % len(COLOURS)
    pattern = ("striped", "dotted")[(number + number // len(BROAD)) % 2]
    return Subject(BROAD[number % len(BROAD)], COLOURS[first], pattern, COLOURS[second], number)


def in_room(thing: Subject, split: str, index: int) -> Scene:
    """The thing in a room of a split."""
    return replace(sample_scene(split, index), **thing.look)


def write_photos(thing: Subject, split: str, folder: Path) -> None:
    """Four photos of the thing, and masks of it, as a user would have them."""
    for name in ("photos", "masks"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for index in range(PHOTOS):
        layers = draw_layers(in_room(thing, split, PHOTO_START + PHOTOS * thing.number + index), SIZE)
        layers.image.save(folder / "photos" / f"{index}.png")
        as_picture(torch.from_numpy(layers.subject).float()[..., None].expand(-1, -1, 3)).convert("L").save(
            folder / "masks" / f"{index}.png"
        )


class Room(NamedTuple):
    """A room with a hole, and the thing as one of its photos shows it."""

    thing: Subject
    truth: Tensor  # [h w 3]: the thing drawn in the hole
    hole: Tensor  # [h w], 1 = repaint
    exemplar: Tensor  # [h w 3], any size
    box: tuple[int, int, int, int]  # of the thing in the true drawing
    words: str


def make_room(thing: Subject, split: str, number: int, grow: float | None = None) -> Room:
    """Room `number` for a thing: a rectangular hole around thing and shadow, and a photo, mirrored every second time.

    `grow` None moves each side of the hole out by up to 0.4 of its free space, as training does; 1.5 makes the thing's
    box half as large again on both sides, like a mask drawn too large.
    """
    scene = in_room(thing, split, ROOM_START + 1000 * thing.number + number)
    layers = draw_layers(scene, SIZE)
    draws = uniform_of(f"{split}-room-{thing.number}", number)
    left, top, right, bottom = bounds(layers.subject | layers.shadow)
    box = (max(0, left - MARGIN), max(0, top - MARGIN), min(SIZE, right + MARGIN), min(SIZE, bottom + MARGIN))
    if grow is None:
        hole = brush_mask(box, (SIZE, SIZE), torch.Generator().manual_seed(draws.getrandbits(32)), arbitrary=0.0)
    else:
        more = [(grow - 1) / 2 * (box[2 + axis] - box[axis]) for axis in (0, 1)]
        hole = torch.zeros(SIZE, SIZE)
        hole[
            max(0, round(box[1] - more[1])) : round(box[3] + more[1]),
            max(0, round(box[0] - more[0])) : round(box[2] + more[0]),
        ] = 1
    seen = draw_layers(in_room(thing, split, PHOTO_START + PHOTOS * thing.number + int(draws.random() * PHOTOS)), SIZE)
    left, top, right, bottom = bounds(seen.subject)
    cut = as_tensor(seen.image)[top:bottom, left:right]
    return Room(
        thing,
        as_tensor(layers.image),
        hole,
        cut.flip(1) if draws.random() < 0.5 else cut,
        bounds(layers.subject),
        caption(scene),
    )


def worn(thing: Subject, seen: Pattern) -> dict[str, bool]:
    """Pattern and colours, each right or wrong. Stripes are equally wide: the order of their colours does not count."""
    pair = (seen.colour, seen.second_colour), (thing.colour, thing.second_colour)
    same = pair[0] == pair[1] if thing.pattern == "dotted" else set(pair[0]) == set(pair[1])
    return {"pattern": seen.pattern == thing.pattern, "colours": same}


def look_at(rooms: Sequence[Room], fills: Tensor, reader: Reader, eyes: judge.Judge) -> list[dict[str, Any]]:
    """For each fill: kind, pattern, colours, all three (identity), and how much of the hole's box the thing fills."""
    rows, readings = [], judge_fills(eyes, fills)
    patterns = read_patterns(reader, fills, [reading.region for reading in readings])
    for room, seen, reading in zip(rooms, patterns, readings, strict=True):
        row: dict[str, Any] = {"kind": reading.kind == room.thing.kind, **worn(room.thing, seen)}
        row["identity"] = all(row.values())
        hole = area(bounds(room.hole.numpy() > 0))
        row["fills"] = area(bounds(reading.region)) / hole if reading.region.any() else 0.0
        rows.append(row)
    return rows


def area(box: tuple[int, int, int, int]) -> int:
    """Pixels in a box."""
    return (box[2] - box[0]) * (box[3] - box[1])

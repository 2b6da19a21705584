"""The attributes of a drawn room, how they are sampled, and their captions."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

SPLITS = ("train", "val", "test")

#: Colours of subjects: saturated, at least 85 apart from each other in RGB.
SUBJECT_COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (206, 52, 50),
    "orange": (242, 136, 36),
    "yellow": (246, 214, 74),
    "green": (66, 156, 84),
    "blue": (52, 104, 196),
    "purple": (128, 70, 168),
    "pink": (238, 128, 176),
    "brown": (112, 74, 52),
}
#: Colours of walls: pale, so that a blue dog can stand before a blue wall and still be seen.
WALL_COLOURS: dict[str, tuple[int, int, int]] = {
    "white": (238, 234, 226),
    "green": (158, 206, 150),
    "blue": (158, 196, 230),
    "pink": (240, 184, 192),
    "yellow": (242, 222, 150),
    "grey": (158, 158, 164),
}
FLOOR_COLOURS: dict[str, tuple[int, int, int]] = {
    "wooden": (192, 146, 100),
    "stone": (146, 150, 156),
    "sandy": (222, 202, 170),
}

#: Poses of each kind, the first being the default; furniture has the one pose "none".
POSES: dict[str, tuple[str, ...]] = {
    "sofa": ("none",),
    "chair": ("none",),
    "table": ("none",),
    "bed": ("none",),
    "lamp": ("none",),
    "dog": ("standing", "lying"),
    "cat": ("sitting", "lying"),
    "bird": ("folded", "spread"),
}
KINDS = tuple(POSES)
PATTERNS = ("plain", "striped", "dotted")

#: Range of the unit length of each kind, as a fraction of the picture's side, and its half width in units.
SIZES: dict[str, tuple[float, float]] = {
    "sofa": (0.62, 0.80),
    "chair": (0.58, 0.72),
    "table": (0.60, 0.76),
    "bed": (0.60, 0.78),
    "lamp": (0.66, 0.82),
    "dog": (0.58, 0.76),
    "cat": (0.60, 0.78),
    "bird": (0.60, 0.76),
}
HALF_WIDTHS = {
    "sofa": 0.52, "chair": 0.38, "table": 0.5, "bed": 0.54, "lamp": 0.25, "dog": 0.57, "cat": 0.52, "bird": 0.5,
}  # fmt: skip


@dataclass(frozen=True)
class Scene:
    """One room, every attribute explicit; positions and sizes are fractions of the picture's side.

    Ground truth for a change of any attribute is `dataclasses.replace(scene, pose="lying")`, drawn again.
    Raises ValueError for a value that the world does not know.
    """

    wall: str
    floor: str
    horizon: float  # where wall meets floor, 0 = top
    window: bool
    window_x: float  # centre
    window_y: float  # top edge
    window_size: float  # side
    kind: str
    pose: str
    colour: str
    facing: str  # left | right; sofa, table and lamp are symmetric
    x: float  # centre of the subject
    y: float  # where it touches the floor
    size: float  # its unit length
    pattern: str = "plain"
    second_colour: str = "yellow"  # used by striped and dotted only
    phrase: int = 0  # which paraphrase describes it in training

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn."""
        known = {
            "wall": WALL_COLOURS, "floor": FLOOR_COLOURS, "kind": KINDS, "pose": POSES.get(self.kind, ()),
            "colour": SUBJECT_COLOURS, "facing": ("left", "right"), "pattern": PATTERNS,
            "second_colour": SUBJECT_COLOURS,
        }  # fmt: skip
        for name, values in known.items():
            if getattr(self, name) not in values:
                raise ValueError(f"Scene.{name} is {getattr(self, name)!r}; it can be one of {', '.join(values)}")

    @property
    def label(self) -> str:
        """Kind and pose in one word, such as "dog-lying" or "sofa": what the judge distinguishes."""
        return self.kind if self.pose == "none" else f"{self.kind}-{self.pose}"


LABELS = tuple(k if p == "none" else f"{k}-{p}" for k, poses in POSES.items() for p in poses)


def sample_scene(split: str, index: int) -> Scene:
    """Scene `index` of a split, drawn from sha256("inlay-{split}:{index}"): the same on every machine."""
    if split not in SPLITS:
        raise ValueError(f"unknown split {split!r}; it can be one of {', '.join(SPLITS)}")
    digest = hashlib.sha256(f"inlay-{split}:{index}".encode()).digest()
    # Only Random.random() is promised to be stable between Python versions, so everything is derived from it.
    uniform = random.Random(int.from_bytes(digest, "big")).random

    def pick(values: Sequence[str]) -> str:
        return values[int(uniform() * len(values))]

    def between(low: float, high: float) -> float:
        return low + (high - low) * uniform()

    kind = pick(KINDS)
    size = between(*SIZES[kind])
    # A little may be cut off by the frame, never more than 3 %.
    reach = max(0.0, 0.53 - HALF_WIDTHS[kind] * size)
    window_size = between(0.24, 0.34)
    return Scene(
        kind=kind,
        pose=pick(POSES[kind]),
        colour=pick(tuple(SUBJECT_COLOURS)),
        facing=pick(("left", "right")),
        size=size,
        x=0.5 + between(-reach, reach),
        y=between(0.82, 0.93),
        wall=pick(tuple(WALL_COLOURS)),
        floor=pick(tuple(FLOOR_COLOURS)),
        horizon=between(0.62, 0.72),
        window=uniform() < 0.6,
        window_size=window_size,
        window_x=between(window_size / 2 + 0.05, 0.95 - window_size / 2),
        window_y=between(0.06, 0.14),
        phrase=int(uniform() * 1_000_000),
    )


#: How many paraphrases `caption` knows; the last names neither wall nor floor.
PHRASES = 8


def _subject(scene: Scene) -> str:
    pattern = "" if scene.pattern == "plain" else f"{scene.pattern} "
    article = "an" if (pattern or scene.colour)[0] in "aeiou" else "a"
    colour = scene.colour if scene.pattern == "plain" else f"{scene.colour} and {scene.second_colour}"
    return f"{article} {pattern}{colour} {scene.kind}"


def _window_side(scene: Scene) -> str:
    if not scene.window:
        return "without a window"
    side = "on the left" if scene.window_x < 0.4 else "on the right" if scene.window_x > 0.6 else "in the middle"
    return f"with a window {side}"


_POSE_WORDS = {
    "none": "", "standing": " standing", "lying": " lying", "sitting": " sitting",
    "folded": " with folded wings", "spread": " with spread wings",
}  # fmt: skip


def caption(scene: Scene, phrase: int | None = None) -> str:
    """The canonical sentence, "a blue dog standing in a room with green walls", or paraphrase number `phrase`.

    Paraphrases also name floor, window or facing; training uses `caption(scene, scene.phrase)`.
    """
    subject = _subject(scene) + _POSE_WORDS[scene.pose]
    plain = f"{subject} in a room with {scene.wall} walls"
    if phrase is None:
        return plain
    others = (
        plain,
        plain,
        f"{subject} on a {scene.floor} floor in a room with {scene.wall} walls",
        f"{subject} in a {scene.wall} room {_window_side(scene)}",
        f"{subject}, {scene.wall} walls, {scene.floor} floor",
        f"{_subject(scene)} facing {scene.facing}{_POSE_WORDS[scene.pose]} in a room with {scene.wall} walls"
        if scene.kind not in ("sofa", "table", "lamp")
        else f"a room with {scene.wall} walls and {subject}",
        f"a {scene.wall} room with a {scene.floor} floor and {subject}",
        subject,
    )
    return others[phrase % PHRASES]


def nearest_colour(rgb: Sequence[float], palette: dict[str, tuple[int, int, int]] | None = None) -> str:
    """Name of the palette colour nearest to `rgb` (three numbers in 0…255), in RGB distance; subjects by default."""
    palette = SUBJECT_COLOURS if palette is None else palette
    value = np.asarray(rgb, dtype=np.float64)
    if value.shape != (3,):
        raise ValueError(f"expected three numbers, got shape {value.shape}")
    return min(palette, key=lambda name: float(((value - palette[name]) ** 2).sum()))

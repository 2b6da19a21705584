"""The drawn world: rooms with a wall, a floor, perhaps a window, and one piece of furniture or animal.

Everything is known to the pixel: `draw_layers` gives masks and the room without its subject, and the ground truth for
any edit is the same scene with one attribute replaced, drawn again. Needs Pillow and numpy only.
"""

from ._draw import Layers, draw, draw_layers
from ._scene import (
    FLOOR_COLOURS,
    KINDS,
    LABELS,
    PATTERNS,
    PHRASES,
    POSES,
    SPLITS,
    SUBJECT_COLOURS,
    WALL_COLOURS,
    Scene,
    caption,
    nearest_colour,
    sample_scene,
)

__all__ = [
    "FLOOR_COLOURS",
    "KINDS",
    "LABELS",
    "PATTERNS",
    "PHRASES",
    "POSES",
    "SPLITS",
    "SUBJECT_COLOURS",
    "WALL_COLOURS",
    "Layers",
    "Scene",
    "caption",
    "draw",
    "draw_layers",
    "nearest_colour",
    "sample_scene",
]

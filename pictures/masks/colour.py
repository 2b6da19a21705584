"""Holes where a picture has one colour."""

import numpy as np
from PIL import ImageColor

from ...graph_runtime import BadInput
from ..arrays import Float32Array, strips
from ..colour.lab import lab_of

LONGEST = 64  # characters of a colour
SHOWN = 5  # colours in a message
SAMPLED = 250_000  # pixels that the message looks at
ROUNDING = 1e-3  # ΔE
LEVELS = 5  # of each channel, by which the message groups colours

Colour = tuple[int, int, int]


def parse_colour(text: str, port: str = "colour") -> Colour:
    """Red, green and blue from 0 to 255, of `#f00`, `#ff0000`, `rgb(255, 0, 0)`, `hsl(0, 100%, 50%)` or a CSS name.

    Raises:
        BadInput: no colour.
    """
    try:
        found = ImageColor.getrgb(text.strip()) if len(text) <= LONGEST else ()
    except ValueError:
        found = ()
    if len(found) != 3 or not all(0 <= value <= 255 for value in found):
        raise BadInput(
            port,
            found=repr(text if len(text) <= LONGEST else text[:LONGEST] + "…"),
            expected="a colour, such as #ff0000, #f00, rgb(255, 0, 0) or red",
            fix="write it in one of these ways, without transparency",
        )
    return found[0], found[1], found[2]


def colour_mask(image: Float32Array, colour: Colour, tolerance: float, out: Float32Array) -> float:
    """Write 1 where `[h w 3]` (sRGB) is at most `tolerance` (ΔE, CIE 1976) from the colour; the smallest distance."""
    wanted = lab_of(np.array(colour, np.float32) / np.float32(255))
    nearest = np.inf
    for rows in strips(*image.shape[:2]):
        distance = np.sqrt(((lab_of(image[rows]) - wanted) ** 2).sum(-1))
        out[rows] = distance <= tolerance + ROUNDING
        nearest = min(nearest, float(distance.min()))
    return nearest


def main_colours(image: Float32Array) -> str:
    """The commonest colours of a picture, for a message: `#c81e28 (31 %), …`."""
    step = max(1, round((image.shape[0] * image.shape[1] / SAMPLED) ** 0.5))
    pixels = np.clip(image[::step, ::step].reshape(-1, 3), 0, 1)
    groups = (pixels * (LEVELS - 1) + 0.5).astype(np.int64) @ np.array([LEVELS**2, LEVELS, 1])
    counts = np.bincount(groups, minlength=LEVELS**3)
    parts = []
    for group in np.argsort(-counts, kind="stable")[:SHOWN]:
        if counts[group]:
            red, green, blue = (round(float(value) * 255) for value in pixels[groups == group].mean(0))
            parts.append(f"#{red:02x}{green:02x}{blue:02x} ({counts[group] / len(pixels):.0%})")
    return ", ".join(parts)

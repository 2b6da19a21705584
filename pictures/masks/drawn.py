"""Holes that somebody drew with a pen: on a transparent layer, on a copy of the photo, on a grey one."""

import math
from typing import NamedTuple

import numpy as np

from ...graph_runtime.core.light.later import Bool, Float
from ..arrays import Float32Array, strips
from ..files.read import Picture
from .file_warnings import SAMPLED, reads_alpha, strokes_on_nothing

STRONG = 0.5  # highest minus lowest channel of a pen's colour, at least
PALE = 0.12  # and of grey paper, at most: JPEG stains it by as much
PAPER = 0.95  # share of what is not drawn that is grey, on a grey copy
RED = 0.6  # a red pen on a colourful photo: red, at least …
RED_ABOVE = 0.5  # … and above green and blue
FLAT = 0.15  # distance of each channel from a pen's colour, at most: strokes have one colour, things do not
MOST_OF = 0.5  # share of the strong reds that has the pen's colour; else they are things
LEAST = 16  # pixels examined that a drawing has, at least

Colours = Float[np.ndarray, "h w 3"]


class Pen(NamedTuple):
    """What tells drawn pixels from others.

    Attributes:
        colour: of the pen on a colourful photo; None on grey paper, where everything coloured is drawn.
    """

    colour: Float[np.ndarray, "3"] | None


def drawn_mask(picture: Picture, out: Float32Array) -> bool:
    """Write 1 where somebody drew and 0 elsewhere; false, with nothing written, where no drawing is found.

    Where alpha varies, what is transparent is the hole (erased), unless the rest is strokes of one colour on a
    transparent layer. Else strokes of any strong colour on grey, or of one red on anything.
    """
    if reads_alpha(picture, "auto"):
        alpha = picture.alpha
        assert alpha is not None
        step = _step(picture)
        strokes = strokes_on_nothing(picture.sampled(step), alpha[::step, ::step]) is not None
        np.copyto(out, alpha if strokes else np.float32(1) - alpha)
        return True
    pen = find_pen(picture.sampled(_step(picture)))
    if pen is None:
        return False
    width, height = picture.size
    for rows in strips(height, width):
        out[rows] = _drawn(picture.rows(rows), pen)
    return True


def _step(picture: Picture) -> int:
    width, height = picture.size
    return max(1, round(math.sqrt(width * height / SAMPLED)))


def find_pen(colours: Colours) -> Pen | None:
    """The pen of a drawing, from some of its pixels; None where there is none."""
    chroma = colours.max(-1) - colours.min(-1)
    strong = chroma >= STRONG
    if int(strong.sum()) < LEAST:
        return None
    rest = chroma[chroma < STRONG / 2]
    mixed = float((chroma < STRONG / 2).sum()) + float(strong.sum())  # without the soft edges of strokes
    if rest.size and mixed >= PAPER * chroma.size and float((rest <= PALE).mean()) >= PAPER:
        return Pen(None)
    reds = colours[_is_red(colours)]
    if len(reds) < LEAST:
        return None
    bins = (reds * 15.999).astype(np.int64) @ np.array([256, 16, 1])
    middle = np.median(reds[bins == np.bincount(bins).argmax()], axis=0)
    same = (np.abs(reds - middle) <= FLAT).all(-1)
    return Pen(middle) if float(same.mean()) >= MOST_OF else None


def _is_red(colours: Colours) -> Bool[np.ndarray, "h w"]:
    red = colours[..., 0]
    found: Bool[np.ndarray, "h w"] = (red >= RED) & (red - colours[..., 1:].max(-1) >= RED_ABOVE)
    return found


def _drawn(colours: Colours, pen: Pen) -> Bool[np.ndarray, "h w"]:
    drawn: Bool[np.ndarray, "h w"] = colours.max(-1) - colours.min(-1) >= STRONG / 2
    return drawn if pen.colour is None else _is_red(colours) & (np.abs(colours - pen.colour) <= FLAT).all(-1)

"""Warnings about a mask's file: channels that disagree, strokes read as background, a photo instead of a mask.

Each warning states a fact about the pixels, a share that the user can check, and the setting that reads the file the
    other way, as `name: what was found, and what to do`. The mask itself is read as set.
"""

import numpy as np

from ...graph_runtime.core.light.later import Bool, Float
from ..files.read import Picture
from .warnings import size_warnings

SAMPLED = 2_000_000  # pixels examined; of larger masks, every n-th row and column
ONE_COLOUR = 16 / 255  # distance from the median within which strokes have one colour
ALIKE = 0.95  # share that is treated as all
PICTURE_GREYS = 0.5  # a mask with this share of greys, or this many colours, is more often a picture
PICTURE_COLOURS = 64
GREY = 0.1  # from black and from white
BRIGHTNESS = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R 601

Plane = Float[np.ndarray, "h w"]
Hole = Bool[np.ndarray, "h w"]


def reads_alpha(picture: Picture, channel: str) -> bool:
    """True if `channel` selects the alpha of this picture: auto does if the alpha varies."""
    alpha = picture.alpha
    return alpha is not None and (channel == "alpha" or (channel == "auto" and alpha.min() != alpha.max()))


def file_warnings(picture: Picture, channel: str, invert: bool, hole: Hole) -> list[str]:
    """Warnings about the way the file was read as a mask.

    Args:
        picture: the mask's file.
        channel: auto, alpha or luminance, as set.
        invert: as set.
        hole: the result, True = repaint.
    """
    count = int(hole.sum())
    step = max(1, round((hole.size / SAMPLED) ** 0.5))
    every = (slice(None, None, step),) * 2
    notes = []
    if reads_alpha(picture, channel):
        assert picture.alpha is not None
        note = _alpha_warning(picture.sampled(step), picture.alpha[every], channel, invert, count / hole.size)
    else:
        note = _colour_warning(picture.sampled(step), picture.alpha is not None)
    notes += [note] if note else []
    if not count or count == hole.size or note.startswith("mask-picture"):
        return notes  # value_warnings reports these, or they follow
    if not note and not invert and count / hole.size > 0.5 and _edge(hole).mean() >= ALIKE:
        notes.append(
            f"mask-inverted: it repaints {count / hole.size:.0%} of the picture, all around its border, and "
            f"keeps an island; white = repaint: use invert=true if the island was meant"
        )
    return notes + size_warnings(hole, count)


def _alpha_warning(
    colours: Float[np.ndarray, "h w 3"], alpha: Plane, channel: str, invert: bool, covered: float
) -> str:
    """A warning about strokes on a transparent layer, colours that mark another hole, or a very large hole."""
    opaque = alpha > 0.5
    share = float(opaque.mean())
    grey = colours @ BRIGHTNESS
    if not invert:
        middle = strokes_on_nothing(colours, alpha)
        if middle is not None:
            name = "white" if middle.min() > 1 - GREY else "black" if middle.max() < GREY else "one colour"
            other = ", or channel=luminance" if name == "white" else ""
            return (
                f"mask-strokes: {share:.1%} of it is painted in {name}, the rest is transparent, and transparent "
                f"= repaint, so {covered:.1%} of the picture would be repainted; if the strokes mark the hole, use "
                f"invert=true{other}"
            )
    marked = grey >= 0.5
    clear = float(((grey < GREY) | (grey > 1 - GREY)).mean())
    if clear >= ALIKE and 0.005 < float(marked.mean()) < 0.995:
        there = opaque if invert else ~opaque
        both = int((marked & there).sum())
        if both < 0.5 * int((marked | there).sum()):
            what = "auto reads alpha" if channel == "auto" else "channel=alpha was asked for"
            return (
                f"mask-disagrees: its alpha marks {there.mean():.1%} of the picture, its white "
                f"{marked.mean():.1%}, both only {both / marked.size:.1%}; {what} (transparent = repaint): use "
                f"channel=luminance if the white was meant"
            )
    if covered > 0.5 and channel == "auto" and not invert:
        return (
            f"mask-most: transparent = repaint, so {covered:.1%} of the picture would be repainted; use "
            f"invert=true if the opaque part was meant, or channel=luminance for its white"
        )
    return ""


def strokes_on_nothing(colours: Float[np.ndarray, "h w 3"], alpha: Plane) -> Float[np.ndarray, "3"] | None:
    """The colour of strokes on a transparent layer: less than half is opaque, and all of that has one colour."""
    opaque = alpha > 0.5
    if not 0 < float(opaque.mean()) < 0.5:
        return None
    strokes = colours[opaque]
    middle: Float[np.ndarray, 3] = np.median(strokes, axis=0)
    return middle if float((np.abs(strokes - middle) <= ONE_COLOUR).all(axis=-1).mean()) >= ALIKE else None


def _colour_warning(colours: Float[np.ndarray, "h w 3"], alpha: bool) -> str:
    """A warning about a photo or colours instead of a mask."""
    grey = colours @ BRIGHTNESS
    greys = float(((grey > GREY) & (grey < 1 - GREY)).mean())
    coloured = (colours.max(-1) - colours.min(-1)) > 2 * GREY
    share = float(coloured.mean())
    kinds = len(np.unique((colours[coloured] * 15).round().astype(np.uint8), axis=0)) if share > 0.05 else 0
    levels = len(np.unique((grey * 255).round()))
    if kinds > PICTURE_COLOURS or (greys > PICTURE_GREYS and levels > PICTURE_COLOURS and _busy(grey)):
        what = f"{share:.0%} of its pixels are coloured" if kinds > PICTURE_COLOURS else f"{greys:.0%} of it is grey"
        return (
            f"mask-picture: {what}, as in a picture, and its brightness decides what is repainted; a mask should be "
            f"black and white: were picture and mask swapped" + (", or is channel=alpha meant?" if alpha else "?")
        )
    if kinds and share > 0.05 and float((coloured & (grey < 0.5)).mean()) > 0.01:
        return (
            f"mask-coloured: {share:.1%} of it is painted in colour, of which what is darker than half is read as "
            f"keep; paint the hole white, or lower the threshold"
        )
    return ""


def _busy(grey: Plane) -> bool:
    """True if neighbours are brighter and darker about equally often, as in photos but not in a gradient."""
    steps = np.diff(grey, axis=1)
    moved = np.abs(steps) > 1.5 / 255
    return bool(moved.mean() > 0.1 and 0.2 < (steps[moved] > 0).mean() < 0.8)


def _edge(hole: Hole) -> Bool[np.ndarray, " n"]:
    return np.concatenate([hole[0], hole[-1], hole[:, 0], hole[:, -1]])

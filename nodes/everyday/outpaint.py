"""`--outpaint`: by how much the picture grows on each side."""

import re
from typing import NamedTuple

from ...graph_runtime.core.errors import Problem, did_you_mean, shorten
from .values import problem

SIDES = ("left", "top", "right", "bottom")
MOST_PERCENT, MOST_PIXELS = 300, 16_384
FORM = "30% for all sides, or some of left=30%,top=100,right=…,bottom=…"
_AMOUNT = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)\s*(px|%)?")


class Margin(NamedTuple):
    """What is added on each side, in pixels or as a fraction of the photo's width and height."""

    unit: str
    sides: dict[str, float]


def read_outpaint(text: str) -> list[Margin] | Problem:
    """The margins, fractions before pixels, so that a fraction is one of the photo's own sides.

    Returns:
        The problem, if the text says something else.
    """
    found: dict[str, tuple[float, str]] = {}
    for part in text.split(","):
        name, equals, amount = (piece.strip().lower() for piece in part.rpartition("="))
        names = (name,) if equals else SIDES
        if equals and name not in SIDES:
            return problem("outpaint", shorten(part), FORM, did_you_mean(name, SIDES))
        match = _AMOUNT.fullmatch(amount)
        if match is None:
            return problem("outpaint", shorten(part), FORM, "write a number of pixels, or a percentage with %")
        value, unit = float(match[1]), match[2] or "px"
        most = MOST_PERCENT if unit == "%" else MOST_PIXELS
        if not 0 < value <= most or (unit == "px" and value != int(value)):
            whole = "a whole number of pixels" if unit == "px" else "a percentage"
            fix = f"use at most {most:,}{unit}; run again on the result for more" if value > most else "use 30%"
            return problem("outpaint", shorten(part), f"{whole} above 0 and up to {most:,}", fix)
        if again := [side for side in names if side in found]:
            return problem("outpaint", shorten(text), f"one amount for {again[0]}", "keep one of the two")
        found |= dict.fromkeys(names, (value, unit))
    fractions = {side: value / 100 for side, (value, unit) in found.items() if unit == "%"}
    pixels = {side: value for side, (value, unit) in found.items() if unit == "px"}
    return [Margin(unit, sides) for unit, sides in (("fraction", fractions), ("px", pixels)) if sides]

"""The subjects, as lists of parts in their own coordinates: x to the right (they face right), y up from the floor."""

from __future__ import annotations

from typing import NamedTuple

RGB = tuple[int, int, int]
WOOD: RGB = (104, 74, 54)
DARK: RGB = (44, 40, 44)
LINEN: RGB = (244, 240, 234)
BEAK: RGB = (240, 172, 60)


class Part(NamedTuple):
    """One filled outline. `paint` is a factor on the subject's colour, or a fixed colour."""

    shape: str  # ellipse (cx, cy, rx, ry) | box (x0, y0, x1, y1, corner) | line (x, y, …, width) | poly (x, y, …)
    at: tuple[float, ...]
    paint: float | RGB = 1.0


def _sofa() -> list[Part]:
    return [
        Part("box", (-0.44, 0.0, -0.36, 0.08, 0.01), WOOD),
        Part("box", (0.36, 0.0, 0.44, 0.08, 0.01), WOOD),
        Part("box", (-0.45, 0.10, 0.45, 0.56, 0.09), 0.86),
        Part("box", (-0.42, 0.06, 0.42, 0.28, 0.04), 0.94),
        Part("box", (-0.39, 0.20, -0.01, 0.33, 0.05), 1.08),
        Part("box", (0.01, 0.20, 0.39, 0.33, 0.05), 1.08),
        Part("box", (-0.52, 0.05, -0.37, 0.40, 0.07), 1.0),
        Part("box", (0.37, 0.05, 0.52, 0.40, 0.07), 1.0),
    ]


def _chair() -> list[Part]:
    return [
        Part("line", (-0.17, 0.40, -0.20, 0.05, 0.09), 0.74),
        Part("line", (0.17, 0.40, 0.20, 0.05, 0.09), 0.74),
        Part("line", (-0.26, 0.40, -0.30, 0.05, 0.10), 0.92),
        Part("line", (0.26, 0.40, 0.30, 0.05, 0.10), 0.92),
        Part("poly", (-0.30, 0.40, -0.38, 0.98, -0.24, 1.0, -0.15, 0.42), 0.9),
        Part("box", (-0.32, 0.36, 0.34, 0.50, 0.06), 1.04),
    ]


def _table() -> list[Part]:
    return [
        Part("box", (-0.34, 0.06, -0.26, 0.50, 0.02), 0.72),
        Part("box", (0.26, 0.06, 0.34, 0.50, 0.02), 0.72),
        Part("box", (-0.45, 0.0, -0.35, 0.50, 0.02), 0.92),
        Part("box", (0.35, 0.0, 0.45, 0.50, 0.02), 0.92),
        Part("box", (-0.45, 0.38, 0.45, 0.50, 0.02), 0.84),
        Part("box", (-0.5, 0.47, 0.5, 0.59, 0.04), 1.06),
    ]


def _bed() -> list[Part]:
    return [
        Part("box", (-0.54, 0.0, -0.43, 0.62, 0.05), 0.8),
        Part("box", (0.45, 0.0, 0.54, 0.36, 0.04), 0.8),
        Part("box", (-0.45, 0.06, 0.47, 0.18, 0.03), 0.74),
        Part("box", (-0.45, 0.16, 0.47, 0.29, 0.05), LINEN),
        Part("box", (-0.43, 0.27, -0.20, 0.39, 0.06), (252, 250, 246)),
        Part("box", (-0.17, 0.10, 0.48, 0.36, 0.07), 1.04),
    ]


def _lamp() -> list[Part]:
    return [
        Part("ellipse", (0.0, 0.035, 0.17, 0.04), DARK),
        Part("line", (0.0, 0.05, 0.0, 0.62, 0.045), (74, 68, 70)),
        Part("poly", (-0.25, 0.56, 0.25, 0.56, 0.15, 0.95, -0.15, 0.95), 1.03),
    ]


def _dog_head(x: float, y: float) -> list[Part]:
    """A floppy ear and a long snout, centred at (x, y)."""
    return [
        Part("ellipse", (x + 0.13, y - 0.035, 0.105, 0.07), 1.0),
        Part("ellipse", (x, y, 0.145, 0.135), 1.04),
        Part("ellipse", (x - 0.085, y - 0.03, 0.06, 0.13), 0.72),
        Part("ellipse", (x + 0.055, y + 0.04, 0.022, 0.026), DARK),
        Part("ellipse", (x + 0.215, y - 0.015, 0.03, 0.027), DARK),
    ]


def _cat_head(x: float, y: float) -> list[Part]:
    """Two pointed ears and two eyes, seen from the front, centred at (x, y)."""
    return [
        Part("poly", (x - 0.155, y + 0.02, x - 0.145, y + 0.225, x - 0.01, y + 0.11), 0.86),
        Part("poly", (x + 0.155, y + 0.02, x + 0.145, y + 0.225, x + 0.01, y + 0.11), 0.86),
        Part("ellipse", (x, y, 0.165, 0.14), 1.04),
        Part("ellipse", (x - 0.065, y + 0.02, 0.023, 0.03), DARK),
        Part("ellipse", (x + 0.065, y + 0.02, 0.023, 0.03), DARK),
        Part("ellipse", (x, y - 0.05, 0.025, 0.018), DARK),
    ]


def _dog(pose: str) -> list[Part]:
    if pose == "lying":
        return [
            Part("line", (-0.36, 0.07, -0.53, 0.05, 0.07), 0.86),
            Part("line", (0.10, 0.05, 0.44, 0.05, 0.085), 0.84),
            Part("box", (-0.43, 0.02, 0.28, 0.31, 0.14), 1.0),
            Part("ellipse", (-0.25, 0.14, 0.15, 0.125), 0.9),
            Part("line", (0.17, 0.14, 0.25, 0.32, 0.18), 1.0),
            *_dog_head(0.30, 0.40),
        ]
    return [
        Part("line", (-0.34, 0.52, -0.50, 0.74, 0.07), 0.9),
        Part("line", (-0.19, 0.36, -0.19, 0.05, 0.09), 0.78),
        Part("line", (0.11, 0.36, 0.11, 0.05, 0.09), 0.78),
        Part("line", (-0.31, 0.38, -0.31, 0.05, 0.10), 0.95),
        Part("line", (0.22, 0.38, 0.22, 0.05, 0.10), 0.95),
        Part("box", (-0.38, 0.28, 0.29, 0.58, 0.14), 1.0),
        Part("line", (0.20, 0.48, 0.30, 0.66, 0.19), 1.0),
        *_dog_head(0.33, 0.75),
    ]


def _cat(pose: str) -> list[Part]:
    if pose == "lying":
        return [
            Part("line", (-0.34, 0.07, -0.46, 0.10, -0.48, 0.26, -0.42, 0.33, 0.07), 0.86),
            Part("ellipse", (-0.06, 0.155, 0.37, 0.155), 1.0),
            Part("ellipse", (-0.22, 0.12, 0.15, 0.11), 0.9),
            Part("line", (0.10, 0.045, 0.38, 0.045, 0.08), 0.86),
            *_cat_head(0.29, 0.30),
        ]
    return [
        Part("line", (-0.12, 0.06, -0.32, 0.06, -0.40, 0.20, -0.36, 0.32, 0.07), 0.86),
        Part("ellipse", (-0.05, 0.22, 0.22, 0.22), 0.96),
        Part("poly", (-0.22, 0.30, -0.07, 0.60, 0.18, 0.60, 0.20, 0.10, 0.0, 0.05), 1.0),
        Part("line", (0.09, 0.34, 0.09, 0.05, 0.08), 0.86),
        Part("line", (0.17, 0.34, 0.18, 0.05, 0.085), 1.04),
        *_cat_head(0.07, 0.66),
    ]


def _bird(pose: str) -> list[Part]:
    legs = [
        Part("line", (-0.03, 0.20, -0.03, 0.02, 0.035), (214, 140, 60)),
        Part("line", (0.07, 0.20, 0.07, 0.02, 0.035), (214, 140, 60)),
    ]
    body = [
        Part("poly", (-0.14, 0.40, -0.48, 0.30, -0.46, 0.20, -0.12, 0.22), 0.84),
        Part("ellipse", (0.0, 0.33, 0.25, 0.18), 1.0),
        Part("poly", (0.30, 0.60, 0.46, 0.53, 0.30, 0.49), BEAK),
        Part("ellipse", (0.20, 0.54, 0.135, 0.13), 1.04),
        Part("ellipse", (0.245, 0.575, 0.022, 0.024), DARK),
    ]
    if pose == "spread":
        far = Part("poly", (0.02, 0.42, 0.10, 0.92, -0.02, 0.98, -0.12, 0.86, -0.14, 0.44), 0.76)
        near = Part("poly", (0.08, 0.36, -0.22, 0.86, -0.38, 0.90, -0.46, 0.76, -0.42, 0.60, -0.14, 0.26), 0.88)
        return [*legs, far, *body, near]
    return [*legs, *body, Part("ellipse", (-0.07, 0.34, 0.17, 0.10), 0.8)]


def parts(kind: str, pose: str) -> list[Part]:
    """The parts of a subject, back to front."""
    furniture = {"sofa": _sofa, "chair": _chair, "table": _table, "bed": _bed, "lamp": _lamp}
    if kind in furniture:
        return furniture[kind]()
    return {"dog": _dog, "cat": _cat, "bird": _bird}[kind](pose)


#: Half width of the shadow on the floor, in units, by kind.
SHADOWS = {
    "sofa": 0.58, "chair": 0.42, "table": 0.56, "bed": 0.62, "lamp": 0.26, "dog": 0.50, "cat": 0.46, "bird": 0.30,
}  # fmt: skip

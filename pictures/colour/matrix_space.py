"""Colour spaces of three curves and a matrix (ICC.1:2022, annex F): linear light, and CIE XYZ under D50.

Curves are the seven numbers of ICC's parametric type (`para`, §10.18) or a table (`curv`, §10.6); both directions are
in closed form or by linear interpolation, in float64.
"""

from dataclasses import dataclass

import numpy as np

from ..arrays import Float64Array

D50 = (0.9642, 1.0, 0.8249)
BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


@dataclass(frozen=True)
class Curve:
    """`y = (a·x + b)^g + e` from `d` on, `c·x + f` below; or a table over [0, 1], if there is one."""

    g: float = 1.0
    a: float = 1.0
    b: float = 0.0
    c: float = 0.0
    d: float = -np.inf
    e: float = 0.0
    f: float = 0.0
    table: tuple[float, ...] = ()

    def linear(self, x: Float64Array) -> Float64Array:
        """Light for stored values in [0, 1]."""
        if self.table:
            return np.interp(x, np.linspace(0, 1, len(self.table)), self.table)
        upper = np.maximum(self.a * x + self.b, 0) ** self.g + self.e
        return np.where(x >= self.d, upper, self.c * x + self.f)

    def stored(self, y: Float64Array) -> Float64Array:
        """The inverse of `linear`."""
        if self.table:
            rising, first = np.unique(np.maximum.accumulate(self.table), return_index=True)
            return np.interp(y, rising, np.linspace(0, 1, len(self.table))[first])
        upper = (np.maximum(y - self.e, 0) ** (1 / self.g) - self.b) / self.a
        if not np.isfinite(self.d):
            return upper
        knee = max(self.a * self.d + self.b, 0.0) ** self.g + self.e
        below = (y - self.f) / self.c if self.c else np.full_like(y, self.d)
        return np.where(y >= knee, upper, below)


SRGB_CURVE = Curve(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)


@dataclass(frozen=True)
class MatrixSpace:
    """A colour space of three curves and a matrix.

    Attributes:
        matrix: linear light to CIE XYZ under D50, `[3 3]` by rows.
        curves: of red, green and blue.
    """

    matrix: tuple[tuple[float, ...], ...]
    curves: tuple[Curve, Curve, Curve]


Point = tuple[float, float]  # CIE xy
SRGB_PRIMARIES: tuple[Point, ...] = ((0.3127, 0.3290), (0.64, 0.33), (0.30, 0.60), (0.15, 0.06))


def matrix_of(points: tuple[Point, ...]) -> tuple[tuple[float, ...], ...]:
    """Linear RGB to XYZ under D50 for white, red, green and blue as CIE xy; adapted by Bradford (ICC.1 annex E).

    Raises:
        ValueError: the points are not colours, or lie on a line.
    """
    if any(not (0 <= x <= 1 and 0 < y <= 1) for x, y in points):
        raise ValueError("chromaticities outside [0, 1]")
    white, *primaries = (np.array([x / y, 1.0, (1 - x - y) / y]) for x, y in points)
    columns = np.stack(primaries, axis=1)
    if abs(np.linalg.det(columns)) < 1e-6:
        raise ValueError("its primaries lie on a line")
    linear = columns * np.linalg.solve(columns, white)
    scale = np.diag((BRADFORD @ np.array(D50)) / (BRADFORD @ white))
    return tuple(map(tuple, (np.linalg.inv(BRADFORD) @ scale @ BRADFORD @ linear).tolist()))

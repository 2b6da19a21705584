"""Conversion between a colour space and sRGB: curves and a matrix in float64, lookup tables by littleCMS at 8 bits."""

from collections.abc import Callable

import numpy as np

from ..arrays import Float32Array, Float64Array, strips
from .littlecms import TableSpace, table_from_srgb, table_to_srgb
from .matrix_space import SRGB_CURVE, SRGB_PRIMARIES, MatrixSpace, matrix_of

Space = MatrixSpace | TableSpace


def in_rows(values: Float32Array, function: Callable[[Float64Array], Float64Array]) -> Float32Array:
    """`function` of `[h w 3]` values clipped to [0, 1], in float64, some rows at a time; clipped again."""
    out = np.empty_like(values, dtype=np.float32)
    for rows in strips(*values.shape[:2]):
        part = np.clip(values[rows].astype(np.float64), 0, 1)
        out[rows] = np.clip(function(part), 0, 1)
    return out


def to_srgb(values: Float64Array, space: Space, clip: bool = True) -> Float64Array:
    """sRGB for values of `space`, `[... 3]`; `clip=False` extends sRGB's curve below zero where `space` has curves."""
    if isinstance(space, TableSpace):
        return table_to_srgb(values, space)
    light = np.stack([curve.linear(values[..., c]) for c, curve in enumerate(space.curves)], -1)
    matrix: Float64Array = np.linalg.inv(matrix_of(SRGB_PRIMARIES)) @ np.array(space.matrix)
    light = np.matmul(light, matrix.T)
    if clip:
        return SRGB_CURVE.stored(np.clip(light, 0, 1))
    extended: Float64Array = np.sign(light) * SRGB_CURVE.stored(np.abs(light))
    return extended


def from_srgb(values: Float64Array, space: Space) -> Float64Array:
    """Values of `space` for sRGB, `[... 3]`."""
    if isinstance(space, TableSpace):
        return table_from_srgb(values, space)
    matrix: Float64Array = np.linalg.inv(np.array(space.matrix)) @ np.array(matrix_of(SRGB_PRIMARIES))
    light = np.matmul(SRGB_CURVE.linear(values), matrix.T)
    light = np.clip(light, 0, 1)
    return np.stack([curve.stored(light[..., c]) for c, curve in enumerate(space.curves)], -1)

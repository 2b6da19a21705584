"""The colour space that a file declares, whether it is sRGB, and conversion to sRGB and back.

Spaces of curves and a matrix (almost every RGB and grey profile, gAMA and cHRM, cICP) are computed in float64; profiles
with lookup tables are converted by littleCMS at 8 bits. Perceptual intent, as in browsers; colorimetric for a matrix.
"""

import struct
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ..arrays import Float32Array
from .convert import Space, from_srgb, in_rows, to_srgb
from .icc import matrix_space_of, model_of, write_icc
from .littlecms import TableSpace, table_to_srgb
from .matrix_space import SRGB_CURVE, SRGB_PRIMARIES, Curve, MatrixSpace, Point, matrix_of

ALIKE = 2 / 255  # largest distance from sRGB, at any colour, at which a space counts as sRGB
GAMMA_OF_SRGB = (45_000, 46_000)  # PNG's gAMA of an sRGB picture is 45455 (PNG 3rd edition, table 20)
GAMMAS = (1_000, 10_000_000)  # a gAMA outside this range is a mistake
ADOBE: tuple[Point, ...] = ((0.3127, 0.3290), (0.64, 0.33), (0.21, 0.71), (0.15, 0.06))
PRIMARIES: dict[int, tuple[Point, ...]] = {  # ITU-T H.273, table 2
    1: SRGB_PRIMARIES,
    4: ((0.310, 0.316), (0.67, 0.33), (0.21, 0.71), (0.14, 0.08)),
    5: ((0.3127, 0.3290), (0.64, 0.33), (0.29, 0.60), (0.15, 0.06)),
    6: ((0.3127, 0.3290), (0.630, 0.340), (0.310, 0.595), (0.155, 0.070)),
    9: ((0.3127, 0.3290), (0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    11: ((0.314, 0.351), (0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
    12: ((0.3127, 0.3290), (0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
}
REC709 = Curve(1 / 0.45, 1 / 1.099, 0.099 / 1.099, 1 / 4.5, 0.081)
TRANSFERS = {1: REC709, 4: Curve(2.2), 5: Curve(2.8), 6: REC709, 8: Curve(), 13: SRGB_CURVE, 14: REC709, 15: REC709}


@dataclass(frozen=True)
class Colour:
    """A file's declared colour space; sRGB if nothing is declared.

    Attributes:
        icc: an ICC profile whose colour model is the file's, or empty.
        chunks: (name, data) of a PNG's cICP, sRGB, gAMA and cHRM.
        adobe: only its EXIF data declare a space, Adobe RGB.
    """

    icc: bytes = b""
    chunks: tuple[tuple[bytes, bytes], ...] = ()
    adobe: bool = False

    def chunk(self, name: bytes, size: int) -> bytes:
        """The data of one chunk; empty if it is missing or has another size."""
        data = dict(self.chunks).get(name, b"")
        return data if len(data) == size else b""


def space_of(colour: Colour) -> Space | None:
    """The space of a picture; None if it is sRGB (judged by the profile's values, not its name) or unknown."""
    return _usable_space(colour)[0]


def is_unknown(colour: Colour) -> bool:
    """True if a file declares a space that cannot be converted in both directions."""
    return _usable_space(colour)[1] or is_high_dynamic_range(colour)


@lru_cache(maxsize=64)
def _usable_space(colour: Colour) -> tuple[Space | None, bool]:
    """The space unless it is sRGB, and whether the declared space cannot be used."""
    space = _declared(colour)
    if space is None:
        return None, False
    steps = np.linspace(0, 1, 9)
    grid = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(-1, 1, 3)
    try:
        forward, back = to_srgb(grid, space, clip=False), from_srgb(grid, space)
    except Exception:  # noqa: BLE001 - a profile for one way only, such as a scanner's, or a damaged one
        return None, True
    if not (np.isfinite(forward).all() and np.isfinite(back).all()):
        return None, True
    return None if np.abs(forward - grid).max() <= ALIKE else space, False


def _declared(colour: Colour) -> Space | None:
    """The declared space, in the order of the PNG specification: cICP, ICC, sRGB, gAMA and cHRM; EXIF last."""
    if coded := _coded(colour):
        return coded
    if is_high_dynamic_range(colour):
        return None
    if colour.icc:
        try:
            return matrix_space_of(colour.icc) or TableSpace(colour.icc)
        except (ValueError, KeyError, struct.error):
            return TableSpace(colour.icc)
    if dict(colour.chunks).keys() & {b"sRGB"}:
        return None
    gamma, points = colour.chunk(b"gAMA", 4), SRGB_PRIMARIES
    number = int.from_bytes(gamma, "big")
    srgb = GAMMA_OF_SRGB[0] <= number <= GAMMA_OF_SRGB[1] or not GAMMAS[0] <= number <= GAMMAS[1]
    curve = SRGB_CURVE if srgb else Curve(100_000 / number)
    if chrm := colour.chunk(b"cHRM", 32):
        values = [value / 100_000 for value in struct.unpack(">8I", chrm)]
        points = tuple(zip(values[::2], values[1::2], strict=True))
    elif colour.adobe:
        curve, points = Curve(563 / 256), ADOBE
    try:
        return MatrixSpace(matrix_of(points), (curve,) * 3)
    except ValueError:
        return None


def _coded(colour: Colour) -> MatrixSpace | None:
    """The space of a cICP chunk; None if there is none, or its numbers are unknown here."""
    cicp = colour.chunk(b"cICP", 4) or bytes(4)
    points, curve = PRIMARIES.get(cicp[0]), TRANSFERS.get(cicp[1])
    return None if points is None or curve is None else MatrixSpace(matrix_of(points), (curve,) * 3)


def is_high_dynamic_range(colour: Colour) -> bool:
    """True for cICP's PQ and HLG, which sRGB cannot represent."""
    return (cicp := colour.chunk(b"cICP", 4)) != b"" and cicp[1] in (16, 18)


def values_to_srgb(values: Float32Array, colour: Colour) -> Float32Array:
    """Convert stored `[h w 3]` values to sRGB in [0, 1]; colours outside its gamut are clipped. sRGB keeps its
    bits."""
    space = space_of(colour)
    return values if space is None else in_rows(values, lambda part: to_srgb(part, space))


def values_from_srgb(values: Float32Array, colour: Colour) -> Float32Array:
    """`[h w 3]` sRGB as values of that space: `values_to_srgb` inverted within both gamuts. sRGB keeps its bits."""
    space = space_of(colour)
    return values if space is None else in_rows(values, lambda part: from_srgb(part, space))


def icc_for(colour: Colour, grey: bool = False) -> bytes:
    """An ICC profile of the same space, for a file of RGB (or grey) pixels; empty for sRGB.

    A new one is written for gAMA and cHRM, cICP or EXIF, and for the grey profile of a picture that is no longer grey.
    """
    overruled = _coded(colour) or is_high_dynamic_range(colour)
    if colour.icc and not overruled and (model_of(colour.icc) == "RGB" or grey):
        return colour.icc
    space = space_of(colour)
    if isinstance(space, TableSpace):  # a grey profile
        steps = np.linspace(0, 1, 256).reshape(-1, 1, 1).repeat(3, -1)
        light = SRGB_CURVE.linear(table_to_srgb(steps, space)[:, 0, 0])
        space = MatrixSpace(matrix_of(SRGB_PRIMARIES), (Curve(table=tuple(np.maximum.accumulate(light).tolist())),) * 3)
    return b"" if space is None else write_icc(space, "inlay: as the picture said")

"""ICC profiles as bytes (ICC.1:2022): what they are for, the matrix and curves of the simple ones, and writing such.

Curves are the seven numbers of ICC's parametric type (`para`, §10.18) or a table (`curv`, §10.6); both directions are
in closed form or by linear interpolation, in float64. Tables of several dimensions are littleCMS's (`colour.py`).
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
HEADER = 128
D50 = (0.9642, 1.0, 0.8249)
BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
PARAMETERS = {0: "g", 1: "gab", 2: "gabc", 3: "gabcd", 4: "gabcdef"}


@dataclass(frozen=True)
class Curve:
    """`y = (a·x + b)^g + e` from `d` on, `c·x + f` below; or a table over [0, 1], where there is one."""

    g: float = 1.0
    a: float = 1.0
    b: float = 0.0
    c: float = 0.0
    d: float = -np.inf
    e: float = 0.0
    f: float = 0.0
    table: tuple[float, ...] = ()

    def linear(self, x: Numbers) -> Numbers:
        """Light for stored values in [0, 1]."""
        if self.table:
            return np.interp(x, np.linspace(0, 1, len(self.table)), self.table)
        upper = np.maximum(self.a * x + self.b, 0) ** self.g + self.e
        return np.where(x >= self.d, upper, self.c * x + self.f)

    def stored(self, y: Numbers) -> Numbers:
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
class Shaper:
    """A matrix-and-curves profile.

    Attributes:
        matrix: linear light to CIE XYZ under D50, `[3 3]` by rows.
        curves: of red, green and blue.
    """

    matrix: tuple[tuple[float, ...], ...]
    curves: tuple[Curve, Curve, Curve]


def model_of(icc: bytes) -> str:
    """The profile's own colour model, `RGB`, `GRAY`, `CMYK`, `Lab`; empty where these bytes are no profile."""
    return icc[16:20].decode("latin-1").strip() if len(icc) >= HEADER + 4 and icc[36:40] == b"acsp" else ""


def tags_of(icc: bytes) -> dict[bytes, bytes]:
    """The profile's tags; those that reach out of it are left out."""
    (count,) = struct.unpack_from(">I", icc, HEADER)
    found = {}
    for number in range(min(count, (len(icc) - HEADER - 4) // 12)):
        name, start, size = struct.unpack_from(">4sII", icc, HEADER + 4 + 12 * number)
        if start + size <= len(icc):
            found[name] = icc[start : start + size]
    return found


def shaper_of(icc: bytes) -> Shaper | None:
    """Matrix and curves of an RGB profile, or of a grey one (sRGB's primaries with its curve); None: it has tables.

    Raises:
        ValueError, struct.error: the bytes are damaged.
    """
    tags = tags_of(icc)
    if any(name in tags for name in (b"A2B0", b"A2B1", b"A2B2", b"D2B0", b"D2B1")):
        return None
    if model_of(icc) == "GRAY" and b"kTRC" in tags:
        curve = _curve(tags[b"kTRC"])
        return Shaper(matrix_of(SRGB_PRIMARIES), (_lightness(curve) if icc[20:24] == b"Lab " else curve,) * 3)
    names = (b"rXYZ", b"gXYZ", b"bXYZ", b"rTRC", b"gTRC", b"bTRC")
    if any(name not in tags for name in names):
        return None
    columns = np.array([[value / 65536 for value in struct.unpack_from(">3i", tags[name], 8)] for name in names[:3]])
    red, green, blue = (_curve(tags[name]) for name in names[3:])
    if abs(np.linalg.det(columns)) < 1e-6:
        raise ValueError("its primaries lie on a line")
    return Shaper(tuple(map(tuple, columns.T.tolist())), (red, green, blue))


def _curve(tag: bytes) -> Curve:
    if tag[:4] == b"para":
        (kind,) = struct.unpack_from(">H", tag, 8)
        names = PARAMETERS[kind]
        numbers = dict(zip(names, (v / 65536 for v in struct.unpack_from(f">{len(names)}i", tag, 12)), strict=True))
        if kind == 1:  # zero below −b/a
            numbers |= {"d": -numbers["b"] / numbers["a"]}
        elif kind == 2:  # c below −b/a, added above it
            numbers |= {"d": -numbers["b"] / numbers["a"], "e": numbers["c"], "f": numbers["c"], "c": 0.0}
        if numbers["g"] <= 0 or numbers.get("a", 1.0) == 0:
            raise ValueError("a curve without an inverse")
        return Curve(**numbers)
    if tag[:4] != b"curv":
        raise ValueError(f"a curve of type {tag[:4]!r}")
    (count,) = struct.unpack_from(">I", tag, 8)
    if count == 0:
        return Curve()
    values = struct.unpack_from(f">{count}H", tag, 12)
    if count == 1:
        if values[0] == 0:
            raise ValueError("a curve without an inverse")
        return Curve(values[0] / 256)
    return Curve(table=tuple(value / 65535 for value in values))


def _lightness(curve: Curve) -> Curve:
    """A curve to L* as a curve to Y."""
    lightness = curve.linear(np.linspace(0, 1, 4096)) * 100
    light = np.where(lightness > 8, ((lightness + 16) / 116) ** 3, lightness / 903.3)
    return Curve(table=tuple(light.tolist()))


Point = tuple[float, float]
SRGB_PRIMARIES: tuple[Point, ...] = ((0.3127, 0.3290), (0.64, 0.33), (0.30, 0.60), (0.15, 0.06))


def matrix_of(points: tuple[Point, ...]) -> tuple[tuple[float, ...], ...]:
    """Linear RGB to XYZ under D50 for white, red, green and blue as CIE xy; adapted by Bradford (ICC.1 annex E).

    Raises:
        ValueError: the points are no colours, or lie on a line.
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


def write_icc(shaper: Shaper, name: str) -> bytes:
    """A version 4 display profile of these curves and this matrix; the same input gives the same bytes."""
    words = name.encode("utf-16-be")
    text = b"mluc\0\0\0\0" + struct.pack(">II2s2sII", 1, 12, b"en", b"US", len(words), 28) + words
    columns = np.array(shaper.matrix).T
    tags: Mapping[bytes, bytes] = {
        b"desc": text,
        b"cprt": text,
        b"wtpt": _xyz(D50),
        **{name: _xyz(column) for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), columns, strict=True)},
        **{name: _written(curve) for name, curve in zip((b"rTRC", b"gTRC", b"bTRC"), shaper.curves, strict=True)},
    }
    start, table, body = HEADER + 4 + 12 * len(tags), b"", b""
    for tag, data in tags.items():
        table += struct.pack(">4sII", tag, start + len(body), len(data))
        body += data + b"\0" * (-len(data) % 4)
    head = (
        struct.pack(
            ">I4sI4s4s4s6H4s28x",
            start + len(body),
            b"\0" * 4,
            0x04300000,
            b"mntr",
            b"RGB ",
            b"XYZ ",
            2000,
            1,
            1,
            0,
            0,
            0,
            b"acsp",
        )
        + _xyz(D50)[8:]
    )
    return head.ljust(HEADER, b"\0") + struct.pack(">I", len(tags)) + table + body


def _xyz(values: object) -> bytes:
    return b"XYZ \0\0\0\0" + np.round(np.asarray(values) * 65536).astype(">i4").tobytes()


def _written(curve: Curve) -> bytes:
    if curve.table:
        values = np.round(np.clip(curve.table, 0, 1) * 65535).astype(">u2")
        return b"curv\0\0\0\0" + struct.pack(">I", len(values)) + values.tobytes()
    kind, numbers = 4, [curve.g, curve.a, curve.b, curve.c, curve.d, curve.e, curve.f]
    if not np.isfinite(curve.d):
        kind, numbers = 0, [curve.g]
    return b"para\0\0\0\0" + struct.pack(">HH", kind, 0) + np.round(np.array(numbers) * 65536).astype(">i4").tobytes()

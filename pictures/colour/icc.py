"""ICC profiles as bytes (ICC.1:2022): their colour model; reading and writing profiles of curves and a matrix."""

import struct
from collections.abc import Mapping

import numpy as np

from .matrix_space import D50, SRGB_PRIMARIES, Curve, MatrixSpace, matrix_of

HEADER = 128
PARAMETERS = {0: "g", 1: "gab", 2: "gabc", 3: "gabcd", 4: "gabcdef"}


def model_of(icc: bytes) -> str:
    """The profile's colour model, `RGB`, `GRAY`, `CMYK`, `Lab`; empty if these bytes are not a profile."""
    return icc[16:20].decode("latin-1").strip() if len(icc) >= HEADER + 4 and icc[36:40] == b"acsp" else ""


def tags_of(icc: bytes) -> dict[bytes, bytes]:
    """The profile's tags, without those that reach beyond its end."""
    (count,) = struct.unpack_from(">I", icc, HEADER)
    found = {}
    for number in range(min(count, (len(icc) - HEADER - 4) // 12)):
        name, start, size = struct.unpack_from(">4sII", icc, HEADER + 4 + 12 * number)
        if start + size <= len(icc):
            found[name] = icc[start : start + size]
    return found


def matrix_space_of(icc: bytes) -> MatrixSpace | None:
    """Curves and matrix of an RGB profile, or of a grey one (its curve, sRGB's primaries); None: it has tables.

    Raises:
        ValueError, struct.error: the bytes are damaged.
    """
    tags = tags_of(icc)
    if any(name in tags for name in (b"A2B0", b"A2B1", b"A2B2", b"D2B0", b"D2B1")):
        return None
    if model_of(icc) == "GRAY" and b"kTRC" in tags:
        curve = _read_curve(tags[b"kTRC"])
        return MatrixSpace(matrix_of(SRGB_PRIMARIES), (_light_curve(curve) if icc[20:24] == b"Lab " else curve,) * 3)
    names = (b"rXYZ", b"gXYZ", b"bXYZ", b"rTRC", b"gTRC", b"bTRC")
    if any(name not in tags for name in names):
        return None
    columns = np.array([[value / 65536 for value in struct.unpack_from(">3i", tags[name], 8)] for name in names[:3]])
    red, green, blue = (_read_curve(tags[name]) for name in names[3:])
    if abs(np.linalg.det(columns)) < 1e-6:
        raise ValueError("its primaries lie on a line")
    return MatrixSpace(tuple(map(tuple, columns.T.tolist())), (red, green, blue))


def _read_curve(tag: bytes) -> Curve:
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


def _light_curve(curve: Curve) -> Curve:
    """A curve to L* turned into a curve to Y."""
    lightness = curve.linear(np.linspace(0, 1, 4096)) * 100
    light = np.where(lightness > 8, ((lightness + 16) / 116) ** 3, lightness / 903.3)
    return Curve(table=tuple(light.tolist()))


def write_icc(space: MatrixSpace, name: str) -> bytes:
    """A version 4 display profile of a space; the same input gives the same bytes."""
    title = name.encode("utf-16-be")
    text = b"mluc\0\0\0\0" + struct.pack(">II2s2sII", 1, 12, b"en", b"US", len(title), 28) + title
    columns = np.array(space.matrix).T
    tags: Mapping[bytes, bytes] = {
        b"desc": text,
        b"cprt": text,
        b"wtpt": _xyz_tag(D50),
        **{name: _xyz_tag(column) for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), columns, strict=True)},
        **{name: _curve_tag(curve) for name, curve in zip((b"rTRC", b"gTRC", b"bTRC"), space.curves, strict=True)},
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
        + _xyz_tag(D50)[8:]
    )
    return head.ljust(HEADER, b"\0") + struct.pack(">I", len(tags)) + table + body


def _xyz_tag(values: object) -> bytes:
    return b"XYZ \0\0\0\0" + np.round(np.asarray(values) * 65536).astype(">i4").tobytes()


def _curve_tag(curve: Curve) -> bytes:
    if curve.table:
        values = np.round(np.clip(curve.table, 0, 1) * 65535).astype(">u2")
        return b"curv\0\0\0\0" + struct.pack(">I", len(values)) + values.tobytes()
    kind, numbers = 4, [curve.g, curve.a, curve.b, curve.c, curve.d, curve.e, curve.f]
    if not np.isfinite(curve.d):
        kind, numbers = 0, [curve.g]
    return b"para\0\0\0\0" + struct.pack(">HH", kind, 0) + np.round(np.array(numbers) * 65536).astype(">i4").tobytes()

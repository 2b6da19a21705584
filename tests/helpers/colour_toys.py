"""Colour profiles made by hand, independent of the code under test."""

import io
import struct

import numpy as np
from PIL import Image as Pil
from PIL import ImageCms

P3 = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))
ADOBE = ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06))
SRGB = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
PROPHOTO = ((0.7347, 0.2653), (0.1596, 0.8404), (0.0366, 0.0001))
D65, D50_WHITE = (0.3127, 0.3290), (0.3457, 0.3585)
BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
D50 = np.array([0.9642, 1.0, 0.8249])


def srgb_light(v):
    """IEC 61966-2-1."""
    return np.where(v <= 0.04045, v / 12.92, ((np.maximum(v, 0.04045) + 0.055) / 1.055) ** 2.4)


def columns(primaries, white=D65):
    """Linear RGB to XYZ under D50, by the book."""
    xyz = np.stack([np.array([x / y, 1, (1 - x - y) / y]) for x, y in primaries], 1)
    w = np.array([white[0] / white[1], 1, (1 - white[0] - white[1]) / white[1]])
    xyz = xyz * np.linalg.solve(xyz, w)
    return np.linalg.inv(BRADFORD) @ np.diag((BRADFORD @ D50) / (BRADFORD @ w)) @ BRADFORD @ xyz


def icc(name, primaries=SRGB, gamma=None, white=D65, model=b"RGB "):
    """A version 2 profile with that gamma, or sRGB's curve as a table of 1024; `GRAY`: one curve."""
    if gamma is None:
        values = np.round(srgb_light(np.linspace(0, 1, 1024)) * 65535).astype(">u2")
        curve = b"curv\0\0\0\0" + struct.pack(">I", 1024) + values.tobytes()
    else:
        curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256))
    text = name.encode() + b"\0"
    desc = b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + b"\0" * 78
    xyz = [
        b"XYZ \0\0\0\0" + np.round(np.asarray(v) * 65536).astype(">i4").tobytes()
        for v in (D50, *columns(primaries, white).T)
    ]
    tags = [(b"desc", desc), (b"cprt", b"text\0\0\0\0none\0"), (b"wtpt", xyz[0])]
    tags += (
        [(b"kTRC", curve)]
        if model == b"GRAY"
        else [
            *zip((b"rXYZ", b"gXYZ", b"bXYZ"), xyz[1:], strict=True),
            (b"rTRC", curve),
            (b"gTRC", curve),
            (b"bTRC", curve),
        ]
    )
    start, table, body = 132 + 12 * len(tags), b"", b""
    for sign, data in tags:
        data += b"\0" * (-len(data) % 4)
        table += sign + struct.pack(">II", start + len(body), len(data))
        body += data
    head = struct.pack(">I4sI4s4s4s", start + len(body), b"lcms", 0x02100000, b"mntr", model, b"XYZ ")
    head += struct.pack(">6H", 2024, 1, 1, 0, 0, 0) + b"acsp" + b"\0" * 28 + xyz[0][8:]
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def shown(path):
    """What a colour-managed viewer shows, as 8-bit sRGB, by littleCMS."""
    with Pil.open(path) as picture:
        profile = picture.info.get("icc_profile")
        if not profile:
            return np.asarray(picture.convert("RGB")).astype(int)
        own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        grey = own.profile.xcolor_space == "GRAY"
        picture = picture.convert("L" if grey else "RGB")
        done = ImageCms.profileToProfile(picture, own, ImageCms.createProfile("sRGB"), outputMode="RGB")
        return np.asarray(done).astype(int)


def lut(function, points, channels=3):
    """lut16 (ICC.1 §10.10): `[n channels]` in [0, 1] to `[n 3]` of 16 bits."""
    axes = np.meshgrid(*[np.linspace(0, 1, points)] * channels, indexing="ij")
    values = np.round(np.clip(function(np.stack(axes, -1).reshape(-1, channels)), 0, 65535)).astype(">u2").tobytes()
    one = np.round(np.eye(3) * 65536).astype(">i4").tobytes()
    line = np.array([0, 65535], ">u2").tobytes()
    return (
        b"mft2\0\0\0\0"
        + bytes([channels, 3, points, 0])
        + one
        + struct.pack(">HH", 2, 2)
        + line * channels
        + values
        + line * 3
    )


def tables(primaries=P3, points=17, cmyk=False):
    """A profile of three-dimensional tables that does what `icc` with sRGB's curve does; `cmyk`: a plain printer's."""
    to_xyz = columns(primaries)

    def forward(rgb):
        if cmyk:
            rgb = 0.1 + 0.85 * (1 - rgb[:, :3]) * (1 - rgb[:, 3:])
        t = srgb_light(rgb) @ to_xyz.T / D50
        f = np.where(t > 0.008856, np.cbrt(t), 7.787 * t + 16 / 116)
        lab = np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], -1)
        return (lab * [2.55, 1, 1] + [0, 128, 128]) * 256

    def back(pcs):
        lab = (pcs * 65535 / 256 - [0, 128, 128]) / [2.55, 1, 1]
        f = (lab[:, :1] + 16) / 116 + np.stack([lab[:, 1] / 500, 0 * lab[:, 1], -lab[:, 2] / 200], -1)
        light = np.where(f > 6 / 29, f**3, (f - 16 / 116) / 7.787) * D50 @ np.linalg.inv(to_xyz).T
        light = np.clip(light, 0, 1)
        return 65535 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)

    made = icc("tables", primaries)
    tags = [
        (b"desc", made[made.index(b"desc\0\0\0\0") :][:100]),
        (b"wtpt", b"XYZ \0\0\0\0" + np.round(D50 * 65536).astype(">i4").tobytes()),
        (b"A2B0", lut(forward, points, 4 if cmyk else 3)),
    ]
    tags += [] if cmyk else [(b"B2A0", lut(back, points))]
    start, table, body = 132 + 12 * len(tags), b"", b""
    for sign, data in tags:
        data += b"\0" * (-len(data) % 4)
        table += sign + struct.pack(">II", start + len(body), len(data))
        body += data
    head = bytearray(made[:128])
    head[12:16], head[16:20] = (b"prtr", b"CMYK") if cmyk else (b"mntr", b"RGB ")
    head[20:24], head[:4] = b"Lab ", struct.pack(">I", start + len(body))
    return bytes(head) + struct.pack(">I", len(tags)) + table + body

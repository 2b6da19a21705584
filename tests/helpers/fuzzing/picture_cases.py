"""Pictures of every format, mutated by their pieces, read, saved and read again."""

import io
import json
import struct
import warnings
import zlib
from dataclasses import dataclass
from functools import cache

from . import json_trees, pieces, tiff
from .case import Case, random_of
from .world import small_picture

_MODES = {
    "png": ("RGB", "RGBA", "L", "P", "LA", "1", "I;16"),
    "jpg": ("RGB", "L", "CMYK"),
    "webp": ("RGB", "RGBA"),
    "gif": ("P", "L"),
    "bmp": ("RGB", "L", "1", "P"),
    "tif": ("RGB",),
}
_SAVED = {"png": "PNG", "jpg": "JPEG", "webp": "WEBP", "gif": "GIF", "bmp": "BMP"}
_READERS = ("image", "image", "image", "mask", "photos")


@cache
def _base(format, mode, extra):
    from PIL import Image, ImageCms

    image = small_picture("RGBA", side=7, seed=len(mode))
    image = Image.linear_gradient("L").resize((7, 7)).convert("I;16") if mode == "I;16" else image.convert(mode)
    options = {}
    if extra == "profile" and format in ("png", "jpg", "webp"):
        options["icc_profile"] = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    if extra == "exif" and format in ("png", "jpg", "webp"):
        exif = Image.Exif()
        exif[274], exif[305] = 6, "x"
        options["exif"] = exif.tobytes()
    if extra == "frames" and format in ("png", "webp", "gif"):
        options |= {"save_all": True, "append_images": [image.rotate(90), image.rotate(180)], "duration": 10}
    if extra == "lossless" and format == "webp":
        options["lossless"] = True
    if extra == "progressive" and format == "jpg":
        options["progressive"] = True
    file = io.BytesIO()
    image.save(file, _SAVED[format], **options)
    return file.getvalue()


@cache
def _zeros(size):
    return zlib.compress(bytes(size), 9)


def _header(width, height, depth=8, colour=2, interlace=0):
    return lambda: struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)


@cache
def _profile():
    from PIL import ImageCms

    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def _spoilt_profile(rng):
    """A colour profile with other numbers in its header, its table or its curves."""
    data = bytearray(_profile())
    for _ in range(rng.choice((1, 2, 4))):
        place = rng.randrange(rng.choice((132, 300, len(data))))
        data[place] = rng.choice((0, 1, 255, rng.randrange(256)))
    if rng.random() < 0.2:
        data[128:132] = struct.pack(">I", rng.choice((0, 1, 1000, 2**31, 2**32 - 1)))
    return bytes(data)


def _evil(format, rng):
    exif, profile = tiff.exif(rng), _spoilt_profile(rng)
    text = rng.choice((b"inlay", b"parameters", b"Comment", b"", b"x" * 100))
    if format == "png":
        sizes = [
            (1, 1),
            (0, 5),
            (5, 0),
            (2**31 - 1, 1),
            (2**31, 2**31),
            (3000, 3000),
            (10_000, 9_000),
            (60_000, 1600),
            (1, 10**8),
        ]
        width, height = rng.choice(sizes)
        return [
            (
                b"IHDR",
                _header(
                    width,
                    height,
                    rng.choice((1, 2, 4, 8, 16, 0, 3)),
                    rng.choice((0, 2, 3, 4, 6, 5)),
                    rng.choice((0, 1, 2)),
                ),
            ),
            (b"IDAT", lambda: _zeros(rng.choice((10, 10**6, 3 * 10**7)))),
            (b"iCCP", lambda: b"x\0\0" + zlib.compress(profile)),
            (b"iCCP", lambda: b"x\0\0" + _zeros(10**7)),
            (b"zTXt", lambda: text + b"\0\0" + _zeros(rng.choice((100, 10**7, 10**8)))),
            (b"iTXt", lambda: text + b"\0\1\0en\0k\0" + _zeros(rng.choice((100, 10**7)))),
            (b"tEXt", text + b"\0" + b"y" * rng.choice((0, 10, 70_000))),
            (b"eXIf", exif),
            (b"PLTE", bytes(rng.choice((0, 3, 4, 768, 771)))),
            (b"tRNS", bytes(rng.choice((0, 1, 2, 6, 300)))),
            (b"gAMA", struct.pack(">I", rng.choice((0, 1, 45455, 2**32 - 1)))),
            (b"cHRM", bytes(rng.choice((0, 31, 32)))),
            (b"sRGB", bytes([rng.randrange(256)])),
            (b"cICP", bytes(rng.randrange(256) for _ in range(4))),
            (b"pHYs", struct.pack(">IIB", 2**32 - 1, 0, rng.randrange(3))),
            (b"acTL", struct.pack(">II", rng.choice((0, 1, 3, 2**31 - 1)), 0)),
            (
                b"fcTL",
                struct.pack(">IIIIIHHBB", rng.randrange(4), 7, 7, rng.choice((0, 9)), 0, 1, 0, rng.randrange(5), 2),
            ),
            (b"fdAT", lambda: struct.pack(">I", rng.randrange(4)) + _zeros(1000)),
            (b"tIME", bytes(7)),
            (b"oFFs", bytes(9)),
            (b"CgBI", bytes(4)),
            (b"IEND", b""),
        ]
    if format == "webp":
        large = rng.choice((6, 2999, 9999, 16383, 2**24 - 1))
        canvas = struct.pack("<I", large)[:3] * 2
        return [
            (b"VP8X", bytes([rng.randrange(256), 0, 0, 0]) + canvas),
            (b"ICCP", profile),
            (b"EXIF", exif),
            (b"XMP ", b"<x" * rng.choice((1, 10**5))),
            (b"ANIM", bytes(6)),
            (b"ANMF", bytes(16) + b"VP8 " + struct.pack("<I", 0)),
            (b"ALPH", bytes(rng.choice((0, 1, 50)))),
            (b"VP8L", b"\x2f" + bytes(rng.randrange(256) for _ in range(20))),
        ]
    if format == "jpg":
        side = rng.choice((0, 1, 3000, 9000, 65_500, 65_535))
        return [
            (b"\xff\xe1", b"Exif\0\0" + exif),
            (b"\xff\xe2", b"ICC_PROFILE\0" + bytes([rng.randrange(4), rng.randrange(4)]) + profile),
            (b"\xff\xe1", b"http://ns.adobe.com/xap/1.0/\0<x"),
            (b"\xff\xed", b"Photoshop 3.0\x008BIM" + bytes(rng.randrange(256) for _ in range(20))),
            (b"\xff\xee", b"Adobe" + bytes(rng.randrange(3) for _ in range(7))),
            (b"\xff\xe2", b"MPF\0" + exif),
            (b"\xff\xc0", struct.pack(">BHHB", rng.choice((8, 12)), side, side, 3) + b"\1\x22\0\2\x11\1\3\x11\1"),
            (b"\xff\xc2", struct.pack(">BHHB", 8, side, side, rng.choice((1, 3, 4, 255))) + b"\1\x11\0"),
            (b"\xff\xdd", struct.pack(">H", rng.choice((1, 65535)))),
            (b"\xff\xc4", bytes(rng.choice((0, 17, 200)))),
            (b"\xff\xdb", bytes(rng.choice((0, 65)))),
            (b"\xff\xfe", b"comment" * rng.choice((1, 9000))),
        ]
    frame = struct.pack(
        "<BHHHHB", 0x2C, rng.choice((0, 65000)), 0, rng.choice((1, 65000)), rng.choice((1, 1500, 65000)), 0
    )
    return [
        (b"!", b"!\xf9\x04" + bytes(rng.randrange(256) for _ in range(4)) + b"\0"),
        (b",", frame + b"\x02\x02\x44\x01\0"),
        (b"!", b"!\xfe" + (b"\xff" + b"z" * 255) * rng.choice((1, 300)) + b"\0"),
        (
            b"head",
            b"GIF89a" + struct.pack("<HH", rng.choice((0, 65535, 9000)), rng.choice((0, 65535, 9000))) + b"\0\0\0",
        ),
    ]


def _bmp(data, rng):
    """Numbers of a BMP's header change."""
    changed = bytearray(data)
    place = rng.choice((10, 14, 18, 22, 26, 28, 30, 34, 38, 46, 50))
    changed[place : place + 4] = struct.pack(
        "<I", rng.choice((0, 1, 2, 12, 40, 124, 9000, 2**31, 2**32 - 1, 2**32 - 7))
    )
    return bytes(changed)


def mutated(format, base, mutations):
    """The bytes of a picture after its mutations."""
    rng = random_of(base)
    if format == "tif":
        tree = tiff.picture(rng)
        for name, seed in mutations:
            if name.startswith("tiff "):
                tiff.CHANGES[name[5:]][0](tree, random_of(seed))
        data = tiff.write(tree)
    else:
        data = _base(
            format, rng.choice(_MODES[format]), rng.choice(("", "profile", "exif", "frames", "lossless", "progressive"))
        )
    for name, seed in mutations:
        rng = random_of(seed)
        if name.startswith("piece ") and format in pieces.APART:
            data = pieces.changed(data, format, name[6:], rng, _evil(format, rng))
        elif name == "bmp" and format == "bmp":
            data = _bmp(data, rng)
        elif name.startswith("byte "):
            data = json_trees.TEXT[name[5:]](data, rng)
    return data


def flow_for(reader, name):
    """A workflow that reads a picture and saves it."""
    if reader == "mask":
        nodes = {
            "p": {"type": "image.load", "params": {"path": "a.png"}},
            "m": {"type": "mask.load", "params": {"path": name}},
        }
        return {"format": 1, "nodes": nodes, "outputs": {"mask": "m.mask", "image": "p.image"}}
    if reader == "photos":
        nodes = {"s": {"type": "subject.photos", "params": {"path": [name, "a.png"]}}}
        return {"format": 1, "nodes": nodes, "outputs": {"overview": "s.overview"}}
    if reader == "large":
        nodes = {
            "p": {"type": "image.load", "params": {"path": name}},
            "f": {"type": "image.fit", "params": {"size": 64}, "inputs": {"image": "p.image"}},
        }
        return {"format": 1, "nodes": nodes, "outputs": {"image": "f.image"}}
    nodes = {
        "p": {"type": "image.load", "params": {"path": name}},
        "c": {"type": "image.to_srgb", "inputs": {"image": "p.image", "profile": "p.profile"}},
        "s": {"type": "image.save", "inputs": {"image": "p.image", "profile": "p.profile"}},
    }
    return {"format": 1, "nodes": nodes, "outputs": {"image": "p.image", "srgb": "c.image"}}


_LARGE = 10**6  # pixels: what is done with so many besides reading them is not what is measured
_FORMATS = ("png", "png", "png", "tif", "tif", "tif", "webp", "jpg", "jpg", "gif", "bmp")


def size_of(data):
    """Pixels that a picture's header states; 0 if it cannot be read."""
    from PIL import Image

    if data[12:16] == b"IHDR":  # whatever its checksum
        width, height = struct.unpack(">II", data[16:24].ljust(8, b"\0"))
        return int(width * height)
    try:
        with warnings.catch_warnings(), Image.open(io.BytesIO(data)) as image:
            return image.width * image.height
    except Exception:  # noqa: BLE001 - whatever is wrong with it
        return 0


@dataclass(frozen=True)
class Pictures:
    """A picture that a workflow reads."""

    name: str = "picture"
    share: int = 6
    needs: tuple[str, ...] = ()

    @property
    def mutations(self):
        found = {f"piece {name}": weight for name, weight in pieces.CHANGES.items()}
        found |= {f"tiff {name}": weight for name, (_, weight) in tiff.CHANGES.items()}
        return {**found, "bmp": 8, "byte flip": 8, "byte cut": 3, "byte double": 2}

    def build(self, plan):
        rng = random_of(plan.base, "format")
        format, reader = rng.choice(_FORMATS), rng.choice(_READERS)
        apt = [one for one in plan.mutations if _suits(one[0], format)]
        others = [("byte flip" if format == "bmp" else None, seed) for _, seed in plan.mutations]
        data = mutated(format, plan.base, apt or [one for one in others if one[0]])
        name = f"x.{format}"
        flow = flow_for("large" if size_of(data) > _LARGE else reader, name)
        return Case("run", "w.json", files={name: data, "w.json": json.dumps(flow).encode()}, tame=True)


def _suits(name, format):
    if name.startswith("tiff "):
        return format == "tif"
    if name.startswith("piece "):
        return format in pieces.APART
    return name != "bmp" or format == "bmp"


TARGETS = (Pictures(),)

"""Picture files that cost much more than they should: large ones, bombs, and headers without end.

Each maker writes one file. `side` scales the honest pictures and the bombs (10,000 gives 100 megapixels), `count` the
number of chunks, segments, entries or frames.
"""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from png_toys import chunk

SIGNATURE = b"\x89PNG\r\n\x1a\n"
Maker = Callable[[Path, int, int], None]
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of PNG's colour types


class Hostile(NamedTuple):
    """One file of the table: its name with suffix, how it is made, and whether it is a good picture."""

    name: str
    make: Maker
    good: bool


def _noise(shape, dtype=np.uint8):
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max + 1, shape, dtype=dtype)


def _photo(side, channels=3):
    """Something like a photo: smooth colours with noise of a few levels."""
    ramp = (np.arange(side, dtype=np.uint32) * 200 // side).astype(np.uint8)
    picture = np.empty((side, side, channels), np.uint8)
    for channel in range(channels):
        picture[..., channel] = ramp if channel % 2 else ramp[:, None]
    for top in range(0, side, 1000):
        picture[top : top + 1000] += _noise(picture[top : top + 1000].shape) >> 4
    return picture


def _flat_png(width, height, kind=2, depth=8, interlace=False, before=(), after=(), fill=b"\0"):
    row = b"\0" + fill * ((width * CHANNELS[kind] * depth + 7) // 8)
    deflate = zlib.compressobj(6)
    rows = height if not interlace else height * 2
    body, block = [], row * max(1, 2**20 // len(row))
    left = rows * len(row)
    while left > 0:
        body.append(deflate.compress(block[:left]))
        left -= len(block)
    body.append(deflate.flush())
    head = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, int(interlace))
    return b"".join(
        (SIGNATURE, chunk(b"IHDR", head), *before, chunk(b"IDAT", b"".join(body)), *after, chunk(b"IEND", b""))
    )


def flat_png(**options):
    """A black PNG of side × side pixels."""

    def make(path, side, _count):
        path.write_bytes(_flat_png(side, side, **options))

    return make


def thin_png(tall):
    """A PNG one pixel wide (or high), of as many pixels."""

    def make(path, side, _count):
        path.write_bytes(_flat_png(*((1, side * side) if tall else (side * side, 1))))

    return make


def noise_png(kind, dtype=np.uint8, before=()):
    """A PNG of noise, which hardly compresses."""

    def make(path, side, _count):
        depth = 8 * np.dtype(dtype).itemsize
        head = struct.pack(">IIBBBBB", side, side, depth, kind, 0, 0, 0)
        with path.open("wb") as file:
            file.write(SIGNATURE + chunk(b"IHDR", head) + b"".join(before))
            deflate = zlib.compressobj(1)
            width = side * CHANNELS[kind] * depth // 8
            block = np.zeros((min(side, 500), 1 + width), np.uint8)
            block[:, 1:] = _noise((len(block), width))
            for top in range(0, side, len(block)):
                file.write(chunk(b"IDAT", deflate.compress(block[: side - top].tobytes())))
            file.write(chunk(b"IDAT", deflate.flush()) + chunk(b"IEND", b""))

    return make


def by_pillow(mode="RGB", content=_photo, **options):
    """A picture that Pillow writes."""

    def make(path, side, _count):
        channels = {"L": 1, "P": 1, "RGB": 3, "RGBA": 4, "CMYK": 4}[mode]
        picture = content(side, channels) if content else np.zeros((side, side, channels), np.uint8)
        out = Image.fromarray(picture[..., 0] if channels == 1 else picture, None if mode != "CMYK" else "CMYK")
        extra = dict(options)
        if orientation := extra.pop("orientation", None):
            extra["exif"] = Image.Exif()
            extra["exif"][0x0112] = orientation
        out.save(path, **extra)

    return make


# PNG


def png_chunks(name, data=b"", late=False, distinct=False):
    """`count` chunks before (or after) the pixels of a small picture."""

    def make(path, _side, count):
        one = chunk(name, data)
        many = b"".join(chunk(name, b"t%d\0x" % i) for i in range(count)) if distinct else one * count
        path.write_bytes(_flat_png(8, 8, before=() if late else (many,), after=(many,) if late else ()))

    return make


def png_text_bombs(name, size=2**20 - 1):
    """Compressed texts (or profiles) of 1 MiB in a kilobyte each."""
    packed = zlib.compress(b"a" * size, 9)
    data = {b"zTXt": b"t\0\0" + packed, b"iTXt": b"t\0\1\0\0\0" + packed, b"iCCP": b"p\0\0" + packed}[name]
    return png_chunks(name, data)


def png_late_exif(path, side, _count):
    """EXIF data, with an orientation, after the pixels of a black picture."""
    exif = Image.Exif()
    exif[0x0112] = 6
    path.write_bytes(_flat_png(side, side, after=(chunk(b"eXIf", exif.tobytes()[6:]),)))


def png_frames(path, side, count):
    """An animation of `count` black frames with a text after them."""
    size = max(1, side // 10)
    row = zlib.compress((b"\0" + bytes(size * 3)) * size, 9)
    parts, number = [], 0

    def control():
        nonlocal number
        number += 1
        return chunk(b"fcTL", struct.pack(">IIIIIHHBB", number - 1, size, size, 0, 0, 1, 10, 0, 0))

    head = (chunk(b"acTL", struct.pack(">II", count, 0)), control())
    for _ in range(count - 1):
        parts.append(control())
        parts.append(chunk(b"fdAT", struct.pack(">I", number) + row))
        number += 1
    parts.append(chunk(b"tEXt", b"Author\0me"))
    path.write_bytes(_flat_png(size, size, before=head, after=parts))


def png_empty_pixels(path, _side, count):
    """`count` empty pixel chunks before the one that holds the pixels."""
    path.write_bytes(_flat_png(8, 8, before=(chunk(b"IDAT", b"") * count,)))


def png_settings_text(path, _side, count):
    """A text in which a pattern of settings begins again and again and never ends."""
    body = b"parameters-x\0" + b"Steps: 1,\n\n" * count
    path.write_bytes(_flat_png(8, 8, before=(chunk(b"tEXt", body),)))


# EXIF and TIFF


def ifd(entries, order="<", at=8, following=0, big=False):
    """A directory at offset `at`, and its out-of-line data: `entries` are (tag, type, count, bytes or offset)."""
    entries = list(entries)
    head = struct.pack(order + "H", len(entries) & 0xFFFF)
    place = at + 2 + 12 * len(entries) + 4
    body, extra = [], []
    for tag, kind, count, data in entries:
        if isinstance(data, int):
            value = struct.pack(order + "I", data)
        elif len(data) <= 4:
            value = data.ljust(4, b"\0")
        else:
            value = struct.pack(order + "I", place)
            extra.append(data)
            place += len(data)
        body.append(struct.pack(order + "HHI", tag, kind, count) + value)
    return b"".join((head, *body, struct.pack(order + "I", following), *extra))


def tiff(entries, pixels=b"", following=0):
    """A TIFF: its header, `pixels` at offset 8, then the directory."""
    at = 8 + len(pixels) + len(pixels) % 2
    return (
        struct.pack("<2sHI", b"II", 42, at)
        + pixels
        + b"\0" * (len(pixels) % 2)
        + ifd(entries, at=at, following=following)
    )


def short(tag, *values):
    """An entry of 16-bit numbers."""
    return tag, 3, len(values), struct.pack(f"<{len(values)}H", *values)


def long(tag, *values):
    """An entry of 32-bit numbers."""
    return tag, 4, len(values), struct.pack(f"<{len(values)}I", *values)


def tiff_picture(width, height, *, compression=1, offsets=(8,), counts=(1,), rows=None, extra=(), bits=(8, 8, 8)):
    """The entries of an RGB or grey picture."""
    base = [
        long(256, width),
        long(257, height),
        short(258, *bits),
        short(259, compression),
        short(262, 2 if len(bits) > 1 else 1),
        long(273, *offsets),
        short(277, len(bits)),
        long(278, rows if rows is not None else height),
        long(279, *counts),
        *extra,
    ]
    return sorted(base, key=lambda entry: entry[0])


def tiff_bomb(compression, rows=None, extra=(), bits=(8, 8, 8)):
    """A black TIFF of side × side pixels in a few kilobytes: every strip is the same piece of the file."""

    def make(path, side, _count):
        strip = rows or side
        plain = bytes(min(side, strip) * side * sum(bits) // 8)
        pixels = {8: lambda: zlib.compress(plain, 9), 1: lambda: b"", 5: lambda: b"\x80\x0b\x60\x50\x10"}[compression]()
        number = -(-side // strip)
        entries = tiff_picture(
            side,
            side,
            compression=compression,
            offsets=(8,) * number,
            counts=(len(pixels),) * number,
            rows=strip,
            extra=extra,
            bits=bits,
        )
        path.write_bytes(tiff(entries, pixels))

    return make


def tiff_zero_strips(compression):
    """A TIFF whose strips have neither a place nor bytes."""

    def make(path, side, _count):
        number = min(side, 500)
        rows = -(-side // number)
        entries = tiff_picture(
            side, side, compression=compression, offsets=(0,) * number, counts=(0,) * number, rows=rows
        )
        path.write_bytes(tiff(entries, bytes(8)))

    return make


def tiff_huge_tile(path, side, _count):
    """A picture of 16×16 in one tile of side × side."""
    pixels = zlib.compress(bytes(side * side * 3), 9)
    entries = [e for e in tiff_picture(16, 16, compression=8) if e[0] not in (273, 278, 279)]
    entries += [long(322, side // 16 * 16), long(323, side // 16 * 16), long(324, 8), long(325, len(pixels))]
    path.write_bytes(tiff(sorted(entries, key=lambda entry: entry[0]), pixels))


def tiff_huge_strip(path, side, _count):
    """A picture of 16 rows whose strips state 4 billion rows."""
    pixels = zlib.compress(bytes(side * side * 3), 9)
    path.write_bytes(tiff(tiff_picture(16, 16, compression=8, counts=(len(pixels),), rows=2**32 - 1), pixels))


def tiff_pages(path, _side, count):
    """`count` pages of 1×1."""
    entries = tiff_picture(1, 1, counts=(3,))
    size = len(ifd(entries))
    start = 12
    parts = [struct.pack("<2sHI", b"II", 42, start), b"\1\2\3\0"]
    for number in range(count):
        at = start + number * size
        parts.append(ifd(entries, at=at, following=at + size if number + 1 < count else 0))
    path.write_bytes(b"".join(parts))


def tiff_circle(path, _side, _count):
    """A page that is followed by itself, and EXIF data that are the page's own directory."""
    entries = tiff_picture(1, 1, counts=(3,), extra=(long(34665, 12), long(34853, 12)))
    at = 12
    path.write_bytes(struct.pack("<2sHI", b"II", 42, at) + b"\1\2\3\0" + ifd(entries, at=at, following=at))


def tiff_entries(path, _side, count):
    """A directory of `count` entries that all point to the same half of the file."""
    count = min(count, 65_000)
    size = 2**20
    entries = tiff_picture(1, 1, counts=(3,))
    taken = {entry[0] for entry in entries}
    entries += [(tag, 7, size, 8) for tag in range(300, 300 + count) if tag not in taken and tag < 65_536]
    path.write_bytes(tiff(sorted(entries, key=lambda entry: entry[0]), bytes(size)))


def tiff_offsets(compression):
    """A picture that states `count` strips."""

    def make(path, _side, count):
        entries = tiff_picture(8, 8, compression=compression, offsets=(8,) * count, counts=(24,) * count, rows=1)
        path.write_bytes(tiff(entries, bytes(24)))

    return make


def exif_rationals(count):
    """EXIF data with a list of `count` fractions."""
    data = struct.pack("<2I", 1234567, 7654321) * count
    return b"II*\0\x08\0\0\0" + ifd([(0xC4A6, 5, count, data), (0x013B, 2, 3, b"me\0")])


def exif_entries(count):
    """EXIF data of `count` entries."""
    count = min(count, 60_000)
    return b"II*\0\x08\0\0\0" + ifd((0x5000 + i & 0xFFFF, 2, 2, b"a\0") for i in range(count))


# JPEG


def _jpeg(side=8, **options):
    out = io.BytesIO()
    Image.fromarray(_photo(side)).save(out, format="JPEG", **options)
    return out.getvalue()


def segment(marker, data):
    """One segment of a JPEG."""
    return struct.pack(">BBH", 255, marker, len(data) + 2) + data


def jpeg_segments(marker, data):
    """`count` segments before the pixels."""

    def make(path, _side, count):
        whole = _jpeg()
        path.write_bytes(whole[:2] + segment(marker, data) * count + whole[2:])

    return make


def jpeg_padding(filler):
    """`count` bytes between two segments."""

    def make(path, _side, count):
        whole = _jpeg()
        end = 4 + int.from_bytes(whole[4:6], "big")
        path.write_bytes(whole[:end] + filler * count + whole[end:])

    return make


def jpeg_scans(path, side, count):
    """A progressive JPEG whose last scan, without a bit of news, comes `count` times."""
    side = max(64, side // 16 * 16)
    out = io.BytesIO()
    Image.new("L", (side, side)).save(out, format="JPEG", progressive=True)
    whole = out.getvalue()
    last = whole.rindex(b"\xff\xda")
    path.write_bytes(whole[:last] + whole[last:-2] * count + whole[-2:])


def jpeg_header(width, height):
    """A JPEG whose header states another size than its pixels have."""

    def make(path, _side, _count):
        whole = bytearray(_jpeg())
        place = whole.index(b"\xff\xc0") + 5
        whole[place : place + 4] = struct.pack(">HH", height, width)
        path.write_bytes(whole)

    return make


def jpeg_exif(make_exif):
    """A JPEG with EXIF data in as many segments as they need."""

    def make(path, _side, count):
        whole, data = _jpeg(), make_exif(count)
        parts = [segment(0xE1, b"Exif\0\0" + data[i : i + 65_000]) for i in range(0, len(data), 65_000)]
        path.write_bytes(whole[:2] + b"".join(parts) + whole[2:])

    return make


def png_exif(make_exif):
    """A PNG with such EXIF data."""

    def make(path, _side, count):
        path.write_bytes(_flat_png(8, 8, before=(chunk(b"eXIf", make_exif(count)),)))

    return make


# WebP, GIF, BMP


def webp_frames(path, side, count):
    """An animation of `count` frames of 1×1 on a large canvas."""
    one = io.BytesIO()
    Image.new("RGB", (1, 1)).save(one, format="WEBP", lossless=True)
    bits = one.getvalue()[12:]
    frame = bytes(6) + bytes(6) + struct.pack("<I", 40)[:3] + b"\0" + bits
    frame = b"ANMF" + struct.pack("<I", len(frame)) + frame
    size = struct.pack("<I", side - 1)[:3] * 2
    body = b"WEBPVP8X" + struct.pack("<I", 10) + b"\x02\0\0\0" + size + b"ANIM" + struct.pack("<IIH", 6, 0, 0)
    body += frame * count
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)


def gif_frames(path, side, count):
    """An animation of `count` frames of 1×1 on a large canvas."""
    canvas = min(side, 65_535)
    frame = b"!\xf9\4\5\1\0\0\0" + b"," + struct.pack("<4HB", 0, 0, 1, 1, 0) + b"\2\2\x4c\1\0"
    path.write_bytes(b"GIF89a" + struct.pack("<HHBBB", canvas, canvas, 0x80, 0, 0) + bytes(6) + frame * count + b";")


def gif_comments(path, _side, count):
    """A comment in `count` pieces of one byte."""
    frame = b"," + struct.pack("<4HB", 0, 0, 1, 1, 0) + b"\2\2\x4c\1\0"
    head = b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0x80, 0, 0) + bytes(6)
    path.write_bytes(head + b"!\xfe" + b"\1a" * count + b"\0" + frame + b";")


def gif_blocks(path, _side, count):
    """A frame whose pixels are followed by `count` pieces of one byte."""
    frame = b"," + struct.pack("<4HB", 0, 0, 1, 1, 0) + b"\2\2\x4c\1" + b"\1a" * count + b"\0"
    path.write_bytes(b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0x80, 0, 0) + bytes(6) + frame + frame + b";")


def bmp_rle(ops):
    """A BMP of side × side pixels in run-length code: `ops(side)` are its bytes."""

    def make(path, side, _count):
        data, palette = ops(side), bytes(4) + b"\xff\xff\xff\0"
        start = 14 + 40 + len(palette)
        info = struct.pack("<IiiHHIIiiII", 40, side, side, 1, 8, 1, len(data), 0, 0, 2, 2)
        path.write_bytes(b"BM" + struct.pack("<IHHI", start + len(data), 0, 0, start) + info + palette + data)

    return make


def table():
    """Every file of the table: its name, how it is made, and whether it is a good picture of side × side."""
    transparent = chunk(b"PLTE", bytes(range(256)) * 3) + chunk(b"tRNS", bytes(range(256)))
    key = chunk(b"tRNS", struct.pack(">3H", 1, 2, 3))
    honest = {
        "flat-rgb8.png": flat_png(),
        "flat-rgb16.png": flat_png(depth=16),
        "flat-1bit.png": flat_png(kind=0, depth=1),
        "flat-interlaced.png": flat_png(interlace=True),
        "flat-interlaced-rgba16.png": flat_png(kind=6, depth=16, interlace=True),
        "thin-tall.png": thin_png(True),
        "thin-wide.png": thin_png(False),
        "noise-grey8.png": noise_png(0),
        "noise-rgb8.png": noise_png(2),
        "noise-rgba8.png": noise_png(6),
        "noise-palette-alpha.png": noise_png(3, before=(transparent,)),
        "noise-grey16.png": noise_png(0, np.uint16),
        "noise-la16.png": noise_png(4, np.uint16),
        "noise-rgb16.png": noise_png(2, np.uint16),
        "noise-rgb16-key.png": noise_png(2, np.uint16, before=(key,)),
        "noise-rgba16.png": noise_png(6, np.uint16),
        "late-exif.png": png_late_exif,
        "photo.jpg": by_pillow(quality=95),
        "photo-turned.jpg": by_pillow(quality=90, orientation=6),
        "photo-progressive.jpg": by_pillow(quality=90, progressive=True),
        "photo-cmyk.jpg": by_pillow("CMYK", quality=90),
        "flat.jpg": by_pillow(content=None),
        "photo-raw.tif": by_pillow(),
        "photo-lzw.tif": by_pillow(compression="tiff_lzw"),
        "photo-turned-lzw.tif": by_pillow(compression="tiff_lzw", tiffinfo={274: 6}),
        "photo-rgba-deflate.tif": by_pillow("RGBA", compression="tiff_adobe_deflate"),
        "flat-zstd.tif": by_pillow(content=None, compression="zstd"),
        "flat-packbits.tif": by_pillow(content=None, compression="packbits"),
        "photo-lossy.webp": by_pillow(quality=80, method=0),
        "photo-lossless.webp": by_pillow("RGBA", lossless=True, quality=0, method=0),
        "photo.gif": by_pillow("L"),
        "photo.bmp": by_pillow(),
    }
    attacks = {
        "bomb-deflate.tif": tiff_bomb(8, 100),
        "bomb-deflate-16bit.tif": tiff_bomb(8, 100, bits=(16, 16, 16)),
        "bomb-lzw.tif": tiff_bomb(5),
        "bomb-turned.tif": tiff_bomb(8, 100, extra=(short(274, 6),)),
        "bomb-planar.tif": tiff_bomb(8, 100, extra=(short(284, 2),)),
        "bomb-missing-pixels.tif": tiff_bomb(1),
        "bomb-row-strips.tif": tiff_bomb(8, 1),
        "zero-strips-deflate.tif": tiff_zero_strips(8),
        "zero-strips-lzw.tif": tiff_zero_strips(5),
        "zero-strips-raw.tif": tiff_zero_strips(1),
        "huge-tile.tif": tiff_huge_tile,
        "huge-strip.tif": tiff_huge_strip,
        "pages.tif": tiff_pages,
        "circle.tif": tiff_circle,
        "entries.tif": tiff_entries,
        "offsets-raw.tif": tiff_offsets(1),
        "offsets-deflate.tif": tiff_offsets(8),
        "chunks.png": png_chunks(b"aaAa"),
        "chunks-late.png": png_chunks(b"aaAa", late=True),
        "texts.png": png_chunks(b"tEXt", distinct=True),
        "text-bombs.png": png_text_bombs(b"zTXt"),
        "itext-bombs.png": png_text_bombs(b"iTXt"),
        "profile-bombs.png": png_text_bombs(b"iCCP"),
        "frames.png": png_frames,
        "empty-pixels.png": png_empty_pixels,
        "settings-text.png": png_settings_text,
        "exif-rationals.png": png_exif(exif_rationals),
        "exif-entries.png": png_exif(exif_entries),
        "exif-rationals.jpg": jpeg_exif(exif_rationals),
        "exif-entries.jpg": jpeg_exif(exif_entries),
        "comments.jpg": jpeg_segments(0xFE, b"a"),
        "exif-segments.jpg": jpeg_segments(0xE1, b"Exif\0\0abcdef"),
        "tables.jpg": jpeg_segments(0xDB, b"\0" + bytes([1]) * 64),
        "junk.jpg": jpeg_padding(b"abcd"),
        "padding.jpg": jpeg_padding(b"\xff\xff"),
        "scans.jpg": jpeg_scans,
        "header-65500.jpg": jpeg_header(65_500, 65_500),
        "header-10000.jpg": jpeg_header(10_000, 10_000),
        "frames.webp": webp_frames,
        "frames.gif": gif_frames,
        "comments.gif": gif_comments,
        "blocks.gif": gif_blocks,
        "rle-lines.bmp": bmp_rle(lambda side: b"\0\0" * side + b"\0\1"),
        "rle-runs.bmp": bmp_rle(lambda side: b"\1\1" * min(side * side, 8_000_000) + b"\0\1"),
        "rle-flat.bmp": bmp_rle(
            lambda side: (b"\xff\1" * (side // 255) + bytes([side % 255, 1]) + b"\0\0") * side + b"\0\1"
        ),
    }
    return [Hostile(name, make, True) for name, make in honest.items()] + [
        Hostile(name, make, False) for name, make in attacks.items()
    ]

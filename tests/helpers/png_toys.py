"""PNG files written and read by hand, independent of the code under test."""

import struct
import zlib

import numpy as np


def chunk(name, data):
    """One chunk of a PNG."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def chunks(data):
    """(name, data) of every chunk."""
    place = 8
    while place < len(data):
        (size,) = struct.unpack_from(">I", data, place)
        assert struct.unpack_from(">I", data, place + 8 + size)[0] == zlib.crc32(data[place + 4 : place + 8 + size])
        yield data[place + 4 : place + 8], data[place + 8 : place + 8 + size]
        place += 12 + size


def png(samples, extra=(), interlace=False):
    """A PNG of `[h w c]` uint8 or uint16 without filters; `extra` are chunks before the pixels."""
    height, width, channels = samples.shape
    depth, kind = 8 * samples.itemsize, {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    passes = [(0, 0, 1, 1)]
    if interlace:  # Adam7
        passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    rows = b"".join(
        b"\0" + row.astype(row.dtype.newbyteorder(">")).tobytes()
        for x, y, dx, dy in passes
        for row in samples[y::dy, x::dx]
        if row.size
    )
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, int(interlace))
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + b"".join(chunk(*one) for one in extra)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def samples_of(path):
    """`[h w c]` of a PNG that is not interlaced, unfiltered byte by byte as the specification says."""
    parts = list(chunks(path.read_bytes()))
    width, height, depth, kind, _, _, interlaced = struct.unpack(">IIBBBBB", dict(parts)[b"IHDR"])
    assert not interlaced
    channels = {0: 1, 4: 2, 2: 3, 6: 4}[kind]
    step, data = channels * depth // 8, zlib.decompress(b"".join(d for n, d in parts if n == b"IDAT"))
    above, rows, place = bytes(width * step), [], 0
    for _ in range(height):
        how, row = data[place], bytearray(data[place + 1 : place + 1 + width * step])
        place += 1 + width * step
        for i in range(len(row)):
            a, b, c = (row[i - step] if i >= step else 0), above[i], (above[i - step] if i >= step else 0)
            if how == 4:
                by = [abs(b - c), abs(a - c), abs(a + b - 2 * c)]
                guess = (a, b, c)[by.index(min(by))]
            else:
                guess = (0, a, b, (a + b) // 2)[how]
            row[i] = (row[i] + guess) & 255
        above = bytes(row)
        rows.append(np.frombuffer(above, ">u2" if depth == 16 else np.uint8).reshape(width, channels))
    return np.stack(rows).astype(np.uint16 if depth == 16 else np.uint8)


def without_pixels(width, height):
    """A PNG whose header states a size, and whose pixels are missing."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")

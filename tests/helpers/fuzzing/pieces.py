"""Pictures taken apart into their pieces, mutated, and put together again: PNG, WebP, JPEG and GIF.

A piece is [name, contents]. What is around it (lengths, checksums) is made right again when the file is put together,
so that a reader gets past them; mutations of the bytes come last and break these too.
"""

import struct
import zlib


def _png_pieces(data):
    at, found = 8, []
    while at + 12 <= len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        found.append([data[at + 4 : at + 8], data[at + 8 : at + 8 + length]])
        at += 12 + length
    return found


def _png_file(pieces):
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in pieces
    )


def _riff_pieces(data):
    at, found = 12, []
    while at + 8 <= len(data):
        (length,) = struct.unpack("<I", data[at + 4 : at + 8])
        found.append([data[at : at + 4], data[at + 8 : at + 8 + length]])
        at += 8 + length + length % 2
    return found


def _riff_file(pieces):
    body = b"".join(name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2) for name, data in pieces)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def _jpeg_pieces(data):
    at, found = 2, []
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != 0xDA:
        (length,) = struct.unpack(">H", data[at + 2 : at + 4])
        found.append([data[at : at + 2], data[at + 4 : at + 2 + length]])
        at += 2 + length
    found.append([b"scan", data[at:]])
    return found


def _jpeg_file(pieces):
    return b"\xff\xd8" + b"".join(
        data if name == b"scan" else name + struct.pack(">H", min(len(data) + 2, 65535)) + data[:65533]
        for name, data in pieces
    )


def _gif_pieces(data):
    size = 3 * 2 ** ((data[10] & 7) + 1) if data[10] & 128 else 0
    found, at = [[b"head", data[: 13 + size]]], 13 + size
    while at < len(data):
        begin = at
        if data[at] == 0x3B:
            at += 1
        else:
            at += 2 if data[at] == 0x21 else 10
            if data[begin] == 0x2C:
                flags = data[begin + 9]
                at += (3 * 2 ** ((flags & 7) + 1) if flags & 128 else 0) + 1
            while at < len(data) and data[at]:
                at += 1 + data[at]
            at += 1
        found.append([data[begin : begin + 1], data[begin:at]])
    return found


def _gif_file(pieces):
    return b"".join(data for _, data in pieces)


APART = {"png": (_png_pieces, _png_file), "webp": (_riff_pieces, _riff_file), "jpg": (_jpeg_pieces, _jpeg_file)}
APART["gif"] = (_gif_pieces, _gif_file)


def drop(pieces, rng, evil):
    """A piece goes."""
    del pieces[rng.randrange(len(pieces))]


def double(pieces, rng, evil):
    """A piece comes twice, or very often."""
    at = rng.randrange(len(pieces))
    pieces[at:at] = [list(pieces[at]) for _ in range(rng.choice((1, 1, 2, 30, 3000)))]


def swap(pieces, rng, evil):
    """Two pieces change places."""
    one, other = rng.randrange(len(pieces)), rng.randrange(len(pieces))
    pieces[one], pieces[other] = pieces[other], pieces[one]


def spoil(pieces, rng, evil):
    """Bytes of a piece change, mostly the first ones, where the numbers are."""
    piece = rng.choice(pieces)
    changed = bytearray(piece[1])
    for _ in range(rng.choice((1, 1, 2, 5))):
        if changed:
            place = rng.randrange(min(len(changed), rng.choice((4, 16, len(changed)))))
            changed[place] = rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))
    piece[1] = bytes(changed)


def cut(pieces, rng, evil):
    """A piece loses its end."""
    piece = rng.choice(pieces)
    piece[1] = piece[1][: rng.randrange(len(piece[1]) + 1)]


def insert(pieces, rng, evil):
    """A piece that is known to trouble readers."""
    name, contents = rng.choice(evil)
    pieces.insert(rng.randrange(len(pieces) + 1), [name, contents() if callable(contents) else contents])


def exchange(pieces, rng, evil):
    """A piece gets the contents of such a piece of its name, if there is one."""
    name, contents = rng.choice(evil)
    for piece in pieces:
        if piece[0] == name:
            piece[1] = contents() if callable(contents) else contents


CHANGES = {"drop": 4, "double": 3, "swap": 3, "spoil": 20, "cut": 4, "insert": 12, "exchange": 12}
_FUNCTIONS = {"drop": drop, "double": double, "swap": swap, "spoil": spoil, "cut": cut, "insert": insert}
_FUNCTIONS["exchange"] = exchange


def changed(data, format, name, rng, evil):
    """The file after one change of its pieces."""
    apart, together = APART[format]
    try:
        pieces = apart(data)
    except (IndexError, struct.error):
        return data
    if pieces:
        _FUNCTIONS[name](pieces, rng, evil)
    return together(pieces)

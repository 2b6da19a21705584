"""PNG beyond Pillow: the chunks before the pixels, and writing 16 bits a channel (PNG 3rd edition, §7 and §9)."""

import io
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pil

MARK = b"\x89PNG\r\n\x1a\n"
COLOUR_CHUNKS = (b"cICP", b"sRGB", b"gAMA", b"cHRM")
COLOUR_TYPE = {1: 0, 2: 4, 3: 2, 4: 6}  # by the number of channels
ROWS = 64  # filtered and compressed at a time
MOST_ICC, MOST_TEXT = 32 * 2**20, 2**20  # bytes, decompressed; the latter is Pillow's own limit
LEAST = {b"gAMA": 4, b"cHRM": 32, b"sRGB": 1, b"pHYs": 9}  # bytes; of fewer Pillow refuses the picture
MOST_COLOUR = 32  # bytes of the longest of the chunks above


def colour_chunks(path: Path) -> tuple[tuple[bytes, bytes], ...]:
    """(name, data) of what a PNG says of its colours in chunks of its own, before its pixels."""
    found: dict[bytes, bytes] = {}
    with path.open("rb") as file:
        file.seek(len(MARK))
        while len(head := file.read(8)) == 8 and head[4:] != b"IDAT":
            size = int.from_bytes(head[:4], "big")
            if head[4:] in COLOUR_CHUNKS and size <= MOST_COLOUR:
                found.setdefault(head[4:], file.read(size))
                file.seek(4, 1)
            else:
                file.seek(size + 4, 1)
    return tuple((name, found[name]) for name in COLOUR_CHUNKS if name in found)


def has_chunk(path: Path, name: bytes) -> bool:
    """True if a chunk of that name stands before the pixels."""
    with path.open("rb") as file:
        file.seek(len(MARK))
        while len(head := file.read(8)) == 8 and head[4:] != b"IDAT":
            if head[4:] == name:
                return True
            file.seek(int.from_bytes(head[:4], "big") + 4, 1)
    return False


def slimmed(path: Path) -> tuple[io.BytesIO, bytes, list[str]]:
    """A PNG without what makes Pillow refuse it beside its pixels: its ICC profile, and texts too long or damaged.

    Returns:
        The file, the ICC profile (empty: none that can be read), and what was left out, in words.
    """
    out, icc, left = [MARK], b"", []
    for name, data in _chunks(path.read_bytes()):
        if name == b"iCCP":
            icc = _inflated(data.partition(b"\0")[2][1:], MOST_ICC) or b""
            left += [] if icc else ["a colour profile that is damaged or too large"]
        elif name in (b"zTXt", b"iTXt") and _is_too_much(name, data):
            left.append(f"the text {data.partition(bytes(1))[0][:40].decode('latin-1')!r}, too long or damaged")
        elif len(data) < LEAST.get(name, 0):
            left.append(f"a {name.decode()} chunk of {len(data)} bytes, which breaks off")
        else:
            out.append(_chunk(name, data))
    return io.BytesIO(b"".join(out)), icc, left


def wrong_checksum(path: Path) -> bool:
    """True for a PNG in which a chunk's checksum is not that of its data."""
    data = path.read_bytes()
    if data[: len(MARK)] != MARK:
        return False
    place = len(MARK)
    while place + 12 <= len(data):
        (size,) = struct.unpack_from(">I", data, place)
        body, stated = data[place + 4 : place + 8 + size], data[place + 8 + size : place + 12 + size]
        if len(stated) == 4 and zlib.crc32(body) != int.from_bytes(stated, "big"):
            return True
        place += 12 + size
    return False


def _is_too_much(name: bytes, data: bytes) -> bool:
    _, _, rest = data.partition(b"\0")
    if name == b"iTXt":
        if rest[:1] != b"\1":
            return len(rest) > MOST_TEXT
        rest = rest[1:].split(b"\0", 2)[-1]
    return _inflated(rest[1:] if name == b"zTXt" else rest, MOST_TEXT) is None


def _inflated(data: bytes, most: int) -> bytes | None:
    """Decompressed; None where that is damaged, or more than `most` bytes."""
    inflate = zlib.decompressobj()
    try:
        found = inflate.decompress(data, most)
    except zlib.error:
        return None
    return None if inflate.unconsumed_tail or not inflate.eof else found


def write_sixteen(path: Path, samples: NDArray[Any], **told: Any) -> None:
    """Write `[h w c]` (grey, grey and alpha, RGB, RGBA) at 16 bits; `told` is what Pillow's writer takes beside pixels.

    Pillow writes no 16-bit colour. It writes all other chunks here, of a picture of one pixel, so that they are the
    same as in every other PNG.
    """
    small = io.BytesIO()
    Pil.new({1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[samples.shape[2]], (1, 1)).save(small, format="PNG", **told)
    height, width, channels = samples.shape
    header = struct.pack(">IIBBBBB", width, height, 16, COLOUR_TYPE[channels], 0, 0, 0)
    with path.open("wb") as file:
        file.write(MARK + _chunk(b"IHDR", header))
        done = False
        for name, data in _chunks(small.getvalue()):
            if name == b"IDAT" and not done:
                for part in _compressed(samples):
                    file.write(_chunk(b"IDAT", part))
                done = True
            elif name not in (b"IHDR", b"IDAT"):
                file.write(_chunk(name, data))


def _chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = len(MARK)
    while place + 12 <= len(png):
        (size,) = struct.unpack_from(">I", png, place)
        yield png[place + 4 : place + 8], png[place + 8 : place + 8 + size]
        place += 12 + size


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _compressed(samples: NDArray[Any]) -> Iterator[bytes]:
    """The pixels filtered and deflated; of each row the filter with the smallest sum of absolute values (§12.7)."""
    deflate = zlib.compressobj(4)  # a third of the time of 6, 1 % more bytes
    step = samples.shape[2] * 2
    above = np.zeros((1, samples.shape[1] * step), np.uint8)
    for top in range(0, len(samples), ROWS):
        block = samples[top : top + ROWS].astype(">u2").reshape(-1, samples.shape[1] * samples.shape[2])
        rows = block.view(np.uint8)
        up = np.concatenate([above, rows[:-1]])
        left, corner = (np.pad(one, ((0, 0), (step, 0)))[:, :-step] for one in (rows, up))
        tries = np.stack([rows, rows - left, rows - up, rows - _paeth(left, up, corner)])
        weight = np.abs(tries.view(np.int8).astype(np.int16)).sum(-1, dtype=np.int64)
        best = weight.argmin(0)
        kinds = np.array([0, 1, 2, 4], np.uint8)[best]
        out = np.concatenate([kinds[:, None], tries[best, np.arange(len(rows))]], axis=1)
        above = rows[-1:]
        if part := deflate.compress(out.tobytes()):
            yield part
    yield deflate.flush()


def _paeth(left: NDArray[np.uint8], up: NDArray[np.uint8], corner: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Of left, up and corner the one nearest to left + up − corner (§9.4)."""
    a, b, c = (one.astype(np.int16) for one in (left, up, corner))
    by_a, by_b, by_c = np.abs(b - c), np.abs(a - c), np.abs(a + b - 2 * c)
    return np.where((by_a <= by_b) & (by_a <= by_c), left, np.where(by_b <= by_c, up, corner))

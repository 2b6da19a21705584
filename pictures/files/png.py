"""The chunks of a PNG file (PNG 3rd edition, §5): colours and metadata that Pillow does not report, and damage."""

import io
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

SIGNATURE = b"\x89PNG\r\n\x1a\n"
COLOUR_CHUNKS = (b"cICP", b"sRGB", b"gAMA", b"cHRM")
LONGEST_COLOUR_CHUNK = 32  # bytes
LONGEST_ICC, LONGEST_TEXT = 32 * 2**20, 2**20  # bytes, decompressed; the latter is Pillow's own limit
SHORTEST = {b"gAMA": 4, b"cHRM": 32, b"sRGB": 1, b"pHYs": 9}  # bytes; below, Pillow refuses the picture


def chunks_of(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(name, data) of each complete chunk."""
    place = len(SIGNATURE)
    while place + 12 <= len(png):
        (size,) = struct.unpack_from(">I", png, place)
        yield png[place + 4 : place + 8], png[place + 8 : place + 8 + size]
        place += 12 + size


def chunk(name: bytes, data: bytes) -> bytes:
    """A chunk as bytes, with its length and checksum."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def colour_chunks(path: Path) -> tuple[tuple[bytes, bytes], ...]:
    """(name, data) of the chunks before the pixels that declare colours, the ICC profile aside."""
    found: dict[bytes, bytes] = {}
    with path.open("rb") as file:
        for name, size in _before_pixels(file):
            if name in COLOUR_CHUNKS and size <= LONGEST_COLOUR_CHUNK:
                found.setdefault(name, file.read(size))
    return tuple((name, found[name]) for name in COLOUR_CHUNKS if name in found)


def has_chunk(path: Path, name: bytes) -> bool:
    """True if a chunk of that name comes before the pixels."""
    with path.open("rb") as file:
        return any(found == name for found, _ in _before_pixels(file))


def has_late_metadata(path: Path) -> bool:
    """True if EXIF data or texts come after the pixels."""
    pixels = False
    with path.open("rb") as file:
        for name, _ in _headers(file):
            if pixels and name in (b"eXIf", b"tEXt", b"zTXt", b"iTXt"):
                return True
            pixels = pixels or name == b"IDAT"
    return False


def _before_pixels(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    for name, size in _headers(file):
        if name == b"IDAT":
            return
        yield name, size


def _headers(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """(name, size) of each chunk; while one is yielded, the file is positioned at its data."""
    place = len(SIGNATURE)
    while True:
        file.seek(place)
        head = file.read(8)
        if len(head) < 8:
            return
        size = int.from_bytes(head[:4], "big")
        yield head[4:], size
        place += 12 + size


def has_wrong_checksum(path: Path) -> bool:
    """True for a PNG in which a chunk's checksum does not match its data."""
    data = path.read_bytes()
    if data[: len(SIGNATURE)] != SIGNATURE:
        return False
    place = len(SIGNATURE)
    while place + 12 <= len(data):
        (size,) = struct.unpack_from(">I", data, place)
        body, stated = data[place + 4 : place + 8 + size], data[place + 8 + size : place + 12 + size]
        if len(stated) == 4 and zlib.crc32(body) != int.from_bytes(stated, "big"):
            return True
        place += 12 + size
    return False


def without_damage(path: Path) -> tuple[io.BytesIO, bytes, list[str]]:
    """A PNG without the chunks that make Pillow refuse it: the ICC profile, and chunks that are too long or damaged.

    Returns:
        The file, the ICC profile (empty if none can be read), and the names of omitted parts.
    """
    out, icc, omitted = [SIGNATURE], b"", []
    for name, data in chunks_of(path.read_bytes()):
        if name == b"iCCP":
            icc = _inflated(data.partition(b"\0")[2][1:], LONGEST_ICC) or b""
            omitted += [] if icc else ["a damaged or oversized colour profile"]
        elif name in (b"zTXt", b"iTXt") and _is_unreadable(name, data):
            omitted.append(f"the text {data.partition(bytes(1))[0][:40].decode('latin-1')!r}, too long or damaged")
        elif len(data) < SHORTEST.get(name, 0):
            omitted.append(f"a {name.decode()} chunk of {len(data)} bytes, which is incomplete")
        else:
            out.append(chunk(name, data))
    return io.BytesIO(b"".join(out)), icc, omitted


def _is_unreadable(name: bytes, data: bytes) -> bool:
    """True for a text chunk whose text is too long or damaged."""
    _, _, rest = data.partition(b"\0")
    if name == b"iTXt":
        if rest[:1] != b"\1":
            return len(rest) > LONGEST_TEXT
        rest = rest[1:].split(b"\0", 2)[-1]
    return _inflated(rest[1:] if name == b"zTXt" else rest, LONGEST_TEXT) is None


def _inflated(data: bytes, limit: int) -> bytes | None:
    """Decompressed data; None if damaged, or more than `limit` bytes."""
    inflate = zlib.decompressobj()
    try:
        found = inflate.decompress(data, limit)
    except zlib.error:
        return None
    return None if inflate.unconsumed_tail or not inflate.eof else found

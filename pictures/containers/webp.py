"""The chunks of a WebP file (RFC 9649): of an animation, only the first picture is handed on."""

import struct
from typing import BinaryIO

from .container import EXIF_EXCESS, MAX_EXIF, MAX_METADATA, Container, require_size
from .pieces import Part, put_together
from .tiff import is_small_exif

MOST_CHUNKS = 2**16  # that are looked at; what comes later is left out
METADATA = (b"ICCP", b"EXIF", b"XMP ")
ORDER = (b"VP8X", b"ICCP", b"ANIM", b"ALPH", b"VP8 ", b"VP8L", b"ANMF", b"EXIF", b"XMP ")


def open_webp(file: BinaryIO, name: str) -> Container:
    """A WebP picture, or the first one of an animation.

    Raises:
        BadInput: over 100 megapixels.
    """
    end = file.seek(0, 2)
    file.seek(0)
    head = file.read(30)
    if head[8:12] == b"WEBP" and (size := _size(head)):
        require_size(name, *size)
    if head[12:16] != b"VP8X" or len(head) < 30:
        return Container(file)
    kept: dict[bytes, Part] = {}
    omitted: tuple[str, ...] = ()
    pictures, place = 0, 12
    for _ in range(MOST_CHUNKS):
        file.seek(place)
        title = file.read(8)
        if len(title) < 8:
            break
        kind, length = struct.unpack("<4sI", title)
        after = min(place + 8 + length + length % 2, end)
        pictures += kind == b"ANMF"
        if kind in ORDER and length <= (MAX_METADATA if kind in METADATA else end):
            kept.setdefault(kind, Part(place, after))
        place = after
    if b"EXIF" in kept and not is_small_exif(_data(file, kept[b"EXIF"])):
        del kept[b"EXIF"]
        omitted = (EXIF_EXCESS,)
    elif not pictures:
        return Container(file)
    pieces = [kept[kind] for kind in ORDER if kind in kept]
    total = 4 + sum(piece.end - piece.start for piece in pieces)
    return Container(put_together(file, [struct.pack("<4sI4s", b"RIFF", total, b"WEBP"), *pieces]), omitted, pictures)


def _data(file: BinaryIO, part: Part) -> bytes:
    file.seek(part.start + 8)
    return file.read(min(part.end - part.start - 8, MAX_EXIF + 1))


def _size(head: bytes) -> tuple[int, int] | None:
    """Width and height in the first 30 bytes."""
    kind = head[12:16]
    if len(head) < 30:
        return None
    if kind == b"VP8X":
        return 1 + int.from_bytes(head[24:27], "little"), 1 + int.from_bytes(head[27:30], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(head[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        return int.from_bytes(head[26:28], "little") & 0x3FFF, int.from_bytes(head[28:30], "little") & 0x3FFF
    return None

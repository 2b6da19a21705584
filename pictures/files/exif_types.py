"""Values of EXIF data in the types that the standard prescribes (CIPA DC-008, tables 6 to 20).

Pillow chooses a type by the value's Python type; other readers then read a date of type BYTE as a list of numbers.
"""

import struct

BYTE, RATIONAL, UNDEFINED, SRATIONAL = 1, 5, 7, 10
POINTERS = {0x8769: "exif", 0x8825: "gps", 0xA005: "interop"}
SIGNED = frozenset(
    {0x9201, 0x9203, 0x9204}
)  # shutter speed, brightness, exposure bias: signed types, also for values above zero
GPS_WORDS = frozenset({0x1B, 0x1C})  # processing method and area; versions and references do have type BYTE
MAGIC = 42  # of a TIFF whose offsets have 32 bits


class AsStored(str):
    """A text that keeps its bytes: Pillow reads texts as Latin-1, but writes ASCII with question marks."""

    __slots__ = ()

    def encode(self, encoding: str = "latin-1", errors: str = "replace") -> bytes:
        """The bytes from the original file, whatever the requested encoding."""
        return super().encode("latin-1", "replace")


def with_types(data: bytes) -> bytes:
    """EXIF data (`Exif`, two zeros, a TIFF) with the standard's types; the values' bytes do not change."""
    out, start = bytearray(data), 6
    order = "<" if out[start : start + 2] == b"II" else ">"
    magic, first = struct.unpack_from(f"{order}HI", out, start + 2)
    waiting = [("", first)] if magic == MAGIC else []
    while waiting:
        folder, offset = waiting.pop()
        (count,) = struct.unpack_from(f"{order}H", out, start + offset)
        for place in range(start + offset + 2, start + offset + 2 + 12 * count, 12):
            tag, kind, _, value = struct.unpack_from(f"{order}HHII", out, place)
            if tag in POINTERS:
                waiting.append((POINTERS[tag], value))
            elif kind == BYTE and (folder in ("exif", "interop") or (folder == "gps" and tag in GPS_WORDS)):
                struct.pack_into(f"{order}H", out, place + 2, UNDEFINED)
            elif kind == RATIONAL and folder == "exif" and tag in SIGNED:
                struct.pack_into(f"{order}H", out, place + 2, SRATIONAL)
    return bytes(out)

"""Run-length codes of a BMP file (RLE8 and RLE4), in time that grows with the code.

Pillow decodes them in Python too, but a pixel at a time where a row ends early, so that 20 kB take ten seconds.
"""

import struct
from typing import BinaryIO

from .container import Container, excessive, require_size

RUN_LENGTH = (1, 2)  # the header's numbers for RLE8 and RLE4
LONG_HEADERS = (40, 52, 56, 64, 108, 124)
MOST_CODE = 8 * 2**20  # bytes
END_OF_LINE, END_OF_PICTURE, DELTA = 0, 1, 2
NIBBLES = bytes.maketrans(b"0123456789abcdef", bytes(range(16)))


def open_bmp(file: BinaryIO, name: str) -> Container:
    """A BMP, unless it holds far too much run-length code.

    Raises:
        BadInput: over 100 megapixels, or too much code.
    """
    end = file.seek(0, 2)
    file.seek(0)
    head = file.read(34)
    if len(head) == 34 and int.from_bytes(head[14:18], "little") in LONG_HEADERS:
        start, _, width, height, _, _, code = struct.unpack_from("<IIIIHHI", head, 10)
        require_size(name, width, 2**32 - height if head[25] == 0xFF else height)
        if code in RUN_LENGTH and end - start > MOST_CODE:
            raise excessive(
                name,
                f"run-length code of {(end - start) / 2**20:.0f} MiB",
                f"at most {MOST_CODE // 2**20} MiB",
                "convert it to PNG",
            )
    return Container(file)


def decode_runs(code: bytes, start: int, width: int, height: int, *, four_bits: bool) -> bytes:
    """The colour numbers of all pixels, row by row; fewer if the code ends early. The same as Pillow gives.

    Args:
        code: what follows from `start` on in the file.
        start: its place there; pieces of plain pixels end at an even place.
        width: pixels of a row.
        height: rows.
        four_bits: RLE4, two pixels a byte, instead of RLE8.
    """
    data, size, x, place = bytearray(), width * height, 0, 0
    while len(data) < size and place + 2 <= len(code):
        count, value = code[place], code[place + 1]
        place += 2
        if count:
            run = min(count, max(0, width - x))
            data += (bytes((value >> 4, value & 15)) * 128)[:run] if four_bits else code[place - 1 : place] * run
            x += run
        elif value == END_OF_LINE:
            data += bytes(-len(data) % width)
            x = 0
        elif value == END_OF_PICTURE:
            break
        elif value == DELTA:
            if place + 2 > len(code):
                break
            data += bytes(min(size - len(data), code[place] + code[place + 1] * width))
            x, place = len(data) % width, place + 2
        else:
            plain = min(size - len(data), value)
            stored = (plain + 1) // 2 if four_bits else plain
            part = code[place : place + stored]
            data += part.hex().encode().translate(NIBBLES)[:plain] if four_bits else part
            place += stored
            if len(part) < stored or len(data) == size:
                break
            x += value
            place += (start + place) % 2
    return bytes(data)

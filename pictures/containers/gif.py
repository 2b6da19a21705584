"""The blocks of a GIF file (GIF89a, §15): what comes before its first picture, and how many pictures there are."""

from typing import BinaryIO

from .container import Container, excessive, require_size

MOST_BLOCKS = 2**16  # pieces of 255 bytes in what comes before the first picture
MOST_DATA = 2**21  # pieces that are passed over to count pictures


def open_gif(file: BinaryIO, name: str) -> Container:
    """A GIF, unless too much comes before its first picture.

    Raises:
        BadInput: over 100 megapixels, or more blocks before the picture than a picture needs.
    """
    file.seek(0)
    head = file.read(13)
    if len(head) == 13:
        require_size(name, int.from_bytes(head[6:8], "little"), int.from_bytes(head[8:10], "little"))
        if head[10] & 0x80:
            file.seek(3 << (head[10] & 7) + 1, 1)
        count = 0
        while (kind := file.read(1)) and kind not in b",;":
            if kind == b"!":
                file.read(1)
                while size := file.read(1)[:1]:
                    count += 1
                    if size == b"\0" or count > MOST_BLOCKS:
                        break
                    file.seek(size[0], 1)
            count += 1
            if count > MOST_BLOCKS:
                raise excessive(name, f"more than {MOST_BLOCKS} blocks before its picture", f"at most {MOST_BLOCKS}")
    return Container(file)


def count_pictures(file: BinaryIO) -> int:
    """How many pictures a GIF holds; of millions of pieces of data, only the first are looked at."""
    file.seek(0)
    data = file.read(13)
    place = 13 + ((3 << (data[10] & 7) + 1) if len(data) == 13 and data[10] & 0x80 else 0)
    blocks = _Blocks(file, place)
    pictures = 0
    while (kind := blocks.take(1)) and kind != b";" and blocks.count < MOST_DATA:
        if kind == b",":
            pictures += 1
            flags = blocks.take(9)[-1:]
            if flags and flags[0] & 0x80:
                blocks.skip(3 << (flags[0] & 7) + 1)
            blocks.take(1)
            blocks.skip_data()
        elif kind == b"!":
            blocks.take(1)
            blocks.skip_data()
    return pictures


class _Blocks:
    """A file that is read a megabyte at a time, and mostly passed over."""

    def __init__(self, file: BinaryIO, place: int) -> None:
        self.count = 0
        self._file = file
        self._start = place
        file.seek(place)
        self._data, self._at = file.read(2**20), 0

    def take(self, size: int) -> bytes:
        """The next bytes; fewer at the end."""
        if self._at + size > len(self._data):
            self._start += self._at
            self._file.seek(self._start)
            self._data, self._at = self._file.read(2**20), 0
        found = self._data[self._at : self._at + size]
        self._at += size
        self.count += 1
        return found

    def skip(self, size: int) -> None:
        """Pass over some bytes."""
        self._at += size

    def skip_data(self) -> None:
        """Pass over data in pieces, up to the empty one."""
        while self.count < MOST_DATA:
            size = self.take(1)
            if size in (b"", b"\0"):
                return
            self._at += size[0]

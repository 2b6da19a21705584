"""A file put together from bytes and from parts of an open file, as a library reads it."""

import io
from bisect import bisect_right
from collections.abc import Iterable
from typing import BinaryIO, NamedTuple, cast


class Part(NamedTuple):
    """A part of the open file: from `start` up to `end`."""

    start: int
    end: int


def put_together(file: BinaryIO, pieces: Iterable[bytes | Part], *, descriptor: bool = False) -> BinaryIO:
    """Such a file; with `descriptor` it has the open file's, for a library that reads from that itself."""
    made = _WithDescriptor(file, pieces) if descriptor else Pieces(file, pieces)
    return cast(BinaryIO, made)  # it reads and seeks, which is all that is used


class Pieces(io.RawIOBase):
    """Bytes and parts of an open file, one after the other; nothing is copied before it is read.

    Closing it does not close the file.
    """

    def __init__(self, file: BinaryIO, pieces: Iterable[bytes | Part]) -> None:
        super().__init__()
        self._file = file
        self._pieces: list[bytes | Part] = []
        for piece in pieces:
            last = self._pieces[-1] if self._pieces else b""
            if isinstance(piece, Part) and isinstance(last, Part) and last.end == piece.start:
                self._pieces[-1] = Part(last.start, piece.end)
            elif not isinstance(piece, bytes) or piece:
                self._pieces.append(piece)
        self._starts = [0]
        for piece in self._pieces:
            self._starts.append(self._starts[-1] + _length(piece))
        self._place = 0

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """The place from which is read next."""
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to another place."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._starts[-1]}[whence]
        if base + offset < 0:
            raise ValueError(f"a negative place in a file: {base + offset}")
        self._place = base + offset
        return self._place

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill a buffer as far as one piece goes."""
        data = self._some(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def read(self, size: int | None = -1) -> bytes:
        """Up to `size` bytes, fewer only at the end."""
        rest = max(0, self._starts[-1] - self._place)
        size = rest if size is None or size < 0 else min(size, rest)
        first = self._some(size)
        if len(first) == size or not first:
            return first
        parts, size = [first], size - len(first)
        while size and (part := self._some(size)):
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def _some(self, size: int) -> bytes:
        """Up to `size` bytes of one piece; none at the end."""
        if size <= 0 or self._place >= self._starts[-1]:
            return b""
        number = bisect_right(self._starts, self._place) - 1
        piece, skip = self._pieces[number], self._place - self._starts[number]
        if isinstance(piece, bytes):
            data = piece[skip : skip + size]
        else:
            if self._file.tell() != piece.start + skip:
                self._file.seek(piece.start + skip)
            data = self._file.read(min(size, piece.end - piece.start - skip))
        self._place += len(data)
        return data


class _WithDescriptor(Pieces):
    def fileno(self) -> int:
        return self._file.fileno()


def _length(piece: bytes | Part) -> int:
    return len(piece) if isinstance(piece, bytes) else piece.end - piece.start

"""The first directory of a TIFF file (TIFF 6.0, §2): what libraries would load without end is taken out or refused.

Pillow reads every tag of a directory, and libtiff trusts the sizes of strips and tiles. Here the directory is read
first; entries that no picture needs are replaced by entries of no type, which readers pass over. Pages after the first
are never looked at.
"""

import io
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import BinaryIO

from .container import MAX_EXIF, MAX_METADATA, Container, excessive, require_size
from .pieces import Part, put_together

PREFIXES = (b"II\x2a\x00", b"MM\x00\x2a", b"II\x2b\x00", b"MM\x2a\x00", b"II\x00\x2a")
MOST_ENTRIES = 4096
MOST_STRIPS = 250_000
MOST_PAGES = 1000  # that are counted
SPARE_STRIPS = 64  # more of them than the picture needs; some old writers state too many
MOST_NUMBERS = 20_000  # values of one tag that does not say where pixels are
SPARE_PIXELS = 20_000_000  # by which tiles may reach beyond the picture
WIDTH, HEIGHT, BITS, SAMPLES, ROWS, PLANES = 256, 257, 258, 277, 278, 284
STRIPS, STRIP_BYTES, TILE_WIDTH, TILE_HEIGHT, TILES, TILE_BYTES = 273, 279, 322, 323, 324, 325
PLACES = (STRIPS, STRIP_BYTES, TILES, TILE_BYTES)
COLOURS = 320
DIRECTORIES = (34665, 34853)  # of EXIF data, and of the place
INTEROP = 40965
UNUSED = frozenset({330, 513, 514, 34377, 37724})  # thumbnails, and the layers of an image editor
SIZES = {
    1: 1,
    2: 1,
    3: 2,
    4: 4,
    5: 8,
    6: 1,
    7: 1,
    8: 2,
    9: 4,
    10: 8,
    11: 4,
    12: 8,
    13: 4,
    16: 8,
    17: 8,
    18: 8,
}  # bytes by type
BYTES = (1, 2, 6, 7)  # types of one byte
FORMATS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}


@dataclass
class _Entry:
    """One tag: its type, how many values, where they are, and where the entry itself is."""

    tag: int
    kind: int
    count: int
    place: int
    at: int

    @property
    def size(self) -> int:
        return SIZES.get(self.kind, 0) * self.count


@dataclass
class _Reader:
    """A TIFF's directories; `big` has offsets of 64 bits."""

    file: BinaryIO
    end: int
    order: str
    big: bool
    dropped: list[_Entry] = field(default_factory=list)

    @property
    def entry_size(self) -> int:
        return 20 if self.big else 12

    def directory(self, place: int) -> tuple[list[_Entry], int]:
        """The entries of a directory, and how many it states; none if it states too many or is not there."""
        self.file.seek(place)
        head = self.file.read(8 if self.big else 2)
        if len(head) < (8 if self.big else 2):
            return [], 0
        (count,) = struct.unpack(self.order + ("Q" if self.big else "H"), head)
        if count > MOST_ENTRIES:
            return [], count
        data = self.file.read(count * self.entry_size)
        start, inside, found = place + len(head), 8 if self.big else 4, []
        for number in range(len(data) // self.entry_size):
            at = number * self.entry_size
            tag, kind, values = struct.unpack_from(self.order + ("HHQ" if self.big else "HHI"), data, at)
            entry = _Entry(tag, kind, values, start + at + self.entry_size - inside, start + at)
            if entry.size > inside:
                (entry.place,) = struct.unpack_from(
                    self.order + ("Q" if self.big else "I"), data, at + self.entry_size - inside
                )
            found.append(entry)
        return found, count

    def numbers(self, entry: _Entry | None, most: int) -> list[int]:
        """The whole numbers of an entry; none if it has another type, too many, or reaches beyond the file."""
        if entry is None or entry.kind not in FORMATS or entry.count > most or entry.place + entry.size > self.end:
            return []
        self.file.seek(entry.place)
        data = self.file.read(entry.size)
        return list(struct.unpack(f"{self.order}{entry.count}{FORMATS[entry.kind]}", data))


def open_tiff(file: BinaryIO, name: str) -> Container:
    """A TIFF whose first directory holds no more than a picture needs.

    Raises:
        BadInput: over 100 megapixels, more entries, strips or bytes than a picture needs, or tiles beyond measure.
    """
    end = file.seek(0, 2)
    file.seek(0)
    head = file.read(16)
    reader = _Reader(file, end, "<" if head[:2] == b"II" else ">", head[2] == 43)
    (place,) = struct.unpack_from(reader.order + ("Q" if reader.big else "I"), head, 8 if reader.big else 4)
    entries, stated = reader.directory(min(place, end))
    if stated > MOST_ENTRIES:
        raise excessive(name, f"{stated} tags in its directory", f"at most {MOST_ENTRIES}")
    known: dict[int, _Entry] = {}
    for entry in entries:
        if entry.kind in SIZES and known.setdefault(entry.tag, entry) is not entry:
            reader.dropped.append(entry)  # readers differ in which of two they use
    _require_layout(reader, known, name)
    omitted = _drop(reader, known)
    pieces: list[bytes | Part] = []
    done = 0
    for entry in sorted(reader.dropped, key=lambda one: one.at):
        pieces += [Part(done, entry.at + 2), b"\0\0"]  # an unknown type
        done = entry.at + 4
    return Container(put_together(file, [*pieces, Part(done, end)], descriptor=True), omitted)  # for libtiff


def count_pages(file: BinaryIO) -> int:
    """How many pages a TIFF has, up to a thousand: only the length of each directory is read."""
    file.seek(0)
    head = file.read(16)
    big, order = head[2] == 43, "<" if head[:2] == b"II" else ">"
    counts, offsets, entry = ("Q", "Q", 20) if big else ("H", "I", 12)
    (place,) = struct.unpack_from(order + offsets, head, 8 if big else 4)
    seen: set[int] = set()
    for page in range(MOST_PAGES):
        if place in seen:
            return page
        seen.add(place)
        file.seek(place)
        stated = file.read(struct.calcsize(counts))
        if place == 0 or len(stated) < struct.calcsize(counts):
            return page
        file.seek(struct.unpack(order + counts, stated)[0] * entry, 1)
        following = file.read(struct.calcsize(offsets))
        place = struct.unpack(order + offsets, following)[0] if len(following) == struct.calcsize(offsets) else 0
    return MOST_PAGES


def _drop(reader: _Reader, known: Mapping[int, _Entry]) -> tuple[str, ...]:
    """Choose the entries that are taken out; the names of those that a user may miss."""
    omitted, total = [], 0
    for entry in sorted(known.values(), key=lambda one: one.size):
        numbers = entry.kind not in BYTES and entry.tag not in PLACES and entry.count > MOST_NUMBERS
        numbers = numbers and entry.tag != COLOURS
        if entry.tag in UNUSED:
            reader.dropped.append(entry)
        elif entry.tag in PLACES:
            continue
        elif numbers or total + entry.size > MAX_METADATA:
            reader.dropped.append(entry)
            omitted.append(f"the tag {entry.tag} of {entry.count} values")
        else:
            total += entry.size if entry.size > 8 else 0
    for tag in DIRECTORIES:
        if tag in known and not _is_small(reader, known[tag]):
            reader.dropped.append(known[tag])
            omitted.append("its EXIF data, damaged or too long" if tag == DIRECTORIES[0] else "where it was taken")
    return tuple(omitted)


def _is_small(reader: _Reader, pointer: _Entry) -> bool:
    """True for a directory of few entries with little data."""
    place = reader.numbers(pointer, 1)
    if not place or place[0] < 0:
        return True  # nobody can follow it
    entries, stated = reader.directory(place[0])
    total = sum(entry.size for entry in entries if entry.size > 8)
    many = sum(entry.count for entry in entries if entry.kind not in BYTES) > MOST_NUMBERS
    inner = next((entry for entry in entries if entry.tag == INTEROP), None)
    inside = inner is None or place == reader.numbers(inner, 1) or _is_small(reader, inner) if stated else True
    return stated <= MOST_ENTRIES and total <= MAX_EXIF and not many and inside


def is_small_exif(data: bytes) -> bool:
    """True for EXIF data of at most 16 MiB, with no more tags and numbers than a camera writes."""
    data = re.sub(rb"^(Exif\0\0){1,2}", b"", data)
    if len(data) > MAX_EXIF or len(data) < 8:
        return len(data) < 8
    file = io.BytesIO(data)
    reader = _Reader(file, len(data), "<" if data[:2] == b"II" else ">", False)
    first = _Entry(0, 4, 1, 4, 0)  # the place of the first directory is in the header
    if not _is_small(reader, first):
        return False
    entries, _ = reader.directory(*reader.numbers(first, 1))
    return all(_is_small(reader, entry) for entry in entries if entry.tag in DIRECTORIES)


def _require_layout(reader: _Reader, known: Mapping[int, _Entry], name: str) -> None:
    """Raise BadInput where strips or tiles are more, or larger, than the picture needs."""

    def first(tag: int, default: int) -> int:
        if tag not in known:
            return default
        if not (found := reader.numbers(known[tag], 64)):
            raise excessive(name, f"a tag {tag} without a number", "whole numbers in a TIFF's directory")
        return found[0]

    width, height = first(WIDTH, 0), first(HEIGHT, 0)
    if width < 1 or height < 1:
        return  # Pillow says so
    require_size(name, width, height)
    planes = min(max(1, first(SAMPLES, 1)), 64) if first(PLANES, 1) == 2 else 1
    depth = max(first(BITS, 1) * min(max(1, first(SAMPLES, 1)), 64), sum(reader.numbers(known.get(BITS), 64)), 1)
    layouts = [("strips", width, min(first(ROWS, height), height))] if STRIPS in known else []
    if TILE_WIDTH in known or TILE_HEIGHT in known or TILES in known:  # libtiff and Pillow differ in which they use
        layouts.append(("tiles", first(TILE_WIDTH, 0), first(TILE_HEIGHT, 0)))
    for kind, across, down in layouts:
        columns, rows = (-(-width // across), -(-height // down)) if across > 0 and down > 0 else (0, 0)
        covered = columns * across * rows * down
        if not 0 < covered <= 2 * width * height + SPARE_PIXELS:
            raise excessive(name, f"{kind} of {across}×{down} for a picture of {width}×{height}", f"smaller {kind}")
        most = min(columns * rows * planes + SPARE_STRIPS, MOST_STRIPS)
        count = max((known[tag].count for tag in PLACES if tag in known), default=0)
        if count > most:
            raise excessive(name, f"{count} {kind} for {width}×{height} pixels", f"at most {most}")
        stated = max(sum(reader.numbers(known.get(tag), most)) for tag in (STRIP_BYTES, TILE_BYTES))
        decoded = covered * depth // 8
        if stated > 2 * decoded + 2**16 * (columns * rows * planes + 1):
            raise excessive(name, f"{kind} of {stated} bytes for {decoded} bytes of pixels", "no more than they need")

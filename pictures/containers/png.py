"""The chunks of a PNG file (PNG 3rd edition, §5): one picture, and metadata within bounds, damaged ones left out."""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from .container import EXIF_EXCESS, MAX_METADATA, Container, excessive, require_size
from .pieces import Part, put_together
from .tiff import is_small_exif

SIGNATURE = b"\x89PNG\r\n\x1a\n"
#: A chunk of inlay's own: the colours as float32, of which the 16-bit samples are the nearest ones.
EXACT = b"flOT"
COLOUR_CHUNKS = (b"cICP", b"sRGB", b"gAMA", b"cHRM")
LONGEST_COLOUR_CHUNK = 32  # bytes
LONGEST_TEXT = 2**20  # bytes, decompressed; Pillow's own limit, also for profiles
SHORTEST = {b"gAMA": 4, b"cHRM": 32, b"sRGB": 1, b"pHYs": 9}  # bytes; below, Pillow refuses the picture
MOST_CHUNKS = 300_000  # a gigabyte of pixels in chunks of 4 KiB
MOST_TEXTS = 1000
MOST_ALIKE = 8  # profiles, EXIF data, palettes: there should be one
#: Names under which Pillow keeps what it knows of a picture; a text of that name would take its place.
PILLOWS_OWN = frozenset(
    {
        *("aspect", "bbox", "blend", "chromaticity", "default_image", "disposal", "dpi", "duration", "exif", "gamma"),
        *("icc_profile", "interlace", "loop", "srgb", "timestamp", "transparency", "xmp"),
    }
)


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


def open_png(file: BinaryIO, name: str) -> Container:
    """A PNG of its first picture: metadata in front, within bounds, and without what makes Pillow refuse it.

    Raises:
        BadInput: over 100 megapixels, or more chunks than a picture needs.
    """
    found = _Found(name)
    end = file.seek(0, 2)
    place, count = len(SIGNATURE), 0
    while place + 12 <= end and count <= MOST_CHUNKS:
        file.seek(place)
        head = file.read(8)
        size, kind, count = int.from_bytes(head[:4], "big"), head[4:], count + 1
        after = place + 12 + size
        if not kind.isalnum() or kind == b"IEND":
            break
        if after > end or kind == b"IDAT":
            found.pixels.append(Part(place, min(after, end)))
        elif kind == EXACT:
            found.exact = found.exact or Part(place + 8, place + 8 + size)
        elif kind in found.READ:
            found.add(kind, file.read(size), file.read(4))
        found.order.setdefault(kind, count)
        place = after
    if count > MOST_CHUNKS:
        raise excessive(name, f"more than {MOST_CHUNKS} chunks", f"a PNG of at most {MOST_CHUNKS} chunks")
    pieces = [SIGNATURE, *found.kept, *found.pixels, chunk(b"IEND", b"")]
    return Container(
        put_together(file, pieces),
        tuple(found.omitted),
        frames=found.frames + (found.order.get(b"fcTL", 0) > found.order.get(b"IDAT", 0) > 0),
        wrong_checksum=found.wrong_checksum,
        icc=found.icc,
        had_icc=found.order.get(b"iCCP", MOST_CHUNKS) < found.order.get(b"IDAT", MOST_CHUNKS),
        colour=tuple((one, found.colour[one]) for one in COLOUR_CHUNKS if one in found.colour),
        exact=None if found.exact is None else put_together(file, [found.exact]),
    )


@dataclass
class _Found:
    """What was found in a PNG so far: the chunks that are kept, and the names of those that are not."""

    READ = frozenset(
        {b"IHDR", b"PLTE", b"tRNS", b"pHYs", *COLOUR_CHUNKS, b"iCCP", b"eXIf", b"acTL", b"tEXt", b"zTXt", b"iTXt"}
    )

    name: str
    kept: list[bytes] = field(default_factory=list)
    pixels: list[bytes | Part] = field(default_factory=list)
    omitted: dict[str, None] = field(default_factory=dict)
    order: dict[bytes, int] = field(default_factory=dict)
    alike: dict[bytes, int] = field(default_factory=dict)
    colour: dict[bytes, bytes] = field(default_factory=dict)
    texts: int = 0
    icc: bytes = b""
    frames: int = 1
    exact: Part | None = None
    wrong_checksum: bool = False

    def add(self, kind: bytes, data: bytes, checksum: bytes) -> None:
        """Keep a chunk if a picture may have it."""
        is_text = kind in (b"tEXt", b"zTXt", b"iTXt")
        self.alike[kind] = self.alike.get(kind, 0) + 1
        most = MOST_TEXTS if is_text else MOST_ALIKE
        if self.alike[kind] > most:
            self._omit(f"{kind.decode()} chunks beyond the first {most}")
            return
        if not self.pixels and zlib.crc32(kind + data) != int.from_bytes(checksum, "big"):
            self.wrong_checksum = True
        if kind == b"IHDR" and len(data) >= 8:
            require_size(self.name, *struct.unpack_from(">II", data))
        if kind == b"acTL":
            stated = int.from_bytes(data[:4], "big")
            self.frames = stated if len(data) >= 8 and 0 < stated <= 2**31 else 1
        elif is_text:
            self._add_text(kind, data)
        elif kind == b"iCCP":
            self._add_profile(data)
        elif kind == b"eXIf" and not is_small_exif(data):
            self._omit(EXIF_EXCESS)
        elif len(data) < SHORTEST.get(kind, 0):
            self._omit(f"a {kind.decode()} chunk of {len(data)} bytes, which is incomplete")
        elif kind not in (b"PLTE", b"tRNS") or not self.pixels:
            self.kept.append(chunk(kind, data))
            if kind in COLOUR_CHUNKS and not self.pixels and len(data) <= LONGEST_COLOUR_CHUNK:
                self.colour.setdefault(kind, data)

    def _omit(self, what: str) -> None:
        self.omitted[what] = None

    def _add_profile(self, data: bytes) -> None:
        profile = _inflated(data.partition(b"\0")[2][1:], MAX_METADATA)
        if not profile:
            self._omit("a damaged or oversized colour profile")
        else:
            self.icc = profile

    def _add_text(self, kind: bytes, data: bytes) -> None:
        title, _, rest = data.partition(b"\0")
        what = f"the text {title[:40].decode('latin-1')!r}"
        if self.texts > MAX_METADATA:
            self._omit(f"texts beyond {MAX_METADATA // 2**20} MiB")
            return
        size: int | None = len(rest)
        if kind == b"zTXt":
            size = _inflated_size(rest[1:])
        elif kind == b"iTXt" and rest[:1] == b"\1":
            size = _inflated_size(rest[2:].split(b"\0", 2)[-1])
        elif kind == b"iTXt" and len(rest) > LONGEST_TEXT:
            size = None
        self.texts += LONGEST_TEXT if size is None else size
        if size is None:
            self._omit(f"{what}, too long or damaged")
        elif title.decode("latin-1") in PILLOWS_OWN:
            self._omit(what)
        else:
            self.kept.append(chunk(kind, data))


def _inflated_size(data: bytes) -> int | None:
    found = _inflated(data, LONGEST_TEXT)
    return None if found is None else len(found)


def _inflated(data: bytes, limit: int) -> bytes | None:
    """Decompressed data; None if damaged, or more than `limit` bytes."""
    inflate = zlib.decompressobj()
    try:
        found = inflate.decompress(data, limit)
    except zlib.error:
        return None
    return None if inflate.unconsumed_tail or not inflate.eof else found

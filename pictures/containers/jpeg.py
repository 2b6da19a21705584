"""The segments of a JPEG file (ITU-T T.81, annex B): what comes before its pixels, and the number of its scans."""

import re
from typing import BinaryIO

from .container import EXIF_EXCESS, MAX_EXIF, MAX_METADATA, Container, excessive
from .pieces import Part, put_together
from .tiff import is_small_exif

MOST_SEGMENTS = 4096  # before the pixels, or between them; profile, XMP and second picture have up to 255 each
MOST_KEPT = 1024  # of those with metadata
MOST_JUNK = 2**16  # bytes between segments
MOST_SCANS = 64  # the usual programs write at most 13
SCAN, END = 0xDA, 0xD9
ALONE = range(0xD0, 0xDA)  # markers without data
AMONG_PIXELS = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")  # a marker that ends a piece of compressed pixels


def open_jpeg(file: BinaryIO, name: str) -> Container:
    """A JPEG without the metadata that go beyond all measure.

    Raises:
        BadInput: more segments before the pixels than a picture needs.
    """
    kept: list[bytes | Part] = [b"\xff\xd8"]
    omitted: dict[str, None] = {}
    exif: list[Part] = []
    metadata = segments = count = 0
    place, marker = _next_marker(file, 2, name)
    while marker is not None and marker >= 0xC0 and marker != SCAN:
        segments += 1
        if segments > MOST_SEGMENTS:
            raise excessive(name, f"more than {MOST_SEGMENTS} segments before its pixels", f"at most {MOST_SEGMENTS}")
        size = 0 if marker in ALONE else max(2, int.from_bytes(file.read(2), "big"))
        part, is_metadata = Part(place - 2, place + size), 0xE0 <= marker <= 0xEF or marker == 0xFE
        if is_metadata:
            count, metadata = count + 1, metadata + size
        if marker == 0xE1 and file.read(6) == b"Exif\0\0":
            exif.append(part)
        if is_metadata and (count > MOST_KEPT or metadata > MAX_METADATA):
            omitted[f"metadata in more than {MOST_KEPT} segments"] = None
        else:
            kept.append(part)
        place, marker = _next_marker(file, place + size, name)
    if exif and not _is_small(file, exif):
        kept = [part for part in kept if part not in exif]
        omitted[EXIF_EXCESS] = None
    rest = Part(place if marker is None else place - 2, max(place, file.seek(0, 2)))
    pieces = put_together(file, [*kept, rest])
    return Container(pieces, tuple(omitted), pixels=pieces.seek(0, 2) - (rest.end - rest.start))


def _is_small(file: BinaryIO, parts: list[Part]) -> bool:
    """True for EXIF data, in one or several segments, that are worth reading."""
    if sum(part.end - part.start for part in parts) > MAX_EXIF:
        return False
    data = bytearray(b"Exif\0\0")
    for part in parts:
        file.seek(part.start + 10)  # behind marker, length and title
        data += file.read(part.end - part.start - 10)
    return is_small_exif(bytes(data))


def _next_marker(file: BinaryIO, place: int, name: str) -> tuple[int, int | None]:
    """The place behind the next marker, and the marker; None at the end. As Pillow does, junk is skipped."""
    start = file.seek(place)
    data = file.read(2)
    while len(data) == 2:
        if data[0] == 0xFF and data[1] not in (0, 0xFF):
            return place + 2, data[1]
        if place - start > MOST_JUNK:
            raise excessive(name, f"more than {MOST_JUNK} bytes that belong to no segment", "a JPEG's segments")
        place += 1
        data = data[1:] + file.read(1)
    return place, None


def require_few_scans(container: Container, name: str) -> None:
    """Raise BadInput for a JPEG of too many scans: each one passes over all pixels, even if it holds nothing."""
    file, place, scans = container.file, container.pixels, 0
    for _ in range(MOST_SEGMENTS):
        found = _next_among_pixels(file, place)
        if found is None or found[1] == END:
            return
        place, marker = found
        if marker not in ALONE:
            place += max(2, int.from_bytes(file.read(2), "big"))
        scans += marker == SCAN
        if scans > MOST_SCANS:
            break
    raise excessive(
        name, f"more than {scans - 1} scans", f"at most {MOST_SCANS} scans", "save it again with an image editor"
    )


def _next_among_pixels(file: BinaryIO, place: int) -> tuple[int, int] | None:
    """The place behind the next marker among compressed pixels, and the marker; the file is positioned there."""
    last = b""
    file.seek(place)
    while block := file.read(2**20):
        if found := AMONG_PIXELS.search(last + block):
            place += found.end() - len(last)
            file.seek(place)
            return place, found[0][1]
        place, last = place + len(block), block[-1:]
    return None

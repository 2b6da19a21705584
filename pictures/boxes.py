"""Boxes around things in pictures, from COCO JSON or CSV files: read as data from a stranger.

A box is `(left, top, right, bottom)` in pixels of the upright picture, right and bottom exclusive.
"""

import csv
import io
import json
import math
import stat
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from ..graph_runtime import BadInput
from ..graph_runtime.core.errors import did_you_mean, shorten

Box = tuple[int, int, int, int]
MAX_FILE = 256 * 2**20
SLACK = 1.0  # pixels by which a box may leave its picture: rounding
HAIR = 0.01  # pixels that are taken for rounding when a box is brought to whole pixels
#: How a column may be called; the first that is there counts.
FILE, LABEL = ("file", "file_name", "filename", "image", "name", "path"), ("label", "class", "category")
CORNERS = (("left", "top", "right", "bottom"), ("xmin", "ymin", "xmax", "ymax"), ("x0", "y0", "x1", "y1"))
SPANS = (("x", "y", "width", "height"), ("x", "y", "w", "h"), ("left", "top", "width", "height"))


@dataclass(frozen=True)
class Annotation:
    """One box as a file states it.

    Attributes:
        file: name of the picture, without folders.
        corners: left, top, right, bottom in pixels.
        label: what it is, or empty.
        where: place in the file, for messages.
        crowd: COCO's mark for a box around many things at once.
    """

    file: str
    corners: tuple[float, float, float, float]
    label: str
    where: str
    crowd: bool = False


def read_boxes(
    path: Path,
    sizes: Mapping[str, tuple[int, int]],
    *,
    label: str | None = None,
    min_area: float = 0.02,
    max_area: float = 0.8,
) -> tuple[dict[str, list[Box]], Counter[str]]:
    """`place_boxes` of `read_annotations`: a file's boxes by picture, and how many were left out and why."""
    return place_boxes(read_annotations(path), sizes, label=label, min_area=min_area, max_area=max_area)


def read_annotations(path: Path) -> list[Annotation]:
    """Every box of a COCO JSON or a CSV file with a header.

    Raises:
        BadInput: the file is neither, or a line of it cannot be understood; the line is named.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # reading a pipe would wait for ever
            raise BadInput(
                "boxes",
                found=f"{path.name}, which is not an ordinary file",
                expected="COCO JSON or CSV",
                fix="name the file with the boxes; a folder of masks goes to masks",
            )
        if status.st_size > MAX_FILE:
            raise BadInput(
                "boxes",
                found=f"{path.name} of {status.st_size / 2**20:.0f} MiB",
                expected=f"at most {MAX_FILE // 2**20} MiB",
                fix="write a CSV, or leave the segmentations out of the JSON: only boxes are read",
            )
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise BadInput(
            "boxes",
            found=f"{path.name}, which cannot be read ({why})",
            expected="COCO JSON or CSV",
            fix="check the file; its text must be UTF-8",
        ) from error
    found = _coco(path.name, text) if text.lstrip()[:1] in ("{", "[") else _table(path.name, text)
    if not found:
        raise BadInput(
            "boxes",
            found=f"{path.name} with no box in it",
            expected="at least one box",
            fix="a CSV needs one line for each box; COCO an entry in annotations",
        )
    return found


def same_name(name: str) -> str:
    """A file's name as it is compared: without folders, accents composed (systems differ in how they write them)."""
    return unicodedata.normalize("NFC", PurePosixPath(name.strip().replace("\\", "/")).name)


def _refused(where: str, what: str, fix: str) -> BadInput:
    return BadInput("boxes", found=f"{where}: {what}", expected="a picture's name and a box in pixels", fix=fix)


def _show(value: Any) -> str:
    """A value of a stranger's file in a few words; nothing deep or long is written out."""
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_show_one, value[:6]))}{', …' * (len(value) > 6)}]"
    return _show_one(value)


def _show_one(value: Any) -> str:
    return "a list" if isinstance(value, list) else "an object" if isinstance(value, dict) else shorten(value)


def _table(name: str, text: str) -> list[Annotation]:
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text), delimiter=delimiter, skipinitialspace=True)
    try:
        return _rows(name, reader, decimal_comma=delimiter == ";")
    except csv.Error as error:
        raise _refused(f"{name}, line {reader.line_num}", f"what is no CSV ({error})", "correct that line") from error


def _rows(name: str, reader: Any, decimal_comma: bool) -> list[Annotation]:
    header = [title.strip().lower() for title in next(reader, [])]
    file = next((header.index(title) for title in FILE if title in header), None)
    columns = next((titles for titles in (*CORNERS, *SPANS) if all(title in header for title in titles)), None)
    if file is None or columns is None:
        raise _refused(
            f"{name}, line 1",
            f"the columns {shorten(', '.join(header), 200)}",
            "name the columns file,left,top,right,bottom (and label), or file,x,y,width,height",
        )
    places = [header.index(title) for title in columns]
    label = next((header.index(title) for title in LABEL if title in header), None)
    found = []
    for cells in reader:
        where = f"{name}, line {reader.line_num}"
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) <= max([*places, file]):
            raise _refused(where, f"{len(cells)} columns of {len(header)}", "complete the line, or delete it")
        numbers = [cells[place].replace(",", ".") if decimal_comma else cells[place] for place in places]
        said = cells[label].strip() if label is not None and label < len(cells) else ""
        found.append(Annotation(same_name(cells[file]), _corners(numbers, columns in SPANS, where), said, where))
    return found


def _corners(values: Iterable[Any], spans: bool, where: str) -> tuple[float, float, float, float]:
    values = list(values)
    try:
        if any(isinstance(value, bool) for value in values):
            raise ValueError
        left, top, right, bottom = (float(value) for value in values)
        if not all(math.isfinite(value) and abs(value) < 1e9 for value in (left, top, right, bottom)):
            raise ValueError
    except (TypeError, ValueError, OverflowError) as error:
        raise _refused(where, f"the box {_show(values)}", "write four plain numbers") from error
    if spans:
        right, bottom = left + right, top + bottom
    if right <= left or bottom <= top:
        raise _refused(
            where,
            f"an empty box: {left:g}, {top:g} to {right:g}, {bottom:g}",
            "right must be larger than left, bottom than top; delete the line otherwise",
        )
    return left, top, right, bottom


def _coco(name: str, text: str) -> list[Annotation]:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _refused(name, f"no JSON ({shorten(str(error))})", "write COCO JSON, or CSV") from error
    if not isinstance(data, dict) or not all(isinstance(data.get(key), list) for key in ("images", "annotations")):
        raise _refused(name, "no lists images and annotations", "write COCO JSON: images, annotations, categories")
    pictures = _by_id(data["images"], "file_name")
    kinds = _by_id(data.get("categories"), "name")
    found = []
    for number, entry in enumerate(data["annotations"], 1):
        where = f"{name}, annotation {number}"
        if not isinstance(entry, dict):
            raise _refused(where, _show(entry), "an annotation is an object with image_id and bbox")
        box = entry.get("bbox")
        if not isinstance(box, list) or len(box) != 4:
            raise _refused(where, f"bbox is {_show(box)}", "write bbox as [x, y, width, height]")
        file = pictures.get(_key(entry.get("image_id")))
        if file is None:
            raise _refused(
                where,
                f"image_id is {_show(entry.get('image_id'))}, which no entry of images has",
                "name an image of this file",
            )
        label = kinds.get(_key(entry.get("category_id")), "")
        found.append(
            Annotation(
                same_name(file), _corners(box, True, where), label, where, crowd=entry.get("iscrowd") in (1, True)
            )
        )
    return found


def _by_id(entries: Any, key: str) -> dict[Any, str]:
    """`entry[key]` of each well-formed entry by its id."""
    named = (
        {
            _key(entry.get("id")): entry[key]
            for entry in entries
            if isinstance(entry, dict) and isinstance(entry.get(key), str)
        }
        if isinstance(entries, list)
        else {}
    )
    named.pop(None, None)
    return named


def _key(value: Any) -> Any:
    return value if isinstance(value, (int, float, str)) and not isinstance(value, bool) else None


def place_boxes(
    annotations: Iterable[Annotation],
    sizes: Mapping[str, tuple[int, int]],
    *,
    label: str | None,
    min_area: float,
    max_area: float,
) -> tuple[dict[str, list[Box]], Counter[str]]:
    """Boxes by picture, in whole pixels, of those that are kept, and how many were left out and why.

    Args:
        annotations: what a file states.
        sizes: width and height of each picture by name.
        label: only boxes of this label; None keeps all.
        min_area: boxes below this share of their picture are left out.
        max_area: boxes above this share are left out.

    Raises:
        BadInput: a box of a picture that is not there, outside its picture, or none that is kept.
    """
    annotations = list(annotations)
    known = {same_name(name): name for name in sizes}
    others = len({item.file for item in annotations if item.file not in known}) - 1
    kept: dict[str, list[Box]] = {}
    left_out: Counter[str] = Counter()
    total = 0
    for item in annotations:
        total += 1
        name = known.get(item.file)
        if name is None:
            more = f", nor are {others} more pictures of the file" if others else ""
            raise _refused(
                item.where,
                f"the picture {shorten(item.file)}, which is not among the {len(sizes)} photos" + more,
                f"{did_you_mean(item.file, sizes)} Else put it into the folder, or delete the line",
            )
        if label is not None and item.label.casefold() != label.strip().casefold():
            left_out[f"labelled {shorten(item.label, 40)}" if item.label else "without a label"] += 1
            continue
        box, share = _placed(item, sizes[name])
        why = "marked as a crowd" if item.crowd else unfit(share, min_area, max_area)
        if why:
            left_out[why] += 1
        else:
            kept.setdefault(name, []).append(box)
    if not kept:
        why = ", ".join(f"{count} {reason}" for reason, count in left_out.most_common(6))
        raise BadInput(
            "boxes",
            found=f"{total} boxes, none of them of use: {why}",
            expected="at least one box of "
            f"{min_area:.0%} to {max_area:.0%} of its picture" + (f", labelled {label!r}" if label else ""),
            fix="change min_area, max_area or label, or take other pictures",
        )
    return kept, left_out


def unfit(share: float, min_area: float, max_area: float) -> str:
    """Why a box that fills `share` of its picture is not used, or nothing."""
    if share < min_area:
        return f"below {min_area:.0%} of the picture"
    return f"above {max_area:.0%} of the picture" if share > max_area else ""


def _placed(item: Annotation, size: tuple[int, int]) -> tuple[Box, float]:
    width, height = size
    left, top, right, bottom = item.corners
    if left < -SLACK or top < -SLACK or right > width + SLACK or bottom > height + SLACK:
        raise _refused(
            item.where,
            f"a box from {left:g}, {top:g} to {right:g}, {bottom:g} in {shorten(item.file)} of {width}×{height}",
            "correct the box; boxes are measured on the upright picture, in pixels",
        )
    box = whole_pixels(item.corners, size)
    if box is None:
        raise _refused(
            item.where,
            f"a box from {left:g}, {top:g} to {right:g}, {bottom:g} that holds no pixel of {width}×{height}",
            "correct the box, or delete the line",
        )
    return box, area_share(box, size)


def whole_pixels(corners: tuple[float, float, float, float], size: tuple[int, int]) -> Box | None:
    """The smallest box of whole pixels around `corners` in a picture of `size` (width, height); None: it is outside.

    A hundredth of a pixel beyond a whole one is rounding, and brings no further pixel in.
    """
    left, top, right, bottom = corners
    box = (
        max(0, math.floor(left + HAIR)),
        max(0, math.floor(top + HAIR)),
        min(size[0], math.ceil(right - HAIR)),
        min(size[1], math.ceil(bottom - HAIR)),
    )
    return box if box[2] > box[0] and box[3] > box[1] else None


def area_share(box: Box, size: tuple[int, int]) -> float:
    """How much of a picture of `size` (width, height) a box fills."""
    return (box[2] - box[0]) * (box[3] - box[1]) / (size[0] * size[1])


def padded(box: Box, size: tuple[int, int], padding: float) -> Box:
    """The box grown on each side by a share of its own length, inside the picture of `size` (width, height)."""
    across, down = (round(padding * length) for length in (box[2] - box[0], box[3] - box[1]))
    return (max(0, box[0] - across), max(0, box[1] - down), min(size[0], box[2] + across), min(size[1], box[3] + down))

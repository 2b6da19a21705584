"""COCO JSON and CSV files of boxes, from any source: every value is checked."""

import csv
import io
import json
import math
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...graph_runtime import BadInput
from ...graph_runtime.core.errors import shorten
from ..pairing import same_name

MAX_FILE = 256 * 2**20


#: How a column may be called; the first that is there counts.
FILE = ("file", "file_name", "filename", "image", "name", "path")
LABEL = ("label", "class", "category")
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


def bad_box(where: str, what: str, fix: str) -> BadInput:
    """The error about one box of a file; `where` is its place in the file."""
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
        raise bad_box(f"{name}, line {reader.line_num}", f"what is no CSV ({error})", "correct that line") from error


def _rows(name: str, reader: Any, decimal_comma: bool) -> list[Annotation]:
    header = [title.strip().lower() for title in next(reader, [])]
    file = next((header.index(title) for title in FILE if title in header), None)
    columns = next((titles for titles in (*CORNERS, *SPANS) if all(title in header for title in titles)), None)
    if file is None or columns is None:
        raise bad_box(
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
            raise bad_box(where, f"{len(cells)} columns of {len(header)}", "complete the line, or delete it")
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
        raise bad_box(where, f"the box {_show(values)}", "write four plain numbers") from error
    if spans:
        right, bottom = left + right, top + bottom
    if right <= left or bottom <= top:
        raise bad_box(
            where,
            f"an empty box: {left:g}, {top:g} to {right:g}, {bottom:g}",
            "right must be larger than left, bottom than top; delete the line otherwise",
        )
    return left, top, right, bottom


def _coco(name: str, text: str) -> list[Annotation]:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise bad_box(name, f"no JSON ({shorten(str(error))})", "write COCO JSON, or CSV") from error
    if not isinstance(data, dict) or not all(isinstance(data.get(key), list) for key in ("images", "annotations")):
        raise bad_box(name, "no lists images and annotations", "write COCO JSON: images, annotations, categories")
    pictures = _by_id(data["images"], "file_name")
    kinds = _by_id(data.get("categories"), "name")
    found = []
    for number, entry in enumerate(data["annotations"], 1):
        where = f"{name}, annotation {number}"
        if not isinstance(entry, dict):
            raise bad_box(where, _show(entry), "an annotation is an object with image_id and bbox")
        box = entry.get("bbox")
        if not isinstance(box, list) or len(box) != 4:
            raise bad_box(where, f"bbox is {_show(box)}", "write bbox as [x, y, width, height]")
        file = pictures.get(_key(entry.get("image_id")))
        if file is None:
            raise bad_box(
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

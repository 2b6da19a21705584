"""COCO JSON and CSV files of boxes, from any source: every value is checked."""

import csv
import io
import json
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from ...graph_runtime import BadInput
from ...graph_runtime.core.bounded.limits import ITEMS
from ...graph_runtime.core.errors import shorten
from ...graph_runtime.core.opening import open_file
from ..pairing import comparable_name

MAX_FILE = 16 * 2**20  # bytes
MAX_BOXES = 50_000  # of a file: a check reads them all, within 2 s
#: Possible names of a column; the first one found is used.
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
        label: what the box shows, or empty.
        where: place in the file, for messages.
        crowd: COCO's mark of a box around many things at once.
    """

    file: str
    corners: tuple[float, float, float, float]
    label: str
    where: str
    crowd: bool = False


def read_annotations(path: Path) -> list[Annotation]:
    """Every box of a COCO JSON or a CSV file with a header.

    Raises:
        BadInput: the file is neither, too large, or one of its lines is not valid; the message names the line.
    """
    try:
        with open_file(path) as file:  # an ordinary file only: reading a pipe may never end
            size = os.fstat(file.fileno()).st_size
            data = file.read(MAX_FILE) if size <= MAX_FILE else b""
        if size > MAX_FILE:
            raise BadInput(
                "boxes",
                found=f"{path.name} of {size / 2**20:.0f} MiB",
                expected=f"at most {MAX_FILE // 2**20} MiB",
                fix="write a CSV, or leave the segmentations out of the JSON: only boxes are read",
            )
        text = io.StringIO(data.decode("utf-8-sig"), newline=None).read()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise BadInput(
            "boxes",
            found=f"{path.name}, which cannot be read ({reason})",
            expected="COCO JSON or CSV",
            fix="check the file; its text must be UTF-8; a folder of masks belongs in masks",
        ) from error
    found = _read_coco(path.name, text) if text.lstrip()[:1] in ("{", "[") else _read_csv(path.name, text)
    if not found:
        raise BadInput(
            "boxes",
            found=f"{path.name} without a box",
            expected="at least one box",
            fix="write one line for each box in a CSV, or one entry in annotations in COCO JSON",
        )
    return found


def _require_few(name: str, count: int, most: int, what: str) -> None:
    """Refuse a file with more of something than a check can read in its time."""
    if count > most:
        raise BadInput(
            "boxes",
            found=f"{name} with {count:,} {what}",
            expected=f"at most {most:,}",
            fix="keep only the boxes of these photos, and leave segmentations out: only boxes are read",
        )


def bad_box(where: str, what: str, fix: str) -> BadInput:
    """The error about one box of a file; `where` is its place in the file."""
    return BadInput("boxes", found=f"{where}: {what}", expected="a picture's name and a box in pixels", fix=fix)


def _show(value: JsonValue) -> str:
    """A value in a few words; deep or long values are shortened."""
    if isinstance(value, list):
        return f"[{', '.join(map(_show_one, value[:6]))}{', …' * (len(value) > 6)}]"
    return _show_one(value)


def _show_one(value: JsonValue) -> str:
    return "a list" if isinstance(value, list) else "an object" if isinstance(value, dict) else shorten(value)


def _read_csv(name: str, text: str) -> list[Annotation]:
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    _require_few(name, text.count(delimiter) + text.count("\n"), ITEMS, "cells")
    reader = csv.reader(io.StringIO(text), delimiter=delimiter, skipinitialspace=True)
    try:
        lines = ((f"{name}, line {reader.line_num}", cells) for cells in reader)
        return _annotations(lines, f"{name}, line 1", decimal_comma=delimiter == ";")
    except csv.Error as error:
        raise bad_box(f"{name}, line {reader.line_num}", f"not valid CSV ({error})", "correct that line") from error


def _annotations(lines: Iterator[tuple[str, list[str]]], first: str, decimal_comma: bool) -> list[Annotation]:
    """The boxes of a CSV file, given as (place in the file, cells); `first` is the place of its header."""
    header = [title.strip().lower() for title in next(lines, ("", []))[1]]
    file = next((header.index(title) for title in FILE if title in header), None)
    columns = next((titles for titles in (*CORNERS, *SPANS) if all(title in header for title in titles)), None)
    if file is None or columns is None:
        raise bad_box(
            first,
            f"the columns {shorten(', '.join(header), 200)}",
            "name the columns file,left,top,right,bottom (and label), or file,x,y,width,height",
        )
    places = [header.index(title) for title in columns]
    label = next((header.index(title) for title in LABEL if title in header), None)
    found = []
    for where, cells in lines:
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) <= max([*places, file]):
            raise bad_box(where, f"{len(cells)} columns of {len(header)}", "complete the line, or delete it")
        numbers: list[JsonValue] = [
            cells[place].replace(",", ".") if decimal_comma else cells[place] for place in places
        ]
        text = cells[label].strip() if label is not None and label < len(cells) else ""
        found.append(Annotation(comparable_name(cells[file]), _corners(numbers, columns in SPANS, where), text, where))
        _require_few(where, len(found), MAX_BOXES, "boxes so far")
    return found


def _corners(values: list[JsonValue], spans: bool, where: str) -> tuple[float, float, float, float]:
    """Left, top, right and bottom; `spans`: the values are left, top, width and height."""
    try:
        left, top, right, bottom = (_number(value) for value in values)
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


def _number(value: JsonValue) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise TypeError
    return float(value)


def _read_coco(name: str, text: str) -> list[Annotation]:
    _require_few(name, text.count(",") + text.count("[") + text.count("{"), ITEMS, "commas and brackets")
    try:
        data: JsonValue = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise bad_box(name, f"not valid JSON ({shorten(str(error))})", "write COCO JSON, or CSV") from error
    images, annotations = (data.get("images"), data.get("annotations")) if isinstance(data, dict) else (None, None)
    if not isinstance(data, dict) or not isinstance(images, list) or not isinstance(annotations, list):
        raise bad_box(name, "no lists images and annotations", "write COCO JSON: images, annotations, categories")
    _require_few(name, len(annotations), MAX_BOXES, "annotations")
    pictures = _by_id(images, "file_name")
    labels = _by_id(data.get("categories"), "name")
    found = []
    for number, entry in enumerate(annotations, 1):
        where = f"{name}, annotation {number}"
        if not isinstance(entry, dict):
            raise bad_box(where, _show(entry), "an annotation is an object with image_id and bbox")
        box = entry.get("bbox")
        if not isinstance(box, list) or len(box) != 4:
            raise bad_box(where, f"bbox is {_show(box)}", "write bbox as [x, y, width, height]")
        image = _id(entry.get("image_id"))
        file = None if image is None else pictures.get(image)
        if file is None:
            raise bad_box(
                where,
                f"image_id is {_show(entry.get('image_id'))}, which no entry of images has",
                "use the id of an image in this file",
            )
        category = _id(entry.get("category_id"))
        label = "" if category is None else labels.get(category, "")
        found.append(
            Annotation(
                comparable_name(file), _corners(box, True, where), label, where, crowd=entry.get("iscrowd") in (1, True)
            )
        )
    return found


def _by_id(entries: JsonValue, key: str) -> dict[int | float | str, str]:
    """`entry[key]` of each well-formed entry by its id."""
    found = {}
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, dict):
            number, text = _id(entry.get("id")), entry.get(key)
            if number is not None and isinstance(text, str):
                found[number] = text
    return found


def _id(value: JsonValue) -> int | float | str | None:
    return value if isinstance(value, (int, float, str)) and not isinstance(value, bool) else None

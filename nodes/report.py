"""Reports: numbers side by side, as text, as a file for spreadsheets and as a picture."""

import csv
import io
import math
import re
from collections.abc import Sequence
from typing import Annotated, NamedTuple

from ..graph_runtime import BadInput, Context, Port, Repeat, node
from ..graph_runtime.core.errors import clean
from ..graph_runtime.core.light.later import Tensor, torch
from ..pictures.sheet import draw_label
from .checks.before_run import Known, Params
from .ports import Image, Paths, Text

LINE, LETTER, GAP = 28, 16, 12  # pixels: height of a row, size of a letter, space beside a word
LONG = 60  # letters of a cell that are shown in the picture


class Tabled(NamedTuple):
    """The table as Markdown, as a picture, and the files."""

    table: Text
    image: Image
    paths: Paths


def _check(known: Known, params: Params) -> None:
    _require_digits(params["digits"])
    for number in range(1, 33):
        _require_value(params[f"label_{number}"], number, known.get(f"value_{number}", ...) is not None)


def _require_digits(digits: int) -> None:
    if not 1 <= digits <= 17:
        raise BadInput("digits", found=str(digits), expected="1 to 17", fix="4 is readable")


def _require_value(label: str, number: int, there: bool) -> None:
    if label and not there:
        raise BadInput(
            f"label_{number}",
            found=f"the label {label!r} without a value",
            expected=f"a number at value_{number}",
            fix=f"connect value_{number}, or remove the label",
        )


@node("report.table", effects=True, check=_check)
def table(
    values: Annotated[Sequence[float | str | None], Port("FLOAT", "a number"), Repeat("value", 1, 32)],
    ctx: Context,
    labels: Annotated[Sequence[str], Repeat("label", 0, 32)] = (),
    heads: str = "",
    title: str = "",
    digits: int = 4,
    prefix: str = "table",
) -> Tabled:
    """Arrange numbers in a table, and write it as Markdown, CSV and PNG.

    With one heading (or none) each value is a row under its label; with several, values fill the rows from left to
    right, and the label of its first value names the row.

    Args:
        values: A number, such as a metric gives.
        labels: Name of the value of the same number.
        heads: Headings of the columns, separated by commas; as many as there are, so many values stand in a row.
        title: A line above the table.
        digits: Significant digits; 1 to 17. Nothing is rounded in the CSV.
        prefix: The files' names begin with it.

    Raises:
        BadInput: fewer digits than one, or a label without a value.
    """
    _require_digits(digits)
    for number, label in enumerate(labels, 1):
        _require_value(label, number, number <= len(values) and values[number - 1] is not None)
    title, labels = _line(title), [_line(label) for label in labels]
    headings = [_line(head) for head in heads.split(",")] if heads.strip() else ["value"]
    exact, shown = _rows(list(values), labels, len(headings), digits)
    markdown = _markdown([["", *headings], *shown], title)
    picture = _picture([["", *headings], *shown], title)
    saved = [
        _write(ctx, prefix, ".md", markdown.encode("utf-8")),
        _write(ctx, prefix, ".csv", _csv([["", *map(_inert, headings)], *exact])),
        _write(ctx, prefix, ".png", _png(picture)),
    ]
    return Tabled(markdown, picture[None], saved)


def _line(text: str) -> str:
    """One line without control characters, which no file and no letter stands for."""
    return " ".join(clean(text).split())


def _rows(
    values: list[float | str | None],
    labels: list[str],
    width: int,
    digits: int,
) -> tuple[list[list[str]], list[list[str]]]:
    """Rows with their names, in full and rounded; a row with no value at all is left out."""
    exact, shown = [], []
    for start in range(0, len(values), width):
        part = values[start : start + width]
        if all(value is None for value in part):
            continue
        name = labels[start] if start < len(labels) and labels[start] else f"{start // width + 1}"
        cells = [*part, *[None] * (width - len(part))]
        exact.append([_inert(name), *map(_exact_cell, cells)])
        shown.append([name, *(_rounded_cell(value, digits) for value in cells)])
    return exact, shown


def _exact_cell(value: float | str | None) -> str:
    if value is None:
        return ""
    return _inert(_line(value)) if isinstance(value, str) else repr(value)


def _rounded_cell(value: float | str | None, digits: int) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return _line(value)
    return (
        f"{value:.{digits}g}"
        if math.isfinite(value)
        else {True: "∞", False: "−∞"}.get(value > 0, "")
        if not math.isnan(value)
        else "not a number"
    )


def _markdown(rows: list[list[str]], title: str) -> str:
    def line(cells: list[str]) -> str:
        return "| " + " | ".join(map(_plain, cells)) + " |"

    body = [line(rows[0]), "|" + "---|" * len(rows[0]), *map(line, rows[1:])]
    return "\n".join([*([f"**{_plain(title)}**", ""] if title else []), *body, ""])


def _plain(text: str) -> str:
    """A text that stands for itself in Markdown: no link, no picture that a viewer would fetch, no HTML."""
    return re.sub(r"[\\|\[\]`]", r"\\\g<0>", text).replace("<", "&lt;")


def _csv(rows: list[list[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode("utf-8")


def _inert(name: str) -> str:
    """A name that no spreadsheet takes for a formula (OWASP: CSV injection)."""
    return f"'{name}" if name.startswith(("=", "+", "-", "@")) else name


def _picture(rows: list[list[str]], title: str) -> Tensor:
    """`[h w 3]`: the table on white, a rule under the headings."""
    cells = [[cell if len(cell) <= LONG else cell[: LONG - 1] + "…" for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in cells) * LETTER * 6 // 10 + 2 * GAP for column in range(len(cells[0]))]
    lines = [
        torch.cat([draw_label(cell, width, LINE, LETTER) for cell, width in zip(row, widths, strict=True)], dim=1)
        for row in cells
    ]
    wide = sum(widths)
    lines.insert(1, torch.full((1, wide, 3), 0.6))
    if title:
        lines.insert(0, draw_label(title, wide, LINE, LETTER))
    return torch.cat(lines)


def _png(picture: Tensor) -> bytes:
    from PIL import Image as Pil

    file = io.BytesIO()
    Pil.fromarray((picture * 255).round().to(torch.uint8).numpy()).save(file, "PNG")
    return file.getvalue()


def _write(ctx: Context, prefix: str, suffix: str, contents: bytes) -> str:
    with ctx.new_file(prefix, suffix) as path:
        path.write_bytes(contents)
    return str(ctx.saved[-1])

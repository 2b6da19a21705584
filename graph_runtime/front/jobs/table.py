"""The table of a job, for spreadsheets: which picture gave which file, in how many seconds, and what failed."""

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from ...core.errors import clean
from .outcome import Outcome

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")  # beginnings that a spreadsheet takes for a formula


def table_of(outcomes: Iterable[Outcome], inputs: Sequence[str], out: Path, shown: Callable[[str], str] = str) -> bytes:
    """CSV in UTF-8, a row for each file that was saved, and one for each picture that saved none.

    Args:
        outcomes: what became of the pictures.
        inputs: the inputs that each picture has of its own; the first one's column is called `input`.
        out: the output folder; the column `output` is below it.
        shown: how the path of an input is shown.
    """
    rows: list[list[str]] = [["input", *inputs[1:], "output", "sha256", "seconds", "status", "message"]]
    for one in outcomes:
        given = [shown(one.inputs.get(name, "")) for name in inputs]
        ending = [f"{one.seconds:.2f}", one.status, one.message]
        rows += [[*given, file.path, file.sha256, *ending] for file in one.files] or [[*given, "", "", *ending]]
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows([list(map(inert, row)) for row in rows])
    return text.getvalue().encode("utf-8", "backslashreplace")


def inert(cell: str) -> str:
    """A cell on one line that no spreadsheet takes for a formula (OWASP: CSV injection)."""
    cell = " ".join(clean(cell).split("\n"))
    return f"'{cell}" if cell.startswith(FORMULA) else cell

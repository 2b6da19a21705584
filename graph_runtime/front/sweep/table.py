"""The table of a sweep: a row for each combination, as CSV and, with pyarrow, as Parquet."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from ....nodes.pack import PACK
from ..jobs.ledger import Written
from ..jobs.outcome import Outcome
from ..jobs.table import inert
from .axes import Value, ValueAxis, Values, shown
from .grid import Grid
from .numbers import Spread
from .rows import Rows

if TYPE_CHECKING:
    import pyarrow

PIECE = 10_000  # rows that are made into Parquet at once
AFTER = ("file", "sha256", "seconds", "cached", "status", "best", "message")


@dataclass
class Table:
    """The rows of a sweep.

    Attributes:
        grid: the combinations.
        rows: what became of each.
        best: the number of the best one; None if there is none.
    """

    grid: Grid
    rows: Rows
    best: int | None = None

    @property
    def columns(self) -> list[str]:
        """The values, the files, every number that nodes gave, and how it went; no name twice."""
        names = [axis.name for axis in self.grid.axes]
        more = ["more_files"] if self.rows.most_files > 1 else []
        columns: list[str] = []
        for name in (*names, *self.rows.numbers, *AFTER[:2], *more, *AFTER[2:]):
            while name in columns:
                name += "_"
            columns.append(name)
        return columns

    def __iter__(self) -> Iterator[list[Value]]:
        for number, outcome in self.rows:
            digits = self.grid.digits(number)
            values = [axis.value(digit) for axis, digit in zip(self.grid.axes, digits, strict=True)]
            main = picture_of(outcome)
            others = "; ".join(file.path for file in outcome.files if file is not main)
            yield [
                *values,
                *(_number(outcome.values.get(name)) for name in self.rows.numbers),
                main.path if main else "",
                main.sha256 if main else "",
                *([others] if self.rows.most_files > 1 else []),
                round(outcome.seconds, 4),
                outcome.status == "known" or outcome.reused,
                outcome.status,
                number == self.best,
                " ".join(outcome.message.split()),
            ]

    def write_csv(self, path: Path) -> None:
        """Write CSV in UTF-8, which no spreadsheet takes for formulas.

        Raises:
            OSError: it cannot be written there.
        """
        with path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
            writer = csv.writer(file, lineterminator="\r\n")
            writer.writerow(list(map(inert, self.columns)))
            writer.writerows([_cell(value) for value in row] for row in self)

    def write_parquet(self, path: Path) -> None:
        """Write Parquet: numbers are numbers, whatever does not fit its column is text.

        Raises:
            ImportError: pyarrow is not installed.
            OSError: it cannot be written there.
        """
        import pyarrow as arrow
        from pyarrow import parquet

        schema = self._schema()
        rows = iter(self)
        with parquet.ParquetWriter(str(path), schema) as writer:
            while piece := list(islice(rows, PIECE)):
                columns = [
                    arrow.array([_as(field.type, row[at]) for row in piece], field.type)
                    for at, field in enumerate(schema)
                ]
                writer.write_table(arrow.Table.from_arrays(columns, schema=schema))

    def _schema(self) -> "pyarrow.Schema":
        import pyarrow as arrow

        kinds = [_kind(axis.values) if isinstance(axis, ValueAxis) else "string" for axis in self.grid.axes]
        kinds += ["float64"] * len(self.rows.numbers)
        ends = {"seconds": "float64", "cached": "bool_", "best": "bool_"}
        rest = self.columns[len(kinds) :]
        kinds += [ends.get(name.rstrip("_"), "string") for name in rest]
        return arrow.schema([(name, getattr(arrow, kind)()) for name, kind in zip(self.columns, kinds, strict=True)])


def picture_of(outcome: Outcome) -> Written | None:
    """The picture that a person means by the result of a combination: the output called `image`, or the first one."""
    pictures = [file for file in outcome.files if Path(file.path).suffix.lower() in PACK.picture_suffixes]
    wanted = [outcome.savers.get(name) for name in ("image", "image_1")]
    return next((file for node in wanted if node for file in pictures if file.node == node), None) or next(
        iter(pictures or outcome.files), None
    )


def _kind(values: Values) -> str:
    """The type of a column of values: text, unless all are numbers or all are switches."""
    found: set[str] = set()
    for part in values.parts:
        if isinstance(part, Spread):
            whole = part.start == part.start.to_integral_value() and part.step == part.step.to_integral_value()
            found.add("int64" if whole and max(abs(part.start), abs(part.last)) < 2**63 else "float64")
        else:
            found |= {_kind_of(value) for value in part}
    if found <= {"int64", "float64"}:
        return "int64" if found == {"int64"} else "float64"
    return found.pop() if len(found) == 1 else "string"


def _kind_of(value: Value) -> str:
    if isinstance(value, bool):
        return "bool_"
    if isinstance(value, int):
        return "int64" if abs(value) < 2**63 else "string"
    return "float64" if isinstance(value, float) else "string"


def _number(value: Value) -> Value:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _cell(value: Value) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else ""
    return repr(value) if isinstance(value, int | float) else inert(shown(value))


def _as(kind: object, value: Value) -> Value:
    if value is None:
        return None
    if str(kind) == "string":
        return shown(value)
    return float(value) if str(kind) == "double" and isinstance(value, int | float) else value

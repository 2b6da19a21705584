"""What a sweep gave."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ...core.errors import InlayError
from ...core.events import Event, Warned
from ..jobs.outcome import Outcome, Tally
from .axes import Value
from .grid import Grid
from .rows import Rows
from .table import picture_of


@dataclass(frozen=True)
class Row:
    """One combination.

    Attributes:
        number: of it, from 0; the first axis changes slowest.
        values: by the name of each axis; of a path, without its folders.
        outcome: names, files with digests, seconds, numbers, warnings, problems.
        out: the output folder.
    """

    number: int
    values: Mapping[str, Value]
    outcome: Outcome
    out: Path

    @property
    def path(self) -> Path | None:
        """Its picture; None if it has none."""
        file = picture_of(self.outcome)
        return self.out / file.path if file is not None else None

    @property
    def numbers(self) -> dict[str, float]:
        """Every number that its outputs and measurements gave, by output or `node.output`."""
        return {
            name: value
            for name, value in self.outcome.values.items()
            if isinstance(value, int | float) and not isinstance(value, bool)
        }

    @property
    def error(self) -> InlayError | None:
        """Why it failed."""
        return self.outcome.error


@dataclass(repr=False)
class SweepResult:
    """What a sweep gave; iterating gives a `Row` for each combination that ended, in order.

    Attributes:
        out: the output folder.
        table: `table.csv`.
        parquet: `table.parquet`; None without pyarrow.
        sheets: `sheet.png`, `sheet-2.png`, ….
        best: the best combination; None if none was asked for, or none gave a number.
        best_file: `best.png`.
        stopped: why the sweep ended before its last combination; empty if it did not.
        events: warnings, and what happened to combinations.
    """

    grid: Grid
    rows: Rows
    out: Path
    table: Path | None = None
    parquet: Path | None = None
    sheets: list[Path] = field(default_factory=list)
    best: Row | None = None
    best_file: Path | None = None
    stopped: str = ""
    events: list[Event] = field(default_factory=list)

    @property
    def tally(self) -> Tally:
        """How many there are of each."""
        return self.rows.tally

    @property
    def failed(self) -> list[Row]:
        """The combinations that failed, up to a thousand."""
        return [self.row(number, outcome) for number, outcome in sorted(self.rows.failed.items())]

    @property
    def warnings(self) -> list[Warned]:
        """What the user should know."""
        return [event for event in self.events if isinstance(event, Warned)]

    def row(self, number: int, outcome: Outcome) -> Row:
        """A combination as a row."""
        digits = self.grid.digits(number)
        values = {axis.name: axis.value(digit) for axis, digit in zip(self.grid.axes, digits, strict=True)}
        return Row(number, values, outcome, self.out)

    def __iter__(self) -> Iterator[Row]:
        return (self.row(number, outcome) for number, outcome in self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        return f"<SweepResult {self.tally}>"

    def _repr_png_(self) -> bytes | None:
        """What a notebook shows: the first sheet."""
        try:
            return self.sheets[0].read_bytes() if self.sheets else None
        except OSError:
            return None

"""The contact sheets of a sweep: two axes as a grid, more of them as blocks below each other, of bounded size."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice, product
from math import ceil, prod, sqrt
from pathlib import Path

from ....nodes.pack import PACK
from ...core.pack import SheetBlock, SheetCell, SheetLabel
from ..jobs.outcome import Outcome
from .axes import Axis
from .best import Best
from .grid import Grid
from .rows import Rows
from .table import picture_of

SIDES = (192, 144, 112, 80, 64)  # pixels of a picture's longer side: as large as one sheet holds them all
SEVERAL = 96  # of a sheet of several
WIDE, HIGH = 4_000, 4_800  # pixels of a sheet, about
AROUND, HEADINGS, TITLES = 26, 160, 90  # pixels around a picture, before the rows, and above a block
MOST = 20  # sheets


class Sheets:
    """What is drawn.

    Args:
        grid: the combinations.
        rows: what became of each.
        out: the output folder.
        best: how they are compared; None if they are not.
        winner: the best one's number.
    """

    def __init__(self, grid: Grid, rows: Rows, out: Path, best: Best | None, winner: int | None) -> None:
        self.grid, self.rows, self.out, self.best, self.winner = grid, rows, out, best, winner
        axes = [at for at, axis in enumerate(grid.axes) if axis.count > 1] or [len(grid.axes) - 1]
        self.outer, inner = axes[:-2], axes[-2:]
        self.down: int | None = inner[0] if len(inner) == 2 else None
        self.across = inner[-1]
        if self.down is not None and _suits_rows(grid.axes[self.across], grid.axes[self.down]):
            self.down, self.across = self.across, self.down
        self.fixed = [at for at in range(len(grid.axes)) if at not in axes]

    def write(self, write: Callable[[str, Callable[[Path], object]], Path]) -> tuple[list[Path], int]:
        """Write the sheets.

        Args:
            write: writes a file of a name by a function, and gives its path.

        Returns:
            Their paths, and how many combinations are on them.

        Raises:
            OSError: they cannot be written.
        """
        paths, drawn = [], 0
        side = self._side()
        pages = islice(self._pages(side), MOST)
        for number, blocks in enumerate(pages, 1):
            name = "sheet.png" if number == 1 else f"sheet-{number}.png"
            paths.append(write(name, partial(PACK.grid_sheet, blocks, side)))
            drawn += sum(cell is not None for block in blocks for row in block.cells for cell in row)
        return paths, drawn

    def _shape(self, side: int) -> tuple[int, int, int]:
        """Columns and rows of one block, and in how many pieces a wide block is drawn."""
        pitch = side + AROUND
        room = max(1, (WIDE - HEADINGS) // pitch)
        if self.down is None:
            count = self.grid.axes[self.across].count
            columns = min(room, max(4, ceil(sqrt(count * 1.5))), count)
            return columns, ceil(count / columns), 1
        across, down = (self.grid.axes[at].count for at in (self.across, self.down))
        return min(across, room), down, ceil(across / room)

    def _side(self) -> int:
        blocks = prod(self.grid.axes[at].count for at in self.outer)
        for side in SIDES:
            _, rows, pieces = self._shape(side)
            if pieces == 1 and blocks * (rows * (side + AROUND) + TITLES) <= HIGH:
                return side
        return SEVERAL

    def _pages(self, side: int) -> Iterator[list[SheetBlock]]:
        page: list[SheetBlock] = []
        used = 0
        for block in self._blocks(side):
            high = TITLES + len(block.cells) * (side + AROUND)
            if page and used + high > HIGH:
                yield page
                page, used = [], 0
            page.append(block)
            used += high
        if page:
            yield page

    def _blocks(self, side: int) -> Iterator[SheetBlock]:
        """The grids, each of at most a sheet's size."""
        columns, rows, _ = self._shape(side)
        tall = max(1, (HIGH - TITLES) // (side + AROUND))
        counts = [range(self.grid.axes[at].count) for at in self.outer]
        for outer in product(*counts):
            chosen = dict(zip(self.outer, outer, strict=True))
            across = self.grid.axes[self.across].count
            for first_row in range(0, rows, tall):
                shown = range(first_row, min(first_row + tall, rows))
                if self.down is None:
                    yield self._wrapped(chosen, columns, shown)
                    continue
                for first in range(0, across, columns):
                    yield self._grid(chosen, shown, range(first, min(first + columns, across)))

    def _wrapped(self, chosen: dict[int, int], columns: int, rows: range) -> SheetBlock:
        """One axis, row by row, each picture with its value."""
        count = self.grid.axes[self.across].count
        cells = []
        for row in rows:
            digits = range(row * columns, min((row + 1) * columns, count))
            cells.append(tuple(self._cell({**chosen, self.across: digit}, alone=True) for digit in digits))
        return SheetBlock(self._title(chosen), (), (), tuple(cells))

    def _grid(self, chosen: dict[int, int], rows: range, columns: range) -> SheetBlock:
        assert self.down is not None
        cells = [
            tuple(self._cell({**chosen, self.down: row, self.across: column}) for column in columns) for row in rows
        ]
        heads = [self._heading(self.across, digit) for digit in columns]
        return SheetBlock(
            self._title(chosen), tuple(heads), tuple(self._heading(self.down, digit) for digit in rows), tuple(cells)
        )

    def _cell(self, chosen: dict[int, int], *, alone: bool = False) -> SheetCell | None:
        number = self.grid.number([chosen.get(at, 0) for at in range(len(self.grid.axes))])
        outcome = self.rows.get(number)
        label = self._heading(self.across, chosen[self.across], short=True) if alone else SheetLabel("")
        if outcome is None:
            return SheetCell(None, label) if alone else SheetCell(None)
        file = picture_of(outcome) if outcome.status != "failed" else None
        value = self._value(outcome)
        if outcome.status == "failed":
            value = "failed"
        elif number == self.winner:
            value = f"best: {value}"
        text = ", ".join(part for part in (label.text, value) if part)
        short = ", ".join(part for part in (label.short, value) if part)
        return SheetCell(self.out / file.path if file else None, SheetLabel(text, short), number == self.winner)

    def _value(self, outcome: Outcome) -> str:
        number = self.best.number(outcome) if self.best is not None else None
        return "" if number is None else f"{number:.4g}"

    def _heading(self, at: int, digit: int, *, short: bool = False) -> SheetLabel:
        axis = self.grid.axes[at]
        text = axis.label(digit)
        return SheetLabel(text if short else f"{axis.name} {text}", f"{axis.name} #{digit + 1}")

    def _title(self, chosen: dict[int, int]) -> SheetLabel:
        labels = [self._heading(at, chosen.get(at, 0)) for at in (*self.fixed, *self.outer)]
        if self.down is None:
            labels.append(SheetLabel(self.grid.axes[self.across].name, self.grid.axes[self.across].name))
        return SheetLabel(" · ".join(label.text for label in labels), " · ".join(label.short for label in labels))


def _suits_rows(across: Axis, down: Axis) -> bool:
    """True if what would be columns is better as rows: long texts, or many more values."""
    longest = max((len(across.label(digit)) for digit in range(min(across.count, 50))), default=0)
    other = max((len(down.label(digit)) for digit in range(min(down.count, 50))), default=0)
    if max(longest, other) > 16:
        return longest > other
    return across.count > 12 and across.count > 2 * down.count

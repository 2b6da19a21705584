"""What nodes were measured to need, kept from run to run, and what that says of another size.

A measurement belongs to a kind: the node's type, version and code, its models, the device and the libraries. Within a
kind it is found again by the settings and by the shapes at sockets and outputs. For other shapes the bytes are fitted
against the count of numbers there: a + b·n, and c·n² where three sizes say so.
"""

import contextlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ..database import Database, DatabaseUnusable

ROWS = 20_000
_NEEDS = Database(
    "needs.sqlite",
    (
        "CREATE TABLE needs (kind TEXT NOT NULL, settings TEXT NOT NULL, shapes TEXT NOT NULL, numbers REAL NOT NULL,"
        " peak INTEGER NOT NULL, weights INTEGER NOT NULL, labels TEXT NOT NULL,"
        " PRIMARY KEY (kind, settings, shapes))",
    ),
)
_CLOSE = 0.02  # how far a straight line may miss the points before a parabola is tried
Source = Literal["measured", "declared", "scaled", "rehearsed", "at least"]


@dataclass(frozen=True)
class Asked:
    """For which node a need is asked.

    Attributes:
        kind: a digest of the type, its code, models, device and libraries.
        settings: a digest of the settings that may matter.
        shapes: of the tensors at sockets and outputs, as far as they are known before the run, as text.
        numbers: how many numbers these hold.
    """

    kind: str
    settings: str
    shapes: str
    numbers: float


@dataclass(frozen=True)
class Need:
    """What a node needs at once.

    Attributes:
        activations: bytes of what it makes.
        weights: bytes of the weights that it leases together; None: not measured.
        labels: of these models.
        source: how that is known.
        least: of what it makes, where it can do with less and give the same bytes; None: it cannot, or nobody knows.
    """

    activations: int
    weights: int | None
    labels: tuple[str, ...]
    source: Source
    least: int | None = None

    def within(self, room: int) -> int:
        """Bytes of what it makes where there is so much room: what is usual, or what it can do with."""
        return self.activations if self.least is None or self.activations <= room else self.least


def anything_known() -> bool:
    """True if something was ever measured: where nothing was, nothing needs to be looked up."""
    try:
        return _NEEDS.path.exists()
    except OSError:
        return False


def note(asked: Asked, peak: int, weights: int, labels: Sequence[str]) -> None:
    """Keep a measurement; the larger one stays if there is one already."""
    with contextlib.suppress(DatabaseUnusable), _NEEDS.writing() as needs:
        found = needs.execute(
            "SELECT peak, weights FROM needs WHERE kind = ? AND settings = ? AND shapes = ?",
            (asked.kind, asked.settings, asked.shapes),
        ).fetchone()
        if found is not None and found[0] >= peak and found[1] >= weights:
            return
        needs.execute(
            "INSERT OR REPLACE INTO needs VALUES (?, ?, ?, ?, ?, ?, ?)",
            (asked.kind, asked.settings, asked.shapes, asked.numbers, peak, weights, json.dumps(list(labels))),
        )
        needs.execute("DELETE FROM needs WHERE rowid <= (SELECT max(rowid) FROM needs) - ?", (ROWS,))


def recall(asked: Asked) -> Need | None:
    """What is known from measurements of a node like this one; None if there are none."""
    rows: list[tuple[str, str, float, int, int, str]] = []
    with contextlib.suppress(DatabaseUnusable), _NEEDS.reading() as needs:
        rows = needs.execute(
            "SELECT settings, shapes, numbers, peak, weights, labels FROM needs WHERE kind = ?", (asked.kind,)
        ).fetchall()
    own = [row for row in rows if row[0] == asked.settings]
    for settings, shapes, _, peak, weights, labels in own:
        if (settings, shapes) == (asked.settings, asked.shapes):
            return Need(int(peak), int(weights), tuple(json.loads(labels)), "measured")
    alike = own or rows
    if not alike:
        return None
    points = [(float(row[2]), float(row[3])) for row in alike]
    last = alike[-1]
    return Need(
        int(fitted(points, asked.numbers)), max(int(row[4]) for row in alike), tuple(json.loads(last[5])), "scaled"
    )


def fitted(points: Sequence[tuple[float, float]], at: float) -> float:
    """The bytes at a count of numbers, from measurements at others.

    One size: in proportion. Two: the line through them. Three and more: the least-squares line, or the parabola if the
    line misses; between two measured sizes never outside what these gave.
    """
    most: dict[float, float] = {}
    for size, peak in points:
        most[size] = max(peak, most.get(size, 0.0))
    sizes = sorted(most)
    if at in most:
        return most[at]
    if len(sizes) == 1:
        return most[sizes[0]] * (at / sizes[0] if sizes[0] and at else 1.0)
    import numpy as np

    scale = max(sizes)
    x, y = np.array(sizes) / scale, np.array([most[size] for size in sizes])
    degree = 1
    if len(sizes) > 2:
        line = np.polyval(np.polyfit(x, y, 1, w=1 / np.maximum(y, 1)), x)
        degree = 2 if float(np.max(np.abs(line / np.maximum(y, 1) - 1))) > _CLOSE else 1
    found = float(np.polyval(np.polyfit(x, y, degree, w=1 / np.maximum(y, 1)), at / scale))
    below, above = [size for size in sizes if size < at], [size for size in sizes if size > at]
    if below and above:
        ends = most[below[-1]], most[above[0]]
        return min(max(found, min(ends)), max(ends))
    return max(found, most[below[-1]] if below else 0.0, 0.0)

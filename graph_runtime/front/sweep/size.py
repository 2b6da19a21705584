"""How large a sweep is, in words, and when a person is asked first."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...core.errors import WorkflowError

if TYPE_CHECKING:
    from .axes import Axis
    from .grid import Grid

LIMIT = 1_000  # combinations that begin without a question
YEAR = 365.25 * 86_400


def size_in_words(grid: "Grid", seconds: float | None) -> str:
    """How many combinations there are, of what, and about how long they take.

    Args:
        grid: the combinations.
        seconds: that one took when this workflow was swept here before; None: never.
    """
    count = f"{grid.total:,} combination{'s' if grid.total != 1 else ''} ({_in_words(grid.axes)})"
    if seconds is None:
        if grid.total <= LIMIT:
            return count
        return f"{count}; how long each takes is not known here yet: at 1 s, {_long(grid.total)}"
    return f"{count}; about {_long(grid.total * seconds)}, as each took {seconds:.2g} s here"


def require_confirmed(grid: "Grid", seconds: float | None, *, confirmed: bool) -> None:
    """Refuse a large sweep that nobody has confirmed.

    Raises:
        WorkflowError: says how large it is, and the flag that confirms it.
    """
    if grid.total > LIMIT and not confirmed:
        raise WorkflowError.of(
            "--grid",
            found=size_in_words(grid, seconds),
            expected=f"at most {LIMIT:,} without a question",
            fix="add --yes (yes=True from Python) to make them all, or leave values out",
        )


def _in_words(axes: "Sequence[Axis]") -> str:
    """`10 of seed × 3 of guidance`."""
    return " × ".join(f"{axis.count:,} of {axis.name}" for axis in axes)


def _long(seconds: float) -> str:
    """A duration of any length."""
    for unit, name in ((YEAR, "years"), (86_400, "days"), (3_600, "h"), (60, "min")):
        if seconds >= 1.5 * unit:
            number = seconds / unit
            return f"{number:,.0f} {name}" if number >= 10 else f"{number:.1f} {name}"
    return f"{max(1, round(seconds))} s"

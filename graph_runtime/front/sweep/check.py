"""Check a sweep before it begins: each distinct value once, in the first combination, and every problem at once."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ....nodes.pack import PACK
from ...core.bounded import limits
from ...core.check.findings import Report
from ...core.errors import BadInput, Problem, WorkflowError
from ...core.events import Warned
from ..jobs.run_job import LOOKED, what
from ..jobs.session import How
from ..python.check_loaded import check_loaded
from .axes import Axis, FilesAxis, ValueAxis
from .sweep import Sweep

DEEP = 200  # values that are checked in depth however long that takes
SECONDS = 10.0  # after which no more of them are
LEAST = 64  # numbers of a long spread that are checked in depth, besides its ends


def check_sweep(sweep: Sweep, how: How) -> tuple[Report, int]:
    """The problems of all values, each with the flag that gave it; a warning says how many were not looked at.

    A picture that cannot be used among others that can is a warning: its combinations fail, and the others are made.

    Returns:
        The report, and the number of a combination that can be run, if there is one.
    """
    grid, began = sweep.grid, time.monotonic()
    base, found = _base(sweep, how)
    report = Report(warnings=[Warned(None, note) for note in sweep.job.notes])
    report.extend(_named(problem, grid.axes, base) for problem in found)
    _warn(report, found)
    known = {what(problem) for problem in found}
    looked = skipped = 0
    for at, axis in enumerate(grid.axes):
        for digit in _digits(axis):
            if digit == base[at]:
                continue
            if looked >= DEEP and time.monotonic() - began > SECONDS:
                skipped += 1
                one = _by_header(axis, digit)
            else:
                looked += 1
                one = _report(sweep, [digit if at == other else base[other] for other in range(len(base))], how)
            fresh = [problem for problem in one if what(problem) not in known]
            named = [replace(each, found=f"{each.found} ({axis.flag}: {axis.label(digit)})") for each in fresh]
            if isinstance(axis, FilesAxis):
                report.warnings += [Warned(None, f"{axis.label(digit)} will fail: {each}") for each in fresh]
            else:
                report.extend(named)
            _warn(report, one)
    if skipped:
        report.warnings.append(Warned(None, f"{skipped:,} values were not checked in depth before the start"))
    return report, grid.number(base)


def _base(sweep: Sweep, how: How) -> tuple[list[int], Report]:
    """The combination beside which other values are checked: the first one whose picture can be used."""
    axes = sweep.grid.axes
    at = next((number for number, axis in enumerate(axes) if isinstance(axis, FilesAxis)), -1)
    first = None
    for digit in range(min(LOOKED, axes[at].count) if at >= 0 else 1):
        base = [digit if number == at else 0 for number in range(len(axes))]
        found = _report(sweep, base, how)
        if not found:
            return base, found
        first = first or (base, found)
    assert first is not None, "there is at least one combination"
    return first


def _warn(report: Report, found: Report) -> None:
    """Add the warnings that are new, up to a limit."""
    if len(report.warnings) < limits.PROBLEMS:
        report.warnings += [one for one in found.warnings if one not in report.warnings]


def _digits(axis: Axis) -> "list[int] | range":
    """The values of an axis to look at."""
    return list(axis.values.telling(LEAST)) if isinstance(axis, ValueAxis) else range(axis.count)


def _report(sweep: Sweep, digits: list[int], how: How) -> Report:
    """The check of one combination."""
    item = sweep.job.items[sweep.grid.number(digits)]
    try:
        return check_loaded(sweep.job.prepared(item), device=how.device, memory=how.memory)
    except WorkflowError as error:
        report = Report()
        report.take(error)
        return report


def _named(problem: Problem, axes: Sequence[Axis], base: list[int]) -> Problem:
    """A problem of the first combination, with the flag that set what it is about."""
    target = f"{problem.node}.{problem.port}"
    found = next(((at, axis) for at, axis in enumerate(axes) if target in axis.targets), None)
    if found is None:
        return problem
    at, axis = found
    return replace(problem, found=f"{problem.found} ({axis.flag}: {axis.label(base[at])})")


def _by_header(axis: Axis, digit: int) -> Report:
    """The problems of a picture and its mask by their beginnings alone; none for other values."""
    report = Report()
    item = axis.items[digit] if isinstance(axis, FilesAxis) else None
    for name, path in item.files.items() if item is not None else ():
        try:
            PACK.require_picture(Path(path))
        except BadInput as error:
            report.append(Problem(None, f"inputs.{name}", error.found, error.expected, error.fix))
    return report

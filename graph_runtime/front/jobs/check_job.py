"""Check a job without running it: the first pictures in depth, the beginnings of all files, within some seconds."""

import time
from collections.abc import Callable, Iterable
from pathlib import Path

from ....nodes.pack import PACK
from ...core.check.findings import Report
from ...core.errors import BadInput, Problem, WorkflowError
from ...core.events import Warned
from ..device import parse_memory, require_device
from ..python.check_loaded import check_loaded
from .job import Job
from .outcome import Outcome
from .pairs import Item
from .run_job import common_problems, named_problems, what

DEPTH_SECONDS = 3.0  # of wall time for checks in depth; at least `FIRST` pictures are checked so
FIRST = 3
HEADER_SECONDS = 5.0  # for the beginnings of the files of the others


def check_job(job: Job, *, device: str = "auto", memory: str | int | None = None) -> Report:
    """The problems of all pictures, each with its picture's name; a warning says how many were not looked at."""
    report = Report()
    try:
        require_device(device)
        parse_memory(memory)
    except WorkflowError as error:
        report.take(error)
        return report
    report.warnings += [Warned(None, note) for note in job.notes]
    items = job.items
    outcomes: list[Outcome] = []
    deep = _each(
        items, lambda item: outcomes.append(_in_depth(job, item, device, memory, report)), DEPTH_SECONDS, FIRST
    )
    common = common_problems(outcomes)
    report += common.values()
    for one in outcomes:
        one.problems = [problem for problem in one.problems if what(problem) not in common]
    report += named_problems(outcomes)
    looked = deep + _each(items[deep:], lambda item: _by_header(item, report), HEADER_SECONDS, 1)
    if deep < len(items):
        rest = f"; {len(items) - looked} were not looked at" if looked < len(items) else ""
        said = f"{deep} of {len(items)} pictures were checked in depth, of the others only whether they open{rest}"
        report.warnings.append(Warned(None, said))
    return report


def _each(items: Iterable[Item], look: Callable[[Item], None], seconds: float, least: int) -> int:
    """Look at one after the other, as long as there is time; how many."""
    began, number = time.monotonic(), 0
    for item in items:
        if number >= least and time.monotonic() - began > seconds:
            break
        look(item)
        number += 1
    return number


def _in_depth(job: Job, item: Item, device: str, memory: str | int | None, report: Report) -> Outcome:
    try:
        found = check_loaded(job.prepared(item), device=device, memory=memory)
    except WorkflowError as error:
        found = Report()
        found.take(error)
    report.warnings += [one for one in found.warnings if one not in report.warnings]
    return Outcome(item.name, item.files, "failed", problems=list(found))


def _by_header(item: Item, report: Report) -> None:
    problems = []
    for name, path in item.files.items():
        try:
            PACK.require_picture(Path(path))
        except BadInput as error:
            problems.append(Problem(None, f"inputs.{name}", error.found, error.expected, error.fix))
    report += named_problems([Outcome(item.name, item.files, "failed", problems=problems)])

"""`inlay run` of a job: progress over all pictures, what failed, and one JSON object."""

import argparse
import json
import sys
import time
from typing import TYPE_CHECKING

from ...core.errors import clean
from ...core.events import Event, ItemFinished, ItemStarted, NodeProgress, NodeStarted, Warned
from ..jobs.outcome import Outcome
from ..jobs.run_job import JobResult, run_job
from ..jobs.session import How
from .json_output import problem_json, warning_json
from .lines import duration

if TYPE_CHECKING:
    from pydantic import JsonValue
    from rich.progress import TaskID

    from ..jobs.job import Job

LOG_SECONDS = 15.0  # between two lines of progress where there is no terminal


def run_command(job: "Job", options: argparse.Namespace) -> int:
    """Run a job and print what it gave; returns the exit status.

    Raises:
        WorkflowError: nothing could start.
        Cancelled: the user asked to stop.
    """
    how = How(options.device, options.memory, not options.no_cache, not options.no_metadata)
    with JobBars(enabled=not options.quiet) as bars:
        result = run_job(job, how, jobs=options.jobs, listeners=[bars])
    if options.json:
        print(json.dumps(_json(result)))
    else:
        for path in result.paths:
            print(clean(str(path)))
    print(clean(_report(result)), file=sys.stderr)
    return 1 if result.failed else 0


def _report(result: JobResult) -> str:
    """What failed, with the fix, and how many pictures there are of each."""
    lines = []
    for one in result.failed:
        lines.append(f"failed: {', '.join(one.inputs.values())}")
        for problem in one.problems:
            lines += [
                f"  {problem.where}{f' ({one.type})' if one.type else ''}",
                f"    found     {problem.found}",
                f"    expected  {problem.expected}",
                f"    fix       {problem.fix}",
            ]
    lines.append(f"inlay: {result.tally}")
    lines += [f"  table: {result.table}"] if result.table else []
    lines += [f"  contact sheet: {sheet}" for sheet in result.sheets]
    return "\n".join(lines)


def _json(result: JobResult) -> "dict[str, JsonValue]":
    tally = result.tally
    return {
        "status": "failed" if tally.failed else "done",
        "paths": [str(path) for path in result.paths],
        "done": tally.done,
        "known": tally.known,
        "failed": tally.failed,
        "table": str(result.table) if result.table else None,
        "sheets": [str(sheet) for sheet in result.sheets],
        "pictures": [_entry(one, result) for one in result.outcomes],
        "warnings": [warning_json(event) for event in result.events if isinstance(event, Warned)],
    }


def _entry(one: Outcome, result: JobResult) -> "dict[str, JsonValue]":
    return {
        "name": one.name,
        "inputs": dict(one.inputs),
        "status": one.status,
        "paths": [file.path for file in one.files],
        "sha256": [file.sha256 for file in one.files],
        "seconds": round(one.seconds, 3),
        "outputs": dict(one.values),
        "problems": [problem_json(problem) for problem in one.problems],
        "warnings": [warning_json(warning) for warning in one.warnings],
    }


class JobBars:
    """A listener: one bar for the job, one for the picture that is made; without a terminal, a line now and then.

    Args:
        enabled: show progress; warnings and failures are printed anyway.
        speaks: print warnings and failures; otherwise somebody else does.
    """

    def __init__(self, enabled: bool = True, *, speaks: bool = True) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        self.console = Console(stderr=True, highlight=False, emoji=False)
        self.enabled = enabled
        self._speaks = speaks
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            console=self.console,
            transient=True,
            disable=not (enabled and self.console.is_terminal),
        )
        self._job: TaskID | None = None
        self._node: TaskID | None = None
        self._began = self._logged = time.monotonic()
        self._made = 0
        self._name = ""
        self._warned: set[str] = set()

    def __enter__(self) -> "JobBars":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def __call__(self, event: Event) -> None:
        """Draw one event."""
        match event:
            case ItemStarted(name=name, total=total):
                self._name = clean(name)
                if self._job is None:
                    self._job = self._progress.add_task("pictures", total=total, note="")
                self._progress.update(self._job, note=self._name)
            case ItemFinished():
                self._ended(event)
            case NodeStarted(node=node):
                if self._node is None:
                    self._node = self._progress.add_task("", total=None, note="")
                self._progress.reset(self._node, total=None, description=f"  {clean(node)}", note="")
            case NodeProgress(step=step, total=total, note=note) if self._node is not None:
                self._progress.update(self._node, completed=step, total=total, note=clean(note))
            case Warned() if self._speaks and str(event) not in self._warned:  # the same for many pictures is said once
                self._warned.add(str(event))
                self._print(str(event))
            case _:
                pass

    def _ended(self, event: ItemFinished) -> None:
        self._made += event.status != "known"
        now = time.monotonic()
        pace = (now - self._began) / max(1, self._made)
        remaining = event.total - event.number
        left = f"about {duration(pace * remaining)} left" if remaining and self._made else ""
        if self._job is None:
            self._job = self._progress.add_task("pictures", total=event.total, note="")
        self._progress.update(self._job, completed=event.number, note=f"{self._name}  {left}")
        if event.status == "failed" and self._speaks:
            self._print(f"failed: {event.name}: {event.message}")
        last = event.number == event.total
        if self.enabled and not self.console.is_terminal and (now - self._logged >= LOG_SECONDS or last):
            self._logged = now
            self._print(f"{event.number} of {event.total}: {event.name}" + (f", {left}" if left else ""))

    def _print(self, text: str) -> None:
        self.console.print(clean(text), markup=False, soft_wrap=True)

"""`inlay run` of a job: progress over all pictures, what failed, and one JSON object."""

import argparse
import json
import sys
from typing import TYPE_CHECKING

from ...core.errors import clean
from ...core.events import Warned
from ..jobs.outcome import Outcome
from ..jobs.run_job import JobResult, run_job
from ..jobs.session import How
from .json_output import problem_json, warning_json
from .progress import Bars

if TYPE_CHECKING:
    from pydantic import JsonValue

    from ..jobs.job import Job


def run_command(job: "Job", options: argparse.Namespace) -> int:
    """Run a job and print what it gave; returns the exit status.

    Raises:
        WorkflowError: nothing could start.
        Cancelled: the user asked to stop.
    """
    how = How(options.device, options.memory, not options.no_cache, not options.no_metadata)
    with Bars(enabled=not options.quiet) as bars:
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

"""`inlay sweep`: one run for each combination of values, with a sheet and a table of all results."""

import argparse
import gc
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...core.errors import Problem, WorkflowError, clean
from ..sweep.size import LIMIT, require_confirmed, size_in_words
from . import flags
from .arguments import read_arguments
from .json_output import problem_json, warning_json
from .parser import AddCommand, Once
from .run import require_file_first, takes_workflow

if TYPE_CHECKING:
    from pydantic import JsonValue

    from ..jobs.session import How
    from ..python.load_workflow import LoadedWorkflow
    from ..sweep.result import Row, SweepResult
    from ..sweep.sweep import Sweep

SHOWN = 20  # failures that are listed
EPILOG = """\
values:
  --grid seed=0..9                     both ends count
  --grid guidance=3,5,7.5              any list
  --grid strength=0..1..0.25           with a step: 0, 0.25, 0.5, 0.75, 1 (exact in decimal); 9..0..-1 counts down
  --grid "prompt=a cat,\\"a red, fat cat\\""   text with a comma in double quotes
  --grid steps.kind=pndm,unipc         NODE.SETTING of any node, not only inputs of the workflow
  --list prompt=words.txt              one value a line
  --images photos                      every picture of a folder, with masks beside (a_mask.png) or of --mask FOLDER
Every flag multiplies: --grid seed=0..9 --grid guidance=3,5,7 makes 30 combinations.

examples:
  inlay sweep zero_shot_inpaint --grid seed=0..9 --grid guidance=3,5,7 --out sweep
  inlay sweep inpaint photo.png hole.png --grid method=patches,null_space --grid seed=0..3
  inlay sweep FILE --images photos --list prompt=words.txt --best score.value
  inlay run sweep/seed=3_guidance=5.png          make one of them again, byte for byte

what comes out, in --out: sheet.png (axes and labels), table.csv (and table.parquet with pyarrow), best.png, and each
picture under its values. The same command goes on where it was stopped, and makes only what is missing.

--profile, --dry-run and --explain-memory tell of one run: use them with `inlay run` and the values of one combination.

exit status: 0 done, 1 some combinations failed, 2 the input is wrong (nothing ran), 130 cancelled
"""


class _Asked(argparse.Action):
    """Collects `--grid` and `--list` in the order in which they are typed."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: "str | Sequence[object] | None",
        option_string: str | None = None,
    ) -> None:
        """Add one."""
        namespace.asked = [*namespace.asked, (option_string, values)]


def add_sweep(add: AddCommand) -> None:
    """The parser of `inlay sweep`."""
    parser = add("sweep", _sweep, "run a workflow for each combination of values", add_help=False)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EPILOG.replace("%", "%%")
    parser.description = (
        "Run a workflow once for each combination of values, share whatever they have in common, and draw all results "
        "on one sheet."
    )
    group = parser.add_argument_group("what varies")
    group.add_argument("--grid", action=_Asked, metavar="NAME=VALUES", help="an input or NODE.SETTING, and its values")
    group.add_argument("--list", action=_Asked, metavar="NAME=FILE", help="the same, one value a line of a text file")
    group.add_argument("--images", action=Once, metavar="DIR", help="pictures for the input that takes the picture")
    group = parser.add_argument_group("how")
    group.add_argument(
        "--best",
        action=Once,
        metavar="NODE.OUTPUT",
        help="mark and copy the best by this number; :max or :min says how",
    )
    group.add_argument("--yes", action="store_true", help=f"run more than {LIMIT:,} combinations without a question")
    group.add_argument("--engine", action=Once, default="local", help="where they are made: local | ray (local)")
    group.add_argument(
        "--ray-address",
        action=Once,
        metavar="HOST:PORT",
        help="of a Ray cluster, for --engine ray; default: RAY_ADDRESS, else one is started on this machine",
    )
    takes_workflow(parser)
    parser.set_defaults(asked=[], jobs=None)


def _sweep(options: argparse.Namespace, rest: list[str]) -> int:
    if options.file is None:
        if not options.help:
            options.parser.error("FILE is missing")
        print(options.parser.format_help(), end="")
        flags.print_shipped()
        return 0
    require_file_first(options, "sweep")
    _refuse_flags_of_one_run(options)
    from ..python.load_workflow import load
    from ..rerun.surroundings import load_nodes

    load_nodes()
    loaded = load(options.file, inputs=options.inputs, out=options.out, partial=options.partial)
    if options.help:
        print(clean(flags.parser_for(loaded, options.file, "sweep").format_help()), end="")
        print("\nto vary one: --grid NAME=VALUES; see `inlay sweep --help`")
        return 0
    from ..jobs.session import How
    from ..sweep.engine import engine_of
    from ..sweep.pace import pace_of
    from ..sweep.run_sweep import run_sweep
    from .progress import Bars

    found = _found(options, rest, loaded)
    engine = engine_of(options.engine, options.jobs, options.ray_address)
    how = How(options.device, options.memory, not options.no_cache, not options.no_metadata)
    _confirm(found, how, pace_of(found, options.device), options)
    gc.enable()
    with Bars(enabled=not options.quiet) as bars:
        result = run_sweep(found, how, engine, listeners=[bars])
    print(json.dumps(_json(result)) if options.json else clean("\n".join(map(str, _paths(result)))))
    print(clean(_report(result)), file=sys.stderr)
    return 1 if result.tally.failed or result.stopped else 0


def _refuse_flags_of_one_run(options: argparse.Namespace) -> None:
    """Refuse what tells of one run.

    Raises:
        WorkflowError: every such flag.
    """
    given = {
        "--profile": options.profile is not None,
        "--dry-run": options.dry_run,
        "--explain-memory": options.explain_memory,
    }
    fix = "use it with `inlay run` and the values of one combination"
    problems = [
        Problem(None, flag, "a sweep, which is a run for each combination", "one run", fix)
        for flag, there in given.items()
        if there
    ]
    if problems:
        raise WorkflowError(problems)


def _found(options: argparse.Namespace, rest: list[str], loaded: "LoadedWorkflow") -> "Sweep":
    """The sweep that the command line asks for.

    Raises:
        WorkflowError: every flag that is wrong.
    """
    from ..jobs.job import Origin
    from ..sweep.ask import parted
    from ..sweep.sweep import find_sweep

    parser = flags.parser_for(loaded, options.file, "sweep")
    values, settings = read_arguments(parser, options, rest, loaded)
    origin = Origin(options.file, options.inputs, partial=options.partial)
    asked, problems = [], []
    for flag, word in options.asked:
        try:
            asked.append(parted(flag, word))
        except WorkflowError as error:
            problems += error.problems
    if problems:
        raise WorkflowError(problems)
    return find_sweep(loaded, values, settings, origin, asked, images=options.images, best=options.best)


def _confirm(found: "Sweep", how: "How", seconds: float | None, options: argparse.Namespace) -> None:
    """Say how large the sweep is; ask, where it is large and somebody is there.

    Raises:
        WorkflowError: it is large, and nobody said yes.
    """
    grid = found.grid
    asks = grid.total > LIMIT and not options.yes and sys.stdin.isatty() and sys.stderr.isatty() and not options.json
    if not options.quiet and (asks or grid.total <= LIMIT or options.yes):
        print(clean(f"sweep: {size_in_words(grid, seconds)}"), file=sys.stderr)
    if asks:
        print("make them all? [y/N] ", end="", file=sys.stderr, flush=True)
        options.yes = sys.stdin.readline().strip().lower() in ("y", "yes")
    require_confirmed(grid, seconds, confirmed=options.yes)


def _paths(result: "SweepResult") -> "list[object]":
    """The files about the sweep; the pictures are named in the table."""
    files = (*result.sheets, result.table, result.parquet, result.best_file)
    return [path for path in files if path is not None]


def _report(result: "SweepResult") -> str:
    """What failed, with its combination and the fix, the best, and how many there are of each."""
    lines = []
    failed = result.failed
    for row in failed[:SHOWN]:
        lines.append(f"failed: {_named(row)}")
        for problem in row.outcome.problems:
            lines += [
                f"  {problem.where}{f' ({row.outcome.type})' if row.outcome.type else ''}",
                f"    found     {problem.found}",
                f"    expected  {problem.expected}",
                f"    fix       {problem.fix}",
            ]
    if result.tally.failed > SHOWN:
        lines.append(f"… and {result.tally.failed - SHOWN:,} more that failed: see the column status of the table")
    if result.best is not None:
        lines.append(f"best: {_named(result.best)}")
    lines.append(f"inlay: {result.tally}" + (f"; {result.stopped}" if result.stopped else ""))
    return "\n".join(lines)


def _named(row: "Row") -> str:
    from ..sweep.axes import shown

    return " ".join(f"{name}={shown(value)}" for name, value in row.values.items())


def _json(result: "SweepResult") -> "dict[str, JsonValue]":
    tally = result.tally
    return {
        "status": "failed" if tally.failed or result.stopped else "done",
        "combinations": tally.total,
        "done": tally.done,
        "known": tally.known,
        "failed": tally.failed,
        "stopped": result.stopped,
        "table": str(result.table) if result.table else None,
        "parquet": str(result.parquet) if result.parquet else None,
        "sheets": [str(sheet) for sheet in result.sheets],
        "best": _entry(result.best) if result.best else None,
        "failures": [_entry(row) for row in result.failed],
        "warnings": [warning_json(event) for event in result.warnings],
    }


def _entry(row: "Row") -> "dict[str, JsonValue]":
    return {
        "values": dict(row.values),
        "path": str(row.path) if row.path else None,
        "numbers": dict(row.numbers),
        "problems": [problem_json(problem) for problem in row.outcome.problems],
    }

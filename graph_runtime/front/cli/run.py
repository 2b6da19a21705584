"""`inlay run` and `inlay check`: the commands that take a workflow and the flags it defines."""

import argparse
import gc
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ...core.errors import WorkflowError, clean
from ...core.events import Warned
from ...core.reads import collect_reads
from ...core.user_paths import expand
from . import flags
from .arguments import read_arguments
from .explain_memory import print_decisions, print_forecast
from .json_output import problem_json, result_json, shown_outputs, warning_json
from .parser import AddCommand, Once

if TYPE_CHECKING:
    from pydantic import JsonValue

    from ..jobs.job import Job
    from ..profile.profile import Profile
    from ..python.load_workflow import LoadedWorkflow
    from ..python.result import Result
    from ..rerun.keep import Recording


def add_run(add: AddCommand) -> None:
    """The parser of `inlay run`."""
    takes_workflow(add("run", _run, "run a workflow", add_help=False))


def add_check(add: AddCommand) -> None:
    """The parser of `inlay check`: the flags of `run`."""
    takes_workflow(add("check", _check, "find every problem of a workflow without running it", add_help=False))


def add_expanders(add: AddCommand) -> None:
    """The parser of a command for each name that stands for a workflow made from options, e.g. `inlay inpaint`."""
    from ....nodes.pack import PACK

    for name, expander in PACK.expanders.items():
        parser = add(name, _run, expander.title[0].lower() + expander.title[1:], add_help=False)
        parser.set_defaults(file=name, named=True, partial=False)
        _takes_run_options(parser)


def takes_workflow(parser: argparse.ArgumentParser) -> None:
    """Add FILE, and the options of every run."""
    parser.add_argument(
        "file", metavar="FILE", nargs="?", help="a .json workflow, the name of a shipped one, or a picture made by one"
    )
    parser.add_argument(
        "--partial",
        action="store_true",
        help="of a ComfyUI file: leave out the nodes of other packs, and what cannot run without them",
    )
    parser.set_defaults(named=False)
    _takes_run_options(parser)


def _takes_run_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-h", "--help", action="store_true", help="with FILE: the inputs of this workflow")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NODE.PARAM=VALUE", help="set any setting of any node"
    )
    parser.add_argument(
        "--out", action=Once, default="inlay-out", metavar="DIR", help="the output folder (default: ./inlay-out)"
    )
    parser.add_argument("--inputs", action=Once, metavar="DIR", help="a folder that paths in the workflow may refer to")
    parser.add_argument(
        "--device", action=Once, default="auto", help="auto, cpu, cuda:0, several such as cuda:0,cuda:1 (default: auto)"
    )
    parser.add_argument(
        "--memory",
        action=Once,
        metavar="SIZE",
        help='the most memory that the run may use on the device, e.g. "6GB" (default: what is free, less a margin)',
    )
    parser.add_argument(
        "--fast",
        action=Once,
        metavar="NAMES",
        help="evaluate models faster, with slightly different bytes: compile, cuda-graphs, channels-last, step-cache; "
        "several with commas",
    )
    parser.add_argument(
        "--explain-memory", action="store_true", help="list what was loaded, evicted and streamed, and why"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="run nothing: print what each node will need of the device's memory"
    )
    parser.add_argument(
        "--profile",
        action=Once,
        nargs="?",
        const="",
        metavar="FOLDER",
        help="measure the run: a table, JSON, a trace and a picture (default: profile_00001 in the output folder)",
    )
    parser.add_argument("--no-cache", action="store_true", help="compute everything again and store no results")
    parser.add_argument(
        "--no-metadata", action="store_true", help="save only pixels and colour profile, without the workflow or EXIF"
    )
    parser.add_argument(
        "--jobs",
        action=Once,
        type=_count,
        default=1,
        metavar="N",
        help="processes that share the pictures of a folder, or the combinations of a sweep (default: 1)",
    )
    parser.add_argument("--quiet", action="store_true", help="show no progress bars")
    parser.set_defaults(parser=parser, takes_flags=True)


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:9]) <= 1000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of processes, from 1 to 1000")
    return int(text)


def _load(options: argparse.Namespace, rest: list[str], command: str) -> "LoadedWorkflow | Job | None":
    """The workflow with the values from the command line, or the job that they ask for; None if help was asked for,
    and printed.

    Raises:
        WorkflowError: no such file, not a workflow, or a flag that it does not have.
    """
    if options.file is None:
        if not options.help:
            taken = f": --profile took {options.profile!r}, so put FILE first" if options.profile else ""
            options.parser.error(f"FILE is missing{taken}")
        print(options.parser.format_help(), end="")
        flags.print_shipped()
        return None
    if not options.named:
        require_file_first(options, command)
    from ..jobs.job import Origin, find_job
    from ..python.load_workflow import load
    from ..python.save_outputs import save_outputs

    loaded = load(options.file, inputs=options.inputs, out=options.out, partial=options.partial)
    parser = flags.parser_for(loaded, options.file, "" if options.named else command)
    if options.help:
        print(clean(parser.format_help()), end="")
        return None
    values, settings = read_arguments(parser, options, rest, loaded)
    origin = Origin(options.file, options.inputs, partial=options.partial)
    if (job := find_job(loaded, values, settings, origin)) is not None:
        return job
    loaded.set_values(values, settings)
    save_outputs(loaded)
    return loaded


def require_file_first(options: argparse.Namespace, command: str) -> None:
    """Refuse a flag of the workflow before FILE, which would take FILE as its value."""
    first = options.words[options.words.index(command) + 1]
    known = [word for action in options.parser._actions for word in action.option_strings]
    if first.startswith("-") and first != "--" and first.split("=")[0] not in known:
        raise WorkflowError.of(
            "command line",
            found=f"{first!r} before the workflow",
            expected=f"inlay {command} FILE [--NAME VALUE …]",
            fix="put FILE first, then the flags",
        )


def _run(options: argparse.Namespace, rest: list[str]) -> int:
    if options.named and not rest:
        options.help = True  # nothing is asked for
    if options.file is None or options.help:
        _load(options, rest, "run")
        return 0
    from ..python.load_workflow import LoadedWorkflow
    from ..python.result import Result
    from ..rerun.keep import recording
    from ..rerun.repeat import repeat
    from ..rerun.request import key_of_command
    from ..rerun.surroundings import load_nodes, nodes_are_loaded
    from .job import run_command

    with collect_reads() as asked:
        key = key_of_command(options)
    known = repeat(key, expand(options.out)) if not nodes_are_loaded() else None
    if known is not None:
        for event in known.events:
            if isinstance(event, Warned):
                print(clean(str(event)), file=sys.stderr)
        _print(options, Result({}, known.paths, known.events), known.shown)
        if not (options.quiet or options.json):
            print("done: the same as in an earlier run, whose results are used again", file=sys.stderr)
        return 0
    with recording(key, options.file, shown_outputs, asked) as record:
        load_nodes()
        loaded = _load(options, rest, "run")
        assert loaded is not None, "only help needs no workflow"
        gc.enable()
        if not isinstance(loaded, LoadedWorkflow):
            if options.profile is not None:
                from ..profile.place import require_place

                require_place(options.profile, None)
            if options.dry_run:
                return print_forecast(loaded.prepared(next(iter(loaded.items))), options)
            return run_command(loaded, options)
        if options.dry_run:
            return print_forecast(loaded, options)
        if options.jobs > 1:
            print("warning: --jobs is for a folder of pictures: one picture has one process", file=sys.stderr)
        _run_loaded(loaded, options, record)
    return 0


def _run_loaded(loaded: "LoadedWorkflow", options: argparse.Namespace, record: "Recording | None") -> None:
    from ..python.run_loaded import run_loaded
    from .progress import Bars

    with _profiled(loaded, options) as profile:
        with Bars(enabled=not options.quiet) as bars:
            result = run_loaded(
                loaded,
                device=options.device,
                memory=options.memory,
                cache=not options.no_cache,
                metadata=not options.no_metadata,
                listeners=[bars],
                record=record,
                measure=options.explain_memory,
                profile=profile,
            )
        _print(options, result, shown_outputs(result))
        if options.explain_memory:
            print_decisions(result.events)
        if not options.json:
            bars.summary(result)


@contextmanager
def _profiled(loaded: "LoadedWorkflow", options: argparse.Namespace) -> "Iterator[Profile | None]":
    """The profile of the run in the block, which is written at its end; None if nobody asks for one."""
    if options.profile is None:
        yield None
        return
    from ..profile.place import ProfilePlace, profiling
    from ..profile.profile import Profile

    place, profile = ProfilePlace(options.profile, loaded.out), Profile(loaded.workflow.title or options.file)
    with profiling(profile, place, lambda line: print(line, file=sys.stderr)):
        yield profile


def _print(options: argparse.Namespace, result: "Result", shown: "JsonValue") -> None:
    """Print the files and outputs of a run."""
    assert isinstance(shown, dict)
    if options.json:
        print(json.dumps(result_json(result, shown["json"])))
        return
    for path in result.paths:
        print(clean(str(path)))
    for line in shown["lines"] if isinstance(shown["lines"], list) else []:
        print(clean(str(line)))


def _check(options: argparse.Namespace, rest: list[str]) -> int:
    loaded = _load(options, rest, "check")
    if loaded is None:
        return 0
    from ..jobs.check_job import check_job
    from ..python.check_loaded import check_loaded, take_from
    from ..python.load_workflow import LoadedWorkflow

    out = None
    if isinstance(loaded, LoadedWorkflow):
        report = check_loaded(loaded, device=options.device, memory=options.memory)
        out = loaded.out
    else:
        report = check_job(loaded, device=options.device, memory=options.memory)
    if options.profile is not None:
        from ..profile.place import require_place

        take_from(report, lambda: require_place(options.profile, out))
    for warning in report.warnings:
        print(clean(str(warning)), file=sys.stderr)
    if options.json:
        found = {
            "status": "error" if report else "ok",
            "problems": [problem_json(problem) for problem in report],
            "warnings": [warning_json(warning) for warning in report.warnings],
        }
        print(json.dumps(found))
    elif report:
        print(f"inlay: {clean(str(WorkflowError(report)))}", file=sys.stderr)
    else:
        print(clean(f"{options.file}: no problems"))
    return 2 if report else 0

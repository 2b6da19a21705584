"""`inlay run` and `inlay check`: the commands that take a workflow and the flags it defines."""

import argparse
import json
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ...core.errors import WorkflowError, clean
from . import flags
from .typed import read_flags

if TYPE_CHECKING:
    from ..python.api import Loaded

Add = Callable[..., argparse.ArgumentParser]


def add_run(add: Add) -> None:
    """The parser of `inlay run`."""
    _takes_workflow(add("run", _run, "run a workflow", add_help=False))


def add_check(add: Add) -> None:
    """The parser of `inlay check`: the flags of `run`."""
    _takes_workflow(add("check", _check, "find every problem of a workflow without running it", add_help=False))


def _takes_workflow(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file", metavar="FILE", nargs="?", help="a .json workflow, the name of a shipped one, or a picture"
    )
    parser.add_argument("-h", "--help", action="store_true", help="with FILE: what this workflow lets you set")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NODE.PARAM=VALUE", help="any setting of any node"
    )
    parser.add_argument(
        "--out", action=flags.Once, default="inlay-out", metavar="DIR", help="where files land (default: ./inlay-out)"
    )
    parser.add_argument(
        "--inputs", action=flags.Once, metavar="DIR", help="a folder that paths in the file may point into"
    )
    parser.add_argument("--device", action=flags.Once, default="auto", help="auto, cpu, cuda:0 … (default: auto)")
    parser.add_argument(
        "--memory", action=flags.Once, metavar="SIZE", help='how much the weights may take on the device, e.g. "6GB"'
    )
    parser.add_argument("--no-cache", action="store_true", help="compute everything anew, keep nothing")
    parser.add_argument(
        "--no-metadata", action="store_true", help="saved pictures carry nothing but their pixels and colour profile"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
    parser.set_defaults(parser=parser, takes_flags=True)


def _loaded(options: argparse.Namespace, rest: list[str], command: str) -> "Loaded | None":
    """The workflow with what was typed laid over it; None where help was asked for, and given.

    Raises:
        WorkflowError: no such file, not a workflow, or a flag that it does not take.
    """
    if options.file is None:
        if not options.help:
            options.parser.error("FILE is missing")
        print(options.parser.format_help(), end="")
        flags.print_shipped()
        return None
    _require_file_first(options, command)
    from ..python import api

    loaded = api.load(options.file, inputs=options.inputs, out=options.out, find_files=False)
    own = flags.parser_for(loaded, options.file, command)
    if options.help:
        print(clean(own.format_help()), end="")
        return None
    values, settings = read_flags(own, options, rest, loaded)
    loaded = api.load(options.file, values=values, settings=settings, inputs=options.inputs, out=options.out)
    flags.save_outputs(loaded)
    return loaded


def _require_file_first(options: argparse.Namespace, command: str) -> None:
    """A flag of the workflow before FILE would swallow FILE as its value: say so instead."""
    first = options.words[options.words.index(command) + 1]
    known = [word for action in options.parser._actions for word in action.option_strings]
    if first.startswith("-") and first != "--" and first.split("=")[0] not in known:
        raise WorkflowError.of(
            "command line",
            found=f"{first!r} before the workflow",
            expected=f"inlay {command} FILE [--NAME VALUE …]",
            fix="put FILE first, the flags after it",
        )


def _run(options: argparse.Namespace, rest: list[str]) -> int:
    loaded = _loaded(options, rest, "run")
    if loaded is None:
        return 0
    from ..python import api
    from .progress import Bars

    with Bars(enabled=not options.quiet) as bars:
        result = api.run_loaded(
            loaded,
            device=options.device,
            memory=options.memory,
            cache=not options.no_cache,
            metadata=not options.no_metadata,
            listeners=[bars],
        )
    if options.json:
        print(json.dumps(flags.result_json(result)))
    else:
        for path in result.paths:
            print(path)
        for name, value in result.items():
            if isinstance(value, str):  # a report, a caption
                print(clean(value))
            elif isinstance(value, float):  # a measurement
                print(f"{name}: {value:.4g}")
        bars.summary(result)
    return 0


def _check(options: argparse.Namespace, rest: list[str]) -> int:
    loaded = _loaded(options, rest, "check")
    if loaded is None:
        return 0
    from ..python import api

    report = api.check_loaded(loaded, device=options.device, memory=options.memory)
    for warning in report.warnings:
        print(clean(str(warning)), file=sys.stderr)
    if options.json:
        found: dict[str, Any] = {
            "status": "error" if report else "ok",
            "problems": [flags.problem_json(problem) for problem in report],
            "warnings": [flags.warning_json(warning) for warning in report.warnings],
        }
        print(json.dumps(found))
    elif report:
        print(f"inlay: {clean(str(WorkflowError(report)))}", file=sys.stderr)
    else:
        print(f"{options.file}: no problems")
    return 2 if report else 0

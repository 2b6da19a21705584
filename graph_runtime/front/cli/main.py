"""The `inlay` command. It imports torch only when a command needs it, so that `inlay --help` answers at once.

Exit status: 0 done, 1 a node failed, 2 the input is wrong and nothing ran, 130 cancelled.
`--json` prints one object on stdout, everything else on stderr.
"""

import argparse
import contextlib
import errno
import json
import os
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

from ...core.bounded.effort import uncollected
from ...core.disk_errors import disk_error, explain
from ...core.errors import (
    Cancelled,
    InlayError,
    NodeError,
    Problem,
    WorkflowError,
    clean,
    did_you_mean,
    missing_package,
)
from ...core.memory.device_lost import explanation, lost_device
from . import cache, commands, convert, run, samples, serve, sweep
from .json_output import problem_json
from .parser import Command, Parser, join_values

EPILOG = """\
examples:
  inlay samples .                                             fill this folder with samples to try the commands on
  inlay inpaint photo.jpg hole.png                            fill what the mask marks, from the rest of the photo
  inlay run zero_shot_inpaint                                 run a shipped workflow on its sample picture
  inlay run zero_shot_inpaint --image a.png --mask b.png      run it on your own picture (white in the mask = repaint)
  inlay sweep zero_shot_inpaint --grid seed=0..9              one run for each value, and a sheet of all results
  inlay run FILE --help                                       show the inputs of a workflow
  inlay run inlay-out/image_00001.png                         make the same picture again, byte for byte
  inlay check FILE                                            list all problems without running anything

exit status: 0 done, 1 a node failed, 2 the input is wrong (nothing ran), 130 cancelled
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    as_json = "--json" in words
    _stop_on_sigterm()
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # the parent process has closed it
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):  # the terminal may not know every character of a title
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        with uncollected():  # commands that answer at once leave no garbage worth looking for; a run switches it on
            status = _main(words, as_json)
        sys.stdout.flush()
    except OSError:  # the reader of stdout is gone, or its disk is full
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return status


def _main(words: list[str], as_json: bool) -> int:
    try:
        if not words:
            _parser().print_help()
            return 0
        _require_command(words)
        options, rest = _parser().parse_known_args(join_values(words))
        options.words = words
        command: Command = options.command
        if rest and not getattr(options, "takes_flags", False):
            raise WorkflowError.of(
                "command line",
                found=f"unknown arguments {' '.join(rest)}",
                expected="the options of this command",
                fix="see `inlay --help`",
            )
        return command(options, rest)
    except (KeyboardInterrupt, Cancelled) as stop:
        return _report(as_json, 130, str(stop) or "cancelled", [])
    except InlayError as error:
        _show_traceback(words)
        for warning in getattr(error, "warnings", ()):  # of the check that failed: often the cause
            print(clean(str(warning)), file=sys.stderr)
        problems = [error.problem] if isinstance(error, NodeError) else getattr(error, "problems", [])
        return _report(as_json, error.status, str(error), problems)
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001 - the outermost handler reports what nobody foresaw
        return _report_unexpected(error, words, as_json)


def _report_unexpected(error: Exception, words: list[str], as_json: bool) -> int:
    if isinstance(error, OSError) and error.errno == errno.ENOSPC and error.filename is None:
        full = WorkflowError.of(
            "output",
            found="no space left for the output",
            expected="a disk with free space",
            fix="free some space, or redirect the output to another disk",
        ).problems
        return _report(as_json, 1, str(full[0]), full)
    _show_traceback(words)
    if (missing := missing_package(error)) is not None:
        lacking = WorkflowError.of(None, found=missing[0], expected=missing[1], fix=missing[2])
        return _report(as_json, lacking.status, str(lacking), lacking.problems)
    if (said := lost_device(error)) is not None:
        gone = Problem(None, "device", *explanation("the device", said))
        return _report(as_json, 1, str(gone), [gone])
    if (cause := disk_error(error)) is not None:
        trouble = Problem(None, "files", *explain(cause))
        return _report(as_json, 1, str(trouble), [trouble])
    problem = Problem(
        None,
        "command line",
        f"{type(error).__name__}: {error}",
        "no unexpected error",
        "this is a bug in inlay: please run again with --traceback and report it",
    )
    return _report(as_json, 1, f"unexpected {problem}", [problem])


def _require_command(words: list[str]) -> None:
    """Refuse a first word that is not a command, and suggest a similar one, or `run` before the name of a workflow."""
    word = words[0]
    from ....nodes.pack import PACK

    known = (
        *PACK.expanders,
        "run",
        "sweep",
        "check",
        "samples",
        "nodes",
        "schema",
        "draw",
        "convert",
        "doctor",
        "models",
        "cache",
        "serve",
    )
    if word in known or word.startswith("-"):
        return
    from ..installed import shipped_workflows

    shipped = shipped_workflows()
    suffix = os.path.splitext(word)[1].lower()
    if suffix in PACK.picture_suffixes:
        edits = " or ".join(f"`inlay {name} {word} …`" for name in PACK.expanders)
        fix = f"did you mean {edits}, or, for a picture that inlay made, `inlay run {word}`?"
    elif word in shipped or suffix == ".json" or os.path.isfile(word):
        fix = f"did you mean `inlay run {word}`?"
    elif (near := did_you_mean(word, known)).startswith("did you mean"):
        fix = near
    elif (near := did_you_mean(word, shipped)).startswith("did you mean"):
        fix = f"did you mean `inlay run {near.split(chr(39))[1]}`?"
    else:
        fix = "see `inlay --help`"
    raise WorkflowError.of(
        "command line", found=f"an unknown command {word!r}", expected=f"one of: {', '.join(known)}", fix=fix
    )


def _show_traceback(words: list[str]) -> None:
    if "--traceback" in words:
        import traceback

        traceback.print_exc()


def _stop_on_sigterm() -> None:
    """Handle SIGTERM like Ctrl-C, so that no half-written file stays."""

    def stop(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    try:
        signal.signal(signal.SIGTERM, stop)
    except ValueError:
        return  # not the main thread: the embedding program decides


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="inlay",
        description="Exact image inpainting and editing with workflow files.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    from .... import __version__

    parser.add_argument("--version", action="version", version=f"inlay {__version__}")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=Parser)

    def add(name: str, command: Command, description: str, *, add_help: bool = True) -> argparse.ArgumentParser:
        sub = subparsers.add_parser(
            name, help=description, description=description, allow_abbrev=False, add_help=add_help
        )
        sub.add_argument("--json", action="store_true", help="print one JSON object on stdout")
        sub.add_argument("--traceback", action="store_true", help="show where in the code an error was raised")
        sub.set_defaults(command=command)
        return sub

    run.add_expanders(add)
    run.add_run(add)
    run.add_check(add)
    sweep.add_sweep(add)
    samples.add_samples(add)
    commands.add_commands(add)
    convert.add_convert(add)
    cache.add_cache(add)
    serve.add_serve(add)
    return parser


def _report(as_json: bool, status: int, message: str, problems: Sequence[Problem]) -> int:
    if as_json:
        word = {1: "failed", 2: "error", 130: "cancelled"}[status]
        print(json.dumps({"status": word, "message": message, "problems": [problem_json(p) for p in problems]}))
    print(f"inlay: {clean(message)}", file=sys.stderr)
    return status

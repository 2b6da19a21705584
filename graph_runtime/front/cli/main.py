"""The command line. Light to import: no torch until something needs it, so `inlay --help` answers at once.

Exit status: 0 done, 1 a node failed, 2 the input is wrong and nothing ran, 130 cancelled.
`--json` prints one object on stdout; everything else goes to stderr.
"""

import argparse
import contextlib
import errno
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

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
from . import run
from .flags import Parser, bind, problem_json

if TYPE_CHECKING:
    from ...core.spec import NodeSpec, Registry

EPILOG = """\
examples:
  inlay run zero_shot_inpaint                                 the shipped workflow on its sample
  inlay run zero_shot_inpaint --image a.png --mask b.png      on your own picture (white in the mask = repaint)
  inlay run FILE --help                                       what a workflow lets you set
  inlay run inlay-out/image_00001.png                         the same picture again, to the same bytes
  inlay check FILE                                            every problem, without running

exit status: 0 done, 1 a node failed, 2 the input is wrong (nothing ran), 130 cancelled
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    as_json = "--json" in words
    _stop_on_sigterm()
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by who started us: there is nobody to tell
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):  # a stranger's title must not break a terminal that knows less
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        status = _main(words, as_json)
        sys.stdout.flush()
        return status
    except OSError:  # nobody reads what we print any more, or there is no room for it
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _main(words: list[str], as_json: bool) -> int:
    try:
        if not words:
            _parser().print_help()
            return 0
        _require_command(words)
        options, rest = _parser().parse_known_args(bind(words))
        options.words = words
        command: Callable[[argparse.Namespace, list[str]], int] = options.command
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
        for warning in getattr(error, "warnings", ()):  # what a check has said before it refused: often the cause
            print(clean(str(warning)), file=sys.stderr)
        problems = [error.problem] if isinstance(error, NodeError) else getattr(error, "problems", [])
        return _report(as_json, error.status, str(error), problems)
    except BrokenPipeError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC and error.filename is None:
            full = WorkflowError.of(
                "output",
                found="no room for what is printed",
                expected="a disk with room",
                fix="make room, or print to another place",
            ).problems
            return _report(as_json, 1, str(full[0]), full)
        _show_traceback(words)
        if (missing := missing_package(error)) is not None:
            lacking = WorkflowError.of(None, found=missing[0], expected=missing[1], fix=missing[2])
            return _report(as_json, lacking.status, str(lacking), lacking.problems)
        problem = Problem(
            None,
            "command line",
            f"{type(error).__name__}: {error}",
            "no such thing to happen",
            "this is a mistake in inlay: run again with --traceback and report it, please",
        )
        return _report(as_json, 1, f"unexpected {problem}", [problem])


def _require_command(words: list[str]) -> None:
    """Refuse a first word that is no command, with the near one; the name of a workflow wants `run` before it."""
    word = words[0]
    commands = ("run", "check", "nodes", "schema", "draw", "doctor", "models")
    if word in commands or word.startswith("-"):
        return
    from ..python.loading import shipped

    suffix = os.path.splitext(word)[1].lower()
    if word in shipped() or suffix in (".json", ".png", ".webp", ".jpg", ".jpeg") or os.path.isfile(word):
        fix = f"did you mean `inlay run {word}`?"
    elif (near := did_you_mean(word, commands)).startswith("did you mean"):
        fix = near
    elif (near := did_you_mean(word, shipped())).startswith("did you mean"):
        fix = f"did you mean `inlay run {near.split(chr(39))[1]}`?"
    else:
        fix = "see `inlay --help`"
    raise WorkflowError.of(
        "command line", found=f"an unknown command {word!r}", expected=f"one of: {', '.join(commands)}", fix=fix
    )


def _show_traceback(words: list[str]) -> None:
    if "--traceback" in words:
        import traceback

        traceback.print_exc()


def _stop_on_sigterm() -> None:
    """A polite kill ends like Ctrl-C, so that nothing half-written stays."""

    def stop(*_: Any) -> NoReturn:
        raise KeyboardInterrupt

    try:
        signal.signal(signal.SIGTERM, stop)
    except ValueError:
        return  # not the main thread: the embedding program decides


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="inlay",
        description="Exact image inpainting and editing from workflow files.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    from .... import __version__

    parser.add_argument("--version", action="version", version=f"inlay {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=Parser)

    def add(
        name: str, function: Callable[[argparse.Namespace, list[str]], int], about: str, **more: Any
    ) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=about, description=about, allow_abbrev=False, **more)
        sub.add_argument("--json", action="store_true", help="one JSON object on stdout")
        sub.add_argument("--traceback", action="store_true", help="show where in the code an error came from")
        sub.set_defaults(command=function)
        return sub

    run.add_run(add)
    run.add_check(add)

    nodes = add("nodes", _nodes, "list the nodes, or show one in full")
    nodes.add_argument("id", metavar="ID", nargs="?")

    schema = add("schema", _schema, "JSON Schema of the workflow file, or of one node's settings")
    schema.add_argument("what", metavar="workflow|ID", nargs="?", default="workflow")

    draw = add("draw", _draw, "draw a workflow as SVG")
    draw.add_argument("file", metavar="FILE")
    draw.add_argument("-o", "--output", required=True, metavar="graph.svg")

    add("doctor", _doctor, "look for what commonly goes wrong on a machine")

    models = add("models", _models, "what models are at hand")
    models.add_argument("action", choices=["list"], metavar="list")
    return parser


# the commands that run nothing


def _nodes(options: argparse.Namespace, rest: list[str]) -> int:
    from ..docs import reference
    from ..python.api import pack

    registry = pack()
    if options.id is None:
        found: Any = reference.listing(registry)
        print(json.dumps(found) if options.json else _listing_text(registry))
        return 0
    spec = _known_node(options.id, registry)
    print(json.dumps(reference.describe(spec)) if options.json else reference.render_text(spec))
    return 0


def _listing_text(registry: "Registry") -> str:
    width = max(len(node_id) for node_id in registry)
    return "\n".join(f"{node_id:{width}}  {registry[node_id].summary}" for node_id in sorted(registry))


def _known_node(node_id: str, registry: "Registry") -> "NodeSpec":
    if node_id not in registry:
        raise WorkflowError.of(
            None,
            found=f"an unknown node {node_id!r}",
            expected="a node id from `inlay nodes`",
            fix=did_you_mean(node_id, registry),
        )
    return registry[node_id]


def _schema(options: argparse.Namespace, rest: list[str]) -> int:
    if options.what == "workflow":
        from ...core.workflow import json_schema

        print(json.dumps(json_schema(), indent=2))
        return 0
    from ..python.api import pack

    print(json.dumps(_known_node(options.what, pack()).params.model_json_schema(), indent=2))
    return 0


def _draw(options: argparse.Namespace, rest: list[str]) -> int:
    from ...core.files import write_text
    from ..draw.draw import draw
    from ..python import api

    loaded = api.load(options.file)
    text = draw(loaded.workflow, loaded.registry)
    try:
        write_text(Path(options.output), text)
    except OSError as error:
        raise WorkflowError.of(
            "--output",
            found=f"{options.output!r}: {error.strerror}",
            expected="a file that can be written",
            fix="choose another folder",
        ) from None
    print(json.dumps({"status": "done", "paths": [options.output]}) if options.json else options.output)
    return 0


def _doctor(options: argparse.Namespace, rest: list[str]) -> int:
    from . import doctor

    findings = doctor.diagnose()
    if options.json:
        print(json.dumps({"findings": [finding.__dict__ for finding in findings]}))
    else:
        print(doctor.render(findings))
    return 1 if any(finding.ok is False for finding in findings) else 0


def _models(options: argparse.Namespace, rest: list[str]) -> int:
    from .inventory import at_hand, render

    found = at_hand()
    print(json.dumps({"models": found}) if options.json else render(found))
    return 0


def _report(as_json: bool, status: int, message: str, problems: Sequence[Problem]) -> int:
    if as_json:
        word = {1: "failed", 2: "error", 130: "cancelled"}[status]
        print(json.dumps({"status": word, "message": message, "problems": [problem_json(p) for p in problems]}))
    print(f"inlay: {clean(message)}", file=sys.stderr)
    return status

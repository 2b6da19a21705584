"""The command line. Light to import: no torch until something needs it, so `inlay --help` answers at once.

Exit status: 0 done, 1 a node failed, 2 the input is wrong and nothing ran, 130 cancelled.
`--json` prints one object on stdout; everything else goes to stderr.
"""

import argparse
import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from . import flags
from .errors import Cancelled, InlayError, NodeError, Problem, WorkflowError, clean, did_you_mean
from .flags import Parser

if TYPE_CHECKING:
    from .spec import NodeSpec, Registry

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
        options, rest = _parser().parse_known_args(words)
        options.words = words
        command: Callable[[argparse.Namespace, list[str]], int] = options.command
        if rest and command is not _run:
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
        problems = [error.problem] if isinstance(error, NodeError) else getattr(error, "problems", [])
        return _report(as_json, error.status, str(error), problems)
    except BrokenPipeError:
        raise
    except Exception as error:
        _show_traceback(words)
        problem = Problem(
            None,
            "command line",
            f"{type(error).__name__}: {error}",
            "no such thing to happen",
            "this is a mistake in inlay: run again with --traceback and report it, please",
        )
        return _report(as_json, 1, f"unexpected {problem}", [problem])


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
    from .. import __version__

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

    run = add("run", _run, "run a workflow", add_help=False)
    run.add_argument(
        "file", metavar="FILE", nargs="?", help="a .json workflow, the name of a shipped one, or a picture"
    )
    run.add_argument("-h", "--help", action="store_true", help="with FILE: what this workflow lets you set")
    run.add_argument("--set", action="append", default=[], metavar="NODE.PARAM=VALUE", help="any setting of any node")
    run.add_argument("--out", default="inlay-out", metavar="DIR", help="where files land (default: ./inlay-out)")
    run.add_argument("--inputs", metavar="DIR", help="a folder that paths in the file may point into")
    run.add_argument("--device", default="auto", help="auto, cpu, cuda:0 … (default: auto)")
    run.add_argument("--memory", metavar="SIZE", help='how much the weights may take on the device, e.g. "6GB"')
    run.add_argument("--no-cache", action="store_true", help="compute everything anew, keep nothing")
    run.add_argument("--no-metadata", action="store_true", help="saved pictures do not carry their workflow")
    run.add_argument("--quiet", action="store_true", help="no progress bars")
    run.set_defaults(parser=run)

    check = add("check", _check, "find every problem of a workflow without running it")
    check.add_argument("file", metavar="FILE")
    check.add_argument("--inputs", metavar="DIR", help="a folder that paths in the file may point into")

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


# run


def _run(options: argparse.Namespace, rest: list[str]) -> int:
    if options.file is None:
        if not options.help:
            options.parser.error("FILE is missing")
        print(options.parser.format_help(), end="")
        flags.print_shipped()
        return 0
    _require_file_first(options)
    from . import api

    loaded = api.load(options.file, inputs=options.inputs, out=options.out, find_files=False)
    own = flags.parser_for(loaded, options.file)
    if options.help:
        print(clean(own.format_help()), end="")
        return 0
    found, unknown = own.parse_known_args(rest)
    if unknown:
        flags.unknown_flag(unknown, loaded)
    values = {
        name: flags.convert(text, flags.target(loaded, name)) for name, text in vars(found).items() if text is not None
    }
    settings = dict(flags.override(word, loaded) for word in options.set)
    loaded = api.load(options.file, values=values, settings=settings, inputs=options.inputs, out=options.out)
    flags.save_outputs(loaded)
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


def _require_file_first(options: argparse.Namespace) -> None:
    """A flag of the workflow before FILE would swallow FILE as its value: say so instead."""
    first = options.words[options.words.index("run") + 1]
    known = [word for action in options.parser._actions for word in action.option_strings]
    if first.startswith("-") and first != "--" and first.split("=")[0] not in known:
        raise WorkflowError.of(
            "command line",
            found=f"{first!r} before the workflow",
            expected="inlay run FILE [--NAME VALUE …]",
            fix="put FILE first, the flags after it",
        )


# the other commands


def _check(options: argparse.Namespace, rest: list[str]) -> int:
    from . import api

    problems, warnings = api.findings(options.file, inputs=options.inputs)
    for warning in warnings:
        print(clean(f"warning: {warning.node}: {warning.message}"), file=sys.stderr)
    if options.json:
        print(json.dumps({
            "status": "error" if problems else "ok",
            "problems": [_problem_json(p) for p in problems],
            "warnings": [{"node": warning.node, "message": warning.message} for warning in warnings],
        }))
    elif problems:
        print(f"inlay: {clean(str(WorkflowError(problems)))}", file=sys.stderr)
    else:
        print(f"{options.file}: no problems")
    return 2 if problems else 0


def _nodes(options: argparse.Namespace, rest: list[str]) -> int:
    from . import docs
    from .api import pack

    registry = pack()
    if options.id is None:
        found: Any = docs.listing(registry)
        print(json.dumps(found) if options.json else _listing_text(registry))
        return 0
    spec = _known_node(options.id, registry)
    print(json.dumps(docs.describe(spec)) if options.json else docs.render_text(spec))
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
        from .workflow import json_schema

        print(json.dumps(json_schema(), indent=2))
        return 0
    from .api import pack

    print(json.dumps(_known_node(options.what, pack()).params.model_json_schema(), indent=2))
    return 0


def _draw(options: argparse.Namespace, rest: list[str]) -> int:
    from . import api
    from .draw import draw

    loaded = api.load(options.file)
    text = draw(loaded.workflow, loaded.registry)
    temporary = f"{options.output}.{os.getpid()}.part"
    try:
        with open(temporary, "w", encoding="utf-8") as stream:
            stream.write(text)
        os.replace(temporary, options.output)
    except OSError as error:
        if os.path.exists(temporary):
            os.unlink(temporary)
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


def _problem_json(problem: Problem) -> dict[str, str | None]:
    return {
        "node": problem.node,
        "port": problem.port,
        "found": problem.found,
        "expected": problem.expected,
        "fix": problem.fix,
    }


def _report(as_json: bool, status: int, message: str, problems: Sequence[Problem]) -> int:
    if as_json:
        word = {1: "failed", 2: "error", 130: "cancelled"}[status]
        print(json.dumps({"status": word, "message": message, "problems": [_problem_json(p) for p in problems]}))
    print(f"inlay: {clean(message)}", file=sys.stderr)
    return status

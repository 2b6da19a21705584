"""The command line. Light to import: no torch until something needs it, so `inlay --help` answers at once.

Exit status: 0 done, 1 a node failed, 2 the input is wrong and nothing ran, 130 cancelled.
`--json` prints one object on stdout; everything else goes to stderr.
"""

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from .errors import Cancelled, InlayError, NodeError, Problem, WorkflowError, did_you_mean

if TYPE_CHECKING:
    from .api import Loaded, Result
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


class _Parser(argparse.ArgumentParser):
    """argparse whose complaints are ours: status 2, and JSON when asked for."""

    def error(self, message: str) -> NoReturn:
        raise WorkflowError(
            [
                Problem(
                    None,
                    "command line",
                    message,
                    self.format_usage().strip().removeprefix("usage: "),
                    f"see `{self.prog} --help`",
                )
            ]
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    as_json, traceback = "--json" in words, "--traceback" in words
    _stop_on_sigterm()
    try:
        options, rest = _parser().parse_known_args(words)
        command: Callable[[argparse.Namespace, list[str]], int] = options.command
        if rest and command is not _run:
            raise WorkflowError(
                [
                    Problem(
                        None,
                        "command line",
                        f"unknown arguments {' '.join(rest)}",
                        "the options of this command",
                        "see `inlay --help`",
                    )
                ]
            )
        return command(options, rest)
    except (KeyboardInterrupt, Cancelled) as stop:
        return _report(as_json, 130, str(stop) or "cancelled", [])
    except InlayError as error:
        if traceback:
            raise
        problems = [error.problem] if isinstance(error, NodeError) else getattr(error, "problems", [])
        return _report(as_json, error.status, str(error), problems)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _stop_on_sigterm() -> None:
    """A polite kill ends like Ctrl-C, so that nothing half-written stays."""

    def stop(*_: Any) -> NoReturn:
        raise KeyboardInterrupt

    try:
        signal.signal(signal.SIGTERM, stop)
    except ValueError:
        return  # not the main thread: the embedding program decides


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="inlay",
        description="Exact image inpainting and editing from workflow files.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    from .. import __version__

    parser.add_argument("--version", action="version", version=f"inlay {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=_Parser)

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
        _print_shipped()
        return 0
    if options.file.startswith("-"):
        options.parser.error(f"FILE is missing before {options.file}")
    from . import api

    loaded = api.load(options.file, inputs=options.inputs, out=options.out)
    flags = _flags(loaded, options.file)
    if options.help:
        print(flags.format_help(), end="")
        return 0
    found, unknown = flags.parse_known_args(rest)
    if unknown:
        _unknown_flag(unknown, loaded)
    values = {name: _convert(text, _target(loaded, name)) for name, text in vars(found).items() if text is not None}
    settings = dict(_setting(word, loaded) for word in options.set)
    if values or settings:
        loaded = api.load(options.file, values=values, settings=settings, inputs=options.inputs, out=options.out)
    _save_outputs(loaded)
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
        print(json.dumps(_result_json(result)))
    else:
        for path in result.paths:
            print(path)
        bars.summary(result)
    return 0


def _print_shipped() -> None:
    from .api import shipped

    print("\nshipped workflows:")
    for name, path in shipped().items():
        title = json.loads(path.read_text(encoding="utf-8")).get("title", "")
        print(f"  {name:26} {title}")


def _flags(loaded: "Loaded", file: str) -> argparse.ArgumentParser:
    """A parser for the workflow's own inputs, with types, bounds and docs from the nodes they set."""
    workflow = loaded.workflow
    about = "\n\n".join(text for text in (workflow.title, workflow.description) if text)
    parser = _Parser(
        prog=f"inlay run {file}",
        description=about,
        allow_abbrev=False,
        add_help=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="and the options of every run: --set --out --inputs --device --memory --no-cache "
        "--no-metadata --quiet --json (see `inlay run --help`)",
    )
    for name in workflow.inputs:
        spec, parameter = _target(loaded, name)
        parser.add_argument(
            f"--{name}",
            *([f"--{name.replace('_', '-')}"] if "_" in name else []),
            dest=name,
            metavar=_metavar(spec, parameter),
            help=_help(loaded, name, spec, parameter),
        )
    return parser


def _target(loaded: "Loaded", name: str) -> tuple["NodeSpec | None", str]:
    node, _, parameter = loaded.workflow.targets(name)[0].partition(".")
    entry = loaded.workflow.nodes.get(node)
    return (loaded.registry.get(entry.type) if entry is not None else None), parameter


def _metavar(spec: "NodeSpec | None", parameter: str) -> str:
    if spec is None or parameter not in spec.params.model_fields:
        return "VALUE"
    if parameter in spec.path_roles:
        return {"file": "FILE", "files": "FILE", "model": "MODEL"}[spec.path_roles[parameter].kind]
    schema = spec.params.model_json_schema()["properties"][parameter]
    kinds = [schema, *schema.get("anyOf", [])]
    choices = [choice for kind in kinds for choice in kind.get("enum", [])]
    if choices:
        return "|".join(str(choice) for choice in choices)
    names = {"integer": "INT", "number": "NUMBER", "boolean": "true|false", "string": "TEXT"}
    return next((names[kind["type"]] for kind in kinds if kind.get("type") in names), "VALUE")


def _help(loaded: "Loaded", name: str, spec: "NodeSpec | None", parameter: str) -> str:
    if spec is None or parameter not in spec.params.model_fields:
        return ""
    schema = spec.params.model_json_schema()["properties"][parameter]
    kinds = [schema, *schema.get("anyOf", [])]
    bounds = [
        f"{sign} {kind[key]}"
        for kind in kinds
        for key, sign in (("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤"), ("exclusiveMaximum", "<"))
        if key in kind
    ]
    node = loaded.workflow.targets(name)[0].partition(".")[0]
    current = loaded.workflow.nodes[node].params.get(parameter, schema.get("default"))
    doc = spec.parameter_docs().get(parameter, "")
    facts = [*bounds, f"default: {json.dumps(current, ensure_ascii=False)}"]
    return f"{doc} ({', '.join(facts)})".strip().replace("%", "%%")


def _unknown_flag(unknown: list[str], loaded: "Loaded") -> NoReturn:
    flag = unknown[0]
    raise WorkflowError(
        [
            Problem(
                None,
                flag.split("=")[0],
                f"{flag!r}, which this workflow does not take",
                "one of: " + " ".join(f"--{name}" for name in loaded.workflow.inputs),
                did_you_mean(flag.lstrip("-").split("=")[0], loaded.workflow.inputs)
                + " Any other setting: --set NODE.PARAM=VALUE",
            )
        ]
    )


def _convert(text: str, target: tuple["NodeSpec | None", str]) -> Any:
    """What was typed, as the parameter's own type: text where it takes text, else JSON."""
    from pydantic import TypeAdapter, ValidationError

    spec, parameter = target
    if spec is None or parameter not in spec.params.model_fields:
        return text
    annotation: Any = spec.params.model_fields[parameter].annotation
    try:
        TypeAdapter(annotation).validate_python(text, strict=True)
        return text
    except ValidationError:
        pass
    try:
        return json.loads({"True": "true", "False": "false", "None": "null"}.get(text, text))
    except ValueError:
        return text


def _setting(word: str, loaded: "Loaded") -> tuple[str, Any]:
    target, equals, text = word.partition("=")
    node, dot, parameter = target.partition(".")
    if not equals or not dot:
        raise WorkflowError([Problem(None, "--set", repr(word), "NODE.PARAM=VALUE", "e.g. --set steps.steps=50")])
    entry = loaded.workflow.nodes.get(node)
    spec = loaded.registry.get(entry.type) if entry is not None else None
    return target, _convert(text, (spec, parameter))


def _save_outputs(loaded: "Loaded") -> None:
    """A workflow that saves nothing would leave a person with nothing: save its pictures under their output's name."""
    from .workflow import Node

    workflow, registry = loaded.workflow, loaded.registry
    if any(entry.type in registry and registry[entry.type].effects for entry in workflow.nodes.values()):
        return
    for name, link in list(workflow.outputs.items()):
        node, _, output = link.partition(".")
        spec = registry.get(workflow.nodes[node].type) if node in workflow.nodes else None
        if spec is not None and output in spec.outputs and spec.outputs[output].socket == "IMAGE":
            workflow.nodes[f"save_{name}"] = Node(type="image.save", params={"prefix": name}, inputs={"image": link})


def _result_json(result: "Result") -> dict[str, Any]:
    from .events import Warned

    return {
        "status": "done",
        "paths": [str(path) for path in result.paths],
        "outputs": {name: _value_json(value) for name, value in result.items()},
        "seconds": round(sum(result.timings.values()), 3),
        "timings": {name: round(seconds, 4) for name, seconds in result.timings.items()},
        "warnings": [
            {"node": event.node, "message": event.message} for event in result.events if isinstance(event, Warned)
        ],
    }


def _value_json(value: Any) -> Any:
    if hasattr(value, "shape"):
        return {"dtype": str(value.dtype).removeprefix("torch."), "shape": list(value.shape)}
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    if isinstance(value, (list, tuple)):
        return [_value_json(item) for item in value]
    return {"type": type(value).__name__}


# the other commands


def _check(options: argparse.Namespace, rest: list[str]) -> int:
    from . import api

    problems = api.check(options.file, inputs=options.inputs)
    if options.json:
        print(json.dumps({"status": "error" if problems else "ok", "problems": [_problem_json(p) for p in problems]}))
    elif problems:
        print(f"inlay: {WorkflowError(problems)}", file=sys.stderr)
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
        raise WorkflowError(
            [
                Problem(
                    None,
                    None,
                    f"an unknown node {node_id!r}",
                    "a node id from `inlay nodes`",
                    did_you_mean(node_id, registry),
                )
            ]
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
        raise WorkflowError(
            [
                Problem(
                    None,
                    "--output",
                    f"{options.output!r}: {error.strerror}",
                    "a file that can be written",
                    "choose another folder",
                )
            ]
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
    print(f"inlay: {message}", file=sys.stderr)
    return status

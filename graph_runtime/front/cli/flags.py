"""The part of the command line that a workflow defines: its inputs as flags, its outputs as files and JSON."""

import argparse
import json
import math
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from ...core.errors import Problem, WorkflowError, clean, did_you_mean
from ...core.events import Warned
from ...core.migrations import current_name

if TYPE_CHECKING:
    from ...core.spec import NodeSpec
    from ..node_settings import Setting
    from ..python.api import Loaded, Result


#: Flags without a value.
SWITCHES = frozenset({"--json", "--traceback", "--no-cache", "--no-metadata", "--quiet", "--help", "--version"})


class Parser(argparse.ArgumentParser):
    """argparse whose complaints are ours: status 2, and JSON when asked for."""

    def error(self, message: str) -> NoReturn:
        """Refuse what was typed."""
        usage = self.format_usage().strip().removeprefix("usage: ")
        how = "write --NAME=VALUE where a value begins with dashes, or " if "expected one argument" in message else ""
        raise WorkflowError.of("command line", found=message, expected=usage, fix=f"{how}see `{self.prog} --help`")


class Once(argparse.Action):
    """Stores a flag's value. Of two the last counts, as on any command line, and that is said."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Take the value."""
        seen = parser.__dict__.setdefault("seen_once", {})
        if self.dest in seen and seen[self.dest] != values:
            said = (
                f"warning: {option_string} is given twice: {values!r} is used, {seen[self.dest]!r} is not; "
                "a flag takes one value, which may be a JSON list where the setting is a list (see --help)"
            )
            print(clean(said), file=sys.stderr)
        seen[self.dest] = values
        setattr(namespace, self.dest, values)


def bind(words: Sequence[str]) -> list[str]:
    """What was typed, with `--image -room.png` as `--image=-room.png`: a value may begin with a dash.

    Only a flag that takes a value binds what follows it, and only a word that is no flag of ours.
    """
    bound: list[str] = []
    for word in words:
        before = bound[-1] if bound else ""
        takes = before.startswith("--") and len(before) > 2 and "=" not in before and before not in SWITCHES
        if takes and len(word) > 1 and word[0] == "-" and word[1] != "-" and word not in ("-h", "-o"):
            bound[-1] = f"{before}={word}"
        else:
            bound.append(word)
    return bound


def print_shipped() -> None:
    """The bare names that `inlay run` knows, with their titles."""
    from ..python.api import shipped

    print("\nshipped workflows:")
    for name, path in shipped().items():
        title = json.loads(path.read_text(encoding="utf-8")).get("title", "")
        print(f"  {name:26} {title}")


def parser_for(loaded: "Loaded", file: str, command: str = "run") -> argparse.ArgumentParser:
    """A parser for the workflow's own inputs, with types, bounds and docs from the nodes they set."""
    from ...core.workflow import NAME
    from ..node_settings import settings_of

    workflow = loaded.workflow
    about = "\n\n".join(text for text in (workflow.title, workflow.description) if text).replace("%", "%%")
    parser = Parser(
        prog=f"inlay {command} {file}".replace("%", "%%"),
        description=about,
        allow_abbrev=False,
        add_help=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="and the options of every run: --set --out --inputs --device --memory --no-cache "
        f"--no-metadata --quiet --json (see `inlay {command} --help`)",
    )
    for name in workflow.inputs:
        if not NAME.fullmatch(name) or not workflow.targets(name):
            continue  # the check will say what is wrong with it
        spec, parameter = target(loaded, name)
        known = {setting.name: setting for setting in settings_of(spec)} if spec is not None else {}
        setting = known.get(parameter)
        parser.add_argument(
            f"--{name}",
            *([f"--{name.replace('_', '-')}"] if "_" in name else []),
            dest=name,
            action=Once,
            metavar=_metavar(setting),
            help=_help(loaded, name, setting),
        )
    return parser


def target(loaded: "Loaded", name: str) -> tuple["NodeSpec | None", str]:
    """The node type and the setting that an input sets (the first, if it sets several)."""
    node, _, parameter = loaded.workflow.targets(name)[0].partition(".")
    entry = loaded.workflow.nodes.get(node)
    return (loaded.registry.get(entry.type) if entry is not None else None), parameter


def _metavar(setting: "Setting | None") -> str:
    if setting is None:
        return "VALUE"
    if setting.path:
        return {"file": "FILE", "files": "FILE", "model": "MODEL"}[setting.path]
    if setting.choices:
        return "|".join(str(choice) for choice in setting.choices)
    return {"integer": "INT", "number": "NUMBER", "boolean": "true|false", "text": "TEXT"}.get(setting.kind, "JSON")


def _help(loaded: "Loaded", name: str, setting: "Setting | None") -> str:
    if setting is None:
        return ""
    node = loaded.workflow.targets(name)[0].partition(".")[0]
    current = loaded.workflow.nodes[node].params.get(setting.name, setting.default)
    facts = [*([setting.bounds] if setting.bounds else []), f"default: {json.dumps(current, ensure_ascii=False)}"]
    return f"{setting.doc} ({', '.join(facts)})".strip().replace("%", "%%")


def unknown_flag(unknown: list[str], loaded: "Loaded") -> NoReturn:
    """Refuse a flag that the workflow does not have.

    Raises:
        WorkflowError: always.
    """
    flag = unknown[0]
    raise WorkflowError.of(
        flag.split("=")[0],
        found=f"{flag!r}, which this workflow does not take",
        expected="one of: " + " ".join(f"--{name}" for name in loaded.workflow.inputs),
        fix=did_you_mean(flag.lstrip("-").split("=")[0], loaded.workflow.inputs)
        + " Any other setting: --set NODE.PARAM=VALUE",
    )


def convert(text: str, target: tuple["NodeSpec | None", str]) -> Any:
    """What was typed, as the parameter's own type: text where it takes text, else JSON."""
    from pydantic import TypeAdapter, ValidationError

    spec, parameter = target
    if spec is None or parameter not in spec.params.model_fields:
        return text
    annotation: Any = spec.params.model_fields[parameter].annotation
    takes = TypeAdapter(annotation)
    for value in ([None] if text in ("null", "None") else []) + [text]:
        try:
            takes.validate_python(value, strict=True)
            return value
        except ValidationError:
            continue
    try:
        return json.loads({"True": "true", "False": "false", "None": "null"}.get(text, text))
    except (ValueError, RecursionError):
        return text


def override(word: str, loaded: "Loaded") -> tuple[str, Any]:
    """What `--set NODE.PARAM=VALUE` says.

    Raises:
        WorkflowError: it is not of that form.
    """
    where, equals, text = word.partition("=")
    node, dot, parameter = where.partition(".")
    if not equals or not dot:
        raise WorkflowError.of("--set", found=repr(word), expected="NODE.PARAM=VALUE", fix="e.g. --set steps.steps=50")
    entry = loaded.workflow.nodes.get(node)
    spec = loaded.registry.get(entry.type) if entry is not None else None
    return where, convert(text, (spec, current_name(spec, parameter)))


def save_outputs(loaded: "Loaded") -> None:
    """Add a saving node for each output that one can save, named after it, where a workflow saves nothing itself."""
    from ...core.workflow import Node

    workflow, registry = loaded.workflow, loaded.registry
    if any(entry.type in registry and registry[entry.type].effects for entry in workflow.nodes.values()):
        return
    savers = {spec.sockets[spec.saves].port.socket: spec for spec in registry.values() if spec.saves is not None}
    for name, link in list(workflow.outputs.items()):
        node, _, output = link.partition(".")
        spec = registry.get(workflow.nodes[node].type) if node in workflow.nodes else None
        port = spec.outputs.get(output) if spec is not None else None
        saver = savers.get(port.socket) if port is not None else None
        if saver is not None and saver.saves is not None:
            added = f"save_{name}"
            while added in workflow.nodes:
                added += "_"
            workflow.nodes[added] = Node(type=saver.id, params={"prefix": name}, inputs={saver.saves: link})


def problem_json(problem: Problem) -> dict[str, str | None]:
    """A problem as `--json` prints it."""
    return {
        "node": problem.node,
        "port": problem.port,
        "found": problem.found,
        "expected": problem.expected,
        "fix": problem.fix,
    }


def warning_json(warning: Warned) -> dict[str, str | None]:
    """A warning as `--json` prints it."""
    return {"node": warning.node, "message": warning.message}


def result_json(result: "Result") -> dict[str, Any]:
    """What `--json` prints of a run."""
    return {
        "status": "done",
        "paths": [str(path) for path in result.paths],
        "outputs": {name: _value_json(value) for name, value in result.items()},
        "seconds": round(sum(result.timings.values()), 3),
        "timings": {name: round(seconds, 4) for name, seconds in result.timings.items()},
        "warnings": [warning_json(event) for event in result.events if isinstance(event, Warned)],
    }


def _value_json(value: Any) -> Any:
    if hasattr(value, "shape"):
        return {"dtype": str(value.dtype).removeprefix("torch."), "shape": list(value.shape)}
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # JSON has no infinity
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    if isinstance(value, (list, tuple)):
        return [_value_json(item) for item in value]
    return {"type": type(value).__name__}

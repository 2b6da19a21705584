"""The flags that a workflow defines: one for each of its inputs."""

import argparse
import json
from typing import TYPE_CHECKING, NoReturn

from ...core.errors import WorkflowError, did_you_mean
from ..text_values import convert
from .expanded import parser_of
from .parser import Once, Parser, literal

if TYPE_CHECKING:
    from pydantic import JsonValue

    from ...core.spec import NodeSpec
    from ..node_settings import Setting
    from ..python.load_workflow import LoadedWorkflow


def print_shipped() -> None:
    """The names of the shipped workflows, with their titles."""
    from ..installed import shipped_workflows

    print("\nshipped workflows:")
    for name, path in shipped_workflows().items():
        title = json.loads(path.read_text(encoding="utf-8")).get("title", "")
        print(f"  {name:26} {title}")


def parser_for(loaded: "LoadedWorkflow", file: str, command: str = "run") -> argparse.ArgumentParser:
    """A parser for the workflow's inputs; types, bounds and descriptions come from the settings that they set.

    For a workflow that is made from options, a parser for these.
    """
    if loaded.expander is not None:
        return parser_of(loaded.expander, f"{command} {file}".strip())
    from ...core.workflow import NAME
    from ..node_settings import settings_of

    workflow = loaded.workflow
    about = "\n\n".join(text for text in (workflow.title, workflow.description) if text)
    parser = Parser(
        prog=f"inlay {command} {file}",
        description=literal(about),
        allow_abbrev=False,
        add_help=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="options of every run: --set --out --inputs --device --memory --profile --no-cache "
        f"--no-metadata --jobs --quiet --json (see `inlay {command} --help`)",
    )
    for name in workflow.inputs:
        if not NAME.fullmatch(name) or not workflow.targets(name):
            continue  # the check reports the problem
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


def target(loaded: "LoadedWorkflow", name: str) -> tuple["NodeSpec | None", str]:
    """The node type and the setting that an input sets (the first if it sets several)."""
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


def _help(loaded: "LoadedWorkflow", name: str, setting: "Setting | None") -> str:
    if setting is None:
        return ""
    node = loaded.workflow.targets(name)[0].partition(".")[0]
    current = loaded.workflow.nodes[node].params.get(setting.name, setting.default)
    facts = [*([setting.bounds] if setting.bounds else []), f"default: {json.dumps(current, ensure_ascii=False)}"]
    return f"{setting.doc} ({', '.join(facts)})".strip().replace("%", "%%")


def unknown_flag(unknown: list[str], loaded: "LoadedWorkflow") -> NoReturn:
    """Refuse a flag that the workflow does not have.

    Raises:
        WorkflowError: always.
    """
    flag = unknown[0]
    raise WorkflowError.of(
        flag.split("=")[0],
        found=f"{flag!r}, which this workflow does not have",
        expected="one of: " + " ".join(f"--{name}" for name in loaded.workflow.inputs),
        fix=did_you_mean(flag.lstrip("-").split("=")[0], loaded.workflow.inputs)
        + " Any other setting: --set NODE.PARAM=VALUE",
    )


def override(word: str, loaded: "LoadedWorkflow") -> tuple[str, "JsonValue"]:
    """`NODE.PARAM`, by the setting's name of today, and the value of a `--set NODE.PARAM=VALUE`.

    Raises:
        WorkflowError: the word does not have that form.
    """
    from ...core.definition.migrations import current_name

    where, equals, text = word.partition("=")
    where = loaded.aliases.get(where, where)
    node, dot, parameter = where.partition(".")
    if not equals or not dot:
        raise WorkflowError.of("--set", found=repr(word), expected="NODE.PARAM=VALUE", fix="e.g. --set steps.steps=50")
    entry = loaded.workflow.nodes.get(node)
    spec = loaded.registry.get(entry.type) if entry is not None else None
    parameter = current_name(spec, parameter)
    return f"{node}.{parameter}", convert(text, (spec, parameter))

"""The commands that run no workflow: `nodes`, `schema`, `draw`, `doctor`, `models`."""

import argparse
import dataclasses
import json
from typing import TYPE_CHECKING

from ...core.errors import WorkflowError, clean, did_you_mean
from .output_file import write_output
from .parser import AddCommand

if TYPE_CHECKING:
    from ...core.spec import NodeSpec, Registry


def add_commands(add: AddCommand) -> None:
    """Add the parsers of these commands."""
    nodes = add("nodes", _nodes, "list the nodes, or describe one")
    nodes.add_argument("id", metavar="ID", nargs="?", help="a node id from the list")

    schema = add("schema", _schema, "print the JSON Schema of workflow files, or of the settings of a node")
    schema.add_argument("what", metavar="workflow|ID", nargs="?", default="workflow", help="(default: workflow)")

    draw = add("draw", _draw, "draw a workflow as SVG")
    draw.add_argument("file", metavar="FILE", help="a .json workflow, the name of a shipped one, or a picture")
    draw.add_argument("-o", "--output", required=True, metavar="graph.svg", help="the file to write")
    draw.set_defaults(takes_flags=True, set=[], fast=None)

    add("doctor", _doctor, "check this machine for common problems")

    models = add("models", _models, "list the models that need no download")
    models.add_argument("action", choices=["list"], metavar="list")


def _nodes(options: argparse.Namespace, rest: list[str]) -> int:
    from ..docs import reference
    from ..installed import installed_nodes

    registry = installed_nodes()
    if options.id is None:
        print(json.dumps(reference.listing(registry)) if options.json else clean(_listing_text(registry)))
        return 0
    spec = _known_node(options.id, registry)
    print(json.dumps(reference.describe(spec)) if options.json else clean(reference.render_text(spec)))
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
    from ..installed import installed_nodes

    print(json.dumps(_known_node(options.what, installed_nodes()).schema, indent=2))
    return 0


def _draw(options: argparse.Namespace, rest: list[str]) -> int:
    from ..draw.svg import draw
    from ..python.load_workflow import load
    from .arguments import read_arguments
    from .flags import parser_for

    loaded = load(options.file)
    if loaded.expander is not None:
        loaded.set_values(*read_arguments(parser_for(loaded, options.file, "draw"), options, rest, loaded))
    elif rest:
        raise WorkflowError.of(
            "command line",
            found=f"unknown arguments {' '.join(rest)}",
            expected="FILE and -o graph.svg",
            fix="a workflow file is drawn as it is: leave them out",
        )
    loaded.require_options()
    return write_output(options, draw(loaded.workflow, loaded.registry))


def _doctor(options: argparse.Namespace, rest: list[str]) -> int:
    from . import doctor

    findings = doctor.diagnose()
    if options.json:
        print(json.dumps({"findings": [dataclasses.asdict(finding) for finding in findings]}))
    else:
        print(clean(doctor.render(findings)))
    return 1 if any(finding.ok is False for finding in findings) else 0


def _models(options: argparse.Namespace, rest: list[str]) -> int:
    from .local_models import local_models, render

    found = local_models()
    print(
        json.dumps({"models": [dataclasses.asdict(model) for model in found]}) if options.json else clean(render(found))
    )
    return 0

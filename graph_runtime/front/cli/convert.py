"""The command `convert`: a workflow as ComfyUI's files, and those as a workflow."""

import argparse
import json
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from ...core.errors import clean
from .output_file import write_output
from .parser import AddCommand

if TYPE_CHECKING:
    from ...core.spec import Registry
    from ...core.workflow import Workflow

    Convert = Callable[[Workflow, Registry], str]

DESCRIPTION = "write a workflow for ComfyUI (comfy-api: what runs; comfy-ui: what its editor opens), or as one of inlay"
_SHORT = {"api": "comfy-api", "ui": "comfy-ui", "native": "inlay"}


def add_convert(add: AddCommand) -> None:
    """Add the parser of `convert`."""
    convert = add("convert", _convert, DESCRIPTION)
    convert.add_argument("file", metavar="FILE", help="a .json workflow, the name of a shipped one, or a picture")
    convert.add_argument(
        "--to",
        type=lambda name: _SHORT.get(name, name),
        choices=list(_SHORT.values()),
        required=True,
        help="the format to write; api, ui and native are short for these",
    )
    convert.add_argument("-o", "--output", metavar="OUT.json", help="the file to write (default: standard output)")
    convert.add_argument("--partial", action="store_true", help="leave out nodes of other packs, and what needs them")
    convert.set_defaults(takes_flags=True, set=[], fast=None)


def _convert(options: argparse.Namespace, rest: list[str]) -> int:
    from ..python.load_workflow import load
    from .arguments import read_arguments
    from .flags import parser_for

    loaded = load(options.file, partial=options.partial)
    for warning in loaded.noticed:
        print(clean(str(warning)), file=sys.stderr)
    if loaded.expander is not None or rest:
        loaded.set_values(*read_arguments(parser_for(loaded, options.file, "convert"), options, rest, loaded))
    loaded.require_options()
    loaded.name_samples()
    text = _text(loaded.workflow, loaded.registry, options.to)
    if options.output is None:
        print(json.dumps({"status": "done", "workflow": json.loads(text)}) if options.json else text, end="")
        return 0
    return write_output(options, text)


def _text(workflow: "Workflow", registry: "Registry", kind: str) -> str:
    from ..comfy.formats.kept import to_ui_as_it_was
    from ..comfy.formats.write import to_api

    if kind == "inlay":
        return workflow.to_json()
    made, warnings = (to_api(workflow, registry), []) if kind == "comfy-api" else to_ui_as_it_was(workflow, registry)
    for warning in warnings:
        print(clean(str(warning)), file=sys.stderr)
    return json.dumps(made, indent=2, ensure_ascii=False) + "\n"

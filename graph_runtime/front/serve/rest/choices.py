"""What a client can choose from: shipped workflows with their inputs, nodes, and the models on this machine."""

import dataclasses
import json
from functools import cache

from .....nodes.pack import PACK
from ....core.errors import shorten
from ....core.expander import Option
from ...cli.flags import target
from ...cli.local_models import local_models
from ...docs.reference import describe, listing
from ...installed import installed_nodes, shipped_workflows
from ...node_settings import Setting, settings_of
from ...python.load_workflow import LoadedWorkflow, load
from ..json_data import Json
from ..service import Unknown

_KINDS = {"boolean": "switch"}


@cache
def workflows() -> list[Json]:
    """Names and titles of the shipped workflows."""
    found = []
    for name, path in shipped_workflows().items():
        raw = json.loads(path.read_text(encoding="utf-8"))
        found.append({"name": name, "title": raw.get("title", ""), "description": raw.get("description", "")})
    return found


def workflow(name: str) -> Json:
    """One of them, with what a person may set.

    Raises:
        Unknown: none has that name.
    """
    if name not in shipped_workflows():
        raise Unknown(f"a shipped workflow {shorten(name)}")
    loaded = load(shipped_workflows()[name])
    expander = PACK.expanders.get(name)
    if expander is not None:
        title, description = expander.title, expander.description
        inputs = [_option(option) for option in expander.options]
    else:
        title, description = loaded.workflow.title, loaded.workflow.description
        inputs = [_input(loaded, name) for name in loaded.workflow.inputs]
    return {
        "name": name,
        "title": title,
        "description": description,
        "inputs": inputs,
        "groups": list(dict.fromkeys(one["group"] for one in inputs)),
        "workflow": f"/v1/workflows/{name}/file",
    }


def workflow_file(name: str) -> bytes:
    """The file of a shipped workflow.

    Raises:
        Unknown: none has that name.
    """
    if name not in shipped_workflows():
        raise Unknown(f"a shipped workflow {shorten(name)}")
    return shipped_workflows()[name].read_bytes()


def _option(option: Option) -> Json:
    return {
        "name": option.name,
        "kind": option.kind,
        "doc": option.doc,
        "group": option.group,
        "default": option.default,
        "choices": list(option.choices),
        "minimum": option.minimum,
        "maximum": option.maximum,
        "required": False,
    }


def _input(loaded: LoadedWorkflow, name: str) -> Json:
    spec, parameter = target(loaded, name)
    known = {one.name: one for one in settings_of(spec)} if spec is not None else {}
    setting = known.get(parameter, Setting(parameter))
    node = loaded.workflow.targets(name)[0].partition(".")[0]
    entry = loaded.workflow.nodes[node]
    return {
        "name": name,
        "kind": setting.path or _KINDS.get(setting.kind, setting.kind),
        "doc": setting.doc,
        "group": "",
        "default": entry.params.get(parameter, setting.default),
        "choices": list(setting.choices),
        "minimum": setting.minimum if setting.minimum is not None else setting.above,
        "maximum": setting.maximum if setting.maximum is not None else setting.below,
        "required": setting.required and parameter not in entry.params,
    }


def nodes() -> list[Json]:
    """Id, family and summary of every node."""
    return listing(installed_nodes())


def node(node_id: str) -> Json:
    """Everything about a node.

    Raises:
        Unknown: there is none of that id.
    """
    registry = installed_nodes()
    if node_id not in registry:
        raise Unknown(f"a node {shorten(node_id)}")
    return describe(registry[node_id])


def models() -> list[Json]:
    """The models that need no download; not where they are."""
    return [
        {key: value for key, value in dataclasses.asdict(model).items() if key != "folder"} for model in local_models()
    ]

"""The record that a saved picture carries of its run.

The text chunk `inlay` of a PNG (EXIF ImageDescription of a JPEG or WebP) is one JSON object:

    {"workflow": {…}, "files": {"photo.path": {"name": "room.png", "digest": "<sha256>"}}, "made_with": {"inlay": …}}

Only what took part is recorded: a node that no output needed is left out, with the inputs that set it. Only file names
are recorded, never folders: a shared picture does not reveal the folders of its author (see `private.py`).
"""

import contextlib
import importlib.metadata
import json
import platform
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

from ....nodes.pack import PACK
from ...core.run.plan import Plan
from ...core.spec import NodeSpec, Registry
from ...core.workflow import Override, Workflow
from ..comfy.formats.layout import part_of
from .private import Private, bare

CHUNK = "inlay"


def record(plan: Plan, registry: Registry, names: Mapping[Override, str], folders: Iterable[Path] = ()) -> str:
    """The JSON text to embed: the part of the workflow that ran, and each file by name and digest.

    Args:
        plan: what is about to run.
        registry: the node types, which say what is a path.
        names: names to record instead of those on disk (of a file that was found again under another name).
        folders: where the run reads and writes, which the record must not tell.
    """
    private = Private(folders, (file["path"] for file in plan.files.values()))
    workflow = part_that_ran(plan.workflow, {step.name for step in plan.steps})
    for entry in workflow.nodes.values():
        spec = registry.get(entry.type)
        for parameter, role in (spec.path_roles if spec is not None else {}).items():
            value = entry.params.get(parameter)
            if isinstance(value, str) and (role.kind != "model" or _is_path(value)):
                entry.params[parameter] = bare(value)
            elif isinstance(value, list):
                entry.params[parameter] = [bare(str(item)) for item in value]
        if spec is not None and spec.effects and isinstance(prefix := entry.params.get("prefix"), str):
            entry.params["prefix"] = bare(prefix)
    files = {}
    for (node, parameter), file in plan.files.items():
        recorded = names.get((node, parameter), private.name(file["path"]))
        workflow.nodes[node].params[parameter] = recorded
        files[f"{node}.{parameter}"] = {"name": recorded} | {key: file[key] for key in ("digest", "kind", "size")}
    packages = {step.spec.id: name for step in plan.steps if (name := package_of(step.spec))}
    return json.dumps(
        {"workflow": private.without(json.loads(workflow.to_json())), "files": files, "made_with": _versions()}
        | ({"packages": packages} if packages else {}),
        ensure_ascii=True,
        separators=(",", ":"),
    )


def texts_of(plan: Plan, texts: Mapping[str, object], folders: Iterable[Path] = ()) -> dict[str, str]:
    """JSON of another program as texts of a picture, without the folders that a record must not tell."""
    if not texts:
        return {}
    private = Private(folders, (file["path"] for file in plan.files.values()))
    return {name: json.dumps(private.without(value), separators=(",", ":")) for name, value in texts.items()}


def part_that_ran(whole: Workflow, ran: set[str]) -> Workflow:
    """A copy with these nodes alone: inputs, outputs and an editor's data of others are left out."""

    def there(target: str) -> bool:
        return target.partition(".")[0] in ran

    inputs: dict[str, str | list[str]] = {}
    for name, target in whole.inputs.items():
        kept = [one for one in whole.targets(name) if there(one)]
        if kept:
            inputs[name] = target if isinstance(target, str) else kept
    nodes = {
        name: entry.model_copy(update={"params": dict(entry.params)})
        for name, entry in whole.nodes.items()
        if name in ran
    }
    outputs = {name: link for name, link in whole.outputs.items() if there(link)}
    update = {"nodes": nodes, "inputs": inputs, "outputs": outputs, "ui": part_of(whole.ui, ran)}
    return whole.model_copy(update=update)


def package_of(spec: NodeSpec) -> str:
    """The package that provides a node, as `name version`; empty for inlay's own nodes and for loose modules."""
    module = spec.module
    if module.startswith(__package__.rsplit(".", 3)[0] + "."):
        return ""
    for name in _distributions().get(module.split(".")[0], []):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            return f"{name} {importlib.metadata.version(name)}"
    return ""


@cache
def _distributions() -> Mapping[str, list[str]]:
    return importlib.metadata.packages_distributions()


def _is_path(source: str) -> bool:
    """True for a model's source that names a place on this or another machine rather than a hub id."""
    return source.startswith((".", "~", "/")) or "\\" in source or ":" in source or source.count("/") > 1


@cache  # reading package metadata takes some milliseconds
def _versions() -> dict[str, str]:
    from .... import __version__

    found = {"inlay": __version__, "python": platform.python_version()}
    for package in PACK.recorded:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found

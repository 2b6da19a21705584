"""The record that a saved picture carries of its run.

The text chunk `inlay` of a PNG (EXIF ImageDescription of a JPEG or WebP) is one JSON object:

    {"workflow": {…}, "files": {"photo.path": {"name": "room.png", "digest": "<sha256>"}}, "made_with": {"inlay": …}}

Only file names are recorded, never folders: a shared picture does not reveal the folders of its author.
"""

import contextlib
import importlib.metadata
import json
import platform
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from ....nodes.pack import PACK
from ...core.run.plan import Plan
from ...core.spec import NodeSpec, Registry
from ...core.workflow import Override

CHUNK = "inlay"


def record(plan: Plan, registry: Registry, names: Mapping[Override, str]) -> str:
    """The JSON text to embed: the workflow as it ran, and each file by name and digest.

    Args:
        plan: what is about to run.
        registry: the node types, which say what is a path.
        names: names to record instead of those on disk (of a file that was found again under another name).
    """
    workflow = plan.workflow.model_copy(deep=True)
    for node, entry in workflow.nodes.items():
        spec = registry.get(entry.type)
        for parameter, role in (spec.path_roles if spec is not None else {}).items():
            value = entry.params.get(parameter)
            if isinstance(value, str) and (role.kind != "model" or (node, parameter) in plan.files or _is_path(value)):
                entry.params[parameter] = Path(value).name
            elif isinstance(value, list):
                entry.params[parameter] = [Path(str(item)).name for item in value]
    files = {}
    for (node, parameter), file in plan.files.items():
        name = names.get((node, parameter), file["name"])
        workflow.nodes[node].params[parameter] = name
        files[f"{node}.{parameter}"] = {"name": name} | {key: file[key] for key in ("digest", "kind", "size")}
    packages = {step.spec.id: name for step in plan.steps if (name := package_of(step.spec))}
    return json.dumps(
        {"workflow": json.loads(workflow.to_json()), "files": files, "made_with": _versions()}
        | ({"packages": packages} if packages else {}),
        ensure_ascii=True,
        separators=(",", ":"),
    )


def package_of(spec: NodeSpec) -> str:
    """The package that provides a node, as `name version`; empty for inlay's own nodes and for loose modules."""
    module = spec.function.__module__
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
    """True for a model's source that names a place on this machine rather than a hub id."""
    return Path(source).is_absolute() or source.startswith((".", "~"))


@cache  # reading package metadata takes some milliseconds
def _versions() -> dict[str, str]:
    from .... import __version__

    found = {"inlay": __version__, "python": platform.python_version()}
    for package in PACK.recorded:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found

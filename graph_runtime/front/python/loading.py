"""Find a workflow, read it, and lay what the user typed over it."""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache as once
from pathlib import Path
from typing import Any

from ...core.errors import Problem, WorkflowError, did_you_mean, missing_package, shorten
from ...core.migrations import current_name, migrate
from ...core.picture_formats import WORKFLOW_SUFFIXES
from ...core.run.plan import Plan, make_plan
from ...core.spec import Registry
from ...core.user_paths import exists, expand
from ...core.workflow import Override, Workflow, build, parse, read_bytes, require_flat
from ..recipe import recall

Source = str | os.PathLike[str] | Mapping[str, Any] | Workflow


@dataclass
class Loaded:
    """A workflow with where it came from and what was typed over it."""

    workflow: Workflow
    registry: Registry
    roots: list[Path]
    out: Path
    trusted: dict[Override, Any]
    recorded_names: dict[Override, str] = field(default_factory=dict)

    def plan(self) -> Plan:
        """The checked plan.

        Raises:
            WorkflowError: with every problem.
        """
        return make_plan(self.workflow, self.registry, roots=self.roots, out=self.out, trusted=self.trusted)


@once
def pack() -> Registry:
    """The nodes that ship with inlay, and those of installed packages with an `inlay.nodes` entry point."""
    from importlib import metadata

    from ....nodes import load_pack

    try:
        registry = load_pack()
    except ImportError as error:
        if (missing := missing_package(error)) is None:
            raise
        raise WorkflowError.of(None, found=missing[0], expected=missing[1], fix=missing[2]) from error
    for entry in metadata.entry_points(group="inlay.nodes"):
        try:
            registry.add_module(entry.load())
        except Exception as error:
            raise WorkflowError.of(
                None,
                found=f"the node package {entry.value!r} ({entry.name}) is broken: {type(error).__name__}: {error}",
                expected="a package of nodes that imports",
                fix="update or uninstall it",
            ) from error
    return registry


def shipped() -> dict[str, Path]:
    """The workflows that come with inlay, by bare name."""
    folder = Path(__file__).resolve().parents[3] / "workflows"
    return {path.stem: path for path in sorted(folder.glob("*.json"))}


def load(
    source: Source,
    *,
    values: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
    inputs: str | os.PathLike[str] | None = None,
    out: str | os.PathLike[str] = "inlay-out",
    nodes: Iterable[Any] = (),
    find_files: bool = True,
) -> Loaded:
    """Find and read a workflow and lay the user's own values over it.

    Args:
        source: a JSON file, the bare name of a shipped workflow, a picture that carries its workflow, a dict or a
            Workflow.
        values: the workflow's own `inputs` by name.
        settings: `"node.parameter"` → value, for everything else.
        inputs: a folder that paths in the file may point into.
        out: the output folder.
        nodes: modules with further nodes.
        find_files: look for the files that a recalled picture names (only their names and digests are in it).

    Raises:
        WorkflowError: no such file, not a workflow, or an unknown name.
    """
    registry = _registry(nodes)
    folders = [expand(inputs)] if inputs is not None else []
    if folders and not (exists(folders[0]) and folders[0].is_dir()):
        what = "a file, not a folder" if exists(folders[0]) else "no such folder"
        raise WorkflowError.of(
            "inputs", found=f"{what}: {str(inputs)!r}", expected="an input folder", fix="check --inputs"
        )
    files: dict[Override, dict[str, str]] = {}
    if isinstance(source, Workflow):
        workflow, base = source.model_copy(deep=True), None
    elif isinstance(source, Mapping):
        require_flat(source)
        workflow, base = build(dict(source)).model_copy(deep=True), None
        for entry in workflow.nodes.values():
            entry.params = {name: _plain(value) for name, value in entry.params.items()}
    elif not isinstance(source, (str, os.PathLike)):
        raise WorkflowError.of(
            None,
            found=f"a {type(source).__name__}",
            expected="a file, the name of a shipped workflow, a picture that carries one, a dict or a Workflow",
            fix="hand over its path or its dict",
        )
    else:
        path = _locate(source)
        base = path.resolve().parent
        if path.suffix.lower() in WORKFLOW_SUFFIXES:
            workflow, files = recall.read(path)
        else:
            workflow = parse(read_bytes(path), path.name)
    migrate(workflow, registry)
    roots = [*([base] if base is not None else []), *folders]
    trusted = _apply(workflow, registry, values or {}, settings or {})
    loaded = Loaded(workflow, registry, roots, expand(out), trusted)
    if base is None:  # a dict is the user's own word, its paths are taken from the current folder
        loaded.trusted |= {target: value for target, value in _paths(workflow, registry) if target not in trusted}
    if files and find_files:
        _recall_files(loaded, files)
    return loaded


def _registry(nodes: Iterable[Any]) -> Registry:
    modules = list(nodes) if isinstance(nodes, Iterable) else [nodes]
    if not modules:
        return pack()
    registry = Registry(pack().values())
    for module in modules:
        registry.add_module(module)
    return registry


def _locate(source: str | os.PathLike[str]) -> Path:
    path = expand(source)
    known = shipped()
    if exists(path) and not path.is_dir():
        return path
    if str(source) in known:
        return known[str(source)]
    if exists(path) and str(source):
        raise WorkflowError.of(
            None, found=f"a folder, {str(source)!r}", expected="a workflow file", fix="name a .json file in it"
        )
    raise WorkflowError.of(
        None,
        found=f"no such file: {str(source)!r}",
        expected="a .json file, a picture that carries its workflow, or a shipped name",
        fix=did_you_mean(str(source), known),
    )


def _apply(
    workflow: Workflow, registry: Registry, values: Mapping[str, Any], settings: Mapping[str, Any]
) -> dict[Override, Any]:
    """Write the user's values into the workflow; returns the paths among them, which may point anywhere."""
    problems = []
    typed: dict[Override, Any] = {}
    for name, value in values.items():
        if name not in workflow.inputs:
            problems.append(
                Problem(
                    None,
                    f"inputs.{name}",
                    f"an input {name!r} that this workflow does not have",
                    "one of its inputs",
                    did_you_mean(name, workflow.inputs),
                )
            )
            continue
        for target in workflow.targets(name):
            _take(typed, target, value, problems)
    for target, value in settings.items():
        _take(typed, target, value, problems)
    trusted: dict[Override, Any] = {}
    for (node, parameter), value in typed.items():
        entry = workflow.nodes.get(node)
        if entry is None:
            problems.append(
                Problem(
                    None,
                    f"{node}.{parameter}",
                    f"no node {node!r} in this workflow",
                    "NODE.PARAM of this workflow",
                    did_you_mean(node, workflow.nodes),
                )
            )
            continue
        value = _plain(value)
        spec = registry.get(entry.type)
        parameter = current_name(spec, parameter)
        entry.params[parameter] = value
        if spec is not None and parameter in spec.path_roles and isinstance(value, (str, list)):
            trusted[node, parameter] = value
    if problems:
        raise WorkflowError(problems)
    return trusted


def _take(typed: dict[Override, Any], target: str, value: Any, problems: list[Problem]) -> None:
    """Note what is typed for `node.parameter`; two values for one are a problem, neither wins without a word."""
    node, _, parameter = target.partition(".")
    known = typed.setdefault((node, parameter), value)
    if known is not value and (type(known) is not type(value) or known != value):
        problems.append(
            Problem(
                node,
                parameter,
                f"two values: {shorten(known)} and {shorten(value)}",
                "one value",
                "keep one of them: an input and a setting, or two inputs, set the same thing",
            )
        )


def _plain(value: Any) -> Any:
    """What Python callers naturally hand over, as the file would say it: paths as text, numpy's numbers as numbers."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value.item() if hasattr(value, "item") and getattr(value, "ndim", 1) == 0 else value


def _paths(workflow: Workflow, registry: Registry) -> Iterator[tuple[Override, Any]]:
    for name, entry in workflow.nodes.items():
        spec = registry.get(entry.type)
        for parameter in spec.path_roles if spec is not None else ():
            if isinstance(value := entry.params.get(parameter), (str, list)):
                yield (name, parameter), value


def _recall_files(loaded: Loaded, files: Mapping[Override, dict[str, str]]) -> None:
    wanted = {}
    for target, file in files.items():
        entry = loaded.workflow.nodes.get(target[0])
        spec = loaded.registry.get(entry.type) if entry is not None else None
        if spec is not None and target[1] in spec.path_roles:
            wanted[target] = file
    found, problems = recall.find_files(
        wanted, [*loaded.roots, *{path.parent for path in shipped().values()}], loaded.trusted
    )
    if problems:
        raise WorkflowError(problems)
    for (node, parameter), path in found.items():
        loaded.workflow.nodes[node].params[parameter] = path
        loaded.trusted[node, parameter] = path
        loaded.recorded_names[node, parameter] = files[node, parameter]["name"]

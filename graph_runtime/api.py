"""`inlay.run` and `inlay.check`: everything a front end needs to turn a file into results."""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache as once
from pathlib import Path
from typing import Any

from . import recall
from .cache import DiskCache
from .check import Override
from .context import Context
from .errors import BadInput, Problem, WorkflowError, did_you_mean
from .events import CancelToken, Event, Listener, ModelMoved, NodeFinished
from .execute import execute
from .models import ModelDescription
from .paths import home
from .plan import Plan, make_plan
from .session import environment, parse_size, resolve_device, session
from .spec import Registry
from .workflow import Workflow, build, parse, read_bytes

Source = str | os.PathLike[str] | Mapping[str, Any] | Workflow


@dataclass
class Result(Mapping[str, Any]):
    """What a run gave: `result["image"]` is an output's value.

    Attributes:
        outputs: what the workflow gives, by name.
        paths: the files that were saved, in order.
        events: everything that happened; `timings` sums it up.
    """

    outputs: dict[str, Any]
    paths: list[Path] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    def __getitem__(self, name: str) -> Any:
        return self.outputs[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.outputs)

    def __len__(self) -> int:
        return len(self.outputs)

    @property
    def timings(self) -> dict[str, float]:
        """Seconds per node."""
        return {event.node: event.seconds for event in self.events if isinstance(event, NodeFinished)}


@dataclass
class Loaded:
    """A workflow with where it came from and what was typed over it."""

    workflow: Workflow
    registry: Registry
    roots: list[Path]
    out: Path
    trusted: dict[Override, str]
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

    from ..nodes import load_pack

    registry = load_pack()
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
    folder = Path(__file__).resolve().parent.parent / "workflows"
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
    folders = [Path(inputs).expanduser()] if inputs is not None else []
    if folders and not folders[0].is_dir():
        raise WorkflowError.of(
            "inputs", found=f"no such folder: {str(inputs)!r}", expected="an input folder", fix="check --inputs"
        )
    files: dict[Override, dict[str, str]] = {}
    if isinstance(source, Workflow):
        workflow, base = source.model_copy(deep=True), None
    elif isinstance(source, Mapping):
        workflow, base = build(dict(source)).model_copy(deep=True), None
    else:
        path = _locate(source)
        base = path.resolve().parent
        if path.suffix.lower() in recall.PICTURES:
            workflow, files = recall.read(path)
        else:
            workflow = parse(read_bytes(path), path.name)
    roots = [*([base] if base is not None else []), *folders]
    trusted = _apply(workflow, registry, values or {}, settings or {})
    loaded = Loaded(workflow, registry, roots, Path(out).expanduser(), trusted)
    if base is None:  # a dict is the user's own word, its paths are taken from the current folder
        loaded.trusted |= {target: value for target, value in _paths(workflow, registry) if target not in trusted}
    if files and find_files:
        _recall_files(loaded, files)
    return loaded


def check(
    source: Source,
    /,
    *,
    inputs: str | os.PathLike[str] | None = None,
    nodes: Iterable[Any] = (),
    out: str | os.PathLike[str] = "inlay-out",
    set: Mapping[str, Any] | None = None,
    **values: Any,
) -> list[Problem]:
    """Every problem of a workflow, without running it; an empty list when there is none."""
    try:
        load(source, values=values, settings=set, inputs=inputs, out=out, nodes=nodes).plan()
    except WorkflowError as error:
        return error.problems
    return []


def run(
    source: Source,
    /,
    *,
    out: str | os.PathLike[str] = "inlay-out",
    inputs: str | os.PathLike[str] | None = None,
    device: str = "auto",
    memory: str | int | None = None,
    nodes: Iterable[Any] = (),
    set: Mapping[str, Any] | None = None,
    cache: bool = True,
    metadata: bool = True,
    listeners: Iterable[Listener] = (),
    cancel: CancelToken | None = None,
    **values: Any,
) -> Result:
    """Run a workflow.

    Args:
        source: a JSON file, the bare name of a shipped workflow, a picture that carries its workflow, a dict or a
            Workflow.
        out: where files land.
        inputs: a folder that paths in the file may point into.
        device: auto, cpu, cuda:0, mps.
        memory: how much the weights may take on the device, e.g. "6GB".
        nodes: modules with further nodes.
        set: {"node.parameter": value} for what the workflow does not name as an input.
        cache: keep and reuse results that depend on the same things.
        metadata: let saved pictures carry their workflow.
        listeners: called with every event.
        cancel: a token; `cancel.cancel()` from another thread stops at the next step.
        **values: the workflow's own inputs by name.

    Raises:
        WorkflowError: the input is wrong, nothing ran.
        NodeError: a node failed.
        Cancelled: the token was used.
    """
    loaded = load(source, values=values, settings=set, inputs=inputs, out=out, nodes=nodes)
    return run_loaded(
        loaded, device=device, memory=memory, cache=cache, metadata=metadata, listeners=listeners, cancel=cancel
    )


def run_loaded(
    loaded: Loaded,
    *,
    device: str = "auto",
    memory: str | int | None = None,
    cache: bool = True,
    metadata: bool = True,
    listeners: Iterable[Listener] = (),
    cancel: CancelToken | None = None,
) -> Result:
    """`run`, for a workflow that is loaded already."""
    plan = loaded.plan()
    if _fetch(plan):
        plan = loaded.plan()  # what could not be checked without the models' configurations
    where = resolve_device(device)
    models, kept = session(where, parse_size(memory))
    events: list[Event] = []
    ctx = Context(models, out=loaded.out, listeners=(events.append, *listeners), cancel=cancel)
    if metadata:
        ctx.metadata[recall.CHUNK] = recall.record(plan, loaded.recorded_names)
    recall.remember(plan)
    models.log = lambda message: ctx.emit(ModelMoved(message))
    disk = DiskCache(home() / "cache", environment(where)) if cache else None
    try:
        values = execute(plan, ctx, memory=kept if cache else None, disk=disk)
    finally:
        models.log = lambda message: None
    return Result(values, list(ctx.saved), events)


def _fetch(plan: Plan) -> bool:
    """Bring every model to this machine; True if something was downloaded.

    Raises:
        WorkflowError: a model cannot be had; names the node that asks for it.
    """
    problems: list[Problem] = []
    downloaded = False
    for step in plan.steps:
        for value in step.known or ():
            if isinstance(value, ModelDescription):
                try:
                    downloaded |= value.fetch()
                except BadInput as error:
                    problems.append(error.at(step.name))
    if problems:
        raise WorkflowError(dict.fromkeys(problems))
    return downloaded


def _registry(nodes: Iterable[Any]) -> Registry:
    modules = list(nodes)
    if not modules:
        return pack()
    registry = Registry(pack().values())
    for module in modules:
        registry.add_module(module)
    return registry


def _locate(source: str | os.PathLike[str]) -> Path:
    path = Path(source).expanduser()
    if path.is_file():
        return path
    if path.is_dir():
        raise WorkflowError.of(
            None, found=f"a folder, {str(source)!r}", expected="a workflow file", fix="name a .json file in it"
        )
    known = shipped()
    if str(source) in known:
        return known[str(source)]
    raise WorkflowError.of(
        None,
        found=f"no such file: {str(source)!r}",
        expected="a .json file, a picture that carries its workflow, or a shipped name",
        fix=did_you_mean(str(source), known),
    )


def _apply(
    workflow: Workflow, registry: Registry, values: Mapping[str, Any], settings: Mapping[str, Any]
) -> dict[Override, str]:
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
            node, _, parameter = target.partition(".")
            typed[node, parameter] = value
    for target, value in settings.items():
        node, _, parameter = target.partition(".")
        typed[node, parameter] = value
    trusted: dict[Override, str] = {}
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
        value = os.fspath(value) if isinstance(value, os.PathLike) else value
        entry.params[parameter] = value
        spec = registry.get(entry.type)
        if spec is not None and parameter in spec.path_roles and isinstance(value, str):
            trusted[node, parameter] = value
    if problems:
        raise WorkflowError(problems)
    return trusted


def _paths(workflow: Workflow, registry: Registry) -> Iterator[tuple[Override, str]]:
    for name, entry in workflow.nodes.items():
        spec = registry.get(entry.type)
        for parameter in spec.path_roles if spec is not None else ():
            if isinstance(value := entry.params.get(parameter), str):
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

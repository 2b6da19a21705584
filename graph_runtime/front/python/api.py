"""`inlay.run` and `inlay.check`: everything a front end needs to turn a file into results."""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...core.check.findings import Report
from ...core.context import Context
from ...core.current_run import running_in
from ...core.errors import BadInput, Problem, WorkflowError, shorten
from ...core.events import CancelToken, Event, Listener, ModelMoved, NodeFinished, NodeStarted
from ...core.models import ModelDescription, moves_heard_by
from ...core.paths import why_not_below, why_unwritable
from ...core.run.cache import DiskCache
from ...core.run.execute import execute
from ...core.run.plan import Plan
from ...core.user_paths import home
from ..recipe import recall
from ..session import environment, parse_size, resolve_device, session
from .loading import Loaded, Source, load, pack, shipped


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


def check(
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
) -> Report:
    """Everything that can be known to be wrong with a run, without running it; takes what `run` takes.

    Returns:
        A list of the problems, empty when there is none; its `warnings` are what the run would say beforehand.
    """
    report = Report()
    try:
        return check_loaded(
            load(source, values=values, settings=set, inputs=inputs, out=out, nodes=nodes), device=device, memory=memory
        )
    except WorkflowError as error:
        report.take(error)
    for look in (lambda: resolve_device(device), lambda: parse_size(memory)):
        try:
            look()
        except WorkflowError as error:
            report.take(error)
    return report


def check_loaded(loaded: Loaded, *, device: str = "auto", memory: str | int | None = None) -> Report:
    """`check`, for a workflow that is loaded already."""
    report = Report()

    def look_at_plan() -> None:
        plan = loaded.plan()
        report.warnings += plan.warnings
        _require_room(plan, loaded.out)

    for look in (look_at_plan, lambda: resolve_device(device), lambda: parse_size(memory)):
        try:
            look()
        except WorkflowError as error:
            report.take(error)
    return report


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
        metadata: let saved pictures carry their workflow, and what their source says of itself (EXIF, DPI, text);
            without, nothing but pixels and their colour profile.
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
    where = resolve_device(device)
    models, kept = session(where, parse_size(memory))
    plan = loaded.plan()
    _require_room(plan, loaded.out)
    events: list[Event] = []
    disk = DiskCache(home() / "cache", environment(where)) if cache else None
    ctx = Context(
        models, out=loaded.out, listeners=(events.append, *listeners), cancel=cancel, store=disk, bare=not metadata
    )
    if _fetch(plan, ctx):
        plan = loaded.plan()  # what could not be checked without the models' configurations
    if metadata:
        ctx.metadata[recall.CHUNK] = recall.record(plan, loaded.registry, loaded.recorded_names)
    recall.remember(plan)
    with moves_heard_by(lambda message: ctx.emit(ModelMoved(message))):
        for warning in plan.warnings:
            ctx.pass_on(warning)
        values = execute(plan, ctx, memory=kept if cache else None, disk=disk)
    return Result({name: _own(value) for name, value in values.items()}, list(ctx.saved), events)


def _own(value: Any) -> Any:
    """A tensor of the caller's own: what is written into it must not reach the results that are kept."""
    return value.clone() if hasattr(value, "clone") and hasattr(value, "shape") else value


def _require_room(plan: Plan, out: Path) -> None:
    """Refuse an output folder, or one below it, that cannot be written, before minutes are spent on what goes there.

    Raises:
        WorkflowError: says what is in the way.
    """
    writers = [step for step in plan.steps if step.spec.effects]
    if not writers:
        return
    if why := why_unwritable(out):
        raise WorkflowError.of(
            "--out",
            found=f"{str(out)!r}: {why}",
            expected="an output folder, with room in it",
            fix="choose another with --out (out=… from Python)",
        )
    problems = []
    for step in writers:
        prefix = step.settings.get("prefix")
        if isinstance(prefix, str) and (why := why_not_below(out, prefix)):
            problems.append(
                Problem(
                    step.name,
                    "prefix",
                    f"{shorten(prefix)}: {why}",
                    "a name below the output folder",
                    "use another prefix, or another folder with --out",
                )
            )
    if problems:
        raise WorkflowError(problems)


def _fetch(plan: Plan, ctx: Context) -> bool:
    """Bring every model to this machine; True if something was downloaded.

    Raises:
        WorkflowError: a model cannot be had; names the node that asks for it.
        Cancelled: the user asked to stop.
    """
    problems: list[Problem] = []
    downloaded = False
    blamed = [False] * len(plan.steps)
    for index, step in enumerate(plan.steps):
        models = [value for value in step.known or () if isinstance(value, ModelDescription)]
        blamed[index] = any(blamed[source] for source in step.sources)  # what is missing there is missing here too
        if blamed[index] or not models:
            continue
        ctx.node = step.name
        if not all(getattr(model, "known", True) for model in models):
            ctx.emit(NodeStarted(step.name, step.spec.id))
        try:
            with running_in(ctx):
                for model in models:
                    downloaded |= model.fetch()
        except BadInput as error:
            problems.append(error.at(step.name))
            blamed[index] = True
    ctx.node = ""
    if problems:
        raise WorkflowError(dict.fromkeys(problems))
    return downloaded


__all__ = [
    "Loaded",
    "Report",
    "Result",
    "Source",
    "check",
    "check_loaded",
    "load",
    "pack",
    "run",
    "run_loaded",
    "shipped",
]

"""`inlay.run` and `inlay.check`: from a workflow to its results."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from ...core.check.findings import Report
from ...core.context import Context
from ...core.errors import WorkflowError
from ...core.events import CancelToken, Event, Listener, ModelMoved, NodeFinished, Warned
from ...core.models import decisions_reported_to
from ...core.notices import collect_notices
from ...core.reads import collect_reads
from ...core.run.execute import execute
from ...core.run.history import NODES, note
from ...core.run.plan import Plan
from ...core.store.disk import DiskStore
from ...core.store.kept import Kept
from ...core.store.parts import copied
from ...core.store.types import StorableTypes
from ...core.workflow import Workflow, from_python
from ..device import parse_memory, resolve_device
from ..environment import environment, environment_parts
from ..kept_between_runs import disk_store, kept_between_runs
from ..recipe.find_inputs import remember
from ..recipe.record import CHUNK
from ..recipe.record import record as recipe_of
from ..rerun.keep import Recording, recording
from ..rerun.repeat import repeat
from ..rerun.request import key_of_call
from ..rerun.surroundings import load_nodes, nodes_are_loaded
from .keywords import a_folder, as_list, as_listeners, named_values, refusing, registry_of, require_token
from .load_workflow import LoadedWorkflow, WorkflowSource, load
from .preparation import decide, fetch_models, prepare_folders, require_memory, require_writable_output

Output: TypeAlias = Any  # any output of a node; callers know whether it is a tensor, text or number


@dataclass
class Result(Mapping[str, Output]):
    """The outputs of a run by name: `result["image"]`.

    Attributes:
        outputs: the workflow's outputs by name.
        paths: the files that were saved, in order.
        events: everything that happened; `timings` sums it up.
    """

    outputs: Mapping[str, Output]
    paths: list[Path] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    def __getitem__(self, name: str) -> Output:
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
    source: WorkflowSource,
    /,
    *,
    out: str | os.PathLike[str] = "inlay-out",
    inputs: str | os.PathLike[str] | None = None,
    device: str = "auto",
    memory: str | int | None = None,
    nodes: Iterable[object] = (),
    set: Mapping[str, object] | None = None,
    cache: bool = True,
    metadata: bool = True,
    listeners: Iterable[Listener] = (),
    cancel: CancelToken | None = None,
    **values: object,
) -> Report:
    """Find the problems of a run without running it; takes the arguments of `run`.

    Returns:
        A list of the problems, empty if there are none; its `warnings` are those that the run would start with.
    """
    report = Report()
    keywords = (lambda: as_listeners(listeners), lambda: require_token(cancel))
    try:
        with refusing():
            loaded = load(source, inputs=inputs, out=out, nodes=nodes)
            loaded.set_values(values, {} if set is None else set)
    except WorkflowError as error:
        report.take(error)
        return _take_from(report, lambda: resolve_device(device), lambda: parse_memory(memory), *keywords)
    return _take_from(check_loaded(loaded, device=device, memory=memory), *keywords)


def check_loaded(loaded: LoadedWorkflow, *, device: str = "auto", memory: str | int | None = None) -> Report:
    """`check` for a workflow that is already loaded."""
    report = Report()

    def check_plan() -> None:
        plan = loaded.plan()
        report.warnings += plan.warnings
        require_writable_output(plan, loaded.out)
        require_memory(plan, parse_memory(memory), resolve_device(device))

    return _take_from(report, check_plan, lambda: resolve_device(device), lambda: parse_memory(memory))


def _take_from(report: Report, *checks: Callable[[], object]) -> Report:
    """Add the problems that checks raise."""
    for one in checks:
        try:
            with refusing():
                one()
        except WorkflowError as error:
            report.take(error)
    return report


def run(
    source: WorkflowSource,
    /,
    *,
    out: str | os.PathLike[str] = "inlay-out",
    inputs: str | os.PathLike[str] | None = None,
    device: str = "auto",
    memory: str | int | None = None,
    nodes: Iterable[object] = (),
    set: Mapping[str, object] | None = None,
    cache: bool = True,
    metadata: bool = True,
    listeners: Iterable[Listener] = (),
    cancel: CancelToken | None = None,
    **values: object,
) -> Result:
    """Run a workflow.

    Args:
        source: a JSON file, the bare name of a shipped workflow, a picture that carries its workflow, a dict or a
            Workflow.
        out: the output folder.
        inputs: a folder that paths in the file may point into.
        device: auto, cpu, cuda:0, mps.
        memory: the most memory that weights may use on the device, e.g. "6GB".
        nodes: modules with further nodes.
        set: {"node.parameter": value} for settings that are not inputs of the workflow.
        cache: reuse results of earlier runs that depend on the same data and settings.
        metadata: save pictures with their workflow and the metadata of their source (EXIF, DPI, text); otherwise only
            with their colour profile.
        listeners: called with every event.
        cancel: a token; `cancel.cancel()` from another thread stops at the next step.
        **values: the workflow's own inputs by name.

    Raises:
        WorkflowError: the input is wrong; nothing ran.
        NodeError: a node failed.
        Cancelled: the token was cancelled.
    """
    with refusing(), collect_reads() as asked:
        nodes, heard, folder = as_list(nodes), as_listeners(listeners), a_folder(out, "out")
        require_token(cancel)
        if isinstance(source, (Workflow, Mapping)):
            source = from_python(source)
        values, settings = named_values(values, "inputs"), named_values({} if set is None else set, "set")
        key = key_of_call(source, values, settings, inputs, device, memory, metadata, nodes) if cache else None
    if not nodes_are_loaded():
        types = StorableTypes(lambda: registry_of(nodes))
        known = repeat(key, folder, types=types, listeners=heard, cancel=cancel)
        if known is not None:
            return Result(known.outputs, known.paths, known.events)
    with recording(key, _label(source), asked=asked) as record:
        with refusing():
            load_nodes()
            loaded = load(source, inputs=inputs, out=folder, nodes=nodes)
            loaded.set_values(values, settings)
        return run_loaded(
            loaded,
            device=device,
            memory=memory,
            cache=cache,
            metadata=metadata,
            listeners=heard,
            cancel=cancel,
            record=record,
        )


def _label(source: WorkflowSource) -> str:
    if isinstance(source, (str, os.PathLike)):
        return os.fspath(source)
    return source.title if isinstance(source, Workflow) else "a workflow from Python"


def run_loaded(
    loaded: LoadedWorkflow,
    *,
    device: str = "auto",
    memory: str | int | None = None,
    cache: bool = True,
    metadata: bool = True,
    listeners: Iterable[Listener] = (),
    cancel: CancelToken | None = None,
    record: Recording | None = None,
) -> Result:
    """`run` for a workflow that is already loaded; `record` keeps it as a whole."""
    with refusing():
        where = resolve_device(device)
        budget = parse_memory(memory)
        models, memory_store = kept_between_runs(where, budget)
        plan = loaded.plan()
        require_writable_output(plan, loaded.out)
        require_memory(plan, budget, where)
    events: list[Event] = []
    disk = disk_store(where, loaded.registry) if cache else None
    ctx = Context(
        models, out=loaded.out, listeners=(events.append, *listeners), cancel=cancel, store=disk, bare=not metadata
    )
    usable = prepare_folders(ctx, keeping=cache)
    if record is not None:
        ctx.on_file = record.saved
    if loaded.undecided:
        plan, record = decide(loaded, plan, ctx), None
        require_memory(plan, budget, where)
    if fetch_models(plan, ctx):
        plan = loaded.plan()  # the rest of the check, which needs the models' configurations
        require_memory(plan, budget, where)
        record = None  # it said that it would download
    if metadata:
        ctx.metadata[CHUNK] = recipe_of(plan, loaded.registry, loaded.recorded_names, [*loaded.roots, loaded.out])
    with collect_notices() as notices:
        remember(plan)
    for message in notices:
        ctx.warn(message)
    with decisions_reported_to(lambda message: ctx.emit(ModelMoved(message))):
        for warning in plan.warnings:
            ctx.pass_on(warning)
        kept = Kept(memory_store, disk, disk.environment if disk is not None else environment(where)) if cache else None
        values = execute(plan, ctx, kept)
    if disk is not None and kept is not None and usable:
        _note(loaded, plan, kept, disk, ctx)
    if record is not None:
        record.finish(loaded, plan, ctx, events, values)
    return Result({name: copied(value) for name, value in values.items()}, list(ctx.saved), events)


def _note(loaded: LoadedWorkflow, plan: Plan, kept: Kept, disk: DiskStore, ctx: Context) -> None:
    """Note what was used, and for `inlay cache why` what each result depended on; warn if nothing can be kept."""
    disk.flush()
    if loaded.file is not None and len(plan.steps) <= NODES:
        run_note = note(plan, environment_parts(ctx.device), kept.outcomes)
        disk.note_run(os.path.realpath(loaded.file), run_note.packed())
    if disk.trouble:
        ctx.pass_on(Warned(None, f"results are not kept on disk: {disk.trouble}"))

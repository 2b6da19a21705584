"""Run a workflow that is already loaded, with the user's values in it."""

import os
from collections.abc import Iterable, Mapping
from contextlib import ExitStack

from ...core.context import Context
from ...core.errors import NodeError
from ...core.events import CancelToken, Listener, ModelMoved, Record, Warned
from ...core.memory.account import account
from ...core.memory.decisions import decisions_reported_to
from ...core.memory.device_memory import at_most
from ...core.memory.watch import Watch
from ...core.notices import collect_notices
from ...core.run.execute import execute
from ...core.run.history import NODES, note
from ...core.run.plan import Plan
from ...core.store.disk import DiskStore, not_kept
from ...core.store.kept import Kept
from ...core.store.parts import copied
from ..device import doubt_of, parse_memory, resolve_devices
from ..environment import environment, environment_parts
from ..jobs.part import Part
from ..kept_between_runs import crew_between_runs, disk_store, kept_between_runs
from ..profile.profile import Profile
from ..recipe.find_inputs import remember
from ..recipe.record import CHUNK, texts_of
from ..recipe.record import record as recipe_of
from ..rerun.keep import Recording
from .keywords import refusing
from .load_workflow import LoadedWorkflow
from .preparation import (
    decide,
    fetch_models,
    prepare_folders,
    require_devices,
    require_memory,
    require_writable_output,
)
from .result import Result, files_of


def run_loaded(
    loaded: LoadedWorkflow,
    *,
    device: str = "auto",
    memory: str | int | None = None,
    cache: bool = True,
    metadata: bool = True,
    texts: Mapping[str, object] | None = None,
    listeners: Iterable[Listener] = (),
    cancel: CancelToken | None = None,
    record: Recording | None = None,
    measure: bool = False,
    part: Part | None = None,
    planned: Plan | None = None,
    profile: Profile | None = None,
) -> Result:
    """`run` for a workflow that is already loaded.

    Args:
        loaded: the workflow with the user's values.
        device: as of `run`, as are the next ones.
        memory: see `run`.
        cache: see `run`.
        metadata: see `run`.
        texts: what saved pictures carry besides, such as an editor's own graph: JSON by the name of its text.
        listeners: see `run`.
        cancel: see `run`.
        record: keeps the run as a whole.
        measure: measure on the CPU too what each node takes.
        part: of a job; if an earlier start has done it, nothing runs.
        planned: the plan of `loaded`, if it was made a moment ago.
        profile: measures the run; nothing of it changes.
    """
    with refusing():
        devices = resolve_devices(device)
        where = devices[0]
        budget = parse_memory(memory)
        models, memory_store = kept_between_runs(where, budget)
        crew = crew_between_runs(devices, budget)
        plan = planned or loaded.plan()
        loaded.held.require_pictures_only(plan)
        require_writable_output(plan, loaded.out)
        require_devices(plan, lambda: devices)
        require_memory(plan, budget, where, models.limit(where))
    printed = record is not None and record.show is not None  # by a command: nobody else gets the values, and it ends
    events = Record()
    disk = part.disk if part is not None else disk_store(where, loaded.registry) if cache else None
    heard = (events, *listeners, *([profile] if profile is not None else ()))
    ctx = Context(models, out=loaded.out, listeners=heard, cancel=cancel, store=disk, bare=not metadata)
    if part is not None:
        memory_store, ctx.names = part.memory, part
    if (doubt := doubt_of(budget, where)) is not None:
        ctx.warn(doubt)
    usable = part is None and prepare_folders(ctx, keeping=cache)
    if record is not None:
        ctx.on_file = record.saved
    ctx.setting_of = lambda word: setting_in(plan, word)
    if loaded.undecided:
        plan, record = decide(loaded, plan, ctx), None
        require_devices(plan, lambda: devices)
        require_memory(plan, budget, where, models.limit(where))
    if fetch_models(plan, ctx):
        plan = loaded.plan()  # the rest of the check, which needs the models' configurations
        require_memory(plan, budget, where, models.limit(where))
        record = None  # it said that it would download
    if metadata:
        folders = [*loaded.roots, loaded.out]
        ctx.metadata[CHUNK] = loaded.recorded or recipe_of(plan, loaded.registry, loaded.recorded_names, folders)
        ctx.metadata |= texts_of(plan, texts or {}, folders)
    if part is not None:
        if part.is_done(plan, ctx.metadata.get(CHUNK, "")):
            return Result({})
        plan = part.asking(plan, loaded.plan)
    with collect_notices() as notices:
        if loaded.recorded is None:
            remember(plan, loaded.held.holds)
    for message in notices:
        ctx.warn(message)
    with decisions_reported_to(lambda one: ctx.emit(ModelMoved(str(one), ctx.node, one))):
        for warning in (*loaded.held.warnings, *plan.warnings):
            ctx.pass_on(warning)
        here = disk.environment if disk is not None else environment(where)
        kept = Kept(None if printed else memory_store, disk, here) if cache else None
        asked = budget is not None
        makes = require_memory(plan, budget, where, rehearse=True) if asked else {}
        ctx.memory = Watch(
            plan, where, measure=measure or profile is not None or asked, makes=makes, several=crew is not None
        )
        try:
            with ExitStack() as bounds:
                for one in (manager.devices[0] for manager in (crew.managers if crew is not None else [models])):
                    bounds.enter_context(at_most(budget, one))
                if profile is not None:
                    bounds.enter_context(profile.watching(plan, ctx, kept))
                values = execute(plan, ctx, kept, crew)
            if disk is not None and kept is not None and usable:
                _note(loaded, plan, kept, disk, ctx, events)
        except NodeError as error:
            if not loaded.labels:
                raise
            raise NodeError(loaded.labelled(error.problem), error.node_type) from error.__cause__
        finally:
            if disk is not None and (usable or part is not None):
                disk.flush()
            if disk is not None and disk.trouble and usable:
                ctx.pass_on(Warned(None, not_kept(disk.trouble)))
    if record is not None:
        record.finish(loaded, plan, ctx, events, values)
    outputs = values if printed else {name: copied(value) for name, value in values.items()}
    return Result(outputs, list(ctx.saved), events, files_of(plan.savers, events), ctx.metadata.get(CHUNK, ""))


def setting_in(plan: Plan, word: str) -> object:
    """The value of `node.setting`: a number, a text or a switch; None for anything else."""
    node, _, name = word.partition(".")
    value = next((step.settings.get(name) for step in plan.steps if step.name == node), None)
    return value if isinstance(value, (str, int, float)) else None


def _note(loaded: LoadedWorkflow, plan: Plan, kept: Kept, disk: DiskStore, ctx: Context, events: Record) -> None:
    """Note what was used, and for `inlay cache why` what each result depended on."""
    if loaded.file is not None and len(plan.steps) <= NODES:
        run_note = note(plan, environment_parts(ctx.device), kept.outcomes, account(events))
        disk.note_run(os.path.realpath(loaded.file), run_note.packed())

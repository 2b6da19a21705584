"""Prepare a run: the output folder must be writable, and every model on this machine."""

import time
from pathlib import Path

from ...core.context import Context
from ...core.current_run import running_in
from ...core.errors import BadInput, Problem, WorkflowError, shorten
from ...core.events import NodeStarted
from ...core.leftovers import sweep
from ...core.memory.descriptions import ModelDescription
from ...core.memory.forecast import known_need, leases
from ...core.memory.rehearsal import rehearsed
from ...core.memory.sizes import size_text
from ...core.opening import reading
from ...core.paths import why_not_below, why_unwritable
from ...core.run.plan import Plan
from ...core.user_paths import home
from .load_workflow import LoadedWorkflow


def require_writable_output(plan: Plan, out: Path) -> None:
    """Refuse an output folder, or one below it, that cannot be written, before minutes are spent on a result.

    Raises:
        WorkflowError: the output folder or a `prefix` cannot be used; says why.
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


def prepare_folders(ctx: Context, *, keeping: bool) -> bool:
    """Remove what killed runs left in the output folder and in inlay's own; false, with a warning, if nothing can be
    kept there.

    Args:
        ctx: of the run that begins.
        keeping: results are kept between runs; without, nothing is missed.
    """
    folder = home()
    for place in (folder, ctx.out):
        sweep(place)
    if keeping and (why := _why_nothing_is_kept(folder)):
        ctx.warn(
            f"nothing is kept between runs: {why}; to keep results, set INLAY_HOME ({folder}) to a folder that you can "
            "write to, or run with --no-cache (cache=False)"
        )
        return False
    return True


_AGAIN = 10.0  # seconds before a folder that could be written to is tried again
_written: dict[Path, float] = {}  # by folder, when this process last found that it can be written to


def _why_nothing_is_kept(folder: Path) -> str:
    if time.monotonic() - _written.get(folder, -_AGAIN) < _AGAIN:
        return ""
    why = why_unwritable(folder)
    if why:
        _written.pop(folder, None)
    else:
        _written[folder] = time.monotonic()
    return why


SURE = 0.95  # of what was rehearsed: less would be refused for nothing where a kernel takes a little less


def require_memory(
    plan: Plan, budget: int | None, device: str, limit: int | None = None, *, rehearse: bool = False
) -> dict[str, int]:
    """Refuse a run that does not fit: what a node leases at once, and what it was measured to make beside that.

    Models that are not on this machine yet have no size: they are judged once they are downloaded.

    Args:
        plan: of the run.
        budget: as it was asked for; None: what is free.
        device: where it will run.
        limit: bytes that may be in use there now; None: the budget.
        rehearse: find out with shapes alone what nodes make that were never measured; takes about a second each.

    Returns:
        By node, what it is known to make beside weights.

    Raises:
        WorkflowError: names each node, its models and their size, and the smallest budget that works.
    """
    most = budget if budget is not None else limit
    if most is None:
        return {}
    makes: dict[str, int] = {}
    found: list[tuple[str, str | None, str, int]] = []
    for step in plan.steps:
        if step.known is not None:
            continue
        groups = leases(plan, step)
        need = known_need(plan, step, device) if groups or (device == "cpu" and budget is not None) else None
        made, source = (need.activations, need.source) if need is not None else (0, "at least")
        if rehearse and need is None and groups:
            made, source = int((rehearsed(plan, step, device) or 0) * SURE), "rehearsed"
        makes[step.name] = made
        beside = f", and {size_text(made)} that it makes beside ({source})" if made else ""
        for group in groups:
            label = " and ".join(one.label for one in group.models) + " together" * (len(group.models) > 1)
            size = group.least(device)
            streamed = " block by block" * (size < group.nbytes(device))
            found.append((step.name, group.socket, f"{label}, {size_text(size)}{streamed}{beside}", size + made))
        if not groups and made:
            found.append((step.name, None, f"{size_text(made)} that it makes ({source})", made))
    least = size_text(max((size for *_, size in found), default=0))
    given = f"--memory {size_text(most)}" if budget is not None else f"{size_text(most)} free for it"
    wish = f"--memory {least.replace(' ', '')}" if budget is not None else "end other programs that use it"
    problems = [
        Problem(
            node,
            socket,
            f"{label} on {device}, with {given}",
            f"a budget of at least {least}",
            f"{wish}, or a smaller dtype or size",
        )
        for node, socket, label, size in found
        if size > most
    ]
    if problems:
        raise WorkflowError(problems)
    return makes


def decide(loaded: LoadedWorkflow, plan: Plan, ctx: Context) -> Plan:
    """Fetch what decides which workflow is meant, and plan that one.

    Raises:
        WorkflowError: it cannot be fetched, or the workflow has problems.
        Cancelled: the user asked to stop.
    """
    with running_in(ctx), reading(plan.gate):
        loaded.decide()
    return loaded.plan()


def fetch_models(plan: Plan, ctx: Context) -> bool:
    """Download the models that are not on this machine; True if something was downloaded.

    Raises:
        WorkflowError: a model cannot be downloaded; names the node that needs it.
        Cancelled: the user asked to stop.
    """
    problems: list[Problem] = []
    downloaded = False
    blamed = [False] * len(plan.steps)
    for index, step in enumerate(plan.steps):
        models = [value for value in step.known or () if isinstance(value, ModelDescription)]
        blamed[index] = any(blamed[source] for source in step.sources)  # a model missing there is missing here too
        if blamed[index] or not models:
            continue
        ctx.node = step.name
        if not all(getattr(model, "known", True) for model in models):
            ctx.emit(NodeStarted(step.name, step.spec.id))
        try:
            with running_in(ctx), reading(plan.gate):
                for model in models:
                    downloaded |= model.fetch()
        except BadInput as error:
            problems.append(error.at(step.name))
            blamed[index] = True
    ctx.node = ""
    if problems:
        raise WorkflowError(dict.fromkeys(problems))
    return downloaded

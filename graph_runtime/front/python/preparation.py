"""Prepare a run: the output folder must be writable, and every model on this machine."""

import time
from pathlib import Path

from ...core.context import Context
from ...core.current_run import running_in
from ...core.errors import BadInput, Problem, WorkflowError, shorten
from ...core.events import NodeStarted
from ...core.leftovers import sweep
from ...core.memory.descriptions import ModelDescription
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


def require_memory(plan: Plan, budget: int | None, device: str) -> None:
    """Refuse a budget for weights that does not hold what a node leases at once.

    That is a model at one of its sockets, together with those that its other values ask for. Models that are not on
    this machine yet have no size: they are judged once they are downloaded.

    Raises:
        WorkflowError: names each node, its models and their size, and the smallest budget that works.
    """
    if budget is None:
        return
    sizes: dict[tuple[str, str], tuple[str, int]] = {}
    for step in plan.steps:
        for socket, slot in step.links if step.spec.context is not None and not step.spec.static else ():
            role = step.spec.sockets[socket].role
            owner = plan.steps[plan.owner[slot]]
            model = None if owner.known is None else owner.known[slot - owner.first_slot]
            if not isinstance(model, ModelDescription) or (role is not None and role.kind == "described"):
                continue
            if all(getattr(one, "known", True) for one in (model, *step.beside)):
                together = {one.base(): one for one in (model, *step.beside)}.values()
                label = " and ".join(one.label for one in together) + " together" * (len(together) > 1)
                sizes[step.name, socket] = label, sum(one.nbytes_on(device) for one in together)
    least = size_text(max((size for _, size in sizes.values()), default=0))
    problems = [
        Problem(
            node,
            socket,
            f"{label}, {size_text(size)} on {device}, with --memory {size_text(budget)}",
            f"a budget of at least {least}",
            f"--memory {least.replace(' ', '')}, or a smaller dtype",
        )
        for (node, socket), (label, size) in sizes.items()
        if size > budget
    ]
    if problems:
        raise WorkflowError(problems)


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

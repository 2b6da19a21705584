"""Prepare a run: the output folder must be writable, and every model on this machine."""

import itertools
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ...core.context import Context
from ...core.current_run import running_in
from ...core.errors import BadInput, Problem, WorkflowError, shorten
from ...core.events import NodeStarted
from ...core.leftovers import sweep
from ...core.memory.descriptions import ModelDescription
from ...core.memory.forecast import Leased, known_need, leases, with_least
from ...core.memory.needs import Need, Source
from ...core.memory.rehearsal import rehearsed
from ...core.memory.sizes import size_text
from ...core.opening import reading
from ...core.paths import why_not_below, why_unwritable
from ...core.run.plan import Plan, Step
from ...core.user_paths import home
from .lighter import fewer, lighter
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


def require_devices(plan: Plan, devices: Callable[[], Iterable[str]]) -> None:
    """Refuse models that are to be used in a way which cannot work on these devices.

    Args:
        plan: of the run.
        devices: finds out what they are, which imports torch; called only where it matters.

    Raises:
        WorkflowError: names each node, what is missing, and how to mend it.
    """
    problems: list[Problem] = []
    asked = [
        (step, model)
        for step in plan.steps
        for model in step.known or ()
        if isinstance(model, ModelDescription) and not model.any_device
    ]
    for (step, model), device in itertools.product(asked, dict.fromkeys(devices()) if asked else ()):
        try:
            model.require_device(device)
        except BadInput as error:
            problems.append(error.at(step.name))
    if problems:
        raise WorkflowError(dict.fromkeys(problems))


BARE = 1000  # bytes: below, the unit was forgotten
#: By how a need is known: the share of it that a budget must hold, and the share that a budget named to the user holds.
#: A kernel takes a little more or less than what was rehearsed, so the first refuses nothing that fits, and the second
#: is a budget that works.
SURE: Mapping[Source, tuple[float, float]] = {"rehearsed": (0.95, 1.05), "scaled": (0.95, 1.1)}


class _Least(NamedTuple):
    """The least that a node can do with.

    Attributes:
        node: its name.
        socket: of the model; None: of no model.
        label: what it is made of, for the message.
        must: bytes without which it is refused.
        works: bytes of a budget that works.
        other: settings with which less would do, for the message.
    """

    node: str
    socket: str | None
    label: str
    must: int
    works: int
    other: str = ""


def require_memory(
    plan: Plan, budget: int | None, device: str, limit: int | None = None, *, rehearse: bool = False
) -> dict[str, int]:
    """Refuse a run that does not fit: what a node leases at once, and what it makes beside that.

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
    found: list[_Least] = []
    for step in plan.steps:
        if step.known is not None:
            continue
        groups = leases(plan, step)
        count_all = device == "cpu" and budget is not None
        need = _need(plan, step, device, leasing=bool(groups), rehearse=rehearse, count_all=count_all)
        room = most - max((group.least(device) for group in groups), default=0)
        if need.activations > room:
            need = with_least(need, plan, step, device)
        makes[step.name] = int(need.within(room) * SURE.get(need.source, (1.0, 1.0))[0])
        found += _judged(plan, step, groups, need, device, most)
    _refuse(
        [one for one in found if one.must > most], max((one.works for one in found), default=0), device, most, budget
    )
    return makes


def _need(plan: Plan, step: Step, device: str, *, leasing: bool, rehearse: bool, count_all: bool) -> Need:
    """What a node makes; nothing where nobody knows."""
    need = known_need(plan, step, device) if leasing or count_all else None
    if need is None and rehearse and leasing and (made := rehearsed(plan, step, device)) is not None:
        return Need(made, None, (), "rehearsed")
    return need if need is not None else Need(0, None, (), "at least")


def _judged(plan: Plan, step: Step, groups: Sequence[Leased], need: Need, device: str, most: int) -> Iterator[_Least]:
    """The least that a node can do with, for each of the sockets whose models it leases."""
    made = need.activations if need.least is None else need.least
    must, works = (math.ceil(made * share) for share in SURE.get(need.source, (1.0, 1.0)))
    beside = f", and {size_text(works)} that it makes beside ({need.source})" if made else ""
    for group in groups:
        label = " and ".join(one.label for one in group.models) + " together" * (len(group.models) > 1)
        size = group.least(device)
        streamed = " block by block" * (size < group.nbytes(device))
        other = ""
        if size + must > most:
            other = fewer(plan, step) + lighter(plan, step, device, group, works, SURE["rehearsed"][1])
        shown = f"{label}, {size_text(size)}{streamed}{beside}"
        yield _Least(step.name, group.socket, shown, size + must, size + works, other)
    if not groups and made:
        other = fewer(plan, step) if must > most else ""
        yield _Least(step.name, None, f"{size_text(works)} that it makes ({need.source})", must, works, other)


def _refuse(found: Sequence[_Least], works: int, device: str, most: int, budget: int | None) -> None:
    """Raise for what does not fit, if anything does not.

    Raises:
        WorkflowError: names each of them.
    """
    least = size_text(works)
    given = f"--memory {size_text(most)}" if budget is not None else f"{size_text(most)} free for it"
    wish = f"--memory {least.replace(' ', '')}" if budget is not None else "end other programs that use it"
    if budget is not None and budget < BARE:
        wish = f"give the unit, as in --memory {budget}GB; or {wish}"
    problems = [
        Problem(
            one.node,
            one.socket,
            f"{one.label} on {device}, with {given}",
            f"a budget of at least {least}",
            f"{wish}, or a smaller dtype or size{one.other}",
        )
        for one in found
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

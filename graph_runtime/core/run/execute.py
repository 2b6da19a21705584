"""The loop: run what is needed, in the planned order, and free each value after its last reader."""

import time

from ..context import Context
from ..current_run import running_in
from ..events import NodeFinished, NodeStarted, RunFinished, RunStarted, Warned
from ..notices import collect_notices
from ..opening import reading
from ..store.kept import Kept
from ..store.memory import Given
from .calls import make
from .crew import Crew
from .plan import Plan
from .side_by_side import side_by_side, within_a_step
from .work import Work


def execute(plan: Plan, ctx: Context, kept: Kept | None = None, crew: Crew | None = None) -> dict[str, object]:
    """Run `plan` and return its named outputs.

    Kept results are reused, and nodes that only they needed do not run. Each value is dropped after its last reader
    has received it.

    Args:
        plan: what to run.
        ctx: of the run.
        kept: results from before, and where to keep those of this run.
        crew: several devices: what does not depend on each other runs at once, with the same results.

    Raises:
        NodeError: a node failed; it is named.
        Cancelled: the user asked to stop.
    """
    began = time.perf_counter()
    work = Work(plan, ctx, kept)
    if ctx.listeners:
        ctx.emit(RunStarted(sum(work.needed)))
    if crew is not None and len(crew.managers) > 1 and not within_a_step():
        side_by_side(work, crew)
    else:
        with running_in(ctx), reading(plan.gate), collect_notices() as notices:
            _one_at_a_time(work, notices)
    ctx.node = ""
    if ctx.listeners:
        ctx.emit(RunFinished(time.perf_counter() - began))
    return work.outputs()


def _one_at_a_time(work: Work, notices: list[str]) -> None:
    ctx, needed, cached, took = work.ctx, work.needed, work.cached, work.took
    arguments, hold, cancel, clock = work.arguments, work.hold, ctx.cancel, time.perf_counter
    listening, keeping = bool(ctx.listeners), work.keeping
    index = 0
    ctx.spent = lambda socket: work.spent(index, socket)
    for index, step in enumerate(work.steps):
        if not needed[index]:
            continue
        ctx.node = step.name
        if cancel.cancelled:
            ctx.check_cancelled()
        if listening:
            ctx.emit(NodeStarted(step.name, step.spec.id))
        started = clock()
        known = index in cached
        if known:
            given: Given = cached.pop(index)
            for message in given[1]:
                ctx.warn(message)
        else:
            given = make(step, arguments(step), ctx, notices)
            if keeping:
                work.keep(index, given, clock() - started, ctx)
        hold(step, given[0])
        del given
        took[index] = seconds = clock() - started
        if listening:
            ctx.emit(NodeFinished(step.name, step.spec.id, seconds, known))
        if notices:  # of the store
            for message in notices:
                ctx.pass_on(Warned(None, message))
            notices.clear()

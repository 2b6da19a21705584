"""The loop: run what is needed, in the planned order, and free each value after its last reader."""

import time
from dataclasses import replace

from ..context import Context
from ..current_run import running_in
from ..disk_errors import disk_error, explain
from ..errors import BadInput, Cancelled, NodeError, Problem, missing_package, shorten
from ..events import NodeFinished, NodeStarted, RunFinished, RunStarted
from ..notices import collect_notices
from ..opening import Gate, reading
from ..out_of_memory import is_out_of_memory, retried
from ..store.kept import Kept
from ..store.memory import Outputs, Result
from .plan import Plan, Step


def execute(plan: Plan, ctx: Context, kept: Kept | None = None) -> dict[str, object]:
    """Run `plan` and return its named outputs.

    Kept results are reused, and nodes that only they needed do not run. Each value is dropped after its last reader
    has received it.

    Raises:
        NodeError: a node failed; it is named.
        Cancelled: the user asked to stop.
    """
    began = time.perf_counter()
    steps, owner = plan.steps, plan.owner
    cached, needed = _decide(plan, kept)
    readers = _readers(plan, cached, needed)
    values: list[object] = [None] * plan.slots
    listening = bool(ctx.listeners)
    steady = True  # no file that counts has changed since the check
    reused, took = set(cached), [0.0] * len(steps)
    again = [0.0] * len(steps)  # seconds to make each result again; 0 if it is on disk
    ctx.spent = lambda socket: _spent(plan, index, socket, took, reused)
    if listening:
        ctx.emit(RunStarted(sum(needed)))
    for index, step in enumerate(steps):
        if not needed[index]:
            continue
        ctx.node = step.name
        ctx.check_cancelled()
        if listening:
            ctx.emit(NodeStarted(step.name, step.spec.id))
        started = time.perf_counter()
        result = cached.pop(index, None)
        known = result is not None
        if result is not None:
            for message in result.warnings:
                ctx.warn(message)
        else:
            result = _make(step, _arguments(step, values, readers), ctx, plan.gate)
            again[index] = time.perf_counter() - started + max((again[above] for above in step.sources), default=0.0)
            if steady and not plan.still_reads(step):
                steady = False
                ctx.warn("a file that this run reads changed meanwhile: results from here on are not kept")
                ctx.models.evict_idle("a file changed during the run")
            key = plan.keys[index] if kept is not None and steady and not step.spec.effects else None
            if kept is not None and key is not None and kept.put(key, result, again[index], step.spec.id):
                again[index] = 0.0
        for number in range(len(result.outputs)):
            if readers[step.first_slot + number]:
                values[step.first_slot + number] = result.outputs[number]
        del result
        took[index] = time.perf_counter() - started
        if listening:
            ctx.emit(NodeFinished(step.name, step.spec.id, took[index], known))
    ctx.node = ""
    if listening:
        ctx.emit(RunFinished(time.perf_counter() - began))
    return {
        name: values[slot] if readers[slot] else _static_value(steps[owner[slot]], slot)
        for name, slot in plan.outputs.items()
    }


def _spent(plan: Plan, index: int, socket: str, took: list[float], kept: set[int]) -> float | None:
    """Seconds of all steps behind an input of step `index`; None if a result was known from before."""
    behind = {plan.owner[slot] for name, slot in plan.steps[index].links if name == socket}
    waiting = list(behind)
    while waiting:
        for source in plan.steps[waiting.pop()].sources:
            if source not in behind:
                behind.add(source)
                waiting.append(source)
    if not behind or any(step in kept and plan.steps[step].known is None for step in behind):
        return None
    return sum(took[step] for step in behind)


def _arguments(step: Step, values: list[object], readers: list[int]) -> dict[str, object]:
    """The arguments of a step; a value that no other step reads is released."""
    arguments = dict(step.settings)
    lists: dict[str, list[object]] = {}
    for socket, slot in step.links:
        if socket in step.lists:
            arguments[socket] = lists.setdefault(socket, [])
            lists[socket].append(values[slot])
        else:
            arguments[socket] = values[slot]
        readers[slot] -= 1
        if not readers[slot]:
            values[slot] = None
    return arguments


def _static_value(step: Step, slot: int) -> object:
    return step.known[slot - step.first_slot] if step.known is not None else None


def _decide(plan: Plan, kept: Kept | None) -> tuple[dict[int, Result], list[bool]]:
    """Which results are known already, and which steps must run; from the outputs backwards."""
    steps = plan.steps
    needed = [step.spec.effects for step in steps]
    for slot in plan.outputs.values():
        needed[plan.owner[slot]] = True
    cached: dict[int, Result] = {}
    keys = plan.keys if kept is not None else []
    for index in range(len(steps) - 1, -1, -1):
        if not needed[index]:
            continue
        step = steps[index]
        found = Result(step.known) if step.known is not None else None
        if found is None and kept is not None and not step.spec.effects and (key := keys[index]) is not None:
            found = kept.get(key, len(step.spec.outputs))
        if found is not None:
            cached[index] = found
            continue
        for source in step.sources:
            needed[source] = True
    return cached, needed


def _readers(plan: Plan, cached: dict[int, Result], needed: list[bool]) -> list[int]:
    """How often each slot will be read in this run; a requested output counts as a reader that never finishes."""
    readers = [0] * plan.slots
    for index, step in enumerate(plan.steps):
        if needed[index] and index not in cached:
            for _, slot in step.links:
                readers[slot] += 1
    for slot in plan.outputs.values():
        readers[slot] += 1
    return readers


def _make(step: Step, arguments: dict[str, object], ctx: Context, gate: Gate) -> Result:
    """Run a node; returns its outputs and the warnings that it emitted."""
    ctx.said = []
    with collect_notices() as notices, running_in(ctx), reading(gate):
        outputs = _call(step, arguments, ctx)
    for message in notices:
        ctx.warn(message)
    return Result(outputs, tuple(ctx.said))


def _call(step: Step, arguments: dict[str, object], ctx: Context) -> Outputs:
    spec = step.spec
    if spec.context is not None:
        arguments[spec.context] = ctx
    try:
        outputs = retried(lambda: spec.run(**arguments), lambda: ctx.models.evict_idle("a node ran out of memory"))
    except (Cancelled, NodeError):
        raise
    except BadInput as error:
        problem = error.at(step.name)
        if not spec.has(problem.port):  # of another node: what a model's own files lack shows when it is first used
            problem = replace(problem, port=None)
        raise NodeError(problem, spec.id) from error
    except Exception as error:
        raise NodeError(_unforeseen(step, arguments, error), spec.id) from error
    if not isinstance(outputs, tuple) or len(outputs) != len(spec.outputs):
        raise NodeError(
            Problem(
                step.name,
                None,
                f"{shorten(outputs)} returned by {spec.function.__qualname__}",
                f"a tuple of {len(spec.outputs)}: {', '.join(spec.outputs)}",
                "return the NamedTuple that the node declares",
            ),
            spec.id,
        )
    return outputs


def _unforeseen(step: Step, arguments: dict[str, object], error: Exception) -> Problem:
    shown = ", ".join(f"{name}={_brief(value)}" for name, value in arguments.items() if name != step.spec.context)
    if is_out_of_memory(error):
        return Problem(
            step.name,
            None,
            f"out of memory with {shown}",
            "enough memory for this size",
            "use a smaller picture, tiling=on, a smaller dtype, or --device cpu",
        )
    if (missing := missing_package(error)) is not None:
        return Problem(step.name, None, *missing)
    if (cause := disk_error(error)) is not None:
        return Problem(step.name, None, *explain(cause))
    function = step.spec.function
    return Problem(
        step.name,
        None,
        f"{type(error).__name__}: {error} in {function.__module__}.{function.__qualname__}({shown})",
        "the node to finish",
        "run again with --traceback to see where; if it is a bug of inlay, please report it",
    )


def _brief(value: object) -> str:
    shape = getattr(value, "shape", None)
    if shape is not None:
        return f"{str(getattr(value, 'dtype', '')).removeprefix('torch.')}{list(shape)}"
    return shorten(value, 60)

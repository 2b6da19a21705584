"""The loop: run what is needed, in the planned order, and free each value after its last reader."""

import time
from dataclasses import replace

from ..context import Context
from ..current_run import running_in
from ..disk_errors import disk_error, explain
from ..errors import BadInput, Cancelled, NodeError, Problem, missing_package, shorten
from ..events import NodeFinished, NodeStarted, RunFinished, RunStarted
from ..notices import collect_notices
from ..opening import reading
from ..out_of_memory import is_out_of_memory, retried
from .cache import DiskCache, MemoryCache, Outputs
from .plan import Plan, Step


def execute(
    plan: Plan, ctx: Context, *, memory: MemoryCache | None = None, disk: DiskCache | None = None
) -> dict[str, object]:
    """Run `plan` and return its named outputs.

    Cached results are reused, and nodes that only they needed do not run. Each value is dropped after its last reader
    has received it.

    Raises:
        NodeError: a node failed; it is named.
        Cancelled: the user asked to stop.
    """
    began = time.perf_counter()
    steps, owner = plan.steps, plan.owner
    cached, needed = _decide(plan, memory, disk)
    readers = _readers(plan, cached, needed)
    values: list[object] = [None] * plan.slots
    listening = bool(ctx.listeners)
    keys = plan.keys if memory is not None or disk is not None else None
    kept, took = set(cached), [0.0] * len(steps)
    ctx.spent = lambda socket: _spent(plan, index, socket, took, kept)
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
        outputs = cached.pop(index, None)
        known = outputs is not None
        if outputs is None:
            with collect_notices() as notices, running_in(ctx), reading(plan.gate):
                outputs = _call(step, _arguments(step, values, readers), ctx)
            for message in notices:
                ctx.warn(message)
            if keys is not None and step.files and not plan.still_reads(step):
                ctx.warn("a file that this node reads changed during the run: results that depend on it are not kept")
                keys = None
            if keys is not None and (key := keys[index]) is not None and not step.spec.effects:
                _keep(step, key, outputs, memory, disk)
        for number in range(len(outputs)):
            if readers[step.first_slot + number]:
                values[step.first_slot + number] = outputs[number]
        del outputs
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


def _decide(plan: Plan, memory: MemoryCache | None, disk: DiskCache | None) -> tuple[dict[int, Outputs], list[bool]]:
    """Which results are known already, and which steps must run; from the outputs backwards."""
    steps = plan.steps
    needed = [step.spec.effects for step in steps]
    for slot in plan.outputs.values():
        needed[plan.owner[slot]] = True
    cached: dict[int, Outputs] = {}
    caching = memory is not None or disk is not None
    keys = plan.keys if caching else []
    for index in range(len(steps) - 1, -1, -1):
        if not needed[index]:
            continue
        step = steps[index]
        found = step.known
        if found is None and caching and not step.spec.effects and (key := keys[index]) is not None:
            found = memory.get(key) if memory is not None else None
            if found is None and disk is not None and step.spec.persist:
                found = disk.get(key, list(step.spec.outputs))
        if found is not None:
            cached[index] = found
            continue
        for source in step.sources:
            needed[source] = True
    return cached, needed


def _readers(plan: Plan, cached: dict[int, Outputs], needed: list[bool]) -> list[int]:
    """How often each slot will be read in this run; a requested output counts as a reader that never finishes."""
    readers = [0] * plan.slots
    for index, step in enumerate(plan.steps):
        if needed[index] and index not in cached:
            for _, slot in step.links:
                readers[slot] += 1
    for slot in plan.outputs.values():
        readers[slot] += 1
    return readers


def _keep(step: Step, key: bytes, outputs: Outputs, memory: MemoryCache | None, disk: DiskCache | None) -> None:
    if memory is not None:
        memory.put(key, outputs)
    if disk is not None and step.spec.persist:
        disk.put(key, list(step.spec.outputs), outputs)


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

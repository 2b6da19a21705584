"""Calling a node, and how its errors are told."""

from collections.abc import Iterable
from dataclasses import replace

from ..context import Context
from ..disk_errors import disk_error, explain
from ..errors import BadInput, Cancelled, NodeError, Problem, missing_package, shorten
from ..memory.device_lost import explanation, lost_device
from ..out_of_memory import is_out_of_memory, retried_after
from ..store.memory import Given
from .plan import Step


def make(step: Step, arguments: dict[str, object], ctx: Context, notices: list[str]) -> Given:
    """Run a node; returns its outputs and the warnings that it emitted.

    Args:
        step: the node.
        arguments: its own; the context is added.
        ctx: of the node.
        notices: where `notice` puts messages; emptied.

    Raises:
        NodeError: it failed.
        Cancelled: the user asked to stop.
    """
    spec = step.spec
    ctx.said = []
    if spec.context is not None:
        arguments[spec.context] = ctx
    outputs = _called(step, arguments, ctx) if ctx.memory is None else _within_memory(step, arguments, ctx)
    if not isinstance(outputs, tuple) or len(outputs) != len(spec.outputs):
        raise _wrong_outputs(step, outputs)
    if notices:
        for message in notices:
            ctx.warn(message)
        notices.clear()
    return outputs, tuple(ctx.said)


def _within_memory(step: Step, arguments: dict[str, object], ctx: Context) -> Iterable[object]:
    """Call a node when there is room for what it needs."""
    assert ctx.memory is not None
    try:
        with ctx.memory(step, ctx):
            return _called(step, arguments, ctx)
    except BadInput as error:  # there is none
        raise NodeError(error.at(step.name), step.spec.id) from error


def _called(step: Step, arguments: dict[str, object], ctx: Context) -> Iterable[object]:
    try:
        return step.spec.run(**arguments)
    except Exception as error:  # noqa: BLE001 - told when this block has ended, and with it the failed try
        failed = [error]
    return _once_more(step, arguments, ctx, failed)


def _once_more(step: Step, arguments: dict[str, object], ctx: Context, failed: list[Exception]) -> Iterable[object]:
    """Call a node again if it failed because memory ran out; otherwise tell why it failed."""
    spec = step.spec
    try:
        return retried_after(
            failed, lambda: spec.run(**arguments), lambda: ctx.models.make_smaller("a node ran out of memory")
        )
    except (Cancelled, NodeError):
        raise
    except BadInput as error:
        problem = error.at(step.name)
        if not spec.has(problem.port):  # of another node: what a model's own files lack shows when it is first used
            problem = replace(problem, port=None)
        raise NodeError(problem, spec.id) from error
    except Exception as error:
        raise NodeError(_unforeseen(step, arguments, error, ctx), spec.id) from error


def _wrong_outputs(step: Step, outputs: object) -> NodeError:
    spec = step.spec
    return NodeError(
        Problem(
            step.name,
            None,
            f"{shorten(outputs)} returned by {spec.function.__qualname__}",
            f"a tuple of {len(spec.outputs)}: {', '.join(spec.outputs)}",
            "return the NamedTuple that the node declares",
        ),
        spec.id,
    )


def _unforeseen(step: Step, arguments: dict[str, object], error: Exception, ctx: Context) -> Problem:
    shown = ", ".join(f"{name}={_brief(value)}" for name, value in arguments.items() if name != step.spec.context)
    if is_out_of_memory(error):
        return Problem(
            step.name,
            None,
            f"out of memory with {shown}; who holds what:\n" + "\n".join(ctx.models.holders(ctx.device)),
            "enough memory for this size",
            "use a smaller picture, tiling=on, a smaller dtype, or --device cpu",
        )
    if (said := lost_device(error)) is not None:
        ctx.models.abandon()
        return Problem(step.name, None, *explanation(ctx.device, said))
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

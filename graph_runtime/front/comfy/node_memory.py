"""A node of the host within INLAY_MEMORY: room is kept for what it makes, and a count holds it while it runs."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

from ...core.context import Context
from ...core.errors import ModelError, NodeError, Problem, shorten
from ...core.memory.descriptions import AnyDescription, ModelDescription
from ...core.memory.device_memory import at_most
from ...core.memory.forecast import asked_of, said_by
from ...core.memory.manager import ModelManager
from ...core.memory.meter import meter_for
from ...core.memory.needs import Need, note, recall
from ...core.out_of_memory import is_out_of_memory, retried
from ...core.spec import NodeSpec

_INSIDE = " inside a host"  # what is measured here is asked for with inputs alone, where a run knows outputs too


def called(spec: NodeSpec, arguments: dict[str, object], ctx: Context) -> tuple[object, ...]:
    """Run a node; if memory runs out, make room and try once more.

    Without a budget the host handles a second failure.

    Raises:
        NodeError: it does not fit into INLAY_MEMORY; says who holds what.
    """
    call = dict(arguments) if spec.context is None else {**arguments, spec.context: ctx}
    manager = ctx.models
    if not isinstance(manager.budget, int) or spec.static:
        return tuple(retried(lambda: spec.run(**call), lambda: manager.evict_idle("a node ran out of memory")))
    with _within(spec, arguments, ctx, manager.budget):
        try:
            return tuple(retried(lambda: spec.run(**call), lambda: manager.make_smaller("a node ran out of memory")))
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            shown = ", ".join(f"{name}={_brief(value)}" for name, value in arguments.items())
            problem = Problem(
                ctx.node,
                None,
                f"out of memory with {shown}; {_table(manager, ctx.device)}",
                "enough memory for this size",
                f"a larger {manager.setting.strip('= ')}, a smaller picture, tiling=on, or a smaller dtype",
            )
        raise NodeError(problem, spec.id)


@contextmanager
def _within(spec: NodeSpec, arguments: Mapping[str, object], ctx: Context, budget: int) -> Iterator[None]:
    """Keep room for a node, bound what it takes, and keep what was measured.

    Raises:
        ModelError: there is no room.
    """
    manager, device = ctx.models, ctx.device
    given = {name: arguments.get(name) for name in spec.sockets}
    settings = {name: value for name, value in arguments.items() if name not in spec.sockets}
    models = [one for one in given.values() if isinstance(one, ModelDescription)]
    leased = _leased(spec, given, device)
    if device != "cpu" and not leased:
        yield  # it computes on the CPU
        return
    asked = asked_of(spec, settings, models, (given,), device, _INSIDE)
    need = recall(asked)
    if need is None or need.source != "measured":
        need = said_by(spec, given, settings, device, ctx.node or spec.id) or need
    weights = sum(one.nbytes_on(device) for one in leased)
    kept = need.within(budget - weights) if need is not None else 0
    meter = meter_for(manager, device, on_cpu=True)
    with ExitStack() as block:
        try:
            hold = block.enter_context(manager.hold(f"node {ctx.node}", kept, leased))
        except ModelError as error:
            found = f"{error.found}; {_table(manager, device)}"
            raise ModelError(error.port, found=found, expected=error.expected, fix=error.fix) from None
        block.enter_context(at_most(budget + _of_others(manager, device), device))
        measured = block.enter_context(meter(lambda: max(0, budget - manager.resident_bytes(device))))
        yield
        block.close()
        if measured.sure and not _exact(need, measured.peak):
            note(asked, measured.peak, hold.leased, hold.labels)


def _exact(need: Need | None, peak: int) -> bool:
    return need is not None and need.source == "measured" and need.activations >= peak


def _leased(spec: NodeSpec, given: Mapping[str, object], device: str) -> tuple[AnyDescription, ...]:
    """The largest model that the node leases: which of several it holds together, its first run tells."""
    found = []
    for name, value in given.items():
        role = spec.sockets[name].role
        described = role is not None and role.kind == "described"
        if isinstance(value, ModelDescription) and spec.context is not None and not described:
            found.append(value)
    return (max(found, key=lambda one: one.nbytes_on(device)),) if found else ()


def _of_others(manager: ModelManager, device: str) -> int:
    """Bytes of the device that the host has in use."""
    if not device.startswith("cuda"):
        return 0
    import torch

    return max(0, torch.cuda.memory_allocated(torch.device(device)) - manager.resident_bytes(device))


def _table(manager: ModelManager, device: str) -> str:
    return "who holds what:\n" + "\n".join(manager.holders(device))


def _brief(value: object) -> str:
    shape = getattr(value, "shape", None)
    return (
        shorten(value, 60)
        if shape is None
        else f"{str(getattr(value, 'dtype', '')).removeprefix('torch.')}{list(shape)}"
    )

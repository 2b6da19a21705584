"""Around each node of a run: keep room for what it needs, measure what it takes, and keep the measurement."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING

from ..context import Context
from ..events import NodeMemory
from .forecast import asked, known_need, leases
from .manager import ModelManager
from .meter import meter_for
from .needs import note

if TYPE_CHECKING:
    from ..run.plan import Plan, Step

_NOTHING: AbstractContextManager[None] = nullcontext()


class Watch:
    """Keeps the nodes of one run within the budget of the device that each runs on.

    Args:
        plan: of the run.
        device: where it runs, or the first of several.
        measure: measure also on the CPU, where that takes time; a budget that is given is kept there by measuring.
        makes: by node, what it will make, where a budget was asked for and the run was judged by it.
        several: there are several devices, of which a node without models needs none.
    """

    def __init__(
        self, plan: "Plan", device: str, *, measure: bool, makes: Mapping[str, int], several: bool = False
    ) -> None:
        self.plan, self._measure, self._makes = plan, measure, makes
        self._every = measure and device == "cpu" and not several

    def __call__(self, step: "Step", ctx: Context) -> AbstractContextManager[None]:
        """For the time that a node runs; `ctx` is its own, with the device that it has."""
        if not self._every and not leases(self.plan, step):
            return _NOTHING  # it computes on the CPU, and nobody asks how much that takes
        return self._around(step, ctx)

    @contextmanager
    def _around(self, step: "Step", ctx: Context) -> Iterator[None]:
        manager, device = ctx.models, ctx.device
        known = known_need(self.plan, step, device, ask=self._measure or device != "cpu")
        leased = max(leases(self.plan, step), key=lambda one: one.nbytes(device), default=None)
        kept = self._makes.get(step.name, known.activations if known is not None else 0)
        meter = meter_for(manager, device, on_cpu=self._measure)
        with (
            manager.hold(f"node {step.name}", kept, leased.models if leased is not None else ()) as hold,
            meter(lambda: _beside(manager, device)) as measured,
        ):
            yield
        if not measured.sure and not device.startswith("cuda"):
            return
        if ctx.listeners:
            forecast, resident = None if known is None else known.activations, manager.resident_bytes(device)
            ctx.emit(NodeMemory(step.name, step.spec.id, hold.leased, measured.peak, resident, forecast))
        exact = known is not None and known.source == "measured" and known.activations >= measured.peak
        if measured.sure and not exact:
            note(asked(self.plan, step, device), measured.peak, hold.leased, hold.labels)


def _beside(manager: ModelManager, device: str) -> int | None:
    """Bytes that the running node may take beside weights; None where nobody but the device says."""
    if not isinstance(manager.budget, int):
        return None
    return max(0, manager.budget - manager.resident_bytes(device))

"""What a node will make that never ran: it runs on a device without values, where only shapes are made.

A loop runs to its end, because some of what it does begins late (a projection in the last steps); one that takes long
even so is left after its first steps.
Its inputs are those that the check knows, with 0.5 in the place of numbers. A node that does not get through with such
values is not known this way.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

from ..context import Context
from ..errors import Cancelled
from ..events import CancelToken, Event, NodeProgress
from ..light.sketch import Sketch
from ..notices import collect_notices
from ..store.parts import with_parts
from .decisions import decisions_reported_to
from .descriptions import AnyDescription, ModelDescription
from .manager import ModelManager
from .meter import Measured, segments
from .residents import Resident

if TYPE_CHECKING:
    from torch import Tensor

    from ..run.plan import Plan, Step

STEPS = 2  # of a loop that takes long: most of the others need what these need
SECONDS = 5.0  # of processor time: what takes longer is long
_DEPTH = 6


class _Manager(ModelManager):
    """Weights without values, in the precision that they have on the real device."""

    def __init__(self, place: str, like: str) -> None:
        super().__init__((place,), beside=0)
        self._like = like

    def _module(self, description: AnyDescription, device: str, most: int | None) -> Resident:
        return Resident(description.load_as(device, self._like), description.nbytes_on(self._like))


def rehearsed(plan: "Plan", step: "Step", device: str) -> int | None:
    """Bytes that a node makes on a device beside weights; None if that cannot be told.

    Weights are looked up in their files and not read. Nothing is written, and no generator moves on.
    """
    given = plan.seen.get(step.name, ({}, {}))[0]
    if step.spec.effects or step.lists or any(socket not in given for socket, _ in step.links):
        return None
    import torch

    from .without_values import DEVICE, without_values

    token, began = CancelToken(), time.thread_time()

    def listen(event: Event) -> None:
        if isinstance(event, NodeProgress) and event.step >= STEPS and time.thread_time() - began > SECONDS:
            token.cancel()

    listen.shows_previews = False  # type: ignore[attr-defined]  # what `shows_previews` looks for
    manager = _Manager(DEVICE, device)
    ctx = Context(manager, listeners=(listen,), cancel=token)
    found = Measured()
    try:
        with torch.random.fork_rng(devices=[]), collect_notices(), decisions_reported_to(lambda one: None):
            arguments = {
                **step.settings,
                **{name: _filled(value) for name, value in given.items() if value is not None},
            }
            if step.spec.context is not None:
                arguments[step.spec.context] = ctx
            with without_values() as memory, segments(manager, memory, lambda: None) as found, _stopped():
                step.spec.run(**arguments)
    except Exception:  # noqa: BLE001 - whatever a node makes of values that mean nothing
        return None
    return found.peak or None


@contextmanager
def _stopped() -> Iterator[None]:
    try:
        yield
    except Cancelled:
        return


def _filled(value: object, depth: int = 0) -> object:
    """A value with tensors in the place of sketches."""
    if isinstance(value, Sketch):
        return _tensor(value)
    if isinstance(value, ModelDescription) or depth > _DEPTH:
        return value
    if getattr(value, "is_meta", False):
        import torch

        meta = cast("Tensor", value)
        return torch.full(meta.shape, 0.5).to(meta.dtype)
    return with_parts(value, lambda part: _filled(part, depth + 1))


def _tensor(sketch: Sketch) -> "Tensor":
    import torch

    if not sketch.is_meta:
        return sketch.tensor()
    return torch.full(tuple(sketch.shape), 0.5).to(sketch.dtype)

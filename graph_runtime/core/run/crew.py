"""Devices that share the steps of runs: one step at a time on each, and each step where its models already are."""

import os
import threading
from collections.abc import Iterable, Mapping, Sequence

from ..errors import InlayError
from ..memory.descriptions import AnyDescription, ModelDescription, asked_for
from ..memory.manager import ModelManager
from ..spec import NodeSpec

RATE = 1e9  # bytes in a second that weights move at: a step waits for a device that has them as long as moving takes


class Crew:
    """Some devices and some threads for what needs none; runs may share a crew.

    Args:
        managers: one of each device.
        threads: for steps that need no device; None: one for each core, at most four.

    Attributes:
        changed: holds the state of the crew and of all its runs.
        busy: by device, whether a step has it.
        brings: by device, the models of that step.
    """

    def __init__(self, managers: Sequence[ModelManager], threads: int | None = None) -> None:
        self.managers = tuple(managers)
        self.threads = threads or min(4, os.cpu_count() or 1)
        self.changed = threading.Condition()
        self.busy = [False] * len(self.managers)
        self.brings: list[frozenset[AnyDescription]] = [frozenset()] * len(self.managers)
        self._sizes: dict[AnyDescription, int] = {}
        self.lost: dict[int, str] = {}  # by device that is gone: what was said of it

    def lose(self, device: int, said: str) -> bool:
        """A device is gone; false if it is the last one. Who calls holds `changed`."""
        if len(self.lost) + 1 >= len(self.managers):
            return False
        self.lost[device] = said
        self.changed.notify_all()
        return True

    def told(self, device: int) -> str:
        """What a run says of a device that is gone."""
        name = self.managers[device].devices[0]
        return f"{name} does not answer any more: {self.lost[device]}; the other devices go on without it"

    def take(self, device: int, models: frozenset[AnyDescription] = frozenset()) -> None:
        """A step has a device from now on; who calls holds `changed`."""
        self.busy[device], self.brings[device] = True, models

    def give_back(self, device: int) -> None:
        """A step needs its device no longer; who calls holds `changed`."""
        self.busy[device], self.brings[device] = False, frozenset()
        self.changed.notify_all()

    def patience(self, device: int, models: frozenset[AnyDescription]) -> float:
        """Seconds that a step waits before it moves its models to a device: 0 if no other one has more of them."""
        missing = {one: self._missing(one, models) for one in range(len(self.managers)) if one not in self.lost}
        return (missing[device] - min(missing.values())) / RATE

    def _missing(self, device: int, models: frozenset[AnyDescription]) -> int:
        manager = self.managers[device]
        there = self.brings[device]
        return sum(self._size(model) for model in models if model not in there and not manager.holds(model))

    def _size(self, model: AnyDescription) -> int:
        if model not in self._sizes:
            try:
                size = model.nbytes_on(self.managers[0].devices[0])
            except (InlayError, OSError):  # said when it is loaded
                size = 0
            self._sizes[model] = max(1, size)
        return self._sizes[model]


def models_of(spec: NodeSpec, arguments: Mapping[str, object]) -> frozenset[AnyDescription]:
    """The models that a node will lease, without their adapters: those that reach a node that can lease.

    A node without a context leases nothing, and so does one that only describes.
    """
    if spec.context is None or spec.static:
        return frozenset()
    return frozenset(model.base() for value in arguments.values() for model in _models_in(value))


def _models_in(value: object) -> Iterable[AnyDescription]:
    if isinstance(value, list):
        return [model for item in value for model in _models_in(item)]
    return (value,) if isinstance(value, ModelDescription) else asked_for(value)

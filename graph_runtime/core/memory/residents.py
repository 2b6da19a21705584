"""What is in a device's memory: weights, and room that is kept for what nodes make."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from .decisions import Action
from .descriptions import AnyDescription

Key = tuple[AnyDescription, str]  # whose weights, and the device


@dataclass
class Resident:
    """A module in memory.

    Attributes:
        module: what a lease gives.
        nbytes: that it takes on the device.
        holders: the threads of its leases.
        came: how it got there.
        streamed: its weights lie in CPU memory, and `nbytes` of them at most are on the device.
    """

    module: object
    nbytes: int
    holders: list[int] = field(default_factory=list)
    came: Action = "load"
    streamed: bool = False

    @property
    def pins(self) -> int:
        """How many leases hold it."""
        return len(self.holders)


@dataclass(eq=False)
class Hold:
    """Room that a thread keeps.

    Attributes:
        label: what needs it.
        nbytes: of what is made beside weights.
        device: where.
        thread: whose.
        weights: sizes of the models that will be leased; each counts until it is resident.
        leased: most bytes of weights that the thread leased together.
        labels: of these models.
        squeezed: memory ran out once; what can be streamed is.
    """

    label: str
    nbytes: int
    device: str
    thread: int
    weights: dict[AnyDescription, int]
    leased: int = 0
    labels: tuple[str, ...] = ()
    squeezed: bool = False

    def missing(self, resident: Mapping[Key, Resident]) -> int:
        """Bytes that are kept beside what is resident."""
        return self.nbytes + sum(size for base, size in self.weights.items() if (base, self.device) not in resident)

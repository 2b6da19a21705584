"""Weights that were evicted from a device and wait in CPU memory, within a budget of their own."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from .device_memory import Free
from .moving import module_bytes
from .residents import Key

if TYPE_CHECKING:
    from torch import nn


@dataclass
class Moved:
    """What weights were moved.

    Attributes:
        reads: how often weights were read from files.
        read: bytes of them.
        into: bytes that came to a device other than the CPU.
        out: bytes that left it for CPU memory.
    """

    reads: int = 0
    read: int = 0
    into: int = 0
    out: int = 0

    def count_read(self, happened: bool, nbytes: int) -> None:
        """Count weights that were read, if they were."""
        self.reads += happened
        self.read += nbytes * happened


class Aside:
    """Modules in CPU memory by the description and the device that they belong to; the oldest go first.

    Args:
        limit: bytes that they may take; `Free` is what is free; 0 keeps nothing.
    """

    def __init__(self, limit: int | Free) -> None:
        self.limit = limit
        self.moved = Moved()
        self._kept: OrderedDict[Key, tuple[nn.Module, int]] = OrderedDict()

    def put(self, key: Key, module: object) -> bool:
        """Keep a module whose weights are in CPU memory; false, and it is not kept, if that has no room for it."""
        size = module_bytes(module)
        held = self._bytes() + size  # its weights are in CPU memory already
        most = self.limit.limit("cpu", held) if isinstance(self.limit, Free) else self.limit
        if most is not None and size > most:
            return False
        while most is not None and self._kept and self._bytes() + size > most:
            self._kept.popitem(last=False)
        self._kept[key] = (cast("nn.Module", module), size)
        return True

    def take(self, key: Key) -> "nn.Module | None":
        """A module that is kept, which is not any more then."""
        found = self._kept.pop(key, None)
        return None if found is None else found[0]

    def modules(self) -> list[object]:
        """What is kept."""
        return [module for module, _ in self._kept.values()]

    def labels(self) -> list[str]:
        """Of what is kept, the oldest first."""
        return [description.label for description, _ in self._kept]

    def sizes(self) -> list[tuple[str, int]]:
        """Labels and bytes of what is kept."""
        return [(description.label, size) for (description, _), (_, size) in self._kept.items()]

    def clear(self) -> None:
        """Let go of everything."""
        self._kept.clear()

    def _bytes(self) -> int:
        return sum(size for _, size in self._kept.values())

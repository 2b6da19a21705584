"""What a run keeps and finds again: in memory first, then on disk."""

from typing import cast

from ..digests import short_digest
from .disk import DiskStore
from .memory import MemoryCache, Result


class Kept:
    """The kept results of one run.

    A key is a hash over the node, its code, its settings, the contents of the files it reads and the keys above it
    (`Plan.keys` in plan.py), so a stale result cannot be served: whatever could change the result changes the key.

    Args:
        memory: what this process keeps; it outlives changes of the environment, which is therefore in each key.
        disk: what all processes keep.
        environment: everything outside a workflow that the bits of a result may depend on.

    Attributes:
        outcomes: by key: `memory` or `disk` if it was found there, `made`, or why it was made and is not on disk.
    """

    def __init__(self, memory: MemoryCache | None = None, disk: DiskStore | None = None, environment: str = "") -> None:
        self.memory, self.disk = memory, disk
        self._here = short_digest(environment.encode("utf-8", "surrogateescape"), size=8) if environment else b""
        self.outcomes: dict[bytes, str] = {}

    def get(self, key: bytes, outputs: int) -> Result | None:
        """What a node of so many outputs gave under `key`, or None."""
        found = self.memory.get(self._here + key) if self.memory is not None else None
        if found is not None:
            self.outcomes[key] = "memory"
            return found
        values = self.disk.get(key) if self.disk is not None else None
        if values is None or len(values) < outputs:
            return None
        found = Result(values[:outputs], cast(tuple[str, ...], values[outputs:]))
        self.outcomes[key] = "disk"
        if self.memory is not None:
            self.memory.put(self._here + key, found)
        return found

    def put(self, key: bytes, result: Result, seconds: float, label: str) -> bool:
        """Keep what a node gave; true if it is on disk now.

        Args:
            key: what it depends on.
            result: its outputs and warnings.
            seconds: how long it takes to make it again.
            label: the node's type.
        """
        if self.memory is not None:
            self.memory.put(self._here + key, result)
        if self.disk is None:
            return False
        why = self.disk.put(key, (*result.outputs, *result.warnings), seconds, label)
        self.outcomes[key] = f"made; not kept on disk: {why}" if why else "made"
        return not why

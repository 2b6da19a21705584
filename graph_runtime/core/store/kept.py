"""What a run keeps and finds again: in memory first, then on disk."""

from collections.abc import Collection, Sequence
from typing import cast

from ..digests import short_digest
from .disk import DiskStore
from .memory import Given, MemoryCache, Result
from .worth import is_worth, why_not_worth

AHEAD = 250  # keys that the disk is asked for at once


class Kept:
    """The kept results of one run.

    A key is a hash over the node, its code, its settings, the contents of the files it reads and the keys above it
    (`Plan.keys` in plan.py), so a stale result cannot be served: whatever could change the result changes the key.

    Args:
        memory: what this process keeps; it outlives changes of the environment, which is therefore in each key.
        disk: what all processes keep.
        environment: everything outside a workflow that the bits of a result may depend on.
    """

    def __init__(self, memory: MemoryCache | None = None, disk: DiskStore | None = None, environment: str = "") -> None:
        self.memory, self.disk = memory, disk
        self._here = short_digest(environment.encode("utf-8", "surrogateescape"), size=8) if environment else b""
        self._expected: Sequence[bytes | None] = ()
        self._place: dict[bytes | None, int] = {}  # of an expected key
        self._outcomes: dict[bytes, str | float] = {}  # a number: seconds, too few to be worth the disk

    @property
    def outcomes(self) -> dict[bytes, str]:
        """By key: `memory` or `disk` if it was found there, `made`, or why it was made and is not on disk."""
        return {
            key: outcome if isinstance(outcome, str) else f"made; not kept on disk: {why_not_worth(outcome, 0)}"
            for key, outcome in self._outcomes.items()
        }

    def expect(self, keys: Sequence[bytes | None]) -> Collection[bytes | None]:
        """Announce the keys that will be asked for, more or less from the last one on; returns those worth asking for.

        With a disk these are all: it is asked for some at a time.
        """
        self._expected, self._place = keys, {}
        if self.disk is not None:
            return set(keys)
        memory = self.memory
        if memory is None or not len(memory):
            return ()
        return {key for key in keys if key and self._here + key in memory}

    def get(self, key: bytes, outputs: int) -> Result | None:
        """What a node of so many outputs gave under `key`, or None."""
        memory = self.memory
        found = memory.get(self._here + key if self._here else key) if memory is not None else None
        if found is not None:
            self._outcomes[key] = "memory"
            return found
        if self.disk is None:
            return None
        if not self.disk.has_looked_for(key):
            self.disk.look_ahead(self._nearby(key))
        values = self.disk.get(key)
        if values is None or len(values) < outputs:
            return None
        found = Result(values[:outputs], cast(tuple[str, ...], values[outputs:]))
        self._outcomes[key] = "disk"
        if memory is not None:
            memory.put(self._here + key, found)
        return found

    def _nearby(self, key: bytes) -> list[bytes]:
        """A key, and those that are likely to be asked for next."""
        if self._expected and not self._place:
            self._place = {key: number for number, key in enumerate(self._expected)}
        number = self._place.get(key)
        if number is None:
            return [key]
        return [one for one in self._expected[max(0, number + 1 - AHEAD) : number + 1] if one is not None]

    def remember(self, key: bytes, given: Given) -> None:
        """Keep in memory what a node gave."""
        if self.memory is not None:
            self.memory.put(self._here + key if self._here else key, given)

    def store(self, key: bytes, given: Given, seconds: float, label: str) -> bool:
        """Keep on disk what a node gave; true if it is there now.

        Args:
            key: what it depends on.
            given: its outputs and warnings.
            seconds: how long it takes to make it again.
            label: the node's type.
        """
        if self.disk is None:
            return False
        if not is_worth(seconds, 0):
            self._outcomes[key] = seconds
            return False
        why = self.disk.put(key, (*given[0], *given[1]), seconds, label)
        self._outcomes[key] = f"made; not kept on disk: {why}" if why else "made"
        return not why

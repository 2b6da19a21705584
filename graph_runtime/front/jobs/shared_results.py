"""Results in memory that the runs of a job share."""

from ...core.run.plan import Plan
from ...core.store.memory import Given, MemoryCache


class SharedResults(MemoryCache):
    """Results by key, without those that no other run asks for: these would only push out the others.

    Args:
        limit: bytes.
        unshared: nodes whose results are left out.
    """

    def __init__(self, limit: int, unshared: frozenset[str] = frozenset()) -> None:
        super().__init__(limit)
        self.unshared = unshared
        self._left_out: frozenset[bytes] = frozenset()

    def leave_out(self, plan: Plan) -> None:
        """Prepare for a run: no result of its `unshared` nodes is kept."""
        keys = zip(plan.steps, plan.keys, strict=True) if self.unshared else ()
        self._left_out = frozenset(key for step, key in keys if key is not None and step.name in self.unshared)

    def put(self, key: bytes, given: Given) -> None:
        """Store a result, unless it is left out; `key` ends with that of the plan."""
        if not self._left_out or not any(key.endswith(one) for one in self._left_out):
            super().put(key, given)

"""What a run has and still needs: values, who reads them, which results are known, and how long each took."""

from typing import cast

from ..context import Context
from ..store.kept import Kept
from ..store.memory import Given, Outputs, Result
from .plan import Plan, Step


class Work:
    """The state of one run of a plan.

    Attributes:
        needed: by step, whether it takes part in this run.
        cached: results that are known already, by step.
        took: by step, the seconds that it took in this run.
        keeping: `keep` has something to do.
    """

    def __init__(self, plan: Plan, ctx: Context, kept: Kept | None) -> None:
        self.plan, self.ctx, self.kept = plan, ctx, kept
        self.steps = plan.steps
        self.cached, self.needed = _decide(plan, kept)
        self.took = [0.0] * len(plan.steps)
        self._readers = _readers(plan, self.cached, self.needed)
        self._values: list[object] = [None] * plan.slots
        self._reused = set(self.cached)
        self._again = [0.0] * len(plan.steps)  # seconds to make each result again; 0 if it is on disk
        self.keeping = kept is not None or plan.reads_files
        self._watching, self._storing = plan.reads_files, kept is not None and kept.disk is not None
        self._steady = True  # no file that counts has changed since the check
        self._keys = plan.keys if kept is not None else []

    def arguments(self, step: Step, *, take: bool = True) -> dict[str, object]:
        """The arguments of a step; with `take`, a value that no other step reads is released."""
        arguments, values, readers = step.settings.copy(), self._values, self._readers
        for socket, slot in step.links:
            value = values[slot]
            if step.lists and socket in step.lists:
                value = [*cast("list[object]", arguments.get(socket, ())), value]
            arguments[socket] = value
            if take:
                readers[slot] -= 1
                if not readers[slot]:
                    values[slot] = None
        return arguments

    def keep(self, index: int, given: Given, seconds: float, ctx: Context) -> None:
        """Keep what a step has made in so many seconds, unless a file has changed meanwhile."""
        step, kept = self.steps[index], self.kept
        if self._watching and not self.plan.still_reads(step):
            self._watching = self._steady = False
            ctx.warn("a file that this run reads changed meanwhile: results from here on are not kept")
            ctx.models.evict_idle("a file changed during the run", keep=False)
        if kept is None:
            return
        key = self._keys[index]
        if not self._storing:
            if key is not None and self._steady and not step.spec.effects:
                kept.remember(key, given)
            return
        again = self._again
        again[index] = seconds + max([again[above] for above in step.sources], default=0.0)
        if key is not None and self._steady and not step.spec.effects:
            kept.remember(key, given)
            if kept.store(key, given, again[index], step.spec.id):
                again[index] = 0.0

    def hold(self, step: Step, outputs: Outputs) -> None:
        """Hold those outputs of a step that others will read."""
        readers = self._readers
        for slot, value in enumerate(outputs, step.first_slot):
            if readers[slot]:
                self._values[slot] = value

    def outputs(self) -> dict[str, object]:
        """The outputs of the workflow, by name."""
        plan = self.plan
        return {
            name: self._values[slot] if self._readers[slot] else _static_value(plan.steps[plan.owner[slot]], slot)
            for name, slot in plan.outputs.items()
        }

    def spent(self, index: int, socket: str) -> float | None:
        """Seconds of all steps behind an input of step `index`; None if a result was known from before."""
        steps, owner = self.steps, self.plan.owner
        behind = {owner[slot] for name, slot in steps[index].links if name == socket}
        waiting = list(behind)
        while waiting:
            for source in steps[waiting.pop()].sources:
                if source not in behind:
                    behind.add(source)
                    waiting.append(source)
        if not behind or any(step in self._reused and steps[step].known is None for step in behind):
            return None
        return sum(self.took[step] for step in sorted(behind))


def _static_value(step: Step, slot: int) -> object:
    return step.known[slot - step.first_slot] if step.known is not None else None


def _decide(plan: Plan, kept: Kept | None) -> tuple[dict[int, Result], list[bool]]:
    """Which results are known already, and which steps must run; from the outputs backwards."""
    steps = plan.steps
    needed = [step.spec.effects for step in steps]
    for slot in plan.outputs.values():
        needed[plan.owner[slot]] = True
    cached: dict[int, Result] = {}
    keys = plan.keys if kept is not None else []
    likely = kept.expect(keys) if kept is not None else ()
    for index in range(len(steps) - 1, -1, -1):
        if not needed[index]:
            continue
        step = steps[index]
        found = Result(step.known) if step.known is not None else None
        if found is None and kept is not None and (key := keys[index]) in likely and not step.spec.effects:
            found = kept.get(key, len(step.spec.outputs)) if key is not None else None
        if found is not None:
            cached[index] = found
            continue
        for source in step.sources:
            needed[source] = True
    return cached, needed


def _readers(plan: Plan, cached: dict[int, Result], needed: list[bool]) -> list[int]:
    """How often each slot will be read in this run; a requested output counts as a reader that never finishes."""
    readers = [0] * plan.slots
    for index, step in enumerate(plan.steps):
        if needed[index] and index not in cached:
            for _, slot in step.links:
                readers[slot] += 1
    for slot in plan.outputs.values():
        readers[slot] += 1
    return readers

"""A profile as stretches of time in each other: the run, its nodes, their steps, and calls of models."""

from dataclasses import dataclass, field
from typing import Literal

from .calls import Call
from .profile import NodeProfile, Profile

Kind = Literal["run", "node", "step", "call"]


@dataclass
class Span:
    """A stretch of time.

    Attributes:
        name: what happened.
        kind: of stretch.
        began: seconds after the beginning of the profile.
        ended: likewise.
        lane: of stretches that ran at once.
        facts: what else is known of it, by name.
        inner: the stretches in it, in order.
    """

    name: str
    kind: Kind
    began: float
    ended: float
    lane: int = 0
    facts: dict[str, object] = field(default_factory=dict)
    inner: list["Span"] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.ended - self.began


def spans_of(profile: Profile) -> Span:
    """The whole run, with everything in it."""
    start = profile.began
    whole = Span(profile.title or "run", "run", 0.0, profile.ended - start, facts={"status": profile.status})
    if profile.run_began is not None:
        whole.inner.append(Span("check and plan", "step", 0.0, profile.run_began - start))
    whole.inner += [_of_node(node, start) for node in profile.nodes]
    return whole


def _of_node(node: NodeProfile, start: float) -> Span:
    ended = node.ended if node.ended is not None else node.began
    span = Span(node.name, "node", node.began - start, ended - start, node.lane)
    span.facts = {"type": node.type, "result": node.found, "cpu_seconds": round(node.cpu, 6)}
    if node.peak is not None:
        span.facts["peak_bytes"] = node.peak
    calls = [_of_call(one, start, node.lane) for one in node.calls]
    span.inner = _in_order(_steps_of(node, calls, start), calls)
    return span


def _of_call(call: Call, start: float, lane: int) -> Span:
    facts: dict[str, object] = {"part": call.name, "rows": call.rows, "cpu_seconds": round(call.cpu, 6)}
    if call.device_seconds is not None:
        facts["device_seconds"] = round(call.device_seconds, 6)
    return Span(call.model, "call", call.began - start, call.ended - start, lane, facts)


def _steps_of(node: NodeProfile, calls: list[Span], start: float) -> list[Span]:
    """Each step from the end of the one before; the first from the first call, if that is in it."""
    steps: list[Span] = []
    before = node.began - start
    for number, total, when in node.steps:
        ended = when - start
        if not steps:
            before = next((call.began for call in calls if before <= call.began and call.ended <= ended), before)
        crossed = any(call.began < ended < call.ended for call in calls)
        if total > 1 and not crossed:  # else it is a report from within a call
            steps.append(Span(f"step {number} of {total}", "step", before, ended, node.lane))
            before = ended
    return steps


def _in_order(steps: list[Span], calls: list[Span]) -> list[Span]:
    """Steps, with the calls that lie in them, and the calls that lie in none."""
    alone: list[Span] = []
    place = 0
    for call in sorted(calls, key=lambda one: one.began):
        while place < len(steps) and steps[place].ended < call.ended:
            place += 1
        if place < len(steps) and steps[place].began <= call.began:
            steps[place].inner.append(call)
        else:
            alone.append(call)
    return sorted([*steps, *alone], key=lambda one: one.began)

"""What a run did with memory, as its history keeps it: decisions, what each node took, the most in use, the budget."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING

from ..events import Event, ModelMoved, NodeMemory
from .sizes import size_text

if TYPE_CHECKING:
    from pydantic import JsonValue

MOST = 500  # decisions and nodes that are kept of one run


def account(events: Iterable[Event]) -> "dict[str, JsonValue]":
    """The account of a run as JSON, sizes in bytes; empty where nothing was decided or measured.

    `peak` is the most that was in use as far as it was counted, `budget` the limit at the last decision; null is none.
    """
    events = list(events)
    decisions = [(event.node, event.decision) for event in events if isinstance(event, ModelMoved) and event.decision]
    taken = [event for event in events if isinstance(event, NodeMemory)]
    if not decisions and not taken:
        return {}
    in_use = [one.in_use for _, one in decisions] + [one.resident + one.activations for one in taken]
    return {
        "budget": decisions[-1][1].limit if decisions else None,
        "peak": max(in_use),
        "decisions": [{"node": node or None, **asdict(one)} for node, one in decisions[:MOST]],
        "taken": [asdict(one) for one in taken[:MOST]],
    }


def told(kept: "dict[str, JsonValue]", node: str) -> list[str]:
    """Sentences about one node of an account."""
    found = []
    for one in _entries(kept, "taken"):
        if one.get("node") == node:
            weights, made = (int(str(one.get(name, 0))) for name in ("weights", "activations"))
            found.append(f"it took {size_text(weights)} of weights and {size_text(made)} beside them")
    for one in _entries(kept, "decisions"):
        if one.get("node") == node:
            size = int(str(one.get("nbytes", 0)))
            why = f": {one['why']}" if one.get("why") else ""
            found.append(
                f"for it, {one.get('action')} {one.get('what')} ({size_text(size)}) on {one.get('device')}{why}"
            )
    if found:
        budget = kept.get("budget")
        limit = "no budget" if budget is None else f"a budget of {size_text(int(str(budget)))}"
        found.append(f"the run had at most {size_text(int(str(kept.get('peak', 0))))} in use, with {limit}")
    return found


def _entries(kept: "dict[str, JsonValue]", name: str) -> "list[dict[str, JsonValue]]":
    entries = kept.get(name)
    return [one for one in entries if isinstance(one, dict)] if isinstance(entries, list) else []

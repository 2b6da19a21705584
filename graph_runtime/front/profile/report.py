"""A profile as data, `profile.json`, and as a table for people."""

import math
from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING

from ...core.memory.decisions import columns
from ...core.memory.sizes import size_text
from .calls import Call
from .profile import NodeProfile, Profile

if TYPE_CHECKING:
    from pydantic import JsonValue

FORMAT = 1
ROWS = 40  # nodes that the table lists; the file has all
#: What a decision of the model manager moved.
READ, IN, OUT, DROPPED, STREAMED = ("load",), ("return",), ("set aside",), ("evict",), ("stream",)
WORDS = {"memory": "from memory", "disk": "from disk", "known": "known since the check"}


def data_of(profile: Profile) -> "dict[str, JsonValue]":
    """Everything that was measured; times in seconds, sizes in bytes."""
    from .... import __version__

    nodes = profile.nodes
    totals: dict[str, JsonValue] = {
        "model_calls": sum(len(node.calls) for node in nodes),
        "model_rows": sum(call.rows for node in nodes for call in node.calls),
        "model_seconds": _seconds(math.fsum(call.ended - call.began for node in nodes for call in node.calls)),
        "peak_bytes": max((node.peak for node in nodes if node.peak is not None), default=None),
        "found": {word: sum(node.found == word for node in nodes) for word in ("memory", "disk", "known", "made")},
        "bytes_moved": _moved(nodes),
        "host_waits": _waits(profile, sum(node.waits for node in nodes)),
    }
    return {
        "format": FORMAT,
        "inlay": __version__,
        "workflow": profile.title,
        "status": profile.status,
        "error": profile.error or None,
        "device": profile.device,
        "seconds": _seconds(profile.ended - profile.began),
        "seconds_before_nodes": _seconds((profile.run_began or profile.ended) - profile.began),
        "cpu_seconds": _seconds(profile.cpu),
        "totals": totals,
        "nodes": [_node(node, profile) for node in nodes],
    }


def _node(node: NodeProfile, profile: Profile) -> "dict[str, JsonValue]":
    memory: dict[str, JsonValue] | None = None
    if node.memory is not None:
        memory = {"weights": node.memory.weights, "made": node.memory.activations, "resident": node.memory.resident}
    return {
        "name": node.name,
        "type": node.type,
        "began": _seconds(node.began - profile.began),
        "seconds": _seconds(node.seconds),
        "cpu_seconds": _seconds(node.cpu),
        "lane": node.lane,
        "result": node.found,
        "steps": len(node.steps),
        "models": [_model(label, calls) for label, calls in _by_model(node.calls).items()],
        "peak_bytes": node.peak,
        "memory": memory,
        "bytes_moved": _moved([node]),
        "decisions": [{**asdict(one)} for one in node.decisions],
        "host_waits": _waits(profile, node.waits),
    }


def _by_model(calls: Iterable[Call]) -> dict[str, list[Call]]:
    found: dict[str, list[Call]] = {}
    for call in calls:
        found.setdefault(call.model, []).append(call)
    return found


def _model(label: str, calls: list[Call]) -> "JsonValue":
    on_device = [call.device_seconds for call in calls if call.device_seconds is not None]
    parts: dict[str, JsonValue] = {}
    for call in calls:
        parts[call.name] = sum(one.name == call.name for one in calls) if call.name not in parts else parts[call.name]
    return {
        "model": label,
        "calls": len(calls),
        "rows": sum(call.rows for call in calls),
        "seconds": _seconds(math.fsum(call.ended - call.began for call in calls)),
        "cpu_seconds": _seconds(math.fsum(call.cpu for call in calls)),
        "device_seconds": _seconds(math.fsum(on_device)) if on_device else None,
        "parts": parts,
    }


def _moved(nodes: Iterable[NodeProfile]) -> "dict[str, JsonValue]":
    nodes = list(nodes)
    kinds = {"read": READ, "to_device": IN, "to_host": OUT, "dropped": DROPPED, "streamed_share": STREAMED}
    return {word: sum(node.bytes_of(*actions) for node in nodes) for word, actions in kinds.items()}


def _waits(profile: Profile, count: int) -> "JsonValue":
    """On a CPU none, by definition: there is no other device to wait for. Other devices do not say."""
    return count if profile.device == "cpu" or profile.device.startswith("cuda") else None


def _seconds(value: float) -> float:
    return round(value, 6)


def table_of(profile: Profile) -> list[str]:
    """The table that a person reads: the nodes that took longest first."""
    whole = profile.ended - profile.began
    rows: list[tuple[str, ...]] = [
        ("node", "time", "share", "CPU", "model calls", "peak", "weights moved", "waits", "result")
    ]
    slowest = sorted(profile.nodes, key=lambda node: -node.seconds)
    rows += [_row(node, whole, profile) for node in slowest[:ROWS]]
    lines = columns(rows)
    if len(slowest) > ROWS:
        rest = math.fsum(node.seconds for node in slowest[ROWS:])
        lines.append(f"and {len(slowest) - ROWS} more, {_time(rest)} together")
    before = (profile.run_began or profile.ended) - profile.began
    nodes = math.fsum(node.seconds for node in profile.nodes)
    lines.append(
        f"in all {_time(whole)}: {_time(before)} check and plan, {_time(nodes)} nodes; {_time(profile.cpu)} CPU time"
    )
    if profile.device == "cpu":
        lines.append("waits: on a CPU there is no other device that the program could wait for")
    if profile.status != "done":
        lines.append(
            f"this run was {profile.status}: {profile.error}"
            if profile.status == "cancelled"
            else f"this run has failed: {profile.error}"
        )
    return lines


def _row(node: NodeProfile, whole: float, profile: Profile) -> tuple[str, ...]:
    calls = ", ".join(f"{len(calls)} × {label}" for label, calls in _by_model(node.calls).items())
    moved = [
        f"{word} {size_text(size)}"
        for word, actions in (("read", READ), ("in", IN), ("out", OUT), ("dropped", DROPPED), ("streamed", STREAMED))
        if (size := node.bytes_of(*actions))
    ]
    waits = _waits(profile, node.waits)
    return (
        node.name,
        _time(node.seconds),
        f"{node.seconds / whole:.0%}" if whole else "-",
        _time(node.cpu),
        calls or "-",
        "-" if node.peak is None else size_text(node.peak),
        ", ".join(moved) or "-",
        "-" if waits is None else str(waits),
        WORDS.get(node.found, "made"),
    )


def _time(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.1f} ms"

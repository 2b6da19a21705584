"""A profile as a trace of Chrome's format, which chrome://tracing and ui.perfetto.dev open.

Format: "Trace Event Format", the JSON object with `traceEvents`; `X` is a stretch with `ts` and `dur` in microseconds,
and those of one `tid` lie within each other or apart.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ...core.errors import clean
from .spans import Span

if TYPE_CHECKING:
    from pydantic import JsonValue


def trace_of(whole: Span) -> "dict[str, JsonValue]":
    """The trace of a run."""
    lanes = {0: "run"} | {one.lane: f"at once {one.lane + 1}" for one in whole.inner if one.lane}
    names: list[JsonValue] = [{"ph": "M", "pid": 1, "tid": 0, "name": "process_name", "args": {"name": "inlay"}}]
    for number, name in lanes.items():
        names.append({"ph": "M", "pid": 1, "tid": number, "name": "thread_name", "args": {"name": name}})
    return {"displayTimeUnit": "ms", "traceEvents": [*names, *_events(whole)]}


def _events(span: Span) -> "Iterator[dict[str, JsonValue]]":
    began, ended = round(span.began * 1e6, 3), round(span.ended * 1e6, 3)
    yield {
        "ph": "X",
        "pid": 1,
        "tid": span.lane,
        "cat": span.kind,
        "name": clean(span.name),
        "ts": began,
        "dur": round(ended - began, 3),
        "args": {
            name: value if isinstance(value, (int, float)) else clean(str(value)) for name, value in span.facts.items()
        },
    }
    for inner in span.inner:
        yield from _events(inner)

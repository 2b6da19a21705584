"""`--dry-run` and `--explain-memory`: what a run will need, and what it decided and took, as tables."""

import argparse
import json
import sys
from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING

from ...core.errors import clean
from ...core.events import Event, ModelMoved, NodeMemory
from ...core.memory.decisions import columns, table
from ...core.memory.sizes import size_text

if TYPE_CHECKING:
    from ..python.load_workflow import LoadedWorkflow


def print_forecast(loaded: "LoadedWorkflow", options: argparse.Namespace) -> int:
    """Print what each node will need; nothing runs.

    Raises:
        WorkflowError: the workflow has problems, or does not fit; the forecast is printed before.
    """
    from ..python.forecast import forecast_loaded, require_room

    found = forecast_loaded(loaded, device=options.device, memory=options.memory)
    if not options.json:
        print(*(clean(line) for line in found.table()), sep="\n")
    require_room(loaded, found, options.memory)
    if options.json:
        nodes = [asdict(line) for line in found.lines]
        answer = {"status": "forecast", "device": found.device, "limit": found.limit, "peak": found.peak}
        print(json.dumps({**answer, "nodes": nodes}))
    return 0


def print_decisions(events: Iterable[Event]) -> None:
    """Print what was loaded, evicted, streamed or retried, and why; and what each node took."""
    events = list(events)
    made = [(event.node, event.decision) for event in events if isinstance(event, ModelMoved) and event.decision]
    lines = table(made) or ["memory: no decision was needed: what ran needed no weights, or had them in memory"]
    taken = [event for event in events if isinstance(event, NodeMemory)]
    if taken:
        rows = [("node", "weights", "made beside them", "forecast")]
        rows += [
            (
                one.node,
                size_text(one.weights),
                size_text(one.activations),
                "-" if one.forecast is None else size_text(one.forecast),
            )
            for one in taken
        ]
        lines += ["", *columns(rows)]
    print(*(clean(line) for line in lines), sep="\n", file=sys.stderr)

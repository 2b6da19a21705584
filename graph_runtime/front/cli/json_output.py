"""The JSON of problems, warnings and results that `--json` prints."""

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

from ...core.errors import Problem
from ...core.events import ModelMoved, NodeMemory, Warned

if TYPE_CHECKING:
    from pydantic import JsonValue

    from ..python.result import Output, Result


def problem_json(problem: Problem) -> "dict[str, JsonValue]":
    """A problem as `--json` prints it."""
    return {
        "node": problem.node,
        "port": problem.port,
        "found": problem.found,
        "expected": problem.expected,
        "fix": problem.fix,
    }


def warning_json(warning: Warned) -> "dict[str, JsonValue]":
    """A warning as `--json` prints it."""
    return {"node": warning.node, "message": warning.message}


def decision_json(event: ModelMoved) -> "dict[str, JsonValue]":
    """A decision about memory as `--json` prints it; sizes in bytes."""
    found = event.decision
    assert found is not None
    return {"node": event.node or None, **asdict(found)}


def result_json(result: "Result", outputs: "JsonValue") -> "dict[str, JsonValue]":
    """The result of a run as `--json` prints it, with its outputs as `shown_outputs` gives them."""
    return {
        "status": "done",
        "paths": [str(path) for path in result.paths],
        "outputs": outputs,
        "seconds": round(sum(result.timings.values()), 3),
        "timings": {name: round(seconds, 4) for name, seconds in result.timings.items()},
        "memory": [decision_json(event) for event in result.events if isinstance(event, ModelMoved) and event.decision],
        "taken": [asdict(event) for event in result.events if isinstance(event, NodeMemory)],
        "warnings": [warning_json(event) for event in result.events if isinstance(event, Warned)],
    }


def shown_outputs(outputs: "Mapping[str, Output]") -> "dict[str, JsonValue]":
    """What a command prints of the outputs of a run: as JSON, and the lines of those that people read."""
    lines: list[JsonValue] = []
    for name, value in outputs.items():
        if isinstance(value, str):  # a report, a caption
            lines.append(value)
        elif isinstance(value, float):  # a measurement
            lines.append(f"{name}: {value:.4g}")
    return {"json": {name: _value_json(value) for name, value in outputs.items()}, "lines": lines}


def _value_json(value: "Output") -> "JsonValue":
    """A value as JSON: tensors as type and shape only, other objects as the name of their class."""
    if hasattr(value, "shape"):
        return {"dtype": str(value.dtype).removeprefix("torch."), "shape": list(value.shape)}
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # JSON has no infinity
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    if isinstance(value, (list, tuple)):
        return [_value_json(item) for item in value]
    return {"type": type(value).__name__}

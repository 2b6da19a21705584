"""A graph in its API form whose values are beyond a limit: they are named with their node, and the rest counts."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from ....core.bounded.json_text import decode, decode_any_number, require_bounded
from ....core.errors import Problem, WorkflowError, shorten
from .api import is_api, prompt_of
from .host_graph import label_of


@dataclass(frozen=True)
class Sent:
    """What was sent, or what a file holds.

    Attributes:
        given: the decoded JSON.
        spoiled: values of nodes that no graph may have.
    """

    given: object
    spoiled: tuple[Problem, ...] = ()


def read_sent(raw: bytes, name: str) -> Sent:
    """The JSON of a graph, or of the envelope that is sent to the host's `/prompt`.

    Args:
        raw: the text.
        name: of the file, for messages.

    Raises:
        WorkflowError: it is no JSON, or beyond a limit that no input of a node is to blame for.
    """
    try:
        return Sent(decode(raw, name))
    except WorkflowError as refused:
        found = decode_any_number(raw, name)
        if not isinstance(found, dict) or not is_api(found):
            raise refused from None
        return _in_parts(found, name, refused)


def _in_parts(found: dict[str, object], name: str, refused: WorkflowError) -> Sent:
    nodes = prompt_of(found)
    spoiled: list[Problem] = []
    kept: dict[str, object] = {}
    for key, node in nodes.items():
        kept[key] = node
        if isinstance(node, dict) and isinstance(node.get("inputs"), dict):
            label = label_of(key, str(node.get("class_type")))
            kept[key] = {**node, "inputs": _bounded(label, node["inputs"], spoiled)}
    if not spoiled and _finite(found) == found:
        raise refused
    given = kept if nodes is found else {**found, "prompt": kept}
    rest = {key: one if key == "prompt" or nodes is found else _finite(one) for key, one in given.items()}
    require_bounded(rest, name)
    return Sent(rest, tuple(spoiled))


def _bounded(node: str, inputs: Mapping[str, object], spoiled: list[Problem]) -> dict[str, object]:
    """The inputs of a node; a value beyond a limit is empty, and noted."""
    kept: dict[str, object] = {}
    for name, value in inputs.items():
        kept[name] = value
        try:
            require_bounded(value, "one value")
        except WorkflowError as error:
            (one,) = error.problems
            spoiled.append(Problem(node, name, one.found, one.expected, one.fix))
            kept[name] = [] if isinstance(value, list) else None
            continue
        if isinstance(value, float) and not math.isfinite(value):
            spoiled.append(Problem(node, name, shorten(value), "a finite number", "type a number"))
            kept[name] = str(value)  # JSON has no such number
        elif _finite(value) != value:
            spoiled.append(Problem(node, name, f"NaN or Infinity in {shorten(value)}", "finite numbers", "correct it"))
            kept[name] = _finite(value)
    return kept


def _finite(value: object) -> object:
    """The value with null for NaN and Infinity, which JSON does not have."""
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value

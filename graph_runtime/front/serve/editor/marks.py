"""From our problems to the form in which the editor marks nodes and inputs: its own kinds, and our words."""

import graphlib
import re
from collections.abc import Iterable, Mapping

from pydantic import JsonValue

from .....nodes.pack import PACK
from ....core.check.graph import CYCLE
from ....core.errors import Problem
from ...comfy.formats.wiring import fits
from ..json_data import Json
from .definitions import Definition
from .history import node_of

Prompt = Mapping[str, Mapping[str, object]]
_CUSTOM = "custom_validation_failed", "Custom validation failed for node"


def links_of(node: Mapping[str, object]) -> list[tuple[str, str, object]]:
    """The inputs of a node that are links: name, the other node, its output."""
    inputs = node.get("inputs")
    return [
        (name, str(value[0]), value[1])
        for name, value in (inputs.items() if isinstance(inputs, Mapping) else ())
        if isinstance(value, list) and len(value) == 2
    ]


def needed(prompt: Prompt, outputs: Iterable[str]) -> Prompt:
    """The part of a graph that some of its nodes need."""
    found: set[str] = set()
    waiting = list(outputs)
    while waiting:
        name = waiting.pop()
        if name not in found and name in prompt:
            found.add(name)
            waiting += [other for _, other, _ in links_of(prompt[name])]
    return {name: node for name, node in prompt.items() if name in found}


def cycles(prompt: Prompt) -> dict[str, list[str]]:
    """The nodes that need themselves, each with the way back to it."""
    found: dict[str, list[str]] = {}
    while True:
        left = {
            name: {other for _, other, _ in links_of(node) if other in prompt and other not in found}
            for name, node in prompt.items()
            if name not in found
        }
        try:
            graphlib.TopologicalSorter(left).prepare()
        except graphlib.CycleError as error:
            way: list[str] = error.args[1]
            found |= dict.fromkeys(way, way)
        else:
            return found


def marks(node: Mapping[str, object]) -> Json:
    """What the editor is told of a node before its first error."""
    return {"errors": [], "dependent_outputs": [], "class_type": node.get("class_type")}


def add_dependents(marked: Json, prompt: Prompt, outputs: Iterable[str]) -> None:
    """Name the outputs that each marked node spoils."""
    for output in outputs:
        for name in needed(prompt, [output]):
            if name in marked and output not in marked[name]["dependent_outputs"]:
                marked[name]["dependent_outputs"].append(output)


def node_errors(
    read: Iterable[Problem],
    checked: Iterable[Problem],
    prompt: Prompt,
    definitions: Mapping[str, Definition],
    names: Mapping[str, str],
) -> tuple[Json, list[Problem]]:
    """The problems of each node, as the editor marks it, and the problems of no node.

    Args:
        read: what was found when the graph was read. A problem's node is ours, or the host's with its id first.
        checked: what its check found; left out where the same input was named before.
        prompt: the graph.
        definitions: of all nodes.
        names: our node for each of the host's.
    """
    ours = {node: host for host, node in names.items()}
    marked: Json = {}
    general: list[Problem] = []
    named: set[tuple[str, str | None]] = set()
    for before, problem in [*((True, one) for one in read), *((False, one) for one in checked)]:
        host = node_of_label(ours.get(problem.node or "", problem.node), prompt)
        if host is None:
            general.append(problem)
            continue
        node = prompt[host]
        port = _host_input(problem.port, str(node.get("class_type")))
        if before:
            named.add((host, port))
        elif (host, port) in named:
            continue
        definition = definitions.get(str(node.get("class_type")), {})
        entry = marked.setdefault(host, marks(node))
        entry["errors"].append(_error_of(problem, port, node, definition, prompt, definitions))
    return marked, general


def node_of_label(name: str | None, prompt: Prompt) -> str | None:
    """The node of a graph that a message calls `3 (Load photo)`, or `3:crop` for a part of it."""
    if name is None:
        return None
    found = node_of(name if name in prompt else re.split(r"[ (]", name, maxsplit=1)[0], prompt)
    return found if found in prompt else None


def error(kind: str, message: str, details: str, **extra: object) -> Json:
    """One error, as the editor has them."""
    return {"type": kind, "message": message, "details": details, "extra_info": extra}


def _error_of(
    problem: Problem,
    port: str | None,
    node: Mapping[str, object],
    definition: Definition,
    prompt: Prompt,
    definitions: Mapping[str, Definition],
) -> Json:
    """One problem of a node in the host's words, followed by ours, which say how to mend it."""
    if problem.found.startswith(CYCLE):
        return error("dependency_cycle", "Dependency cycle detected", problem.found.removeprefix(CYCLE))
    inputs = node.get("inputs")
    value = inputs.get(port) if isinstance(inputs, Mapping) else None
    config = _config(definition, port)
    kind, message = _kind(value, config, prompt, definitions, given=isinstance(inputs, Mapping) and port in inputs)
    details = f"{port}: found {problem.found}; expected {problem.expected}. {_sentence(problem.fix)}"
    extra: Json = {"input_name": port}
    if config is not None and len(str(config)) < 2000:
        extra["input_config"] = config
    if kind != "required_input_missing":
        extra["linked_node" if kind in ("return_type_mismatch", "bad_linked_input") else "received_value"] = value
    return error(kind, message, details if port else details[6:], **(extra if port else {}))


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _host_input(port: str | None, class_type: str) -> str | None:
    """The host's input for one of our sockets or settings."""
    kind = PACK.host_types.get(class_type)
    if kind is not None and port is not None:
        back = {ours: host for host, ours in {**kind.settings, **kind.sockets}.items()}
        return back.get(port, port)
    return port


def _config(definition: Definition, port: str | None) -> list[JsonValue] | None:
    groups = definition.get("input")
    for entries in groups.values() if isinstance(groups, dict) else ():
        if isinstance(entries, dict) and port in entries and isinstance(found := entries[port], list):
            return found
    return None


def _kind(
    value: object,
    config: list[JsonValue] | None,
    prompt: Prompt,
    definitions: Mapping[str, Definition],
    *,
    given: bool,
) -> tuple[str, str]:
    """The host's name for what is wrong with an input, found from the graph itself."""
    if config is None:
        return _CUSTOM
    if not given:
        return "required_input_missing", "Required input is missing"
    options = config[1] if len(config) > 1 and isinstance(config[1], dict) else {}
    if isinstance(value, list):
        return _kind_of_link(value, config[0], prompt, definitions)
    if isinstance(config[0], list):
        named = value not in config[0] and not options.get("image_upload")  # the host looks for a file itself
        return ("value_not_in_list", "Value not in list") if named else _CUSTOM
    if config[0] in ("INT", "FLOAT"):
        number = _number(value, whole=config[0] == "INT")
        if number is None:
            return "invalid_input_type", f"Failed to convert an input value to a {config[0]} value"
        low, high = options.get("min"), options.get("max")
        if isinstance(low, (int, float)) and number < low:
            return "value_smaller_than_min", f"Value {number} smaller than min of {low}"
        if isinstance(high, (int, float)) and number > high:
            return "value_bigger_than_max", f"Value {number} bigger than max of {high}"
    elif config[0] == "BOOLEAN":
        return "invalid_input_type", "Failed to convert an input value to a BOOLEAN value"
    return _CUSTOM


def _number(value: object, *, whole: bool) -> int | float | None:
    """The number that the host makes of a value; None if it makes none."""
    if not isinstance(value, (int, float, str)) or isinstance(value, bool):
        return None
    try:
        return int(value) if whole else float(value)
    except (ValueError, OverflowError):
        return None


def _kind_of_link(
    value: list[object], wanted: JsonValue, prompt: Prompt, definitions: Mapping[str, Definition]
) -> tuple[str, str]:
    bad = "bad_linked_input", "Bad linked input, must be a length-2 list of [node_id, slot_index]"
    if len(value) != 2 or str(value[0]) not in prompt:
        return bad
    origin = definitions.get(str(prompt[str(value[0])].get("class_type")), {})
    outputs = origin.get("output")
    if not isinstance(outputs, list) or not isinstance(value[1], int) or not 0 <= value[1] < len(outputs):
        return bad
    if isinstance(wanted, str) and fits(str(outputs[value[1]]), wanted):
        return _CUSTOM  # what comes is of the right type, but cannot be used
    return "return_type_mismatch", "Return type mismatch between linked nodes"

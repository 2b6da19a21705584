"""From the graph that the editor sends to a run, and from our problems to the form in which it marks nodes."""

import re
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from pydantic import JsonValue

from .....nodes.pack import PACK
from ....core.check.graph import with_labels
from ....core.errors import Problem, WorkflowError, shorten
from ....core.workflow import Workflow
from ...comfy.formats.read import Converted, from_host
from ...installed import installed_nodes
from ..json_data import Json
from ..requests import RunRequest
from .definitions import Definition, renamed_types, spec_of
from .history import node_of

Prompt = Mapping[str, Mapping[str, object]]
_MOST_NAMED = 20  # nodes in one sentence
_PLAIN = ("STRING", "FLOAT", "INT", "BOOLEAN")  # what a node can show as text


class Refused(Exception):
    """A graph is refused, with the answer in the editor's form.

    Attributes:
        rest: of a graph with types that are not known, the part that could be read.
    """

    rest: "tuple[Converted, Prompt, tuple[str, ...]] | None" = None

    def __init__(self, kind: str, message: str, details: str = "", nodes: Json | None = None, **extra: object) -> None:
        self.answer: Json = {
            "error": {"type": kind, "message": message, "details": details, "extra_info": extra},
            "node_errors": nodes or {},
        }
        super().__init__(message)


@dataclass(frozen=True)
class Asked:
    """What the editor asked for.

    Attributes:
        request: for the queue.
        prompt: the part of its graph that is run.
        outputs: ids of the nodes that save or show something.
        converted: the same as a workflow of ours.
    """

    request: RunRequest
    prompt: Prompt
    outputs: tuple[str, ...]
    converted: Converted = field(repr=False)


def read_prompt(body: object, definitions: Mapping[str, Definition]) -> Asked:
    """Read the body of a `POST /prompt`.

    Raises:
        Refused: with everything that is wrong with the graph.
    """
    given: Mapping[str, object] = body if isinstance(body, Mapping) else {}
    whole = given.get("prompt")
    if not isinstance(whole, Mapping) or not all(isinstance(node, Mapping) for node in whole.values()):
        raise Refused("no_prompt", "No prompt provided", "No prompt provided")
    prompt: Prompt = {str(name): _of_today(node) for name, node in whole.items()}
    run_id = _id(given.get("prompt_id"))
    targets = given.get("partial_execution_targets")
    wanted = set(map(str, targets)) if isinstance(targets, list) and targets else None
    outputs = _outputs(prompt, definitions, wanted)
    if not outputs:
        missing = [name for name, node in prompt.items() if _type(node) not in definitions]
        if missing:
            raise _refused_types(prompt, missing, {}, None)
        raise Refused("prompt_no_outputs", "Prompt has no outputs", "Add a node that saves or shows a picture.")
    prompt = _needed(prompt, outputs)
    converted = _converted(prompt, outputs, definitions)
    _show_values(converted.workflow, {converted.names[name] for name in outputs if name in converted.names})
    client = given.get("client_id")
    extra = _extra(given.get("extra_data"))
    request = RunRequest(
        converted.workflow.model_dump(),
        client=client[:200] if isinstance(client, str) and client else None,
        id=run_id,
        texts={"prompt": prompt, **extra.get("extra_pnginfo", {})},
        more={
            "names": dict(converted.names),
            "editor": {"prompt": prompt, "extra": extra, "outputs": list(outputs)},
        },
    )
    return Asked(request, prompt, outputs, converted)


def _of_today(node: Mapping[str, object]) -> Mapping[str, object]:
    """A node under the name that its type has now."""
    now = renamed_types().get(str(node.get("class_type")))
    return node if now is None else {**node, "class_type": now}


def _id(given: object) -> str:
    """The client's id of its run, or a new one.

    Raises:
        Refused: it is none.
    """
    if given is None:
        return str(uuid.uuid4())
    try:
        if isinstance(given, str) and str(uuid.UUID(given)) == given:
            return given
    except ValueError:
        pass
    raise Refused("invalid_prompt_id", "prompt_id must be a UUID in lower case, with hyphens", shorten(given))


def _extra(given: object) -> Json:
    """What the editor keeps with its graph; keys of accounts and others are left out."""
    pictures = given.get("extra_pnginfo") if isinstance(given, Mapping) else None
    workflow = pictures.get("workflow") if isinstance(pictures, Mapping) else None
    return {"extra_pnginfo": {"workflow": workflow}} if isinstance(workflow, Mapping) else {}


def _outputs(prompt: Prompt, definitions: Mapping[str, Definition], wanted: set[str] | None) -> tuple[str, ...]:
    return tuple(
        name
        for name, node in prompt.items()
        if bool(definitions.get(str(node.get("class_type")), {}).get("output_node"))
        and (wanted is None or name in wanted)
    )


def links_of(node: Mapping[str, object]) -> list[tuple[str, str, object]]:
    """The inputs of a node that are links: name, the other node, its output."""
    inputs = node.get("inputs")
    return [
        (name, str(value[0]), value[1])
        for name, value in (inputs.items() if isinstance(inputs, Mapping) else ())
        if isinstance(value, list) and len(value) == 2
    ]


def _needed(prompt: Prompt, outputs: Iterable[str]) -> Prompt:
    """The part of a graph that some of its nodes need."""
    found: set[str] = set()
    waiting = list(outputs)
    while waiting:
        name = waiting.pop()
        if name not in found and name in prompt:
            found.add(name)
            waiting += [other for _, other, _ in links_of(prompt[name])]
    return {name: node for name, node in prompt.items() if name in found}


def _converted(prompt: Prompt, outputs: tuple[str, ...], definitions: Mapping[str, Definition]) -> Converted:
    missing = [name for name, node in prompt.items() if _type(node) not in definitions]
    problems: list[Problem] = []
    converted: Converted | None = None
    try:
        converted = from_host(prompt, installed_nodes(), partial=bool(missing))
    except WorkflowError as error:
        problems = error.problems
    if not missing and converted is not None:
        return converted
    marked = node_errors(problems, prompt, outputs, definitions, {})
    if not missing:
        raise failed(problems, marked)
    refused = _refused_types(prompt, missing, marked, problems)
    if converted is not None:
        refused.rest = converted, prompt, outputs
    raise refused


def _refused_types(prompt: Prompt, missing: list[str], marked: Json, problems: list[Problem] | None) -> Refused:
    """Nodes that nothing here is called, all of them."""
    names = [f"{_title(prompt[name])} (#{name}, {shorten(prompt[name].get('class_type'))})" for name in missing]
    if len(names) > _MOST_NAMED:
        names = [*names[:_MOST_NAMED], f"{len(names) - _MOST_NAMED} more"]
    first = prompt[missing[0]]
    kind = first.get("class_type")
    for name in missing:
        error = _error("missing_node_type", "No node of that type is here", shorten(prompt[name].get("class_type")))
        marked.setdefault(name, _marks(prompt[name]))["errors"].append(error)
    more = [str(problem) for problem in problems or ()]
    return Refused(
        "missing_node_type",
        f"Node '{_title(first)}' not found. The custom node may not be installed."
        if kind
        else f"Node '{_title(first)}' has no class_type. The workflow may be corrupted or a custom node is missing.",
        "\n".join([f"Not known here: {', '.join(names)}", *more]),
        marked,
        node_id=missing[0],
        class_type=kind,
        node_title=_title(first),
    )


def _type(node: Mapping[str, object]) -> str | None:
    kind = node.get("class_type")
    return kind if isinstance(kind, str) else None


def _title(node: Mapping[str, object]) -> str:
    meta = node.get("_meta")
    title = meta.get("title") if isinstance(meta, Mapping) else None
    return str(title or node.get("class_type") or "?")[:120]


def _show_values(workflow: Workflow, shown: set[str]) -> None:
    """Make the numbers and texts of nodes that show them outputs of the workflow."""
    registry = installed_nodes()
    for node in shown:
        spec = registry.get(workflow.nodes[node].type)
        for output, port in spec.outputs.items() if spec is not None else ():
            if port.socket in _PLAIN and f"{node}.{output}" not in workflow.outputs.values():
                name = f"{node}_{output}"
                while name in workflow.outputs:
                    name += "_"
                workflow.outputs[name] = f"{node}.{output}"


# problems


def failed(problems: Iterable[Problem], marked: Json) -> Refused:
    """The answer for a graph whose nodes are known, but wrong."""
    details = "\n".join(str(problem) for problem in problems)
    return Refused("prompt_outputs_failed_validation", "Prompt outputs failed validation", details, marked)


def node_errors(
    problems: Iterable[Problem],
    prompt: Prompt,
    outputs: Iterable[str],
    definitions: Mapping[str, Definition],
    names: Mapping[str, str],
) -> Json:
    """The problems of each node, as the editor marks it.

    Args:
        problems: whose nodes are ours, or the host's with its id first.
        prompt: the graph.
        outputs: its nodes that save or show something.
        definitions: of all nodes.
        names: our node for each of the host's.
    """
    ours = {node: host for host, node in names.items()}
    needed = {output: _needed(prompt, [output]) for output in outputs}
    marked: Json = {}
    for problem in problems:
        host = _host_node(problem.node, prompt, ours)
        if host is None:
            continue
        node = prompt[host]
        entry = marked.setdefault(host, _marks(node))
        entry["dependent_outputs"] = [output for output in needed if host in needed[output]]
        definition = definitions.get(str(node.get("class_type")), {})
        entry["errors"].append(_error_of(problem, node, definition, prompt, definitions))
    return marked


def _marks(node: Mapping[str, object]) -> Json:
    return {"errors": [], "dependent_outputs": [], "class_type": node.get("class_type")}


def _host_node(name: str | None, prompt: Prompt, ours: Mapping[str, str]) -> str | None:
    if name is None:
        return None
    found = node_of(ours.get(name, name if name in prompt else re.split(r"[ (]", name, maxsplit=1)[0]), prompt)
    return found if found in prompt else None


def _error(kind: str, message: str, details: str, **extra: object) -> Json:
    return {"type": kind, "message": message, "details": details, "extra_info": extra}


def _error_of(
    problem: Problem,
    node: Mapping[str, object],
    definition: Definition,
    prompt: Prompt,
    definitions: Mapping[str, Definition],
) -> Json:
    """One problem of a node in the host's words, followed by ours, which say how to mend it."""
    port = _host_input(problem.port, str(node.get("class_type")))
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
    return _error(kind, message, details if port else details[6:], **(extra if port else {}))


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
        return "custom_validation_failed", "Custom validation failed for node"
    if not given:
        return "required_input_missing", "Required input is missing"
    options = config[1] if len(config) > 1 and isinstance(config[1], dict) else {}
    if isinstance(value, list):
        return _kind_of_link(value, prompt, definitions)
    if isinstance(config[0], list):
        return (
            ("custom_validation_failed", "Custom validation failed for node")
            if value in config[0]
            else (
                "value_not_in_list",
                "Value not in list",
            )
        )
    if config[0] in ("INT", "FLOAT") and isinstance(value, (int, float)) and not isinstance(value, bool):
        low, high = options.get("min"), options.get("max")
        if isinstance(low, (int, float)) and value < low:
            return "value_smaller_than_min", f"Value {value} smaller than min of {low}"
        if isinstance(high, (int, float)) and value > high:
            return "value_bigger_than_max", f"Value {value} bigger than max of {high}"
    elif config[0] in ("INT", "FLOAT", "BOOLEAN"):
        return "invalid_input_type", f"Failed to convert an input value to a {config[0]} value"
    return "custom_validation_failed", "Custom validation failed for node"


def _kind_of_link(value: list[object], prompt: Prompt, definitions: Mapping[str, Definition]) -> tuple[str, str]:
    bad = "bad_linked_input", "Bad linked input, must be a length-2 list of [node_id, slot_index]"
    if len(value) != 2 or str(value[0]) not in prompt:
        return bad
    origin = definitions.get(str(prompt[str(value[0])].get("class_type")), {})
    outputs = origin.get("output")
    if isinstance(outputs, list) and isinstance(value[1], int) and 0 <= value[1] < len(outputs):
        return "return_type_mismatch", "Return type mismatch between linked nodes"
    return bad


def with_rest(refused: Refused, problems: Iterable[Problem], definitions: Mapping[str, Definition]) -> Refused:
    """The answer for types that are not known, with the problems of the other nodes beside them."""
    assert refused.rest is not None
    converted, prompt, outputs = refused.rest
    for name, entry in node_errors(problems, prompt, outputs, definitions, converted.names).items():
        marked = refused.answer["node_errors"].setdefault(name, {**entry, "errors": []})
        marked["errors"] += entry["errors"]
    return refused


def refused(error: WorkflowError, asked: Asked, definitions: Mapping[str, Definition]) -> Refused:
    """The answer for a graph that could be read, but whose check found problems."""
    names = asked.converted.names
    titles = {node: _title(asked.prompt[host]) for host, node in names.items() if host in asked.prompt}
    problems = [replace(one, found=with_labels(one.found, asked.converted.labels)) for one in error.problems]
    marked = node_errors(problems, asked.prompt, asked.outputs, definitions, names)
    shown = [replace(one, node=titles[one.node]) if one.node in titles else one for one in problems]
    return failed(shown, marked)


__all__ = ["Asked", "Refused", "failed", "node_errors", "read_prompt", "refused", "spec_of"]

"""From the graph that the editor sends to a run, or to what is wrong with its nodes."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ....core.check.graph import CYCLE, NEXT, with_labels
from ....core.errors import Problem, shorten
from ....core.workflow import Workflow
from ...comfy.formats.read import Converted, read_host
from ...comfy.formats.sent import Sent
from ...installed import installed_nodes
from ..json_data import Json
from ..requests import RunRequest
from .definitions import Definition, renamed_types, spec_of
from .marks import Prompt, add_dependents, cycles, error, links_of, marks, needed, node_errors, node_of_label

_MOST_NAMED = 20  # nodes in one sentence
_KINDS: Mapping[str, tuple[tuple[type, ...], str]] = {
    "client_id": ((str, int), "a text"),
    "extra_data": ((dict,), "an object"),
    "number": ((int, float), "a number"),
    "partial_execution_targets": ((list,), "a list of ids"),
}
_PLAIN = ("STRING", "FLOAT", "INT", "BOOLEAN")  # what a node can show as text


class Refused(Exception):
    """A graph is refused, with the answer in the editor's form.

    Attributes:
        rest: of a graph with types that are not known, the part that could be read.
    """

    rest: "Asked | None" = None

    def __init__(self, kind: str, message: str, details: str = "", nodes: Json | None = None, **extra: object) -> None:
        self.answer: Json = {
            "error": {"type": kind, "message": message, "details": details, "extra_info": extra},
            "node_errors": nodes or {},
        }
        super().__init__(message)


@dataclass(frozen=True)
class Asked:
    """What the editor asked for, for some of its outputs.

    Attributes:
        request: for the queue.
        prompt: the part of its graph that is run.
        outputs: ids of the nodes that save or show something.
        converted: the same as a workflow of ours.
        problems: what was found wrong while it was read.
    """

    request: RunRequest
    prompt: Prompt
    outputs: tuple[str, ...]
    converted: Converted = field(repr=False)
    problems: tuple[Problem, ...] = ()


class Graph:
    """A graph of the editor.

    Args:
        body: of a `POST /prompt`.
        definitions: of all nodes.

    Attributes:
        outputs: ids of the nodes that save or show something.
        marked: the nodes that are not run, because no output needs them, and that could not be.

    Raises:
        Refused: there is no graph, or nothing to do in it.
    """

    def __init__(self, body: Sent, definitions: Mapping[str, Definition]) -> None:
        given = body.given if isinstance(body.given, dict) else {}
        whole = given.get("prompt")
        if not isinstance(whole, Mapping):
            raise Refused("no_prompt", "No prompt provided", "No prompt provided")
        self._definitions, self._spoiled = definitions, body.spoiled
        self._prompt: Prompt = {str(name): _of_today(node) for name, node in whole.items()}
        self._id = _id(given.get("prompt_id"))
        _require_kinds(given)
        client = given.get("client_id")
        self._client = client[:200] if isinstance(client, str) and client else None
        self._extra = _extra(given.get("extra_data"))
        targets = given.get("partial_execution_targets")
        self.outputs = self._ends(
            {one for one in targets if isinstance(one, str)} if isinstance(targets, list) else None
        )
        unknown = [name for name, node in self._prompt.items() if _type(node) not in definitions]
        if not self.outputs:
            if unknown:
                raise _refused_types(self._prompt, unknown, (), None)
            raise Refused("prompt_no_outputs", "Prompt has no outputs", "Add a node that saves or shows a picture.")
        wanted = needed(self._prompt, self.outputs)
        self.marked: Json = {}
        _mark_types(self.marked, self._prompt, [name for name in unknown if name not in wanted])

    def _ends(self, wanted: set[str] | None) -> tuple[str, ...]:
        """What saves or shows something; as far as is known, also a node of an unknown type that nothing reads."""
        read = {other for node in self._prompt.values() for _, other, _ in links_of(node)}

        def ends(name: str, node: Mapping[str, object]) -> bool:
            definition = self._definitions.get(_type(node) or "")
            return name not in read and bool(links_of(node)) if definition is None else bool(definition["output_node"])

        return tuple(
            name for name, node in self._prompt.items() if (wanted is None or name in wanted) and ends(name, node)
        )

    def asked(self, outputs: tuple[str, ...]) -> Asked:
        """What some of the outputs need.

        Raises:
            Refused: it has types that are not known.
        """
        prompt = needed(self._prompt, outputs)
        missing = [name for name, node in prompt.items() if _type(node) not in self._definitions]
        converted = read_host(prompt, installed_nodes(), partial=bool(missing)) if _has_types(prompt) else None
        problems = [*self._wrong(prompt), *(() if converted is None else converted.problems)]
        asked = None if converted is None else self._asked(prompt, outputs, converted, tuple(problems))
        if not missing and asked is not None:
            return asked
        refused = _refused_types(prompt, missing, outputs, problems)
        refused.rest = asked
        raise refused

    def _asked(
        self, prompt: Prompt, outputs: tuple[str, ...], converted: Converted, problems: tuple[Problem, ...]
    ) -> Asked:
        names = converted.names
        _show_values(converted.workflow, {names[name] for name in outputs if name in names})
        request = RunRequest(
            converted.workflow.model_dump(),
            client=self._client,
            id=self._id,
            texts={"prompt": prompt, **self._extra.get("extra_pnginfo", {})},
            more={
                "names": dict(names),
                "editor": {"prompt": prompt, "extra": self._extra, "outputs": list(outputs)},
            },
        )
        return Asked(request, prompt, outputs, converted, problems)

    def _wrong(self, prompt: Prompt) -> list[Problem]:
        """What our reading does not find: values beyond a limit, cycles, inputs that only the host requires."""
        found = [one for one in self._spoiled if node_of_label(one.node, prompt) is not None]
        for name, way in cycles(prompt).items():
            shown = NEXT.join(f"{one} ({_title(prompt[one])})" for one in way[:_MOST_NAMED])
            found.append(Problem(name, None, f"{CYCLE}{shown}", "a graph without cycles", "remove one of these links"))
        for name, node in prompt.items():
            definition = self._definitions.get(_type(node) or "", {})
            groups, inputs = definition.get("input"), node.get("inputs")
            required = groups.get("required") if isinstance(groups, dict) else None
            if definition.get("python_module") != "nodes" or not isinstance(required, dict):
                continue
            lacking = [key for key in required if not isinstance(inputs, Mapping) or key not in inputs]
            found += [Problem(name, key, "nothing", "a value or a link", "add this input") for key in lacking]
        return found

    def sound(self, outputs: tuple[str, ...], refused: Refused) -> tuple[str, ...]:
        """The outputs that are not spoiled by what is wrong; the others are marked.

        Raises:
            Refused: none is left, or something is wrong with the graph as a whole.
        """
        found: Json = refused.answer["node_errors"]
        spoiled = {output for entry in found.values() for output in entry["dependent_outputs"]}
        left = tuple(output for output in outputs if output not in spoiled)
        for name, entry in found.items():
            self.marked.setdefault(name, entry)
        if not left or left == outputs or refused.answer["error"]["extra_info"].get("general"):
            refused.answer["node_errors"] = self.marked
            raise refused
        return left


def _has_types(prompt: Prompt) -> bool:
    return any("class_type" in node for node in prompt.values())


def _of_today(node: object) -> Mapping[str, object]:
    """A node under the name that its type has now; what is no node has no type."""
    if not isinstance(node, Mapping):
        return {}
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


def _require_kinds(given: Mapping[str, object]) -> None:
    """Refuse what is beside the graph and is not of the kind that it has to be; null is as if it was not there.

    Raises:
        Refused: names it.
    """
    for name, (kinds, expected) in _KINDS.items():
        value = given.get(name)
        if value is not None and (not isinstance(value, kinds) or isinstance(value, bool)):
            raise Refused("invalid_prompt", f"{name} must be {expected}", f"{name}: found {shorten(value)}")


def _extra(given: object) -> Json:
    """What the editor keeps with its graph; keys of accounts and others are left out."""
    pictures = given.get("extra_pnginfo") if isinstance(given, Mapping) else None
    workflow = pictures.get("workflow") if isinstance(pictures, Mapping) else None
    return {"extra_pnginfo": {"workflow": workflow}} if isinstance(workflow, Mapping) else {}


def _mark_types(marked: Json, prompt: Prompt, missing: list[str]) -> None:
    for name in missing:
        one = error("missing_node_type", "No node of that type is here", shorten(prompt[name].get("class_type")))
        marked.setdefault(name, marks(prompt[name]))["errors"].append(one)


def _refused_types(
    prompt: Prompt, missing: list[str], outputs: tuple[str, ...], problems: list[Problem] | None
) -> Refused:
    """Nodes that nothing here is called, all of them."""
    names = [f"{_title(prompt[name])} (#{name}, {shorten(prompt[name].get('class_type'))})" for name in missing]
    if len(names) > _MOST_NAMED:
        names = [*names[:_MOST_NAMED], f"{len(names) - _MOST_NAMED} more"]
    first = prompt[missing[0]]
    kind = first.get("class_type")
    marked: Json = {}
    _mark_types(marked, prompt, missing)
    add_dependents(marked, prompt, outputs)
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


def with_rest(refused: Refused, problems: list[Problem], definitions: Mapping[str, Definition]) -> Refused:
    """The answer for types that are not known, with the problems of the other nodes beside them."""
    asked = refused.rest
    assert asked is not None
    found, _ = node_errors(asked.problems, problems, asked.prompt, definitions, asked.converted.names)
    marked = refused.answer["node_errors"]
    for name, entry in found.items():
        marked.setdefault(name, {**entry, "errors": []})["errors"] += entry["errors"]
    add_dependents(marked, asked.prompt, asked.outputs)
    return refused


def refused(problems: list[Problem], asked: Asked, definitions: Mapping[str, Definition]) -> Refused:
    """The answer for a graph whose nodes are known, but wrong."""
    names = asked.converted.names
    titles = {node: _title(asked.prompt[host]) for host, node in names.items() if host in asked.prompt}
    problems = [replace(one, found=with_labels(one.found, asked.converted.labels)) for one in problems]
    marked, general = node_errors(asked.problems, problems, asked.prompt, definitions, names)
    add_dependents(marked, asked.prompt, asked.outputs)
    shown = [
        replace(problem, node=titles[problem.node]) if problem.node in titles else problem
        for problem in (*asked.problems, *problems)
    ]
    details = "\n".join(map(str, dict.fromkeys(shown)))
    more = {"general": True} if general else {}
    return Refused("prompt_outputs_failed_validation", "Prompt outputs failed validation", details, marked, **more)


__all__ = ["Asked", "Graph", "Refused", "refused", "spec_of", "with_rest"]

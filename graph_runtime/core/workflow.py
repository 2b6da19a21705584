"""The workflow file: data, never code. Names, not positions; links apart from parameters; migrations for old files.

`parse` turns bytes into a `Workflow` or reports everything that is wrong with them. Nothing here knows any node type.
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError
from pydantic_core import ErrorDetails

from .bounded import limits
from .bounded.effort import uncollected
from .bounded.json_text import decode
from .bounded.plain import plain
from .errors import Problem, WorkflowError, did_you_mean, shorten

FORMAT = 1
_KEYS = 100  # of an object whose keys the format defines
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
RESERVED_INPUTS = frozenset({"out", "inputs", "device", "memory", "json", "set", "nodes", "help"})

#: `{1: f}` turns a file of format 1 into one of format 2; the list grows with the format and never loses an entry.
MIGRATIONS: dict[int, Callable[[dict[str, object]], dict[str, object]]] = {}

Override = tuple[str, str]  # (node, parameter): what a person sets from outside


class Link(NamedTuple):
    """What is connected to `socket` of some node: `output` of `node`."""

    socket: str
    node: str
    output: str


class Node(BaseModel):
    """One node: its type, the version of that type, its parameters and the links into it (`"node.output"`)."""

    model_config = ConfigDict(extra="forbid")

    type: str
    version: int = Field(default=1, ge=1)
    params: dict[str, object] = Field(default_factory=dict)
    inputs: dict[str, object] = Field(default_factory=dict)


class Workflow(BaseModel):
    """A graph with named inputs (what a person may set) and outputs (what it is for). `ui` is for editors alone."""

    model_config = ConfigDict(extra="forbid")

    format: int = FORMAT
    title: str = ""
    description: str = ""
    inputs: dict[str, str | list[str]] = Field(default_factory=dict)
    nodes: dict[str, Node]
    outputs: dict[str, str] = Field(default_factory=dict)
    ui: dict[str, object] = Field(default_factory=dict)
    _packages: dict[str, str] = PrivateAttr(default_factory=dict)  # of node types that do not ship with inlay

    @property
    def packages(self) -> dict[str, str]:
        """The package of each node type as a record names it, `name version`; inlay's own types are left out."""
        return self._packages

    def targets(self, name: str) -> list[str]:
        """The `node.param` that an input sets: one, or several."""
        target = self.inputs[name]
        return [target] if isinstance(target, str) else list(target)

    def to_json(self) -> str:
        """The file's text: two spaces of indent, defaults left out, one newline at the end."""
        return (
            json.dumps(self.model_dump(exclude_defaults=True) | {"format": self.format}, indent=2, ensure_ascii=False)
            + "\n"
        )


def parse(data: bytes | str, name: str = "workflow") -> Workflow:
    """Read a workflow from JSON.

    Raises:
        WorkflowError: not JSON, beyond a limit, duplicate keys, an unknown format, or the wrong shape.
    """
    with uncollected():
        return build(decode(data, name))


def build(raw: object) -> Workflow:
    """A `Workflow` from decoded JSON, migrated to the current format.

    Raises:
        WorkflowError: every way in which its shape is wrong.
    """
    if not isinstance(raw, dict):
        raise WorkflowError.of(
            None,
            found=f"a JSON {type(raw).__name__}",
            expected="an object with 'format', 'nodes' and 'outputs'",
            fix="see `inlay schema workflow`",
        )
    _require_own_file(raw)
    raw = _migrated(raw)
    _require_few(raw)
    nodes, problems = _nodes(raw.get("nodes"))
    try:
        workflow = Workflow.model_validate(raw if nodes is None else raw | {"nodes": {}}, strict=True)
    except ValidationError as error:
        problems += [_shape_problem(item) for item in error.errors()]
    if problems:
        raise WorkflowError(problems)
    workflow.nodes = nodes or {}
    return workflow


def from_python(source: "Workflow | Mapping[str, object]") -> Workflow:
    """A `Workflow` from a caller's objects, which shares nothing with them and could come from a file.

    Raises:
        WorkflowError: every value that no file could hold, or every way in which its shape is wrong.
    """
    if not isinstance(source, Workflow):
        return build(plain(source, _place))
    fields = {name: getattr(source, name, None) for name in Workflow.model_fields}
    if isinstance(nodes := fields["nodes"], Mapping):
        fields["nodes"] = {
            name: {key: getattr(node, key, None) for key in Node.model_fields} if isinstance(node, Node) else node
            for name, node in nodes.items()
        }
    workflow = build(plain(fields, _place))
    workflow.packages.update(source.packages)
    return workflow


def _place(at: tuple[object, ...]) -> tuple[str | None, str | None]:
    """(node, port) of the keys that lead to a value."""
    location = [str(key) for key in at]
    node = location[1] if len(location) > 1 and location[0] == "nodes" else None
    return node, ".".join(location[2:] if node is not None else location) or None


def _require_few(raw: Mapping[str, object]) -> None:
    """Refuse more keys, nodes, inputs and outputs than a workflow may have, before anything is built from them."""
    inputs = raw.get("inputs")
    targets = sum(len(one) for one in inputs.values() if isinstance(one, list)) if isinstance(inputs, dict) else 0
    for port, count, most, what in (
        (None, len(raw), _KEYS, "keys"),
        ("nodes", _length(raw.get("nodes")), limits.NODES, "nodes"),
        ("inputs", _length(inputs), limits.IO, "inputs"),
        ("inputs", targets, limits.TARGETS, "settings that inputs set"),
        ("outputs", _length(raw.get("outputs")), limits.IO, "outputs"),
    ):
        if count > most:
            raise WorkflowError.of(
                port, found=f"{count:,} {what}", expected=f"at most {most:,}", fix="split it into several workflows"
            )


def _length(value: object) -> int:
    return len(value) if isinstance(value, (dict, list)) else 0


def _nodes(raw: object) -> tuple[dict[str, Node] | None, list[Problem]]:
    """The nodes one by one, and what is wrong with their shapes, up to a limit; None if there is no object of them."""
    if not isinstance(raw, dict):
        return None, []
    nodes: dict[str, Node] = {}
    problems: list[Problem] = []
    validate = Node.__pydantic_validator__.validate_python
    for name, entry in raw.items():
        if isinstance(entry, dict) and len(entry) > _KEYS:
            problems.append(
                Problem(name, None, f"{len(entry):,} keys", "only the format's own keys", "remove the rest")
            )
            continue
        try:
            nodes[name] = validate(entry, strict=True)
        except ValidationError as error:
            items = error.errors(include_url=False)
            problems += [_shape_problem({**item, "loc": ("nodes", name, *item["loc"])}) for item in items]
            if len(problems) >= limits.PROBLEMS:
                break
    return nodes, problems


def _require_own_file(raw: Mapping[str, object]) -> None:
    """Refuse JSON that is not a workflow, or is one of another program."""
    if (other := _of_another_program(raw)) is not None:
        raise WorkflowError.of(
            None,
            found=other,
            expected="an inlay workflow: an object with 'format', 'nodes' and 'outputs'",
            fix="inlay cannot convert this program's files: open it in that program, where inlay's nodes work "
            "too, or rebuild it from `inlay nodes`; `inlay run` lists the shipped workflows",
        )
    if "format" not in raw and "nodes" not in raw:
        keys = ", ".join(shorten(key, 20) for key in list(raw)[:5])
        raise WorkflowError.of(
            None,
            found=f"a JSON object that is not a workflow (its keys: {keys or 'none'})",
            expected="an object with 'format', 'nodes' and 'outputs'",
            fix="give a workflow file; see `inlay schema workflow`",
        )


def _migrated(raw: dict[str, object]) -> dict[str, object]:
    """The file in the current format."""
    version = raw.get("format")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise WorkflowError.of(
            "format",
            found=f"format {shorten(version)}",
            expected=f'"format": {FORMAT}',
            fix=f'add "format": {FORMAT} at the top',
        )
    if version > FORMAT:
        raise WorkflowError.of(
            "format",
            found=f"format {version}",
            expected=f"format {FORMAT} or older",
            fix="this file was made by a newer inlay: update inlay",
        )
    for older in range(version, FORMAT):
        raw = MIGRATIONS[older](dict(raw)) | {"format": older + 1}
    return raw


def _of_another_program(raw: Mapping[str, object]) -> str | None:
    """Which other program's file it is, if that is known."""
    graph = inner if isinstance(inner := raw.get("prompt"), dict) else raw
    if "format" not in raw and any(isinstance(value, dict) and "class_type" in value for value in graph.values()):
        return "a ComfyUI workflow, in its API format"
    if isinstance(raw.get("nodes"), list) and ("links" in raw or "last_node_id" in raw or "groups" in raw):
        return "a ComfyUI workflow, as its editor saves it"
    if isinstance(raw.get("nodes"), list) and ("edges" in raw or "exposedFields" in raw):
        return "an InvokeAI workflow"
    if "workflow" in raw and "files" in raw and "made_with" in raw:
        return "the record of a saved picture, not the picture"
    return None


def json_schema() -> dict[str, object]:
    """JSON Schema of the workflow file."""
    schema = Workflow.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["properties"]["format"]["const"] = FORMAT
    return schema


def _shape_problem(item: ErrorDetails) -> Problem:
    node, port = _place(item["loc"])
    last = str(item["loc"][-1]) if item["loc"] else ""
    if item["type"] == "extra_forbidden":
        known = Node.model_fields if node is not None else Workflow.model_fields
        fix = did_you_mean(last, known)
        return Problem(node, port, f"an unknown key {shorten(last)}", "only the format's own keys", fix)
    if item["type"] == "missing":
        return Problem(node, port, "nothing", f"a key {shorten(last)}", f"add {shorten(last)}")
    return Problem(node, port, shorten(item["input"]), item["msg"].lower(), "see `inlay schema workflow`")

"""The workflow file: data, never code. Names, not positions; links apart from parameters; migrations for old files.

`parse` turns bytes into a `Workflow` or reports everything that is wrong with them. Nothing here knows any node type.
"""

import json
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple, NoReturn

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError
from pydantic_core import ErrorDetails

from .errors import Problem, WorkflowError, did_you_mean, shorten

FORMAT = 1
MAX_BYTES = 16 * 2**20
MAX_DEPTH = 64
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
        WorkflowError: not JSON, too large, too deep, duplicate keys, an unknown format, or the wrong shape.
    """
    return build(decode(data, name))


def read_bytes(path: Path) -> bytes:
    """A workflow file's bytes, at most as many as are allowed.

    Raises:
        WorkflowError: too large, or it cannot be read.
    """
    try:
        if (size := path.stat().st_size) > MAX_BYTES:
            raise _too_large(size, path.name)
        return path.read_bytes()
    except OSError as error:
        raise WorkflowError.of(
            None,
            found=f"{str(path)!r}: {error.strerror}",
            expected="a file that can be read",
            fix="check its permissions",
        ) from None


def _too_large(size: int, name: str) -> WorkflowError:
    return WorkflowError.of(
        None,
        found=f"{size / 2**20:.0f} MiB in {name}",
        expected=f"at most {MAX_BYTES // 2**20} MiB of JSON",
        fix="a workflow holds settings, not pictures: keep pictures in separate files",
    )


def decode(data: bytes | str, name: str = "workflow") -> object:
    """Parse untrusted JSON: bounded in size and depth, no duplicate keys, no NaN.

    Raises:
        WorkflowError: says what is wrong and where.
    """
    if len(data) > MAX_BYTES:
        raise _too_large(len(data), name)
    try:
        text = data.decode("utf-8-sig") if isinstance(data, bytes) else data
    except UnicodeDecodeError as error:
        raise WorkflowError.of(
            None,
            found=f"bytes in {name} that are not UTF-8 (at {error.start})",
            expected="a JSON text file in UTF-8",
            fix="it is UTF-16, as some Windows programs write: save it as UTF-8"
            if isinstance(data, bytes) and data[:2] in (b"\xff\xfe", b"\xfe\xff")
            else "give a .json workflow, a picture that inlay saved, or a shipped workflow",
        ) from None
    if (depth := _depth(text)) > MAX_DEPTH:
        raise WorkflowError.of(
            None, found=f"{depth} levels of nesting in {name}", expected=f"at most {MAX_DEPTH}", fix="flatten the file"
        )
    try:
        return json.loads(text, object_pairs_hook=_no_duplicates, parse_constant=_no_constants, parse_float=_finite)
    except json.JSONDecodeError as error:
        near = text[max(0, error.pos - 30) : error.pos + 10]
        raise WorkflowError.of(
            None,
            found=f"{error.msg} at line {error.lineno}, column {error.colno} of {name}, near {shorten(near, 60)}",
            expected="a complete JSON document",
            fix=_syntax_fix(text, error.pos),
        ) from None
    except (_Refused, RecursionError, ValueError) as error:
        raise WorkflowError.of(
            None, found=f"{error} in {name}", expected="plain JSON", fix="keep each key once and use finite numbers"
        ) from None


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
    try:
        return Workflow.model_validate(_migrated(raw), strict=True)
    except ValidationError as error:
        raise WorkflowError([_shape_problem(item) for item in error.errors()]) from None


def _require_own_file(raw: Mapping[str, object]) -> None:
    """Refuse JSON that is not a workflow, or is one of another program."""
    if (other := _of_another_program(raw)) is not None:
        raise WorkflowError.of(
            None,
            found=other,
            expected="an inlay workflow: an object with 'format', 'nodes' and 'outputs'",
            fix="inlay cannot convert other programs' files yet: open it in that program, where inlay's nodes work "
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


def require_flat(value: object) -> None:
    """Refuse a dict from Python code that no file could hold: nested too deeply, or containing itself.

    Raises:
        WorkflowError: more than MAX_DEPTH levels.
    """
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise WorkflowError.of(
                None,
                found=f"more than {MAX_DEPTH} levels of nesting in a dict",
                expected=f"at most {MAX_DEPTH}",
                fix="flatten it; does it contain itself?",
            )
        level = [
            inner
            for item in level
            if isinstance(item, (Mapping, list, tuple))
            for inner in (item.values() if isinstance(item, Mapping) else item)
            if isinstance(inner, (Mapping, list, tuple))
        ]


def _syntax_fix(text: str, position: int) -> str:
    """The most likely mistake at the place where a JSON parser stopped."""
    before, after = text[:position].rstrip(), text[position:].lstrip()
    if after.startswith(("//", "/*", "#")):
        return "JSON has no comments: remove it (a workflow may have a 'description')"
    if after[:1] in "]}" and before.endswith(",") and after:
        return "remove the comma before the closing bracket"
    if before.endswith(("]", "}")) and before.rstrip("]} \n\t\r").endswith(","):
        return "remove the comma before the closing bracket"
    if after.startswith("'"):
        return "put names and texts in double quotes"
    if after.startswith(("True", "False", "None")):
        return "write true, false and null, as JSON does"
    if not after:
        return "the file ends too early: is it cut off, or a bracket not closed?"
    if after.startswith(('"', "{", "[")) and not before.endswith((",", "{", "[", ":")):
        return "a comma is missing before it"
    return "correct the syntax there; is the file cut off?"


class _Refused(ValueError):
    pass


def _no_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise _Refused(f"the key {shorten(twice)} twice in one object (two links to one socket?)")
    return found


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise _Refused(f"the number {shorten(text, 30)}")
    return value


def _no_constants(word: str) -> NoReturn:
    raise _Refused(f"the number {word}")


#: A string (also one that never ends; possessive, so that nothing is tried twice) or a bracket.
_TOKENS = re.compile(r'"(?:[^"\\]|\\.|\\\Z)*+(?:"|\Z)|[\[{]|[\]}]', re.DOTALL)


def _depth(text: str) -> int:
    """Nesting of brackets outside strings, without recursion."""
    depth = deepest = 0
    for bracket in _TOKENS.finditer(text):
        symbol = bracket.group()
        if symbol in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif symbol in "]}":
            depth -= 1
    return deepest


def _shape_problem(item: ErrorDetails) -> Problem:
    location = [str(part) for part in item["loc"]]
    node = location[1] if len(location) > 1 and location[0] == "nodes" else None
    port = ".".join(location[2:] if node else location) or None
    if item["type"] == "extra_forbidden":
        known = Node.model_fields if node else Workflow.model_fields
        return Problem(
            node,
            port,
            f"an unknown key {location[-1]!r}",
            "only the format's own keys",
            did_you_mean(location[-1], known),
        )
    if item["type"] == "missing":
        return Problem(node, port, "nothing", f"a key {location[-1]!r}", f"add {location[-1]!r}")
    return Problem(node, port, shorten(item["input"]), item["msg"].lower(), "see `inlay schema workflow`")

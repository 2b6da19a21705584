"""An index of node definitions: what a listing, a form or a check needs to know of nodes without importing their code.

One line of JSON for each source file, port and node, sorted, so that two changes rarely meet in one line. The index is
generated (`make docs`) and names what it was made from: a digest of the declarations of each source file. Where one of
them has changed since, the index is not used, and the definitions come from the code (see `read_index`).
"""

import functools
import json
import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, fields
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from pydantic import BaseModel, Field

from ..bounded.effort import imported
from ..digests import sha256
from ..port_types import Named, Port
from ..spec import Check, NodeSpec, PathRole, Registry
from .declarations import declarations
from .docstrings import DocParts
from .migrations import Migration, Renamed
from .needed import Needs
from .node_settings import NodeSettings
from .params import params_model, params_name
from .socket_roles import FromUpstream, SocketRole
from .sockets import Repeat, Socket

FORMAT = 1
Entry = dict[str, Any]  # Any: JSON of the node's own form
_TYPES: Mapping[str, object] = {"string": str, "integer": int, "number": float, "boolean": bool, "null": None}
_BOUNDS = {
    "minimum": "ge",
    "maximum": "le",
    "exclusiveMinimum": "gt",
    "exclusiveMaximum": "lt",
    "multipleOf": "multiple_of",
    "minItems": "min_length",
    "maxItems": "max_length",
    "minLength": "min_length",
    "maxLength": "max_length",
}


def digest_of(file: Path) -> str:
    """Changes when what a source file declares changes, and not when only the inside of a function does."""
    return sha256(declarations(file.read_bytes()))[:12]


def index_text(registry: Registry, root: str, sources: Mapping[str, Path]) -> str:
    """The index of all nodes of a registry.

    Args:
        registry: the nodes, from their code.
        root: the name of the package that they are in.
        sources: the files that declare them, by a name of each.

    Raises:
        ValueError: two ports of one name differ, or a setting is of a type that an index cannot hold.
    """
    ports: dict[str, Entry] = {}
    nodes = {spec.id: _entry(spec, root, ports) for spec in registry.values()}
    lines: list[Entry] = [{"format": FORMAT}]
    lines += [{"source": name, "declares": digest_of(file)} for name, file in sorted(sources.items())]
    lines += [{"port": name, **ports[name]} for name in sorted(ports)]
    lines += [{"node": name, **nodes[name]} for name in sorted(nodes)]
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


def read_index(file: Path, root: str, found: Callable[[str], Path], declared: Iterable[str]) -> Registry | None:
    """The nodes of an index, whose code is imported when it is needed; None where the index is not of this code.

    Args:
        file: the index.
        root: the name of the package that the nodes are in.
        found: the source file of a name.
        declared: names of source files that the index must know: a new file may have new nodes.
    """
    try:
        if not file.is_file():
            return None  # a pipe would wait for ever
        lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        sources = {line["source"]: line["declares"] for line in lines if "source" in line}
        current = lines[0] == {"format": FORMAT} and set(declared) <= set(sources)
        if not current or any(digest_of(found(name)) != digest for name, digest in sources.items()):
            return None
        ports = {line.pop("port"): Port(**line) for line in lines if "port" in line}
        nodes = [line for line in lines if "node" in line]
        once = len({line["node"] for line in nodes}) == len(nodes)  # not so where two changes were merged
        return Registry(IndexedSpec(line, ports, root) for line in nodes) if once else None
    except (OSError, ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
        return None


class IndexedSpec(NodeSpec):
    """A node of an index: its code and the model of its settings are made when they are first asked for."""

    def __init__(self, entry: Entry, ports: Mapping[str, Port], root: str) -> None:
        docs, said = DocParts(**entry["docs"]), entry["docs"].get("parameters", {})
        known = {one.name: one.default for one in fields(NodeSpec) if one.name not in _LATE}
        known |= {name: entry[name] for name in ("version", "context", "static", "effects", "saves") if name in entry}
        known |= {
            "id": entry["node"],
            "docs": docs,
            "sockets": {name: _socket(name, one, ports, root, said) for name, one in entry.get("sockets", {}).items()},
            "path_roles": {
                name: PathRole(kind, name in entry.get("each", ())) for name, kind in entry.get("paths", {}).items()
            },
            "outputs": {name: ports[port] for name, port in entry["outputs"].items()},
            "better": entry.get("better", {}),
            "repeats": {name: Repeat(**one) for name, one in entry.get("repeats", {}).items()},
            "may_be_none": tuple(entry.get("may_be_none", ())),
            "made": _clock(),
            "_entry": entry,
            "_root": root,
        }
        self.__dict__.update(known)  # the class is frozen

    def _named(self, name: str) -> Any:  # noqa: ANN401 - a function or class of the pack
        module, _, qualified = self.__dict__["_entry"][name].partition(":")
        found: object = imported(f".{module}", self.__dict__["_root"])
        for part in qualified.split("."):
            found = getattr(found, part)
        return found

    @cached_property
    def function(self) -> Callable[..., Any]:  # Any: as in NodeSpec
        """The node's function; importing it imports the node's file."""
        return cast(Callable[..., Any], self._named("function").spec.function)  # Any: as in NodeSpec

    @cached_property
    def check(self) -> Check | None:
        """The node's check hook."""
        return cast(Check, self._named("check")) if "check" in self.__dict__["_entry"] else None

    @cached_property
    def needs(self) -> Needs | None:
        """What says how much memory the node needs."""
        return cast(Needs, self._named("needs")) if "needs" in self.__dict__["_entry"] else None

    @cached_property
    def settings(self) -> tuple[str, type[NodeSettings]] | None:
        """The parameter that takes settings as one model, and that model."""
        entry = self.__dict__["_entry"]
        return (entry["settings_in"], self._named("settings_model")) if "settings_in" in entry else None

    @cached_property
    def migrations(self) -> Mapping[int, Migration]:
        """How older versions become newer ones."""
        given: dict[str, object] = self.__dict__["_entry"].get("migrations", {})
        return {
            int(version): Renamed(one) if isinstance(one, dict) else self._named_migration(int(version))
            for version, one in given.items()
        }

    def _named_migration(self, version: int) -> Migration:
        made: NodeSpec = self._named("function").spec
        return made.migrations[version]

    @cached_property
    def params(self) -> type[BaseModel]:
        """The model of the settings, made from their JSON Schema."""
        properties: Mapping[str, Entry] = self.schema["properties"]
        return params_model(
            self.id, {name: (_annotated(one), one.get("default", ...)) for name, one in properties.items()}
        )

    @cached_property
    def schema(self) -> Mapping[str, Any]:  # Any: JSON
        """The JSON Schema of the settings."""
        given: Mapping[str, Entry] = self.__dict__["_entry"].get("settings", {})
        return _schema(self.id, {name: _completed(name, one, self.docs) for name, one in given.items()})

    def seen(self, value: object) -> object:
        """A known value as it is: the pack's own checks work on sketches."""
        return value

    @property
    def module(self) -> str:
        """The module that the node is defined in."""
        return f"{self.__dict__['_root']}.{self.__dict__['_entry']['function'].partition(':')[0]}"

    @property
    def looks(self) -> bool:
        """As of any node, without importing the check."""
        return self.static or "check" in self.__dict__["_entry"]


_LATE = ("function", "check", "needs", "settings", "migrations", "params")


def _clock() -> int:
    import time

    return time.time_ns()


def _socket(name: str, entry: Entry, ports: Mapping[str, Port], root: str, said: Mapping[str, str]) -> Socket:
    return Socket(
        name,
        ports[entry["port"]],
        entry.get("optional", False),
        entry.get("doc") or said.get(name) or ports[entry["port"]].doc,
        Named(entry["type"], root) if "type" in entry else object,
        SocketRole(entry["role"]) if "role" in entry else None,
        FromUpstream(**entry["upstream"]) if "upstream" in entry else None,
    )


def _annotated(schema: Mapping[str, Any]) -> object:  # Any: JSON
    """The annotation that a JSON Schema describes."""
    described = {"description": schema["description"]} if "description" in schema else {}
    if "anyOf" in schema:
        found: Any = functools.reduce(operator.or_, map(_annotated, schema["anyOf"]))  # Any: types made at run time
    elif "enum" in schema or "const" in schema:
        found = Literal[tuple(schema.get("enum", [schema.get("const")]))]
    elif schema["type"] == "array":
        found = list.__class_getitem__(_annotated(schema["items"]))
    else:
        found = _TYPES[schema["type"]]
    bounds = {_BOUNDS[key]: schema[key] for key in _BOUNDS if key in schema}
    return Annotated[found, Field(**bounds, **described)] if bounds or described else found


def _schema(node_id: str, properties: Mapping[str, Entry]) -> Entry:
    """The JSON Schema of settings as pydantic writes it."""
    required = [name for name, one in properties.items() if "default" not in one]
    return {
        "additionalProperties": False,
        "properties": dict(properties),
        **({"required": required} if required else {}),
        "title": params_name(node_id),
        "type": "object",
    }


def _derived(name: str, docs: DocParts) -> Entry:
    """What the schema of a setting holds besides its type."""
    described = {"description": docs.parameters[name]} if docs.parameters.get(name) else {}
    return {"title": name.replace("_", " ").title(), **described}


def _completed(name: str, setting: Entry, docs: DocParts) -> Entry:
    return dict(sorted({**_derived(name, docs), **setting}.items()))


def _shortened(name: str, setting: Entry, docs: DocParts) -> Entry:
    """The schema of a setting without what `_completed` adds.

    Raises:
        ValueError: that is not all it takes to get it back.
    """
    derived = _derived(name, docs)
    short = {key: value for key, value in setting.items() if key not in derived or derived[key] != value}
    if list(_completed(name, short, docs).items()) != list(setting.items()):
        raise ValueError(f"the setting {name} has another JSON Schema than an index can hold: {setting}")
    return short


# writing


def _entry(spec: NodeSpec, root: str, ports: dict[str, Entry]) -> Entry:
    """A node as one line."""

    def place(thing: Callable[..., object]) -> str:
        if not thing.__module__.startswith(root + ".") or "<" in thing.__qualname__:
            raise ValueError(f"node {spec.id}: {thing!r} is not at the top of a module of {root}")
        return f"{thing.__module__.removeprefix(root + '.')}:{thing.__qualname__}"

    for port in [*(socket.port for socket in spec.sockets.values()), *spec.outputs.values()]:
        facts = {key: value for key, value in asdict(port).items() if value or key == "socket"}
        if ports.setdefault(port.socket, facts) != facts:
            raise ValueError(f"node {spec.id}: another port called {port.socket!r} than other nodes have")
    properties: Mapping[str, Entry] = spec.schema.get("properties", {})
    entry: Entry = {
        "function": place(spec.function),
        "version": spec.version,
        "docs": {key: value for key, value in asdict(spec.docs).items() if value},
        "sockets": {name: _socket_entry(socket, root, spec.docs) for name, socket in spec.sockets.items()},
        "settings": {name: _shortened(name, one, spec.docs) for name, one in properties.items()},
        "paths": {name: role.kind for name, role in spec.path_roles.items()},
        "each": [name for name, role in spec.path_roles.items() if role.each],
        "outputs": {name: port.socket for name, port in spec.outputs.items()},
        "better": dict(spec.better),
        "repeats": {name: asdict(repeat) for name, repeat in spec.repeats.items()},
        "may_be_none": spec.may_be_none,
        "context": spec.context,
        "static": spec.static,
        "effects": spec.effects,
        "saves": spec.saves,
        "check": spec.check and place(spec.check),
        "needs": spec.needs and place(spec.needs),
        "migrations": {
            version: dict(one.names) if isinstance(one, Renamed) else True for version, one in spec.migrations.items()
        },
    }
    if spec.settings is not None:
        entry |= {"settings_in": spec.settings[0], "settings_model": place(spec.settings[1])}
    if spec.schema != _schema(spec.id, properties):
        raise ValueError(f"node {spec.id}: its settings are more than plain types")
    return {key: value for key, value in entry.items() if value or key in ("docs", "outputs")}


def _socket_entry(socket: Socket, root: str, docs: DocParts) -> Entry:
    derived = docs.parameters.get(socket.name) or socket.port.doc
    entry = {
        "port": socket.port.socket,
        "optional": socket.optional,
        "doc": socket.doc if socket.doc != derived else None,
        "type": Named.text_of(socket.annotation, root),
        "role": socket.role and socket.role.kind,
        "upstream": socket.upstream and asdict(socket.upstream),
    }
    return {key: value for key, value in entry.items() if value}

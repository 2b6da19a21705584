"""ONE definition of a node; the checker, the schema, the host's class, the docs and the listing are derived from it.

A node is a plain annotated function, so tests call it directly:

* parameters whose annotation carries a `Port` are sockets; `| None` makes a socket optional;
* a parameter annotated `Context` receives the run it is part of;
* a parameter annotated with a `NodeSettings` stands for all settings that it holds;
* every other parameter is a setting and becomes a field of a pydantic model that refuses unknown names;
* the fields of the returned NamedTuple are the outputs.

    class LatentMask(NamedTuple):
        latent_mask: LatentMaskPort

    @node("mask.to_latent", version=1)
    def to_latent(mask: Mask, vae: Vae, dilate: Annotated[int, Field(ge=0, le=64)] = 2) -> LatentMask: ...
"""

import dataclasses
import functools
import inspect
import re
import time
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any, Literal, ParamSpec, Protocol, TypeVar, cast

from pydantic import BaseModel, Field

from .context import Context
from .definition.annotations import carried, without_none
from .definition.docstrings import DocParts, parse_docstring
from .definition.migrations import Migration
from .definition.needed import Needs
from .definition.node_settings import NodeSettings
from .definition.params import params_model
from .definition.socket_roles import Better, FromUpstream, SocketRole
from .definition.sockets import Repeat, Socket
from .light.sketch import concrete
from .port_types import PLAIN, UNCHECKED, Port, on_cpu
from .source_code import code_digest

NODE_ID = re.compile(r"[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class PathRole:
    """Marks a parameter as a path that is read.

    Attributes:
        kind: `file` is one file; `files` may also be a folder or a glob; `model` is an embedded name, a hub id, a
            folder or a file.
        each: a folder that a person gives for it is a job: one run for each file in it.
    """

    kind: Literal["file", "files", "model"]
    each: bool = False


ReadPath = Annotated[str, PathRole("file")]
ReadPaths = Annotated[str, PathRole("files")]
ReadEach = Annotated[str, PathRole("files", each=True)]  # of a folder that a person gives, one file a run
ReadPicture = Annotated[str, PathRole("file", each=True)]  # one file, and of a folder that a person gives, one a run
ReadMany = Annotated[str | list[str], PathRole("files")]  # or a list of files, folders and globs
ModelSource = Annotated[str, PathRole("model")]

P = ParamSpec("P")  # of a node's function
R = TypeVar("R", covariant=True)  # the NamedTuple that it returns

Check = Callable[[Mapping[str, object], Mapping[str, object]], Mapping[str, object] | None]


class NodeFunction(Protocol[P, R]):
    """A function that `node` made a node of."""

    spec: "NodeSpec"

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function; its arguments are checked."""


@dataclass(frozen=True, eq=False)
class NodeSpec:
    """Everything about one node type.

    Attributes:
        static: the outputs are descriptions that can be made while checking (no weights, no device).
        effects: the node writes files or talks to the outside; it always runs and is never cached.
        saves: the socket whose value this node writes to a file. A workflow that saves nothing gets such a node for
            each output of that type; a pack has at most one for a type.
        check: called while checking with (inputs, parameters), where an input is there if it is known, and None if
            nothing is connected to it; raises BadInput for a wrong pairing. May return facts about its outputs by
            name, which the checks of later nodes receive in place of the values.
        needs: says what the node makes in a device's memory (definition/needed.py); without it, that is measured.
        better: of each output that is a measurement, which of two numbers is the better one.
        settings: the parameter that takes settings as one model, and that model.
        migrations: `{1: f}` turns the params and inputs of version 1 into those of version 2, and so on.
    """

    id: str
    version: int
    function: Callable[..., Any]  # Any: each node returns a NamedTuple of its own
    docs: DocParts
    sockets: Mapping[str, Socket]
    params: type[BaseModel]
    path_roles: Mapping[str, PathRole]
    outputs: Mapping[str, Port]
    better: Mapping[str, Literal["higher", "lower"]] = field(default_factory=dict)
    context: str | None = None
    repeats: Mapping[str, Repeat] = field(default_factory=dict)
    may_be_none: tuple[str, ...] = ()  # optional sockets whose parameter has no default of its own
    settings: tuple[str, type[NodeSettings]] | None = None
    static: bool = False
    effects: bool = False
    saves: str | None = None
    check: Check | None = None
    needs: Needs | None = None
    migrations: Mapping[int, Migration] = field(default_factory=dict)
    made: int = field(default_factory=time.time_ns)  # when its code was imported

    @cached_property
    def digest(self) -> str:
        """Changes when the code behind the node changes, so that a result of older code is never served."""
        return code_digest(self.function, since=self.made)

    @cached_property
    def schema(self) -> Mapping[str, Any]:  # Any: JSON
        """The JSON Schema of the settings."""
        return self.params.model_json_schema()

    @cached_property
    def demanding(self) -> frozenset[str]:
        """Parameters whose values are checked against a type, whatever they are."""
        typed = (name for name, socket in self.sockets.items() if socket.annotation not in UNCHECKED)
        return frozenset((*typed, *self.repeats))

    @property
    def module(self) -> str:
        """The module that the node is defined in."""
        return self.function.__module__

    @property
    def looks(self) -> bool:
        """True if the check calls the node or its hook: of other nodes it only compares the types of known inputs."""
        return self.static or self.check is not None

    @property
    def family(self) -> str:
        """The part of the id before the dot: `mask` of `mask.grow`."""
        return self.id.split(".")[0]

    @property
    def summary(self) -> str:
        """First sentence of the docstring."""
        return self.docs.summary

    def has(self, name: str | None) -> bool:
        """True if the node has a socket or a setting of this name; of None, which means the node as a whole."""
        numbered = {one for repeat in self.repeats.values() for one in repeat.names()}
        return name is None or name in self.sockets or name in self.params.model_fields or name in numbered

    @cached_property
    def run(self) -> Callable[..., Iterable[object]]:
        """Calls the function, folding numbered names back into the lists it takes (None where one was left out)."""
        return self._folded if self.may_be_none or self.repeats else self.function

    def _folded(self, **values: object) -> Iterable[object]:
        for socket in self.may_be_none:
            values.setdefault(socket, None)
        for parameter, repeat in self.repeats.items():
            items = [values.pop(name, None) for name in repeat.names()]
            while items and (items[-1] is None or (isinstance(items[-1], str) and not items[-1])):
                items.pop()
            values[parameter] = items
        return cast(Iterable[object], self.function(**values))

    def gathered(self, values: Mapping[str, object]) -> dict[str, object]:
        """Arguments of the function; if it takes its settings as one model, they are collected in it.

        Raises:
            ValidationError: a setting has the wrong type, or is out of bounds.
        """
        if self.settings is None or self.settings[0] in values:
            return dict(values)
        parameter, model = self.settings
        held = {name: value for name, value in values.items() if name in model.model_fields}
        return {**{name: value for name, value in values.items() if name not in held}, parameter: model(**held)}

    def received(self, name: str, value: object) -> object:
        """The value of a parameter as the function gets it: on the CPU, and checked against the socket's type.

        Raises:
            BadInput: it is of another type.
        """
        value = on_cpu(value)
        if name in self.sockets:
            self.sockets[name].require(value)
        elif name in self.repeats:
            for number, item in zip(self.repeats[name].names(), cast(Iterable[object], value), strict=False):
                if number in self.sockets and item is not None:
                    self.sockets[number].require(item)
        return value

    def seen(self, value: object) -> object:
        """A known value as the check gets it: a tensor, on the `meta` device where it has no numbers yet."""
        return concrete(value)

    def facts(self, known: Mapping[str, object], params: Mapping[str, object]) -> Mapping[str, object]:
        """What is known of the outputs while checking, from what is known of the inputs.

        Raises:
            BadInput: an input is of another type than its socket's, or the node's own check refuses it.
        """
        known = {name: self.seen(value) for name, value in known.items()}
        for name, value in known.items():
            if value is not None:
                self.sockets[name].require(value)
        return (self.check(known, params) if self.check is not None else None) or {}


class Registry(Mapping[str, NodeSpec]):
    """Node types by id."""

    def __init__(self, specs: Iterable[NodeSpec] = ()) -> None:
        self._specs: dict[str, NodeSpec] = {}
        for spec in specs:
            self.add(spec)

    def add(self, spec: NodeSpec) -> None:
        """Add a node; two different nodes with one id are an error."""
        known = self._specs.get(spec.id)
        if known is not None and known.function is not spec.function:
            raise ValueError(
                f"node id {spec.id!r} is defined twice: in {known.function.__module__} "
                f"and in {spec.function.__module__}"
            )
        self._specs[spec.id] = spec

    def add_module(self, module: object) -> None:
        """Add every node that a module (or any object with attributes) holds."""
        for value in list(vars(module).values()):
            spec = inspect.getattr_static(value, "spec", None)
            if isinstance(spec, NodeSpec):
                self.add(spec)

    def __getitem__(self, node_id: str) -> NodeSpec:
        return self._specs[node_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._specs)

    def __len__(self) -> int:
        return len(self._specs)


def node(
    node_id: str,
    *,
    version: int = 1,
    static: bool = False,
    effects: bool = False,
    saves: str | None = None,
    check: Check | None = None,
    needs: Needs | None = None,
    migrations: Mapping[int, Migration] | None = None,
) -> Callable[[Callable[P, R]], NodeFunction[P, R]]:
    """Make a node of an annotated function, which stays callable as it is, with `.spec` on it.

    For every caller, values at sockets are moved to the CPU and checked against their annotations.

    Raises:
        TypeError: the id, the annotations or the return type cannot be a node; the message says which.
    """
    if not NODE_ID.fullmatch(node_id):
        raise TypeError(f"node id {node_id!r} must look like 'family.name' in lower case")

    def decorate(function: Callable[P, R]) -> NodeFunction[P, R]:
        names = list(inspect.signature(function).parameters)
        untyped: Callable[..., object] = function

        @functools.wraps(function)
        def called(*args: object, **kwargs: object) -> object:
            given = kwargs
            for name, value in kwargs.items():
                if type(value) not in PLAIN or name in spec.demanding:
                    given = given | {name: spec.received(name, value)}
            given = given if spec.settings is None else spec.gathered(given)
            if not args:
                return untyped(**given)
            return untyped(*(spec.received(name, value) for name, value in zip(names, args, strict=False)), **given)

        spec = dataclasses.replace(
            _read(function, node_id, version),
            function=called,
            static=static,
            effects=effects,
            saves=saves,
            check=check,
            needs=needs,
            migrations=dict(migrations or {}),
        )
        made = cast(NodeFunction[P, R], called)
        made.spec = spec
        return made

    return decorate


def _read(function: Callable[..., object], node_id: str, version: int) -> NodeSpec:
    """What a function's annotations and docstring say."""
    hints = typing.get_type_hints(function, include_extras=True)
    docs = parse_docstring(inspect.getdoc(function) or "")
    outputs, better = _outputs(node_id, hints.pop("return", None))
    sockets: dict[str, Socket] = {}
    fields: dict[str, Any] = {}  # Any: pydantic's create_model asks for it
    roles: dict[str, PathRole] = {}
    repeats: dict[str, Repeat] = {}
    may_be_none: list[str] = []
    context = settings = None
    for parameter in inspect.signature(function).parameters.values():
        hint = hints.get(parameter.name)
        if hint is None:
            raise TypeError(f"node {node_id}: parameter {parameter.name!r} has no annotation")
        if Context in (hint, without_none(hint)[0]):
            context = parameter.name
            continue
        if isinstance(hint, type) and issubclass(hint, NodeSettings):
            settings = (parameter.name, hint)
            docs = dataclasses.replace(docs, parameters={**hint.descriptions(), **docs.parameters})
            for name, (annotation, default) in hint.parameters().items():
                fields[name] = (_described(annotation, docs.parameters.get(name, "")), default)
                if (role := carried(annotation, PathRole)) is not None:
                    roles[name] = role
            continue
        inner, optional = without_none(hint)
        repeat, role = carried(inner, Repeat), carried(inner, PathRole)
        port, annotation = _port_of(inner, repeated=repeat is not None)
        doc = docs.parameters.get(parameter.name) or (repeat and docs.parameters.get(repeat.name)) or ""
        if repeat is not None:
            repeats[parameter.name] = repeat
            for number, name in enumerate(repeat.names()):
                if port is not None:
                    sockets[name] = Socket(name, port, number >= repeat.required, doc or port.doc, annotation)
                else:
                    fields[name] = (_described(str, doc), "" if number >= repeat.required else ...)
        elif port is not None:
            roles_of = carried(inner, SocketRole), carried(inner, FromUpstream)
            sockets[parameter.name] = Socket(parameter.name, port, optional, doc or port.doc, annotation, *roles_of)
            if optional and parameter.default is inspect.Parameter.empty:
                may_be_none.append(parameter.name)
        else:
            default = ... if parameter.default is inspect.Parameter.empty else parameter.default
            fields[parameter.name] = (_described(hint, doc), default)
            if role is not None:
                roles[parameter.name] = role
    return NodeSpec(
        id=node_id,
        version=version,
        function=function,
        docs=docs,
        sockets=sockets,
        params=params_model(node_id, fields),
        path_roles=roles,
        outputs=outputs,
        better=better,
        context=context,
        repeats=repeats,
        may_be_none=tuple(may_be_none),
        settings=settings,
    )


def _outputs(node_id: str, returned: object) -> tuple[dict[str, Port], dict[str, Literal["higher", "lower"]]]:
    """The ports by name, and which number is better of those that are measurements."""
    if not (isinstance(returned, type) and issubclass(returned, tuple) and hasattr(returned, "_fields")):
        raise TypeError(f"node {node_id}: the return annotation must be a NamedTuple whose fields are ports")
    hints = typing.get_type_hints(returned, include_extras=True)
    outputs = {}
    for name in returned._fields:
        port = carried(without_none(hints[name])[0], Port)
        if port is None:
            raise TypeError(f"node {node_id}: output {name!r} carries no Port")
        outputs[name] = port
    marks = {name: carried(hints[name], Better) for name in outputs}
    return outputs, {name: mark.way for name, mark in marks.items() if mark is not None}


def _described(hint: object, doc: str) -> object:
    """The annotation of a setting with its line of the docstring, which thereby reaches the JSON Schema."""
    return Annotated[hint, Field(description=doc)] if doc else hint


def _port_of(hint: object, *, repeated: bool) -> tuple[Port | None, object]:
    """The port that an annotation carries, and the annotation without it; of a list of sockets, those of an item."""
    port, bare = carried(hint, Port), typing.get_args(hint)[0] if hasattr(hint, "__metadata__") else hint
    if not repeated:
        return port, bare
    inner, annotation = _port_of(without_none(next(iter(typing.get_args(bare)), object))[0], repeated=False)
    return port or inner, annotation

"""A node of ours as the host's files hold it: its type there, sockets, outputs and widgets."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from .....nodes.pack import PACK
from ....core.pack import CONTROL, UPLOAD, HostType
from ....core.spec import NodeSpec
from ....core.workflow import Node
from ..input_types import input_types
from ..node_names import display_name, host_id
from .exact import widgets_of
from .host_types import types_of

FIXED = "fixed"  # what happens to a seed after a run: nothing
_FILE = "image"  # what editors write for the button that loads a file


@dataclass(frozen=True)
class SocketShape:
    """An input of the host's node, and our socket that it is."""

    name: str
    ours: str
    type: str
    optional: bool = False


@dataclass(frozen=True)
class Shape:
    """A node in the host's files.

    Attributes:
        type: the host's class; title: what the host calls it.
        outputs: name and type of each output, by our name.
        widgets: values by name, as the host's type orders them; positions: as editors save them.
        facts: what the widgets cannot say, see `exact.py`.
        boxes: widgets that are boxes of text; pictures: the editor shows pictures on the node.
    """

    type: str
    title: str
    sockets: tuple[SocketShape, ...]
    outputs: Mapping[str, tuple[str, str]]
    widgets: Mapping[str, object]
    positions: tuple[object, ...]
    facts: Mapping[str, object] = field(default_factory=dict)
    boxes: frozenset[str] = frozenset()
    pictures: bool = False

    def slot(self, output: str) -> int:
        """The number of an output."""
        return list(self.outputs).index(output)


def shape(node: Node, spec: NodeSpec, host: str, read: Iterable[str]) -> Shape:
    """The node as the host's own type `host`, if it can be that, else as our own type.

    Args:
        node: a node at the installed version.
        spec: its type.
        host: the host's type that it came from; empty if it came from none.
        read: names of its outputs that something reads.
    """
    kind = PACK.host_types.get(host)
    if kind is not None and _can_be(node, kind, read):
        return _hosts(host, kind, node, spec)
    return _ours(node, spec)


def _ours(node: Node, spec: NodeSpec) -> Shape:
    groups = input_types(spec)
    sockets = [
        SocketShape(name, name, str(entry[0]), group == "optional")
        for group, entries in groups.items()
        for name, entry in entries.items()
        if name in spec.sockets
    ]
    known, facts = widgets_of(spec, node.params)
    entries = {name: entry for group in groups.values() for name, entry in group.items() if name not in spec.sockets}
    order = types_of({spec.id: spec})[host_id(spec.id)].widgets
    return Shape(
        host_id(spec.id),
        display_name(spec.id),
        tuple(sockets),
        {name: (name, port.socket) for name, port in spec.outputs.items()},
        {name: known[name] for name in entries},
        _positions(order, known),
        facts,
        frozenset(name for name, entry in entries.items() if entry[1].get("multiline")),
        pictures=spec.effects or UPLOAD in order,
    )


def _can_be(node: Node, kind: HostType, read: Iterable[str]) -> bool:
    """True if the host's type says everything that the node says."""
    said = {*kind.settings.values(), *kind.fixed}
    return (
        kind.node == node.type
        and not kind.before
        and said == node.params.keys()
        and all(node.params[name] == value for name, value in kind.fixed.items())
        and node.inputs.keys() <= set(kind.sockets.values())
        and set(read) <= set(kind.outputs)
    )


def _hosts(name: str, kind: HostType, node: Node, spec: NodeSpec) -> Shape:
    given = {widget: node.params[setting] for widget, setting in kind.settings.items()}
    widgets = {widget: not value if widget in kind.negated else value for widget, value in given.items()}
    return Shape(
        name,
        next(iter(sorted(kind.titles)), name),
        tuple(SocketShape(theirs, ours, spec.sockets[ours].port.socket) for theirs, ours in kind.sockets.items()),
        {ours: (spec.outputs[ours].socket, spec.outputs[ours].socket) for ours in kind.outputs},
        widgets,
        _positions(kind.widgets, widgets),
        pictures=True,
    )


def _positions(order: Iterable[str], values: Mapping[str, object]) -> tuple[object, ...]:
    """The values as an editor saves them: after a seed what happens to it, last the button that loads files."""
    order = list(order)
    found = [FIXED if name == CONTROL else values[name] for name in order if name != UPLOAD]
    return (*found, _FILE) if UPLOAD in order else tuple(found)

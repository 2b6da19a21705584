"""The graphs of a UI file: the one on the canvas, and one for each use of a subgraph, however deep."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from ....core.bounded import limits
from ....core.errors import shorten
from .host_graph import HostGraph, as_id, label_of, text

MOST_DEEP = 32  # subgraphs inside subgraphs
MOST = 20_000  # nodes of a file once its subgraphs are opened
NEVER, BYPASS = 2, 4  # modes of a node: muted, and handing its inputs on


@dataclass(frozen=True)
class Slot:
    """An input or output of a node: name, type, the link into it and the widget that it stands for."""

    name: str
    type: str = "*"
    link: str | None = None
    widget: str | None = None


@dataclass(frozen=True)
class UiLink:
    """From an output to an input; both ends by node and number of the slot."""

    origin: str
    origin_slot: int
    target: str
    target_slot: int


@dataclass(frozen=True)
class UiNode:
    """A node as the file has it."""

    raw: Mapping[str, object]
    id: str
    type: str
    title: str
    mode: int
    inputs: tuple[Slot, ...]
    outputs: tuple[Slot, ...]

    @property
    def label(self) -> str:
        """How a message names it."""
        return label_of(self.id, self.title or self.type)

    @property
    def properties(self) -> Mapping[str, object]:
        """What the editor and extensions keep with the node."""
        found = self.raw.get("properties")
        return found if isinstance(found, dict) else {}


@dataclass
class Canvas:
    """One graph of the file: the main one, or the definition of a subgraph with its own inputs and outputs."""

    id: str = ""
    name: str = ""
    raw: Mapping[str, object] = field(default_factory=dict)
    nodes: dict[str, UiNode] = field(default_factory=dict)
    links: dict[str, UiLink] = field(default_factory=dict)
    into: dict[tuple[str, int], str] = field(default_factory=dict)  # the link into a slot, where the slot has none
    from_input: dict[int, list[UiLink]] = field(default_factory=dict)  # links from an input of the subgraph
    to_output: dict[int, UiLink] = field(default_factory=dict)  # the first link to an output of the subgraph
    inputs: tuple[Slot, ...] = ()
    outputs: tuple[Slot, ...] = ()
    input_id: str = "-10"
    output_id: str = "-20"

    def link_into(self, node: UiNode, slot: int) -> UiLink | None:
        """The link that ends at an input: as the input says, else as the table of links says."""
        said = node.inputs[slot].link
        if said is not None and said in self.links:
            return self.links[said]
        known = self.into.get((node.id, slot))
        return self.links[known] if known is not None else None


@dataclass(frozen=True)
class Scope:
    """One use of a graph: the main one, or that of a node that stands for a subgraph.

    Attributes:
        values: of the widgets that the node shows, by the name of the subgraph's input.
        inside: values of widgets inside that the node overrides, by node and widget.
    """

    canvas: Canvas
    path: tuple[str, ...] = ()
    node: UiNode | None = None
    parent: "Scope | None" = None
    values: Mapping[str, object] = field(default_factory=dict)
    inside: Mapping[tuple[str, str], object] = field(default_factory=dict)

    def id_of(self, node: UiNode) -> str:
        """The id of a node in the flat graph: `5:3`."""
        return ":".join((*self.path, node.id))

    def label_of(self, node: UiNode) -> str:
        """How a message names a node: with its id in the flat graph."""
        return label_of(self.id_of(node), node.title or node.type)


class Scopes:
    """The main graph and every use of a subgraph."""

    def __init__(self, main: Canvas, definitions: Mapping[str, Canvas], graph: HostGraph) -> None:
        self.main, self._definitions, self._graph = Scope(main), definitions, graph
        self._children: dict[tuple[str, ...], Scope | None] = {}
        self._count = 0

    def is_subgraph(self, node: UiNode) -> bool:
        """True for a node that stands for a subgraph."""
        return node.type in self._definitions

    def child(self, scope: Scope, node: UiNode) -> Scope | None:
        """The inside of a node that stands for a subgraph; None if it contains itself or is too deep."""
        path = (*scope.path, node.id)
        if path not in self._children:
            self._children[path] = self._open(scope, node, path)
        return self._children[path]

    def running(self) -> Iterator[tuple[Scope, UiNode]]:
        """Every node that is neither muted nor bypassed, with its graph; subgraphs are opened."""
        waiting = [(self.main, iter(self.main.canvas.nodes.values()))]
        while waiting:
            scope, nodes = waiting[-1]
            node = next(nodes, None)
            if node is None:
                waiting.pop()
                continue
            self._count += 1
            if self._count > MOST:
                self._graph.wrong(
                    None,
                    "nodes",
                    f"more than {MOST:,} nodes once subgraphs are opened",
                    f"at most {MOST:,}",
                    "split it into several files",
                )
                return
            if node.mode in (NEVER, BYPASS):
                continue
            if not self.is_subgraph(node):
                yield scope, node
            elif (inner := self.child(scope, node)) is not None:
                waiting.append((inner, iter(inner.canvas.nodes.values())))

    def _open(self, scope: Scope, node: UiNode, path: tuple[str, ...]) -> Scope | None:
        canvas = self._definitions[node.type]
        above: Scope | None = scope
        way = [canvas.name]
        while above is not None:
            way.append(above.canvas.name)
            if above.canvas is canvas:
                around = " → ".join(shorten(name) for name in reversed(way))
                self._graph.wrong(
                    scope.label_of(node),
                    None,
                    f"the subgraph {shorten(canvas.name)} inside itself: {around}",
                    "subgraphs without a cycle",
                    "remove one of them",
                )
                return None
            above = above.parent
        if len(path) > MOST_DEEP:
            self._graph.wrong(
                node.label, None, f"{len(path)} subgraphs inside each other", f"at most {MOST_DEEP}", "unpack some"
            )
            return None
        values, inside = _overrides(scope, node, canvas)
        return Scope(canvas, path, node, scope, values, inside)


def _overrides(scope: Scope, node: UiNode, canvas: Canvas) -> tuple[dict[str, object], dict[tuple[str, str], object]]:
    """What a subgraph's node says of its widgets: by the subgraph's input, and of widgets inside.

    Today's files keep the values of inputs that stand for a widget, by name or in the order of the inputs. Files before
    frontend 1.45 list `proxyWidgets`, pairs of a node inside and its widget, with a value each.
    """
    shown = [slot.name for number, slot in enumerate(canvas.inputs) if _stands_for_widget(canvas, number)]
    values: dict[str, object] = {}
    inside: dict[tuple[str, str], object] = {}
    named, listed = node.raw.get("widgets_values_named"), node.raw.get("widgets_values")
    proxies = node.properties.get("proxyWidgets")
    items = listed if isinstance(listed, list) else []
    if isinstance(proxies, list) and proxies:
        for entry, value in zip(proxies, items, strict=False):
            if isinstance(entry, list) and len(entry) >= 2 and value is not None:
                inner, widget = as_id(entry[0]), text(entry[1], limits.NAME)
                if inner == "-1":
                    values[widget] = value
                elif inner is not None:
                    inside[inner, widget] = value
    else:
        values.update((name, value) for name, value in zip(shown, items, strict=False) if value is not None)
    for named_values in (named, listed):
        if isinstance(named_values, dict):
            values.update({name: value for name, value in named_values.items() if value is not None})
            break
    refused = node.properties.get("proxyWidgetErrorQuarantine")
    for entry in refused if isinstance(refused, list) else ():
        said = entry.get("originalEntry") if isinstance(entry, dict) else None
        if isinstance(said, list) and len(said) >= 2 and said[0] == "-1" and entry.get("hostValue") is not None:
            values[text(said[1], limits.NAME)] = entry["hostValue"]
    values.update({name: value for (inner, name), value in scope.inside.items() if inner == node.id})
    return _moved_to_inputs(canvas, values, inside), inside


def _moved_to_inputs(
    canvas: Canvas, values: dict[str, object], inside: dict[tuple[str, str], object]
) -> dict[str, object]:
    """The values by input, with those of widgets inside to which an input of the subgraph leads."""
    for (inner, widget), value in inside.items():
        node = canvas.nodes.get(inner)
        for number, slot in enumerate(node.inputs if node is not None else ()):
            link = canvas.link_into(node, number) if node is not None and widget in (slot.widget, slot.name) else None
            if link is not None and link.origin == canvas.input_id and link.origin_slot < len(canvas.inputs):
                values.setdefault(canvas.inputs[link.origin_slot].name, value)
    return values


def _stands_for_widget(canvas: Canvas, number: int) -> bool:
    """True if an input of a subgraph leads to a widget."""
    for link in canvas.from_input.get(number, ()):
        target = canvas.nodes.get(link.target)
        slots = target.inputs if target is not None else ()
        if link.target_slot < len(slots) and slots[link.target_slot].widget is not None:
            return True
    return False

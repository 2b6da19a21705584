"""From an input to what really feeds it: through reroutes, subgraphs and bypassed nodes, as the host's editor goes."""

from collections.abc import Mapping
from dataclasses import dataclass

from .host_graph import HostGraph, Source, unwrapped
from .scopes import BYPASS, NEVER, Scope, Scopes, UiNode
from .widgets import widget_values

PRIMITIVE, REROUTE = "PrimitiveNode", "Reroute"
MOST_STEPS = 100_000  # inputs passed while links are followed
ANY = ("*", "", "0", "-1")


@dataclass(frozen=True)
class Constant:
    """The value of a widget that feeds an input."""

    value: object


class Wiring:
    """Follows links backwards."""

    def __init__(self, scopes: Scopes, graph: HostGraph) -> None:
        self._scopes, self._graph = scopes, graph
        self._steps = MOST_STEPS
        self.passed: list[str] = []  # what the last input that was followed lies behind

    def resolve(self, scope: Scope, node: UiNode, slot: int) -> Source | Constant | None:
        """What feeds an input; None if nothing does."""
        wanted = ""
        way: dict[tuple[tuple[str, ...], str, int], str] = {}
        while True:
            here = (scope.path, node.id, slot)
            if here in way:
                around = list(way.values())[list(way).index(here) :]
                self._graph.circle(list(dict.fromkeys(reversed(around))))
                return None
            way[here] = scope.label_of(node)
            self._steps -= 1
            if self._steps < 0:
                if self._steps == -1:
                    many = f"links through more than {MOST_STEPS:,} reroutes and bypassed nodes"
                    self._graph.wrong(None, "links", many, "fewer", "remove some of them")
                return None
            if slot >= len(node.inputs):
                return None
            wanted = wanted or node.inputs[slot].type
            link = scope.canvas.link_into(node, slot)
            if link is None:
                return None
            found = self._origin(scope, link.origin, link.origin_slot, wanted)
            if not isinstance(found, _Before):
                self.passed = list(way.values())[1:]
                return found
            scope, node, slot, wanted = found.scope, found.node, found.slot, found.wanted

    def _origin(self, scope: Scope, origin: str, slot: int, wanted: str) -> "Source | Constant | _Before | None":
        """What an output is: a node that runs, a constant, or the input that it hands on."""
        while True:
            if scope.node is not None and origin == scope.canvas.input_id:
                return self._outside(scope, slot)
            node = scope.canvas.nodes.get(origin)
            if node is None:
                return None
            if node.type == PRIMITIVE:
                return _primitive(scope, node)
            if node.mode == NEVER:
                return None
            if node.mode == BYPASS:
                index = bypassed(node, slot, wanted)
                return None if index is None else _Before(scope, node, index, "")
            if not self._scopes.is_subgraph(node):
                if node.type == REROUTE:
                    return _Before(scope, node, 0, wanted)
                return Source(scope.id_of(node), slot)
            inner = self._scopes.child(scope, node)
            link = inner.canvas.to_output.get(slot) if inner is not None else None
            if inner is None or link is None:
                return None
            scope, origin, slot = inner, link.origin, link.origin_slot

    def _outside(self, scope: Scope, slot: int) -> "Constant | _Before | None":
        """An input of a subgraph: what is connected to its node outside, else the value of the node's widget."""
        node, parent = scope.node, scope.parent
        if node is None or parent is None or slot >= len(scope.canvas.inputs):
            return None
        name = scope.canvas.inputs[slot].name
        for index, outer in enumerate(node.inputs):
            if outer.name == name:
                if parent.canvas.link_into(node, index) is not None:
                    return _Before(parent, node, index, "")
                break
        return Constant(unwrapped(scope.values[name])) if name in scope.values else None


@dataclass(frozen=True)
class _Before:
    """An input from which to go on."""

    scope: Scope
    node: UiNode
    slot: int
    wanted: str


def _primitive(scope: Scope, node: UiNode) -> Constant | None:
    values: Mapping[str, object] = widget_values(node.raw, ("value",))
    name = next(iter(values), None)
    if (node.id, "value") in scope.inside:
        return Constant(unwrapped(scope.inside[node.id, "value"]))
    return None if name is None else Constant(unwrapped(values.get("value", values[name])))


def bypassed(node: UiNode, slot: int, wanted: str) -> int | None:
    """The input that a bypassed node hands on at an output, by the host's rules; None if none fits."""
    if wanted in ANY:
        return (slot if slot < len(node.inputs) else 0) if node.inputs else None
    given = node.outputs[slot].type if slot < len(node.outputs) else "*"
    if slot < len(node.inputs) and fits(node.inputs[slot].type, given) and fits(node.inputs[slot].type, wanted):
        return slot
    for index, one in enumerate(node.inputs):
        if one.type == wanted:
            return index
    for index, one in enumerate(node.inputs):
        if fits(one.type, given) and fits(one.type, wanted):
            return index
    return None


def fits(one: str, other: str) -> bool:
    """True if two types may be connected: equal without regard to case, one of a list, or anything."""
    if one in ANY or other in ANY:
        return True
    return not {part.strip() for part in one.lower().split(",")}.isdisjoint(
        part.strip() for part in other.lower().split(",")
    )

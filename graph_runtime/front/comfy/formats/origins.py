"""What feeds an input of a flat graph: past primitives that are connected to each other, and nodes that hand on."""

from collections.abc import Mapping

from ....core.pack import HostType
from .host_graph import HostGraph, HostNode, Source

PRIMITIVE_INPUT = "value"

Types = Mapping[str, HostType]


def handed_on(node: HostNode, slot: int, types: Types) -> str | None:
    """The connected input that a node hands on at an output; None if it hands none on.

    A primitive whose value is connected hands that on; some nodes that save hand their pictures on.
    """
    kind = types.get(node.type)
    if kind is None:
        return None
    name = kind.through.get(slot) if kind.node else PRIMITIVE_INPUT
    return name if name in node.links else None


def origin_of(link: Source, graph: HostGraph, types: Types) -> Source | None:
    """The output that an input gets its value from; None if the links go round in a circle."""
    seen = {link}
    while (node := graph.nodes.get(link.node)) is not None and (name := handed_on(node, link.slot, types)) is not None:
        link = node.links[name]
        if link in seen:
            return None
        seen.add(link)
    return link


def note_circles(graph: HostGraph, types: Types) -> None:
    """Name each circle of nodes that only hand on, with its nodes: what computes in a circle is found by the check."""
    done: set[str] = set()
    for start in graph.nodes.values():
        way: dict[str, list[str]] = {}
        node: HostNode | None = start
        while node is not None and node.id not in done:
            if node.id in way:
                around = list(way.values())[list(way).index(node.id) :]
                graph.circle([label for labels in reversed(around) for label in reversed(labels)])
                break
            name = handed_on(node, 0, types)
            way[node.id] = [node.label, *graph.passed.get((node.id, name or ""), ())]
            node = None if name is None else graph.nodes.get(node.links[name].node)
        done.update(way)

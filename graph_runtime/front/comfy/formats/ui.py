"""The host's UI file (0.4 and 1.0), as its editor would queue it: flat, without reroutes, primitives and what is off.

The rules are those of the editor: a muted node and its links are gone; a bypassed node hands on, at each output, the
input of the same number if its type fits, else the first of the same type, else the first that fits; the nodes of a
subgraph have ids like `5:3`; a widget of a subgraph's node overrides the one inside.
"""

from collections.abc import Mapping

from ....core.pack import HostType
from .canvases import read_canvases
from .host_graph import HostGraph, HostNode, as_id, own_facts, pack_of, text, unwrapped
from .host_types import saved_widgets
from .layout import OWN, Group, Note, Placed, number
from .scopes import Canvas, Scope, Scopes, UiNode
from .widgets import widget_values
from .wiring import PRIMITIVE, REROUTE, Constant, Wiring

NOTES = {"Note": False, "MarkdownNote": True}


def is_ui(raw: Mapping[str, object]) -> bool:
    """True for the UI file, as the host's editor saves it."""
    known = ("links", "last_node_id", "groups", "state", "definitions")
    other = ("edges", "exposedFields", "format")
    return (
        isinstance(raw.get("nodes"), list)
        and any(map(raw.__contains__, known))
        and not any(key in raw for key in other)
    )


def read_ui(raw: Mapping[str, object], types: Mapping[str, HostType]) -> HostGraph:
    """The graph of a UI file; what is wrong with it is noted in it."""
    graph = HostGraph()
    extra = raw.get("extra")
    graph.own = own_facts(extra.get(OWN)) if isinstance(extra, dict) else {}
    main, definitions = read_canvases(raw, graph)
    scopes = Scopes(main, definitions, graph)
    wiring = Wiring(scopes, graph)
    for scope, node in scopes.running():
        if node.type in NOTES:
            if scope.node is None:
                graph.notes.append(_note(node))
        elif node.type not in (REROUTE, PRIMITIVE):
            found = _running(graph, wiring, scope, node, types)
            graph.nodes[found.id] = found
    for one in graph.nodes.values():
        one.links = {name: link for name, link in one.links.items() if link.node in graph.nodes}
    graph.groups += _groups(main)
    return graph


def says_more(raw: Mapping[str, object], graph: HostGraph) -> bool:
    """True for a UI file with more than its flat graph: subgraphs, reroutes, primitives, nodes that are off."""
    extra, nodes = raw.get("extra"), raw.get("nodes")
    if any(raw.get(key) for key in ("definitions", "reroutes")) or (isinstance(extra, dict) and extra.get("reroutes")):
        return True
    listed = [item for item in nodes if isinstance(item, dict)] if isinstance(nodes, list) else []
    return any(item.get("type") not in NOTES and as_id(item.get("id")) not in graph.nodes for item in listed)


def _running(graph: HostGraph, wiring: Wiring, scope: Scope, node: UiNode, types: Mapping[str, HostType]) -> HostNode:
    kind = types.get(node.type)
    title = "" if kind is not None and node.title in kind.titles else node.title
    found = HostNode(
        scope.id_of(node), node.type, title, pack=pack_of(node.properties), own=own_facts(node.properties.get(OWN))
    )
    values = widget_values(node.raw, saved_widgets(kind) if kind is not None else None)
    found.values = {name: unwrapped(value) for name, value in values.items()}
    found.values |= {name: unwrapped(value) for (inner, name), value in scope.inside.items() if inner == node.id}
    for number_, slot in enumerate(node.inputs):
        source = wiring.resolve(scope, node, number_)
        if isinstance(source, Constant):
            found.values[slot.name] = source.value
        elif source is not None:
            found.values.pop(slot.name, None)
            found.links[slot.name] = source
            if wiring.passed:
                graph.passed[found.id, slot.name] = wiring.passed
        elif slot.widget is None and scope.canvas.link_into(node, number_) is not None:
            graph.warn(found.label, f"what is connected to {slot.name!r} is muted, bypassed or gone")
    found.placed = _placed(node, found.id)
    return found


def _placed(node: UiNode, name: str) -> Placed:
    x, y = _pair(node.raw.get("pos"))
    width, height = _pair(node.raw.get("size"))
    flags = node.raw.get("flags")
    return Placed(
        x,
        y,
        width,
        height,
        node.title,
        name,
        text(node.raw.get("color"), 40),
        text(node.raw.get("bgcolor"), 40),
        isinstance(flags, dict) and flags.get("collapsed") is True,
    )


def _note(node: UiNode) -> Note:
    place = _placed(node, node.id)
    values = widget_values(node.raw, ("text",))
    said = text(values.get("text", next(iter(values.values()), "")))
    return Note(
        said,
        place.x,
        place.y,
        place.width,
        place.height,
        node.title,
        node.id,
        place.color,
        place.bgcolor,
        NOTES[node.type],
    )


def _groups(canvas: Canvas) -> list[Group]:
    groups = []
    listed = canvas.raw.get("groups")
    for item in listed if isinstance(listed, list) else ():
        box = item.get("bounding") if isinstance(item, dict) else None
        if isinstance(box, list) and len(box) == 4:
            x, y, width, height = (number(value) or 0.0 for value in box)
            size = number(item.get("font_size"))
            groups.append(Group(text(item.get("title"), 1000), x, y, width, height, text(item.get("color"), 40), size))
    return groups


def _pair(value: object) -> tuple[float | None, float | None]:
    """Two coordinates, written as a list, or as an object with the keys "0" and "1"."""
    if isinstance(value, dict):
        value = [value.get("0"), value.get("1")]
    if not isinstance(value, list) or len(value) < 2:
        return None, None
    return number(value[0]), number(value[1])

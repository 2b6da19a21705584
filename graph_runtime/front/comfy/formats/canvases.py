"""Read the graphs of a UI file: nodes, links and the definitions of subgraphs; what has another shape is a problem."""

from collections.abc import Iterator, Mapping

from ....core.bounded import limits
from ....core.errors import shorten
from .host_graph import HostGraph, as_id, text
from .scopes import Canvas, Slot, UiLink, UiNode

_AGAIN = "open the file in its editor and save it again"


def read_canvases(raw: Mapping[str, object], graph: HostGraph) -> tuple[Canvas, dict[str, Canvas]]:
    """The main graph, and the definitions of subgraphs by id."""
    left = limits.NODES
    main = Canvas(raw=raw)
    definitions: dict[str, Canvas] = {}
    for definition in _definitions(raw):
        name = as_id(definition.get("id"))
        if name is None:
            graph.wrong(None, "definitions", f"id {shorten(definition.get('id'))}", "the id of a subgraph", _AGAIN)
        elif name in definitions:
            graph.wrong(None, "definitions", f"the subgraph {shorten(name)} twice", "each id once", _AGAIN)
        else:
            definitions[name] = _definition(name, definition)
    for canvas in (main, *definitions.values()):
        left -= _read_nodes(canvas, graph, left)
        _read_links(canvas, graph)
    return main, definitions


def _definitions(raw: Mapping[str, object]) -> Iterator[Mapping[str, object]]:
    """Every definition, also those that lie inside another one."""
    waiting = [raw]
    while waiting:
        holder = waiting.pop()
        kept = holder.get("definitions")
        listed = kept.get("subgraphs") if isinstance(kept, dict) else None
        found = [item for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []
        yield from found
        waiting += found


def _definition(name: str, raw: Mapping[str, object]) -> Canvas:
    canvas = Canvas(name, text(raw.get("name"), limits.NAME) or name, raw)
    canvas.inputs, canvas.outputs = (tuple(_slots(raw.get(key))) for key in ("inputs", "outputs"))
    for key, where in (("inputNode", "input_id"), ("outputNode", "output_id")):
        inner = raw.get(key)
        if isinstance(inner, dict) and (found := as_id(inner.get("id"))) is not None:
            setattr(canvas, where, found)
    return canvas


def _read_nodes(canvas: Canvas, graph: HostGraph, most: int) -> int:
    listed = canvas.raw.get("nodes")
    where = f"subgraph {shorten(canvas.name)}" if canvas.id else "nodes"
    if not isinstance(listed, list):
        graph.wrong(None, where, f"nodes {shorten(listed)}", "a list of nodes", _AGAIN)
        return 0
    if len(listed) > most:
        graph.wrong(None, where, f"{len(listed):,} nodes", f"at most {limits.NODES:,} in all", "split the file")
        return 0
    for item in listed:
        node = _node(item)
        if node is None:
            graph.wrong(None, where, shorten(item), "a node with id and type", _AGAIN)
        elif node.id in canvas.nodes:
            graph.wrong(node.label, None, f"two nodes with the id {node.id}", "each id once", _AGAIN)
        else:
            canvas.nodes[node.id] = node
    return len(listed)


def _node(raw: object) -> UiNode | None:
    if not isinstance(raw, dict) or (node := as_id(raw.get("id"))) is None or not isinstance(raw.get("type"), str):
        return None
    mode = raw.get("mode")
    return UiNode(
        raw,
        node,
        raw["type"],
        text(raw.get("title"), limits.NAME),
        mode if isinstance(mode, int) and not isinstance(mode, bool) else 0,
        tuple(_slots(raw.get("inputs"))),
        tuple(_slots(raw.get("outputs"))),
    )


def _slots(raw: object) -> Iterator[Slot]:
    for item in raw if isinstance(raw, list) else ():
        said = item if isinstance(item, dict) else {}
        widget = said.get("widget")
        kind = said.get("type")
        yield Slot(
            text(said.get("name"), limits.NAME),
            kind if isinstance(kind, str) and kind else "*",
            as_id(said.get("link")),
            text(widget.get("name"), limits.NAME) if isinstance(widget, dict) else None,
        )


def _read_links(canvas: Canvas, graph: HostGraph) -> None:
    listed = canvas.raw.get("links", [])
    for item in listed if isinstance(listed, list) else listed.values() if isinstance(listed, dict) else ():
        if item is None:  # old editors leave holes
            continue
        found = _link(item)
        if found is None:
            graph.wrong(None, "links", shorten(item), "a link: [id, from, output, to, input, type]", _AGAIN)
            continue
        name, link = found
        canvas.links[name] = link
        canvas.into.setdefault((link.target, link.target_slot), name)
        if link.origin == canvas.input_id:
            canvas.from_input.setdefault(link.origin_slot, []).append(link)
        if link.target == canvas.output_id:
            canvas.to_output.setdefault(link.target_slot, link)
    for node in canvas.nodes.values():  # an input that names its link is right, even if the link names another slot
        for slot in node.inputs:
            said = canvas.links.get(slot.link) if slot.link is not None else None
            if said is not None and canvas.into.get((said.target, said.target_slot)) == slot.link:
                del canvas.into[said.target, said.target_slot]


def _link(raw: object) -> tuple[str, UiLink] | None:
    """A link in either form: a list, or an object as the definitions of subgraphs and 1.0 write it."""
    if isinstance(raw, list) and len(raw) >= 5:
        name, origin, out, target, into = raw[:5]
    elif isinstance(raw, dict):
        keys = ("id", "origin_id", "origin_slot", "target_id", "target_slot")
        name, origin, out, target, into = (raw.get(key) for key in keys)
    else:
        return None
    ids = as_id(name), as_id(origin), as_id(target)
    if None in ids or not _is_slot(out) or not _is_slot(into):
        return None
    return str(ids[0]), UiLink(str(ids[1]), int(str(out)), str(ids[2]), int(str(into)))


def _is_slot(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < limits.NODES

"""The host's API file ("prompt"): `{"2": {"class_type": "X", "inputs": {"image": ["1", 0], "steps": 3}}}`."""

from collections.abc import Mapping

from ....core.bounded import limits
from ....core.errors import shorten
from .host_graph import HostGraph, HostNode, Source, as_id, label_of, own_facts, pack_of, text, unwrapped
from .layout import OWN, Placed


def is_api(raw: Mapping[str, object]) -> bool:
    """True for the API file, also inside the envelope that is sent to the host's `/prompt`."""
    graph = prompt_of(raw)
    return "format" not in graph and any(isinstance(value, dict) and "class_type" in value for value in graph.values())


def prompt_of(raw: Mapping[str, object]) -> Mapping[str, object]:
    """The nodes of an API file, which may lie in an envelope with the key `prompt`."""
    inner = raw.get("prompt")
    return inner if isinstance(inner, dict) and "class_type" not in inner else raw


def read_api(raw: Mapping[str, object]) -> HostGraph:
    """The graph of an API file; what is wrong with it is noted in it."""
    graph = HostGraph()
    nodes = prompt_of(raw)
    if len(nodes) > limits.NODES:
        graph.wrong(None, None, f"{len(nodes):,} nodes", f"at most {limits.NODES:,}", "split it into several files")
        return graph
    for key, value in nodes.items():
        if not isinstance(value, dict) or not isinstance(value.get("class_type"), str):
            found = shorten(value) if not isinstance(value, dict) else f"class_type {shorten(value.get('class_type'))}"
            graph.wrong(
                label_of(key, "no type"), None, found, 'a node: {"class_type": …, "inputs": …}', "export the file again"
            )
            continue
        graph.nodes[key] = _node(graph, key, value)
        if not graph.own:
            graph.own = own_facts(graph.nodes[key].own.get("workflow"))
    return graph


def _node(graph: HostGraph, key: str, value: Mapping[str, object]) -> HostNode:
    said = value.get("_meta")
    meta = said if isinstance(said, dict) else {}
    title = text(meta.get("title"), limits.NAME)
    node = HostNode(key, text(value["class_type"]), title, pack=pack_of(meta), own=own_facts(meta.get(OWN)))
    node.placed = Placed(id=key, title=title)
    inputs = value.get("inputs", {})
    if not isinstance(inputs, dict):
        graph.wrong(node.label, "inputs", shorten(inputs), "an object", "export the file again")
        return node
    for name, given in inputs.items():
        link = link_of(given)
        if link is None:
            node.values[name] = unwrapped(given)
        else:
            node.links[name] = link
    return node


def link_of(value: object) -> Source | None:
    """The output that `["1", 0]` names; None if the value is no link."""
    if not isinstance(value, list) or len(value) != 2:
        return None
    node, slot = as_id(value[0]), value[1]
    if node is None or not isinstance(slot, (int, float)) or isinstance(slot, bool) or not float(slot).is_integer():
        return None
    return Source(node, int(slot))

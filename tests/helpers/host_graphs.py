"""Graphs in the host's UI format, built a node at a time."""


def slot(name, kind, link=None, widget=False):
    """An input as an editor saves it; `widget` for one that stands for a widget."""
    return {"name": name, "type": kind, "link": link, **({"widget": {"name": name}} if widget else {})}


def node(number, kind, inputs=(), outputs=(), values=None, **more):
    """A node; `outputs` are (name, type), `more` are keys of the file: title, mode, properties, pos …"""
    found = {
        "id": number,
        "type": kind,
        "pos": [10 * number, 5] if isinstance(number, int) else [0, 0],
        "size": [200, 100],
        "flags": {},
        "order": 0,
        "mode": 0,
        "inputs": list(inputs),
        "outputs": [{"name": name, "type": type_, "links": []} for name, type_ in outputs],
        "properties": {},
        **more,
    }
    return found if values is None else found | {"widgets_values": values}


def graph(nodes, links, subgraphs=(), **more):
    """The file; a link is (id, from, output, to, input, type)."""
    found = {"last_node_id": 99, "last_link_id": 99, "nodes": nodes, "links": [list(link) for link in links]}
    found |= {"groups": [], "config": {}, "extra": {}, "version": 0.4}
    return found | ({"definitions": {"subgraphs": list(subgraphs)}} if subgraphs else {}) | more


def subgraph(name, inputs, outputs, nodes, links):
    """A definition; inputs and outputs are (name, type), links as in `graph`, with -10 and -20 for its own ends."""
    keys = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
    return {
        "id": name,
        "version": 1,
        "state": {"lastGroupId": 0, "lastNodeId": 9, "lastLinkId": 9, "lastRerouteId": 0},
        "revision": 0,
        "config": {},
        "name": name,
        "inputNode": {"id": -10, "bounding": [0, 0, 120, 60]},
        "outputNode": {"id": -20, "bounding": [900, 0, 120, 60]},
        "inputs": [
            {
                "id": f"{name}-i{at}",
                "name": one,
                "type": kind,
                "linkIds": [link[0] for link in links if link[1:3] == (-10, at)],
            }
            for at, (one, kind) in enumerate(inputs)
        ],
        "outputs": [
            {
                "id": f"{name}-o{at}",
                "name": one,
                "type": kind,
                "linkIds": [link[0] for link in links if link[3:5] == (-20, at)],
            }
            for at, (one, kind) in enumerate(outputs)
        ],
        "widgets": [],
        "nodes": nodes,
        "groups": [],
        "links": [dict(zip(keys, link, strict=True)) for link in links],
        "extra": {},
    }

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


# graphs by chance


SOCKETS = {  # type → its sockets, its widgets with a value each, and its outputs
    "LoadImage": ((), {"image": "room.png"}, ("IMAGE", "MASK")),
    "InvertMask": ((("mask", "MASK"),), {}, ("MASK",)),
    "GrowMask": ((("mask", "MASK"),), {"expand": 3, "tapered_corners": True}, ("MASK",)),
    "MaskToImage": ((("mask", "MASK"),), {}, ("IMAGE",)),
    "ImageToMask": ((("image", "IMAGE"),), {"channel": "green"}, ("MASK",)),
    "InlayMaskInvert": ((("mask", "MASK"),), {}, ("MASK",)),
    "InlayImageFill": (
        (("image", "IMAGE"), ("mask", "MASK"), ("source", "MASK")),
        {"fill": "blur", "seed": 5, "patch": 7},
        ("IMAGE",),
    ),
}
NUMBERS = {"GrowMask": "expand", "InlayImageFill": "seed"}  # a widget of each that takes an integer


class Chance:
    """A UI graph by chance: subgraphs in each other, reroutes, primitives, muted and bypassed nodes."""

    def __init__(self, drawn, deep=3):
        self.drawn, self.deep, self.definitions, self.last = drawn, deep, [], 0

    def graph(self):
        """The file."""
        nodes, links = self._canvas(0, [], 9)
        return graph(nodes, links, self.definitions)

    def _canvas(self, level, given, count, off=0):
        """Nodes and links of a canvas; `given` are (slot, type) of a subgraph's own inputs.

        Whoever mutes or bypasses a subgraph in the editor does so to all that is in it: then `off` is that mode.
        """
        self_nodes, links, free = [], [], [(-10, slot, kind) for slot, kind in given if kind != "INT"]
        numbers = [(-10, slot) for slot, kind in given if kind == "INT"]

        def connect(origin, out, target, into, kind):
            links.append((len(links) + 1, origin, out, target, into, kind))
            return len(links)

        def source(kind):
            fits = [one for one in free if one[2] == kind]
            return self.drawn.choice(fits) if fits and self.drawn.random() < 0.9 else None

        for _ in range(count):
            self.last = number = self.last + 1  # an editor numbers all nodes of a file in one row
            roll = self.drawn.random()
            mode = off or self.drawn.choice([0, 0, 0, 0, 2, 4, 4])
            if roll < 0.15 and free:
                origin, out, kind = self.drawn.choice([one for one in free if one[0] != -10] or free)
                if origin == -10:
                    continue
                link = connect(origin, out, number, 0, kind)
                self_nodes.append(node(number, "Reroute", [slot("", "*", link)], [("", kind)], mode=off))
                free.append((number, 0, kind))
                continue
            if roll < 0.25:
                self_nodes.append(node(number, "PrimitiveInt", [], [("INT", "INT")], [number, "fixed"], mode=off))
                numbers.append((number, 0))
                continue
            if roll < 0.45 and level < self.deep:
                self._use(level, number, self_nodes, connect, source, free, numbers, mode)
                continue
            kind = self.drawn.choice(list(SOCKETS))
            sockets, widgets, outputs = SOCKETS[kind]
            inputs = []
            for name, wanted in sockets:
                if (found := source(wanted)) is not None:
                    inputs.append(slot(name, wanted, connect(*found[:2], number, len(inputs), wanted)))
                else:
                    inputs.append(slot(name, wanted))
            if kind in NUMBERS and numbers and self.drawn.random() < 0.6:
                origin, out = self.drawn.choice(numbers)
                link = connect(origin, out, number, len(inputs), "INT")
                inputs.append(slot(NUMBERS[kind], "INT", link, widget=True))
            named = {name: self._value(name, value) for name, value in widgets.items()}
            made = node(number, kind, inputs, [(one, one) for one in outputs], self._listed(kind, named), mode=mode)
            self_nodes.append(made)
            free += [(number, at, one) for at, one in enumerate(outputs)]
        if not level:
            for number in (self.last + 1, self.last + 2):
                found = source("IMAGE")
                link = connect(*found[:2], number, 0, "IMAGE") if found is not None else None
                self_nodes.append(node(number, "SaveImage", [slot("images", "IMAGE", link)], [], ["a"]))
        self.free = free
        return self_nodes, links

    def _value(self, name, value):
        return self.drawn.randint(0, 9) if isinstance(value, int) and not isinstance(value, bool) else value

    @staticmethod
    def _listed(kind, named):
        values = []
        for name, value in named.items():
            values += [value, *(["fixed"] if name == "seed" else []), *(["image"] if kind == "LoadImage" else [])]
        return values

    def _use(self, level, number, nodes, connect, source, free, numbers, mode):
        """Define a subgraph and use it once."""
        own = [(f"in_{at}", self.drawn.choice(["IMAGE", "MASK", "INT"])) for at in range(self.drawn.randint(1, 3))]
        inner, links = self._canvas(level + 1, [(at, kind) for at, (_, kind) in enumerate(own)], 5, mode)
        made = [one for one in self.free if one[0] != -10]
        outputs = []
        for at in range(min(len(made), self.drawn.randint(1, 2))):
            origin, out, kind = self.drawn.choice(made)
            links.append((len(links) + 1, origin, out, -20, at, kind))
            outputs.append((f"out_{at}", kind))
        name = f"00000000-0000-4000-8000-{len(self.definitions):012d}"
        self.definitions.append(subgraph(name, own, outputs, inner, links))
        inputs, values = [], []
        for at, (called, kind) in enumerate(own):
            widget = any(link[1] == -10 and link[2] == at for link in links) if kind == "INT" else False
            found = self.drawn.choice(numbers) if kind == "INT" and numbers and self.drawn.random() < 0.5 else None
            if kind != "INT":
                found = source(kind)
            link = connect(*found[:2], number, len(inputs), kind) if found is not None else None
            inputs.append(slot(called, kind, link, widget=widget))
            if widget:
                values.append(100 + self.drawn.randint(0, 9))
        nodes.append(node(number, name, inputs, outputs, values, mode=mode))
        free += [(number, at, kind) for at, (_, kind) in enumerate(outputs)]

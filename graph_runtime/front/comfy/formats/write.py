"""A workflow as the host's files: the API file, and the UI file that its editor opens (0.4).

What the host's files have no place for (names of nodes, versions, inputs and outputs of the workflow, values that no
widget can show) is written beside, see `layout.OWN` and `exact.py`, so that the way back loses nothing.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from ....core.check.draft import Draft
from ....core.check.graph import nodes_are_there
from ....core.check.links import links_fit
from ....core.check.nodes import name_is_plain, older_version_migrates, type_is_known, version_is_not_newer
from ....core.errors import WorkflowError, shorten
from ....core.reading.reader import Reader
from ....core.spec import Registry
from ....core.workflow import Link, Workflow
from .layout import GRAPH, OWN, Group, Layout, Note, Placed, read_layout
from .places import Box, place, size_of
from .shapes import Shape, shape

PACK_ID = "inlay"  # in the host's registry of packs, so that a host without the pack can name it
OPTIONAL = 7  # the shape of an optional socket

Json = dict[str, object]


@dataclass
class _Graph:
    """A workflow, ready to be written.

    Attributes:
        links: into each node.
        shapes: each node as the host's files hold it.
        ids: the host's id of each node.
    """

    workflow: Workflow
    links: Mapping[str, list[Link]]
    layout: Layout
    shapes: Mapping[str, Shape]
    ids: Mapping[str, str] = field(default_factory=dict)

    def placed(self, name: str) -> Placed:
        return self.layout.nodes.get(name, Placed())

    def own(self, name: str) -> Json:
        """What inlay says of a node."""
        said: Json = {"name": name, "version": self.workflow.nodes[name].version}
        if (stated := self.placed(name).id) and stated != self.ids[name]:
            said["id"] = stated
        return said | dict(self.shapes[name].facts)

    def source(self, link: Link) -> tuple[str, int]:
        """Where a link comes from: the host's id and the number of the output."""
        return self.ids[link.node], self.shapes[link.node].slot(link.output)


def facts_of(workflow: Workflow) -> Json:
    """What inlay says of the workflow as a whole."""
    said = {"title": workflow.title, "description": workflow.description}
    named = {"inputs": workflow.inputs, "outputs": workflow.outputs}
    return {key: value for key, value in said.items() if value} | named


def to_api(workflow: Workflow, registry: Registry) -> Json:
    """The API file ("prompt"): what the host's Run button sends.

    Raises:
        WorkflowError: every node, setting and link that the file cannot hold.
    """
    graph = _graph(workflow, registry)
    graph.ids = _ids(graph, text=True)
    found: Json = {}
    for name, one in graph.shapes.items():
        sockets = {socket.ours: socket.name for socket in one.sockets}
        linked = {sockets[link.socket]: list(graph.source(link)) for link in graph.links[name]}
        own = graph.own(name)
        if not found:
            kept = {GRAPH: graph.workflow.ui[GRAPH]} if GRAPH in graph.workflow.ui else {}
            own["workflow"] = facts_of(graph.workflow) | ({"ui": ui} if (ui := graph.layout.to_ui() | kept) else {})
        found[graph.ids[name]] = {
            "inputs": {**one.widgets, **linked},
            "class_type": one.type,
            "_meta": {"title": graph.placed(name).title or one.title, OWN: own},
        }
    return found


def to_ui(workflow: Workflow, registry: Registry) -> Json:
    """The UI file: what the host's editor opens, laid out where the workflow says nothing of places.

    Raises:
        WorkflowError: every node, setting and link that the file cannot hold.
    """
    graph = _graph(workflow, registry)
    graph.ids = _ids(graph, text=False)
    boxes = {name: _box(graph, name) for name in graph.shapes}
    notes = place(graph.layout, boxes, graph.links)
    links = list(_links(graph))
    numbers = [int(number) for number in graph.ids.values()]
    order = {name: number for number, name in enumerate(_execution_order(graph))}
    nodes = [_node(graph, name, boxes[name], links) | {"order": order[name]} for name in graph.shapes]
    for note in notes:
        numbers.append(_note_id(note, numbers))
        nodes.append(_note(note, numbers[-1]) | {"order": len(nodes)})
    return {
        "revision": 0,
        "last_node_id": max(numbers, default=0),
        "last_link_id": len(links),
        "nodes": nodes,
        "links": [link.row for link in links],
        "groups": [_group(group, number) for number, group in enumerate(graph.layout.groups, 1)],
        "config": {},
        "extra": {OWN: facts_of(graph.workflow)},
        "version": 0.4,
    }


# the workflow: known types, known names, links that fit


def _graph(workflow: Workflow, registry: Registry) -> _Graph:
    draft = Draft(workflow.model_copy(deep=True), registry, Reader([], None), ())
    nodes_are_there(draft)
    checks = (name_is_plain, type_is_known, version_is_not_newer, older_version_migrates, _settings_are_known)
    for name in draft.workflow.nodes:
        for check in checks:
            if not check(draft, name):
                break
    for name in draft.specs:
        links_fit(draft, name)
    if draft.found.problems:
        raise WorkflowError(draft.found.problems)
    layout = read_layout(draft.workflow.ui)
    read: dict[str, set[str]] = {}
    for links in draft.links.values():
        for link in links:
            read.setdefault(link.node, set()).add(link.output)
    shapes = {
        name: shape(node, draft.specs[name], layout.nodes.get(name, Placed()).host, read.get(name, ()))
        for name, node in draft.workflow.nodes.items()
    }
    return _Graph(draft.workflow, draft.links, layout, shapes)


def _settings_are_known(draft: Draft, name: str) -> bool:
    spec = draft.specs[name]
    for setting in draft.workflow.nodes[name].params:
        if setting not in spec.params.model_fields:
            known = draft.found.suggest(setting, spec.params.model_fields)
            draft.found.add(name, setting, f"an unknown setting {shorten(setting)}", f"a setting of {spec.id}", known)
    return True


def _ids(graph: _Graph, *, text: bool) -> dict[str, str]:
    """The host's ids: those that the workflow says, as far as they can be ids, and free numbers for the others."""
    taken: dict[str, str] = {}
    for name in graph.shapes:
        stated = graph.placed(name).id
        if stated and stated not in taken and (text or _is_number(stated)):
            taken[stated] = name
    kept = {name: stated for stated, name in taken.items()}
    notes = {note.id for note in graph.layout.notes}
    most = len(graph.shapes) + len(taken) + len(notes) + 1
    free = (str(number) for number in range(1, most) if str(number) not in taken and str(number) not in notes)
    return {name: kept[name] if name in kept else next(free) for name in graph.shapes}


def _is_number(stated: str) -> bool:
    return stated.isascii() and stated.isdecimal() and str(int(stated)) == stated and len(stated) < 16


def _note_id(note: Note, taken: list[int]) -> int:
    stated = int(note.id) if _is_number(note.id) else None
    return stated if stated is not None and stated not in taken else max(taken, default=0) + 1


# the UI file's parts


@dataclass(frozen=True)
class _UiLink:
    """A link of the UI file: from an output of ours to a socket of ours."""

    number: int
    link: Link
    reader: str
    row: list[object]


def _links(graph: _Graph) -> Iterator[_UiLink]:
    number = 0
    for name, one in graph.shapes.items():
        places = {socket.ours: place for place, socket in enumerate(one.sockets)}
        for link in graph.links[name]:
            number += 1
            node, slot = graph.source(link)
            kind = graph.shapes[link.node].outputs[link.output][1]
            row: list[object] = [number, int(node), slot, int(graph.ids[name]), places[link.socket], kind]
            yield _UiLink(number, link, name, row)


def _node(graph: _Graph, name: str, box: Box, links: list[_UiLink]) -> Json:
    one, placed = graph.shapes[name], graph.placed(name)
    into = {link.link.socket: link.number for link in links if link.reader == name}
    out_of: dict[str, list[int]] = {}
    for link in links:
        if link.link.node == name:
            out_of.setdefault(link.link.output, []).append(link.number)
    node: Json = {
        "id": int(graph.ids[name]),
        "type": one.type,
        "pos": [_whole(box.x), _whole(box.y)],
        "size": [_whole(box.width), _whole(box.height)],
        "flags": {"collapsed": True} if placed.collapsed else {},
        "order": 0,
        "mode": 0,
        "inputs": [
            {
                "name": socket.name,
                "type": socket.type,
                **({"shape": OPTIONAL} if socket.optional else {}),
                "link": into.get(socket.ours),
            }
            for socket in one.sockets
        ],
        "outputs": [
            {"name": theirs, "type": kind, "slot_index": slot, "links": out_of.get(ours)}
            for slot, (ours, (theirs, kind)) in enumerate(one.outputs.items())
        ],
        "properties": {
            **({} if placed.host == one.type else {"cnr_id": PACK_ID}),
            "Node name for S&R": one.type,
            OWN: graph.own(name),
        },
        "widgets_values": list(one.positions),
        "widgets_values_named": dict(one.widgets),
    }
    return node | _look(placed)


def _execution_order(graph: _Graph) -> Iterator[str]:
    """Every node after those that it reads; in a cycle, as the file has them."""
    waiting = {name: {link.node for link in graph.links[name]} for name in graph.shapes}
    readers: dict[str, list[str]] = {}
    for name, sources in waiting.items():
        for source in sources:
            readers.setdefault(source, []).append(name)
    ready = [name for name, sources in waiting.items() if not sources]
    done: set[str] = set()
    for name in ready:
        done.add(name)
        yield name
        for reader in readers.get(name, ()):
            waiting[reader].discard(name)
            if not waiting[reader]:
                ready.append(reader)
    yield from (name for name in waiting if name not in done)


def _note(note: Note, number: int) -> Json:
    found: Json = {
        "id": number,
        "type": "MarkdownNote" if note.markdown else "Note",
        "pos": [_whole(note.x or 0), _whole(note.y or 0)],
        "size": [_whole(note.width or 0), _whole(note.height or 0)],
        "flags": {},
        "order": 0,
        "mode": 0,
        "inputs": [],
        "outputs": [],
        "properties": {},
        "widgets_values": [note.text],
    }
    return found | _look(note)


def _look(item: Placed | Note) -> Json:
    look = {"title": item.title, "color": item.color, "bgcolor": item.bgcolor}
    return {key: value for key, value in look.items() if value}


def _group(group: Group, number: int) -> Json:
    bounding = [_whole(value) for value in (group.x, group.y, group.width, group.height)]
    look = {"color": group.color, "font_size": group.font_size}
    return {
        "id": number,
        "title": group.title,
        "bounding": bounding,
        **{key: value for key, value in look.items() if value},
        "flags": {},
    }


def _whole(value: float) -> float:
    return int(value) if float(value).is_integer() else value


def _box(graph: _Graph, name: str) -> Box:
    """The size of a node in the editor, unless the workflow says it."""
    one, placed = graph.shapes[name], graph.placed(name)
    box = size_of(
        placed.title or one.title,
        [socket.ours for socket in one.sockets],
        list(one.outputs),
        {key: (value, key in one.boxes) for key, value in one.widgets.items()},
        buttons=len(one.positions) - len(one.widgets),
        pictures=one.pictures,
    )
    return replace(box, width=placed.width or box.width, height=placed.height or box.height)

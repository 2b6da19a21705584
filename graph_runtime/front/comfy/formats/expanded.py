"""A node that stands for a workflow, such as `Inpaint (inlay)`, becomes the nodes of that workflow.

They have ids as in a subgraph: `3:crop` is the node `crop` of node 3.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from .....nodes.pack import PACK
from ....core.errors import WorkflowError, shorten
from ....core.expander import Expander, Inside, Option
from ....core.pack import CONTROL, HostType
from ....core.spec import Registry
from ....core.workflow import Workflow
from ..expander_options import setting_of
from ..input_types import from_widget, widget
from ..node_names import display_name, host_id
from .api import read_api
from .host_graph import HostGraph, HostNode, Source
from .layout import Placed
from .origins import PRIMITIVE_INPUT, origin_of
from .write import to_api

OUTPUT = "image"


def expander_types() -> Mapping[str, HostType]:
    """The host's types of the names that stand for many workflows."""
    return {host_id(name): _type(name, expander) for name, expander in PACK.expanders.items()}


def _type(name: str, expander: Expander) -> HostType:
    widgets: list[str] = []
    for option in expander.options:
        if not option.socket:
            controlled = widget(setting_of(option))[1].get("control_after_generate")
            widgets += [option.name, CONTROL] if controlled else [option.name]
    return HostType(
        name,
        tuple(widgets),
        {option.name: option.name for option in expander.options if option.socket},
        {option.name: option.name for option in expander.options if not option.socket},
        (OUTPUT,),
        titles=frozenset({display_name(name)}),
    )


def expand_nodes(graph: HostGraph, types: Mapping[str, HostType], registry: Registry) -> None:
    """Put the nodes of its workflow in the place of each node that stands for one; problems go into the graph."""
    expanders = {host_id(name): expander for name, expander in PACK.expanders.items()}
    for node in [node for node in graph.nodes.values() if node.type in expanders]:
        made = _inside(graph, node, expanders[node.type], types)
        del graph.nodes[node.id]
        try:
            inner = read_api(to_api(Workflow.model_validate(made.workflow), registry))
        except WorkflowError as error:
            for one in error.problems:
                graph.wrong(node.label, one.port, one.found, one.expected, one.fix)
            continue
        names = {found.id: str(found.own.get("name")) for found in inner.nodes.values()}
        for found in inner.nodes.values():
            _take(graph, node, found, names, made)
        _hand_on(
            graph, node, [Source(f"{node.id}:{link.partition('.')[0]}", 0) for link in made.pictures], types, registry
        )


def _inside(graph: HostGraph, node: HostNode, expander: Expander, types: Mapping[str, HostType]) -> Inside:
    """The workflow of a node's widgets."""
    values: dict[str, object] = {}
    for option in expander.options:
        if option.socket:
            continue
        value = _value(graph, node, option, types)
        value = None if value is None else from_widget(setting_of(option), value)
        if value is not None and value != option.default:
            values[option.name] = value
    wired = {option.name for option in expander.options if option.socket and option.name in node.links}
    made = expander.inside(values, wired)
    for one in made.problems:
        graph.wrong(node.label, (one.port or "").removeprefix("--") or None, one.found, one.expected, one.fix)
    if "image" not in wired:
        graph.wrong(node.label, "image", "nothing", "a picture", "connect the node that loads the photo")
    return made


def _value(graph: HostGraph, node: HostNode, option: Option, types: Mapping[str, HostType]) -> object:
    """What the widget of an option says, or the primitive that is connected to it."""
    link = node.links.get(option.name)
    if link is None:
        return node.values.get(option.name)
    last = origin_of(link, graph, types)
    origin = graph.nodes.get(last.node) if last is not None else None
    if last is None or (origin is not None and origin.type in types and not types[origin.type].node):
        return None if origin is None else origin.values.get(PRIMITIVE_INPUT)
    graph.wrong(
        node.label,
        option.name,
        "a value that is computed during the run",
        "a fixed value: a setting is known before the run",
        f"disconnect {shorten(option.name)} and type the value",
    )
    return None


def _take(graph: HostGraph, node: HostNode, found: HostNode, names: Mapping[str, str], made: Inside) -> None:
    """Add one node of the workflow, with the links that came to the node that it stands for."""
    links = {socket: Source(f"{node.id}:{names[link.node]}", link.slot) for socket, link in found.links.items()}
    for option, places in made.sockets.items():
        for place in places:
            inner, _, socket = place.partition(".")
            if inner == names[found.id]:
                links[socket] = node.links[option]
    own = {key: value for key, value in found.own.items() if key not in ("workflow", "name")}
    here = f"{node.id}:{names[found.id]}"
    graph.nodes[here] = replace(found, id=here, title="", links=links, own=own, placed=Placed(id=here))


def _hand_on(
    graph: HostGraph, node: HostNode, pictures: list[Source], types: Mapping[str, HostType], registry: Registry
) -> None:
    """What read the node reads its pictures; what saves is there once for each."""
    for reader, socket in list(_readers(graph, Source(node.id, 0))):
        kind = types.get(reader.type)
        spec = None if kind is None else kind.spec or registry.get(kind.node)
        if len(pictures) > 1 and (spec is None or spec.saves is None):
            graph.wrong(
                node.label,
                "variations",
                f"{len(pictures)} pictures, which {reader.label} reads",
                "one picture, or a node that saves them",
                "set variations to 1, or save them",
            )
        reader.links[socket] = pictures[0]
        for number, picture in enumerate(pictures[1:], 2):
            again = f"{reader.id}:{number}"
            own = {key: value for key, value in reader.own.items() if key != "name"}
            graph.nodes[again] = replace(
                reader, id=again, links={**reader.links, socket: picture}, values=dict(reader.values), own=own
            )


def _readers(graph: HostGraph, source: Source) -> Iterator[tuple[HostNode, str]]:
    for reader in list(graph.nodes.values()):
        for socket, link in reader.links.items():
            if link == source:
                yield reader, socket

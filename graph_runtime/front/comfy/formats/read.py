"""The host's files into ours: API and UI JSON become a native workflow.

    raw ── api.py ──┐
                    ├── HostGraph ── expanded.py ── become.py ── interface.py ── Workflow
    raw ── ui.py ───┘

Every problem of a file is reported at once, with the host's id and title of the node. A type that is not known is named
with its pack; `partial` leaves it out, with all that cannot run without it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ....core.errors import Problem, WorkflowError, shorten
from ....core.events import Warned
from ....core.spec import Registry
from ....core.workflow import Workflow
from .api import is_api, read_api
from .become import Becoming, LeftOut
from .expanded import expand_nodes, expander_types
from .host_graph import HostGraph, own_facts
from .host_types import types_of
from .interface import add_interface
from .layout import GRAPH
from .origins import note_circles
from .ui import is_ui, read_ui, says_more


@dataclass(frozen=True)
class Converted:
    """A native workflow made of a host's file.

    Attributes:
        names: our node for each node of the host: `12`, in subgraphs `5:3`.
        labels: the other way round: what a message calls our node, `12 (Load photo)`.
        aliases: `node.setting` of ours for the host's ways to say it: with its id, or a title that one node has.
        warnings: what the user should know.
        left_out: nodes of the host that the workflow does not have.
        problems: what is wrong with the file; with any, the workflow holds what could be read.
    """

    workflow: Workflow
    names: Mapping[str, str]
    labels: Mapping[str, str] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[Warned, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    problems: tuple[Problem, ...] = ()


def is_host_graph(raw: object) -> bool:
    """True for a graph of the host, in its API or its UI format."""
    return isinstance(raw, Mapping) and (is_ui(raw) or is_api(raw))


def from_host(
    raw: Mapping[str, object], registry: Registry, *, partial: bool = False, seen: Mapping[str, object] | None = None
) -> Converted:
    """The native workflow of a host's file.

    Args:
        raw: decoded JSON, for which `is_host_graph` is true.
        registry: the nodes that are known.
        partial: leave out what is not known, and what cannot run without it, instead of refusing the file.
        seen: the UI file of an API file: titles, places, groups and notes are taken from it.

    Raises:
        WorkflowError: every problem of the file.
    """
    found = read_host(raw, registry, partial=partial, seen=seen)
    if found.problems:
        raise WorkflowError(found.problems, found.warnings)
    return found


def read_host(
    raw: Mapping[str, object], registry: Registry, *, partial: bool = False, seen: Mapping[str, object] | None = None
) -> Converted:
    """As `from_host`, with the problems beside what could be read, so that the rest can be checked too.

    Raises:
        WorkflowError: it is no file of the host.
    """
    if not is_host_graph(raw):
        raise WorkflowError.of(
            None, found=shorten(raw), expected="a ComfyUI workflow", fix="export it from ComfyUI again"
        )
    types = {**expander_types(), **types_of(registry)}
    graph = read_ui(raw, types) if is_ui(raw) else read_api(raw)
    if seen is not None and is_ui(seen) and not is_ui(raw):
        _look_like(graph, read_ui(seen, types))
    note_circles(graph, types)
    expand_nodes(graph, types, registry)
    becoming = Becoming(graph, types, registry, partial=partial)
    workflow = becoming.workflow()
    add_interface(workflow, graph, becoming)
    if (kept := _kept(raw, seen, graph)) is not None:
        workflow.ui = {"nodes": {}, **workflow.ui, GRAPH: kept}
    return Converted(
        workflow,
        becoming.names,
        becoming.labels,
        becoming.aliases(),
        tuple(graph.warnings),
        tuple(becoming.left_out),
        tuple(graph.problems),
    )


def _kept(raw: Mapping[str, object], seen: Mapping[str, object] | None, graph: HostGraph) -> object:
    """The UI file to keep beside the workflow; None if there is none, or it has no more than the flat graph."""
    drawn = raw if is_ui(raw) else seen
    if drawn is not None and is_ui(drawn):
        return dict(drawn) if says_more(drawn, graph) else None
    return own_facts(graph.own.get("ui")).get(GRAPH)


def _look_like(graph: HostGraph, seen: HostGraph) -> None:
    """Take from a UI graph what is only seen, for the nodes that are the same."""
    for name, node in graph.nodes.items():
        shown = seen.nodes.get(name)
        if shown is not None and shown.type == node.type:
            node.placed, node.own = shown.placed, shown.own or node.own
            node.title, node.pack = shown.title or node.title, node.pack or shown.pack
    graph.groups, graph.notes, graph.own = seen.groups, seen.notes, seen.own or graph.own

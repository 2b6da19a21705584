"""A UI file that comes back as it was: subgraphs, reroutes, primitives, muted and bypassed nodes.

A workflow of ours is flat. What a UI file holds beside it is kept in the workflow's `ui`, under `GRAPH`, as it was.
It is written again if it still says what the workflow says, and settings that have changed since can be put into it.
Otherwise the file is written flat.
"""

import copy
from collections.abc import Iterator, Mapping

from ....core.errors import WorkflowError
from ....core.events import Warned
from ....core.spec import Registry
from ....core.workflow import Workflow
from .canvases import read_canvases
from .host_graph import HostGraph
from .layout import GRAPH, OWN, Placed, read_layout
from .read import from_host
from .scopes import MOST, MOST_DEEP, Canvas, UiNode
from .shapes import shape
from .write import Json, facts_of, to_ui

_FLAT = (
    "subgraphs, reroutes and nodes that do not run are written flat: the workflow has changed in ways "
    "that the graph it came from cannot say"
)


def to_ui_as_it_was(workflow: Workflow, registry: Registry) -> tuple[Json, list[Warned]]:
    """The UI file, as it was read if the workflow came from one; and what the user should know.

    Raises:
        WorkflowError: every node, setting and link that the file cannot hold.
    """
    flat = to_ui(workflow, registry)
    kept = workflow.ui.get(GRAPH)
    if not isinstance(kept, dict):
        return flat, []
    made = copy.deepcopy(kept)
    extra = made.get("extra")
    made["extra"] = {**(extra if isinstance(extra, dict) else {}), OWN: facts_of(workflow)}
    if _says(made, workflow, registry):
        return made, []
    _put_settings(made, workflow, registry)
    return (made, []) if _says(made, workflow, registry) else (flat, [Warned(None, _FLAT)])


def _says(graph: Json, workflow: Workflow, registry: Registry) -> bool:
    """True if a UI file reads as this workflow."""
    for partial in (False, True):
        try:
            found = from_host(graph, registry, partial=partial).workflow
        except WorkflowError:
            continue
        same = ("title", "description", "inputs", "outputs", "nodes")
        return all(getattr(found, name) == getattr(workflow, name) for name in same)
    return False


def _put_settings(graph: Json, workflow: Workflow, registry: Registry) -> None:
    """Put the settings of each node of ours into the node of the graph that it came from."""
    by_id = dict(_by_id(graph))
    layout = read_layout(workflow.ui)
    for name, node in workflow.nodes.items():
        placed = layout.nodes.get(name, Placed())
        raw = by_id.get(placed.id)
        if raw is None or node.type not in registry:
            continue
        one = shape(node, registry[node.type], placed.host, ())
        if raw.get("type") == one.type:
            raw["widgets_values"], raw["widgets_values_named"] = list(one.positions), dict(one.widgets)
            properties = raw.get("properties")
            own = _own(name, node.version) | dict(one.facts)
            raw["properties"] = {**(properties if isinstance(properties, dict) else {}), OWN: own}


def _own(name: str, version: int) -> Json:
    return {"name": name, "version": version}


def _by_id(graph: Mapping[str, object]) -> Iterator[tuple[str, Json]]:
    """Every node of the file by its id in the flat graph, a node of a subgraph once for each use."""
    main, definitions = read_canvases(graph, HostGraph())
    waiting: list[tuple[Canvas, tuple[str, ...]]] = [(main, ())]
    for _ in range(MOST):
        if not waiting:
            break
        canvas, path = waiting.pop()
        for node in canvas.nodes.values():
            here = (*path, node.id)
            if node.type not in definitions:
                yield ":".join(here), _raw(node)
            elif len(here) <= MOST_DEEP:
                waiting.append((definitions[node.type], here))


def _raw(node: UiNode) -> Json:
    assert isinstance(node.raw, dict), "as the file has it"
    return node.raw

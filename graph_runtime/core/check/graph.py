"""Checks of the workflow as a whole: it has nodes, something to do, and no cycle."""

import networkx as nx

from .draft import Draft


def nodes_are_there(draft: Draft) -> None:
    """There is at least one node."""
    if not draft.workflow.nodes:
        draft.found.add(None, "nodes", "no nodes", "something to do", "add a node (`inlay nodes` lists them)")


def something_comes_out(draft: Draft) -> None:
    """There is an output, or a node that saves."""
    specs = draft.specs.values()
    if draft.workflow.outputs or not specs or any(spec.effects for spec in specs):
        return
    savers = [node_id for node_id, spec in draft.registry.items() if spec.saves is not None]
    draft.found.add(
        None,
        "outputs",
        "no outputs and no node that saves",
        "something to do",
        'name an output: "outputs": {"image": "node.output"}, or add ' + (" or ".join(savers) or "a node that saves"),
    )


def no_cycle(draft: Draft) -> None:
    """No node depends on its own output."""
    graph = _graph(draft)
    if not nx.is_directed_acyclic_graph(graph):
        cycle = [str(edge[0]) for edge in nx.find_cycle(graph)][::-1]
        draft.found.add(
            cycle[0],
            None,
            "a cycle: " + " → ".join([*cycle, cycle[0]]),
            "a graph without cycles",
            "remove one of these links",
        )


def needed_nodes(draft: Draft) -> list[str]:
    """The nodes that outputs and saving nodes need, in execution order; empty if there is a cycle.

    Depth first, so that results are used soon after they are made.
    """
    graph = _graph(draft)
    if not nx.is_directed_acyclic_graph(graph):
        return []
    wanted = [name for name, spec in draft.specs.items() if spec.effects]
    wanted += [node for node, _ in draft.targets.values()]
    if not wanted:
        return []
    end = 0  # a node that reads everything needed; names are never numbers
    graph.add_edges_from((end, node) for node in wanted)
    return [node for node in nx.dfs_postorder_nodes(graph, end) if isinstance(node, str)]


def _graph(draft: Draft) -> "nx.DiGraph[str | int]":
    graph: nx.DiGraph[str | int] = nx.DiGraph()
    graph.add_nodes_from(draft.specs)
    graph.add_edges_from((name, link.node) for name, links in draft.links.items() for link in links)
    return graph

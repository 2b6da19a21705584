"""Checks of the workflow as a whole: it has nodes, something to do, and no cycle."""

from collections.abc import Iterable, Mapping, Sequence

from .draft import Draft

CYCLE, NEXT = "a cycle: ", " → "  # how a message writes one
NO_NODES = "no nodes"
_SHOWN = 12  # nodes of a cycle that a message names


def nodes_are_there(draft: Draft) -> None:
    """There is at least one node."""
    if not draft.workflow.nodes:
        draft.found.add(None, "nodes", NO_NODES, "something to do", "add a node (`inlay nodes` lists them)")


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
    _, cycle = _depth_first(draft, draft.specs)
    if cycle:
        draft.found.add(cycle[0], None, cycle_text(cycle), "a graph without cycles", "remove one of these links")


def cycle_text(cycle: Sequence[str]) -> str:
    """What was found, with the names of the nodes."""
    shown = [*cycle[: _SHOWN - 1], f"… ({len(cycle):,} nodes) …"] if len(cycle) > _SHOWN else cycle
    return CYCLE + NEXT.join([*shown, cycle[0]])


def with_labels(found: str, labels: Mapping[str, str]) -> str:
    """What was found; of a cycle, with other names of its nodes."""
    if not found.startswith(CYCLE):
        return found
    return CYCLE + NEXT.join(labels.get(name, name) for name in found.removeprefix(CYCLE).split(NEXT))


def needed_nodes(draft: Draft) -> list[str]:
    """The nodes that outputs and saving nodes need, in execution order; empty if there is a cycle.

    Depth first, so that results are used soon after they are made.
    """
    wanted = [name for name, spec in draft.specs.items() if spec.effects]
    return _depth_first(draft, [*wanted, *(node for node, _ in draft.targets.values())])[0]


def _depth_first(draft: Draft, starts: Iterable[str]) -> tuple[list[str], list[str]]:
    """Everything that `starts` need, each node after what it reads; if there is a cycle, nothing, and the cycle.

    A loop of its own, because networkx takes a second for 100,000 nodes.
    """
    order: list[str] = []
    done: dict[str, bool] = {}  # false while the search is behind the node
    for start in starts:
        if start in done:
            continue
        done[start] = False
        way = [(start, iter(draft.links.get(start, ())))]
        while way:
            node, links = way[-1]
            for link in links:
                if (known := done.get(link.node)) is None:
                    done[link.node] = False
                    way.append((link.node, iter(draft.links.get(link.node, ()))))
                    break
                if not known:
                    names = [name for name, _ in way]
                    return [], names[names.index(link.node) :][::-1]
            else:
                done[node] = True
                order.append(node)
                way.pop()
    return order, []

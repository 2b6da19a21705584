"""Everything that can be wrong with a workflow, found at once and before anything runs.

The graph is checked with networkx. What the check has found out (order, validated settings, resolved paths, what static
nodes describe) is handed on as `Checked`, from which `plan.py` makes the plan.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import networkx as nx

from .check_nodes import NodeChecks, Override
from .check_wires import WireChecks
from .errors import WorkflowError
from .events import Warned
from .findings import Findings
from .pairing import Link, pair
from .spec import NodeSpec, Registry
from .waiting import looking_in
from .workflow import Workflow


@dataclass
class Checked:
    """A workflow without problems.

    Attributes:
        order: needed nodes, each after all that it reads.
        links: per node (socket, source node, source output).
        settings: validated settings, paths resolved.
        digests: per node, of the files it reads; None when one of them will only exist during the run.
        known: outputs of static nodes.
        files: what is read: name, digest, path.
        warnings: what is no problem, and a person should know.
    """

    order: list[str]
    specs: dict[str, NodeSpec]
    settings: dict[str, dict[str, Any]]
    links: dict[str, list[Link]]
    digests: dict[str, list[str] | None]
    known: dict[str, tuple[Any, ...]]
    targets: dict[str, tuple[str, str]]
    files: dict[Override, dict[str, str]]
    warnings: list[Warned]


class Checker:
    """One pass over one workflow; see `make_plan` for the arguments."""

    def __init__(
        self, workflow: Workflow, registry: Registry, roots: list[Path], out: Path | None, trusted: dict[Override, str]
    ):
        self.workflow, self.found = workflow, Findings()
        self.nodes = NodeChecks(self.found, workflow, registry, roots, out, trusted)
        self.wires = WireChecks(self.found, workflow, registry, self.nodes.specs)

    def check(self) -> Checked:
        """Look at everything.

        Raises:
            WorkflowError: with every problem found.
        """
        nodes, wires = self.nodes, self.wires
        if not self.workflow.nodes:
            self.found.add(None, "nodes", "no nodes", "something to do", "add a node (`inlay nodes` lists them)")
        for name, entry in self.workflow.nodes.items():
            nodes.look(name, entry)
        for name, entry in self.workflow.nodes.items():
            if name in nodes.specs:
                wires.look(name, entry)
        wires.inputs()
        targets = wires.outputs()
        order = self._order(targets)
        blamed = {problem.node for problem in self.found.problems}
        ready = [name for name in order if name not in blamed and name in nodes.settings]
        with looking_in(tuple(nodes.reader.roots)):
            known = pair(ready, nodes.specs, nodes.settings, wires.links, self.found)
        if self.found.problems:
            raise WorkflowError(self.found.problems, self.found.warnings)
        return Checked(
            order,
            nodes.specs,
            nodes.settings,
            wires.links,
            nodes.digests,
            known,
            targets,
            nodes.files,
            self.found.warnings,
        )

    def _order(self, targets: Mapping[str, tuple[str, str]]) -> list[str]:
        """Needed nodes, each after all it reads; depth first, so that results are used soon after they are made."""
        graph: nx.DiGraph[Any] = nx.DiGraph()
        graph.add_nodes_from(self.nodes.specs)
        graph.add_edges_from((name, source) for name, links in self.wires.links.items() for _, source, _ in links)
        if not nx.is_directed_acyclic_graph(graph):
            circle = [edge[0] for edge in nx.find_cycle(graph)][::-1]
            self.found.add(
                circle[0],
                None,
                "a cycle: " + " → ".join([*circle, circle[0]]),
                "a graph without cycles",
                "remove one of these links",
            )
            return []
        wanted = [name for name, spec in self.nodes.specs.items() if spec.effects]
        wanted += [node for node, _ in targets.values()]
        sink = object()
        graph.add_edges_from((sink, node) for node in wanted)
        return [node for node in nx.dfs_postorder_nodes(graph, sink) if node is not sink] if wanted else []

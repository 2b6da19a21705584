"""Write a workflow file: nodes by name, links, inputs, and where an editor draws them."""

from collections.abc import Mapping

#: Versions of nodes above 1.
VERSIONS = {"condition.text": 2}
WIDTH, HEIGHT = 260, 150  # of a node's place in an editor


class Graph:
    """A workflow in the making."""

    def __init__(self) -> None:
        self.nodes: dict[str, dict[str, object]] = {}
        self.inputs: dict[str, str | list[str]] = {}
        self.outputs: dict[str, str] = {}
        self.given: set[tuple[str, str]] = set()

    def add(self, name: str, node_type: str, links: Mapping[str, str] | None = None, /, **params: object) -> str:
        """A node; returns its name."""
        node: dict[str, object] = {"type": node_type, "version": VERSIONS.get(node_type, 1)}
        if params:
            node["params"] = params
        if links:
            node["inputs"] = dict(links)
        self.nodes[name] = node
        return name

    def once(self, name: str, node_type: str, links: Mapping[str, str], /, **params: object) -> str:
        """`add`, unless the node is there."""
        return name if name in self.nodes else self.add(name, node_type, links, **params)

    def path(
        self, name: str, node_type: str, parameter: str, given: str | None, sample: str, /, **params: object
    ) -> str:
        """A node that reads a file: the one that the person gave, or a sample that comes with inlay."""
        self.add(name, node_type, **{parameter: given or sample}, **params)
        if given:
            self.given.add((name, parameter))
        return name

    def input(self, name: str, *targets: str) -> None:
        """What a person may set when the workflow runs again, at these settings besides those noted before."""
        known = self.inputs.get(name, [])
        joined = dict.fromkeys([*([known] if isinstance(known, str) else known), *targets])
        self.inputs[name] = targets[0] if len(joined) == 1 else list(joined)

    def file(self, title: str, description: str) -> dict[str, object]:
        """The workflow as the data of its file."""
        return {
            "format": 1,
            "title": title,
            "description": description,
            "inputs": self.inputs,
            "nodes": self.nodes,
            "outputs": self.outputs,
            "ui": self._places(),
        }

    def _places(self) -> dict[str, object]:
        """Each node in the column after those that it reads, in the first row that is free there."""
        columns: dict[str, int] = {}
        rows: dict[int, int] = {}
        places: dict[str, object] = {}
        for name, node in self.nodes.items():  # each after those that it reads
            links = node.get("inputs", {})
            assert isinstance(links, dict)
            column = max((columns[link.partition(".")[0]] + 1 for link in links.values()), default=0)
            columns[name] = column
            places[name] = {"x": WIDTH * column, "y": HEIGHT * rows.get(column, 0)}
            rows[column] = rows.get(column, 0) + 1
        return places

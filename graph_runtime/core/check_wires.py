"""What can be wrong between nodes: links, and the inputs and outputs that a workflow names."""

from collections.abc import Mapping
from typing import Any

from .errors import shorten
from .findings import Findings
from .pairing import Link
from .spec import NodeSpec, Registry
from .workflow import NAME, RESERVED_INPUTS, Node, Workflow


class WireChecks:
    """Looks at the links of a workflow whose node types are known.

    Attributes:
        links: per node (socket, source node, source output).
    """

    def __init__(self, found: Findings, workflow: Workflow, registry: Registry, specs: Mapping[str, NodeSpec]):
        self.found, self.workflow, self.registry, self.specs = found, workflow, registry, specs
        self.links: dict[str, list[Link]] = {}

    def look(self, name: str, entry: Node) -> None:
        """Check the links into one node."""
        spec = self.specs[name]
        found: list[Link] = []
        for socket, link in entry.inputs.items():
            if socket not in spec.sockets:
                setting = socket in spec.params.model_fields
                self.found.add(
                    name,
                    socket,
                    f"an unknown socket {shorten(socket)}",
                    f"a socket of {spec.id}",
                    'this is a setting: put it under "params"' if setting else self.found.suggest(socket, spec.sockets),
                )
                continue
            wire = self._link(name, socket, link)
            if wire is not None:
                found.append((socket, *wire))
        for socket, definition in spec.sockets.items():
            if not definition.optional and socket not in entry.inputs:
                self.found.add(
                    name,
                    socket,
                    "nothing wired to it",
                    f"{definition.port.socket}: {definition.port.doc}",
                    self._who_gives(definition.port.socket, name),
                )
        self.links[name] = found

    def _link(self, name: str, socket: str, link: Any) -> tuple[str, str] | None:
        if isinstance(link, list) and all(isinstance(item, str) for item in link):
            self.found.add(name, socket, f"{len(link)} edges into one input", "one link", "keep one of them")
            return None
        if not isinstance(link, str) or link.count(".") != 1:
            self.found.add(
                name,
                socket,
                shorten(link),
                'a link "node.output"',
                "links are written as the node's name, a dot, and its output's name",
            )
            return None
        source, output = link.split(".")
        if source not in self.workflow.nodes:
            self.found.add(
                name,
                socket,
                f"a link to a node {source!r} that is not there",
                "a node of this file",
                self.found.suggest(source, self.workflow.nodes),
            )
            return None
        giver = self.specs.get(source)
        if giver is None:
            return None  # its unknown type is reported already
        if output not in giver.outputs:
            self.found.add(
                name,
                socket,
                f"{source!r} ({giver.id}) has no output {output!r}",
                "one of its outputs",
                self.found.suggest(output, giver.outputs),
            )
            return None
        given, wanted = giver.outputs[output].socket, self.specs[name].sockets[socket].port
        if given != wanted.socket:
            self.found.add(
                name,
                socket,
                f"{link} of type {given}",
                f"{wanted.socket}: {wanted.doc}",
                self._who_gives(wanted.socket, name),
            )
            return None
        return source, output

    def _who_gives(self, socket_type: str, reader: str) -> str:
        here = [
            f"{name}.{output}"
            for name, spec in self.specs.items()
            for output, port in spec.outputs.items()
            if port.socket == socket_type and name != reader
        ]
        if here:
            return "wire one of: " + ", ".join(here[:6])
        givers = [
            spec.id
            for spec in self.registry.values()
            if any(port.socket == socket_type for port in spec.outputs.values())
        ]
        return f"add a node that gives it: {', '.join(givers[:6])}" if givers else f"no known node gives {socket_type}"

    def inputs(self) -> None:
        """Check what the workflow's named inputs set."""
        for name in self.workflow.inputs:
            if not NAME.fullmatch(name) or name in RESERVED_INPUTS:
                self.found.add(
                    None,
                    f"inputs.{name}",
                    f"an input called {shorten(name)}",
                    "letters, digits and _, and none of: " + ", ".join(sorted(RESERVED_INPUTS)),
                    "rename it",
                )
            if not self.workflow.targets(name):
                self.found.add(None, f"inputs.{name}", "no target", '"node.parameter"', "name what it sets")
            for target in self.workflow.targets(name):
                node, _, parameter = target.partition(".")
                if node not in self.workflow.nodes:
                    self.found.add(
                        None,
                        f"inputs.{name}",
                        f"a target {target!r} in no node of this file",
                        '"node.parameter"',
                        self.found.suggest(node, self.workflow.nodes),
                    )
                elif node in self.specs and parameter not in self.specs[node].params.model_fields:
                    self.found.add(
                        None,
                        f"inputs.{name}",
                        f"{target!r}: {self.specs[node].id} has no such setting",
                        "a setting",
                        self.found.suggest(parameter, self.specs[node].params.model_fields),
                    )

    def outputs(self) -> dict[str, tuple[str, str]]:
        """Check the workflow's named outputs; returns (node, output) of the good ones."""
        targets = {}
        for name, link in self.workflow.outputs.items():
            if not NAME.fullmatch(name):
                self.found.add(
                    None, "outputs", f"an output called {shorten(name)}", "letters, digits and _", "rename it"
                )
            node, _, output = link.partition(".")
            if node not in self.workflow.nodes:
                self.found.add(
                    None,
                    f"outputs.{name}",
                    f"a link to a node {node!r} that is not there",
                    '"node.output"',
                    self.found.suggest(node, self.workflow.nodes),
                )
            elif node in self.specs and output not in self.specs[node].outputs:
                self.found.add(
                    None,
                    f"outputs.{name}",
                    f"{node!r} ({self.specs[node].id}) has no output {output!r}",
                    "one of its outputs",
                    self.found.suggest(output, self.specs[node].outputs),
                )
            elif node in self.specs:
                targets[name] = (node, output)
        if not self.workflow.outputs and self.specs and not any(spec.effects for spec in self.specs.values()):
            savers = [node_id for node_id, spec in self.registry.items() if spec.saves is not None]
            self.found.add(
                None,
                "outputs",
                "no outputs and no node that saves",
                "something to do",
                'name an output: "outputs": {"image": "node.output"}, or add '
                + (" or ".join(savers) or "a node that saves"),
            )
        return targets

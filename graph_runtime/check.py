"""Everything that can be wrong with a workflow, found at once and before anything runs.

The graph is checked with networkx. What the check has found out (order, validated settings, resolved paths, what static
nodes describe) is handed on as `Checked`, from which `plan.py` makes the plan.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import networkx as nx
from pydantic import ValidationError

from .context import safe_prefix
from .errors import BadInput, Problem, WorkflowError, did_you_mean, shorten
from .events import Warned
from .pairing import Link, pair
from .paths import Reader
from .spec import NodeSpec, PathRole, Registry
from .workflow import NAME, RESERVED_INPUTS, Node, Workflow

Override = tuple[str, str]  # (node, parameter)


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
        self.workflow, self.registry, self.trusted = workflow, registry, trusted
        self.reader = Reader(roots, out)
        self.problems: list[Problem] = []
        self.specs: dict[str, NodeSpec] = {}
        self.settings: dict[str, dict[str, Any]] = {}
        self.links: dict[str, list[Link]] = {}  # node -> (socket, source node, source output)
        self.digests: dict[str, list[str] | None] = {}
        self.files: dict[Override, dict[str, str]] = {}

    def _suggest(self, word: str, known: Iterable[str]) -> str:
        """A near name, for the first problems: closeness costs time, and a hostile file may have thousands."""
        return did_you_mean(word, known) if len(self.problems) < 30 else "see the file's other names"

    def _complain(self, node: str | None, port: str | None, found: str, expected: str, fix: str) -> None:
        self.problems.append(Problem(node, port, found, expected, fix))

    def check(self) -> Checked:
        """Look at everything.

        Raises:
            WorkflowError: with every problem found.
        """
        if not self.workflow.nodes:
            self._complain(None, "nodes", "no nodes", "something to do", "add a node (`inlay nodes` lists them)")
        for name, entry in self.workflow.nodes.items():
            self._node(name, entry)
        for name, entry in self.workflow.nodes.items():
            if name in self.specs:
                self._wires(name, entry)
        self._inputs()
        targets = self._outputs()
        order = self._order(targets)
        blamed = {problem.node for problem in self.problems}
        ready = [name for name in order if name not in blamed and name in self.settings]
        known, wrong, warnings = pair(ready, self.specs, self.settings, self.links)
        self.problems += wrong
        if self.problems:
            raise WorkflowError(self.problems)
        return Checked(order, self.specs, self.settings, self.links, self.digests, known, targets, self.files,
                       warnings)

    # nodes and their settings

    def _node(self, name: str, entry: Node) -> None:
        if not NAME.fullmatch(name):
            self._complain(None, "nodes", f"a node called {shorten(name)}", "letters, digits and _", "rename the node")
        spec = self.registry.get(entry.type)
        if spec is None:
            self._complain(
                name,
                None,
                f"an unknown node type {shorten(entry.type)}",
                "a type from `inlay nodes`",
                self._suggest(entry.type, self.registry),
            )
            return
        self.specs[name] = spec
        params, inputs = dict(entry.params), dict(entry.inputs)
        version = entry.version
        if version > spec.version:
            self._complain(
                name,
                "version",
                f"version {version} of {spec.id}",
                f"version {spec.version} or older",
                "this file was made by a newer inlay: update inlay",
            )
        while version < spec.version:
            migrate = spec.migrations.get(version)
            if migrate is None:
                self._complain(
                    name,
                    "version",
                    f"version {version} of {spec.id}",
                    f"version {spec.version}",
                    f"this node changed and has no migration: see `inlay nodes {spec.id}`",
                )
                break
            params, inputs = migrate(params, inputs)
            version += 1
        entry.params, entry.inputs, entry.version = params, inputs, max(version, entry.version)
        self._settings(name, spec, params)

    def _settings(self, name: str, spec: NodeSpec, params: dict[str, Any]) -> None:
        try:
            model = spec.params.model_validate(params, strict=True)
        except ValidationError as error:
            for item in error.errors():
                self._setting_problem(name, spec, item)
            return
        settings = {key: getattr(model, key) for key in spec.params.model_fields}
        digests: list[str] | None = []
        for parameter, role in spec.path_roles.items():
            if isinstance(value := settings[parameter], (str, list)):
                settings[parameter], found = self._path(name, parameter, value, role)
                digests = None if found is None or digests is None else [*digests, found]
        if spec.effects and isinstance(prefix := settings.get("prefix"), str) and not safe_prefix(prefix):
            self._complain(
                name,
                "prefix",
                shorten(prefix),
                "a name below the output folder",
                "use a plain name such as 'image' or 'tests/image'",
            )
        self.settings[name], self.digests[name] = settings, digests

    def _setting_problem(self, name: str, spec: NodeSpec, item: Any) -> None:
        setting = str(item["loc"][0]) if item["loc"] else None
        if item["type"] == "extra_forbidden":
            wire = setting in spec.sockets
            self._complain(
                name,
                setting,
                f"an unknown setting {shorten(setting)}",
                f"a setting of {spec.id}",
                'this is a socket: wire it under "inputs"'
                if wire
                else self._suggest(setting or "", spec.params.model_fields),
            )
        elif item["type"] == "missing":
            self._complain(
                name,
                setting,
                "nothing",
                f"a value for {setting!r}",
                f'add "{setting}" to the node\'s params' + self._exposed_hint(name, setting),
            )
        else:
            self._complain(
                name,
                setting,
                shorten(item["input"]),
                item["msg"].removeprefix("Input should be ").lower(),
                f"change {setting!r} (see `inlay nodes {spec.id}`)" + self._exposed_hint(name, setting),
            )

    def _exposed_hint(self, node: str, setting: str | None) -> str:
        for name in self.workflow.inputs:
            if f"{node}.{setting}" in self.workflow.targets(name):
                return f"; set it with --{name}"
        return ""

    def _path(self, node: str, parameter: str, value: Any, role: PathRole) -> tuple[Any, str | None]:
        """The path (or list of them) to open and the digest of what is there (None: it is written during the run)."""
        if isinstance(value, list):
            looked = [self._path(node, parameter, item, role) for item in value]
            self.files.pop((node, parameter), None)  # a record names one file for each setting
            seen = [found for _, found in looked if found is not None]
            return [path for path, _ in looked], f"list:{' '.join(seen)}" if len(seen) == len(value) else None
        try:
            path, found = self.reader.look(value, role, trusted=(node, parameter) in self.trusted)
        except BadInput as error:
            fix = error.fix + self._exposed_hint(node, parameter)
            self._complain(node, parameter, error.found, error.expected, fix)
            return value, ""
        if path is None:
            return value, ""
        if found is not None:
            size = str(path.stat().st_size) if path.is_file() else ""
            self.files[node, parameter] = {"name": path.name, "digest": found, "path": str(path), "kind": role.kind,
                                           "size": size}
        return str(path), found

    # wires

    def _wires(self, name: str, entry: Node) -> None:
        spec = self.specs[name]
        found: list[Link] = []
        for socket, link in entry.inputs.items():
            if socket not in spec.sockets:
                setting = socket in spec.params.model_fields
                self._complain(
                    name,
                    socket,
                    f"an unknown socket {shorten(socket)}",
                    f"a socket of {spec.id}",
                    'this is a setting: put it under "params"' if setting else self._suggest(socket, spec.sockets),
                )
                continue
            wire = self._link(name, socket, link)
            if wire is not None:
                found.append((socket, *wire))
        for socket, definition in spec.sockets.items():
            if not definition.optional and socket not in entry.inputs:
                self._complain(
                    name,
                    socket,
                    "nothing wired to it",
                    f"{definition.port.socket}: {definition.port.doc}",
                    self._who_gives(definition.port.socket, name),
                )
        self.links[name] = found

    def _link(self, name: str, socket: str, link: Any) -> tuple[str, str] | None:
        if isinstance(link, list) and all(isinstance(item, str) for item in link):
            self._complain(name, socket, f"{len(link)} edges into one input", "one link", "keep one of them")
            return None
        if not isinstance(link, str) or link.count(".") != 1:
            self._complain(
                name,
                socket,
                shorten(link),
                'a link "node.output"',
                "links are written as the node's name, a dot, and its output's name",
            )
            return None
        source, output = link.split(".")
        if source not in self.workflow.nodes:
            self._complain(
                name,
                socket,
                f"a link to a node {source!r} that is not there",
                "a node of this file",
                self._suggest(source, self.workflow.nodes),
            )
            return None
        giver = self.specs.get(source)
        if giver is None:
            return None  # its unknown type is reported already
        if output not in giver.outputs:
            self._complain(
                name,
                socket,
                f"{source!r} ({giver.id}) has no output {output!r}",
                "one of its outputs",
                self._suggest(output, giver.outputs),
            )
            return None
        given, wanted = giver.outputs[output].socket, self.specs[name].sockets[socket].port
        if given != wanted.socket:
            self._complain(
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

    def _inputs(self) -> None:
        for name in self.workflow.inputs:
            if not NAME.fullmatch(name) or name in RESERVED_INPUTS:
                self._complain(
                    None,
                    f"inputs.{name}",
                    f"an input called {shorten(name)}",
                    "letters, digits and _, and none of: " + ", ".join(sorted(RESERVED_INPUTS)),
                    "rename it",
                )
            if not self.workflow.targets(name):
                self._complain(None, f"inputs.{name}", "no target", '"node.parameter"', "name what it sets")
            for target in self.workflow.targets(name):
                node, _, parameter = target.partition(".")
                if node not in self.workflow.nodes:
                    self._complain(
                        None,
                        f"inputs.{name}",
                        f"a target {target!r} in no node of this file",
                        '"node.parameter"',
                        self._suggest(node, self.workflow.nodes),
                    )
                elif node in self.specs and parameter not in self.specs[node].params.model_fields:
                    self._complain(
                        None,
                        f"inputs.{name}",
                        f"{target!r}: {self.specs[node].id} has no such setting",
                        "a setting",
                        self._suggest(parameter, self.specs[node].params.model_fields),
                    )

    def _outputs(self) -> dict[str, tuple[str, str]]:
        targets = {}
        for name, link in self.workflow.outputs.items():
            if not NAME.fullmatch(name):
                self._complain(
                    None, "outputs", f"an output called {shorten(name)}", "letters, digits and _", "rename it"
                )
            node, _, output = link.partition(".")
            if node not in self.workflow.nodes:
                self._complain(
                    None,
                    f"outputs.{name}",
                    f"a link to a node {node!r} that is not there",
                    '"node.output"',
                    self._suggest(node, self.workflow.nodes),
                )
            elif node in self.specs and output not in self.specs[node].outputs:
                self._complain(
                    None,
                    f"outputs.{name}",
                    f"{node!r} ({self.specs[node].id}) has no output {output!r}",
                    "one of its outputs",
                    self._suggest(output, self.specs[node].outputs),
                )
            elif node in self.specs:
                targets[name] = (node, output)
        if not self.workflow.outputs and self.specs and not any(spec.effects for spec in self.specs.values()):
            self._complain(
                None,
                "outputs",
                "no outputs and no node that saves",
                "something to do",
                'name an output: "outputs": {"image": "node.output"}, or add image.save',
            )
        return targets

    # order

    def _order(self, targets: Mapping[str, tuple[str, str]]) -> list[str]:
        """Needed nodes, each after all it reads; depth first, so that results are used soon after they are made."""
        graph: nx.DiGraph[Any] = nx.DiGraph()
        graph.add_nodes_from(self.specs)
        graph.add_edges_from((name, source) for name, links in self.links.items() for _, source, _ in links)
        if not nx.is_directed_acyclic_graph(graph):
            circle = [edge[0] for edge in nx.find_cycle(graph)][::-1]
            self._complain(
                circle[0],
                None,
                "a cycle: " + " → ".join([*circle, circle[0]]),
                "a graph without cycles",
                "remove one of these links",
            )
            return []
        wanted = [name for name, spec in self.specs.items() if spec.effects] + [node for node, _ in targets.values()]
        sink = object()
        graph.add_edges_from((sink, node) for node in wanted)
        return [node for node in nx.dfs_postorder_nodes(graph, sink) if node is not sink] if wanted else []

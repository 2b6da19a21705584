"""Workflow → checked, ordered `Plan`. Pure: loads no weights and touches no device; every problem is found at once.

The graph is checked with networkx; the plan then holds plain tuples, and nothing is rebuilt while it runs.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import networkx as nx
from pydantic import ValidationError

from .errors import BadInput, Problem, WorkflowError, did_you_mean, shorten
from .models import ModelDescription
from .paths import GLOB, digest, resolve_inside
from .spec import NodeSpec, PathRole, Registry
from .workflow import NAME, RESERVED_INPUTS, Node, Workflow

Override = tuple[str, str]  # (node, parameter)


@dataclass
class Step:
    """One node, ready to run: its settings and where each wired input comes from."""

    name: str
    spec: NodeSpec
    settings: dict[str, Any]
    links: tuple[tuple[str, int], ...]  # (socket, slot)
    sources: tuple[int, ...]  # steps read, by index
    first_slot: int
    known: tuple[Any, ...] | None = None  # outputs of a static node, made while checking
    files: tuple[str, ...] | None = ()  # digests of the files read; None: not known before the run
    key_material: bytes = b""


@dataclass
class Plan:
    """Steps in execution order. A *slot* holds one output of one step: `first_slot + number of the output`."""

    steps: list[Step]
    outputs: dict[str, int]  # name -> slot
    workflow: Workflow
    files: dict[Override, dict[str, str]] = field(default_factory=dict)  # what was read: name, digest, path

    @cached_property
    def slots(self) -> int:
        """How many outputs there are in all."""
        return sum(len(step.spec.outputs) for step in self.steps)

    @cached_property
    def owner(self) -> list[int]:
        """The step that fills each slot."""
        return [index for index, step in enumerate(self.steps) for _ in step.spec.outputs]

    @cached_property
    def keys(self) -> list[bytes | None]:
        """What each result depends on, as one hash: node, code, settings, file contents, and the keys above it."""
        keys: list[bytes | None] = []
        for step in self.steps:
            parents = [keys[source] for source in step.sources]
            if step.files is None or None in parents:
                keys.append(None)
                continue
            material = hashlib.blake2b(step.key_material, digest_size=16)
            for socket, slot in step.links:
                owner = self.owner[slot]
                material.update(f"{socket}\0{slot - self.steps[owner].first_slot}\0".encode())
                material.update(keys[owner] or b"")
            keys.append(material.digest())
        return keys


def make_plan(
    workflow: Workflow,
    registry: Registry,
    *,
    roots: Sequence[Path] = (),
    out: Path | None = None,
    trusted: Mapping[Override, str] | None = None,
) -> Plan:
    """Check `workflow` against `registry` and order it.

    Args:
        workflow: what to run.
        registry: the node types.
        roots: folders that paths in the file may point into.
        out: the output folder, from which later nodes may read `.safetensors`.
        trusted: path parameters that the user typed, which may point anywhere.

    Raises:
        WorkflowError: with every problem found.
    """
    return _Checker(workflow, registry, list(roots), out, dict(trusted or {})).plan()


class _Checker:
    def __init__(
        self, workflow: Workflow, registry: Registry, roots: list[Path], out: Path | None, trusted: dict[Override, str]
    ):
        self.workflow, self.registry, self.roots, self.out, self.trusted = workflow, registry, roots, out, trusted
        self.problems: list[Problem] = []
        self.specs: dict[str, NodeSpec] = {}
        self.settings: dict[str, dict[str, Any]] = {}
        self.links: dict[str, list[tuple[str, str, str]]] = {}  # node -> (socket, source node, source output)
        self.digests: dict[str, list[str] | None] = {}
        self.files: dict[Override, dict[str, str]] = {}

    def complain(self, node: str | None, port: str | None, found: str, expected: str, fix: str) -> None:
        self.problems.append(Problem(node, port, found, expected, fix))

    def plan(self) -> Plan:
        for name, entry in self.workflow.nodes.items():
            self._node(name, entry)
        for name, entry in self.workflow.nodes.items():
            if name in self.specs:
                self._wires(name, entry)
        self._inputs()
        targets = self._outputs()
        order = self._order(targets)
        known = self._static(order)
        if self.problems:
            raise WorkflowError(self.problems)
        return self._assemble(order, targets, known)

    # nodes and their settings

    def _node(self, name: str, entry: Node) -> None:
        if not NAME.fullmatch(name):
            self.complain(None, "nodes", f"a node called {shorten(name)}", "letters, digits and _", "rename the node")
        spec = self.registry.get(entry.type)
        if spec is None:
            self.complain(
                name,
                None,
                f"an unknown node type {shorten(entry.type)}",
                "a type from `inlay nodes`",
                did_you_mean(entry.type, self.registry),
            )
            return
        self.specs[name] = spec
        params, inputs = dict(entry.params), dict(entry.inputs)
        version = entry.version
        if version > spec.version:
            self.complain(
                name,
                "version",
                f"version {version} of {spec.id}",
                f"version {spec.version} or older",
                "this file was made by a newer inlay: update inlay",
            )
        while version < spec.version:
            migrate = spec.migrations.get(version)
            if migrate is None:
                self.complain(
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
            if isinstance(value := settings[parameter], str):
                settings[parameter], found = self._path(name, parameter, value, role)
                digests = None if found is None or digests is None else [*digests, found]
        self.settings[name], self.digests[name] = settings, digests

    def _setting_problem(self, name: str, spec: NodeSpec, item: Any) -> None:
        setting = str(item["loc"][0]) if item["loc"] else None
        if item["type"] == "extra_forbidden":
            wire = setting in spec.sockets
            self.complain(
                name,
                setting,
                f"an unknown setting {shorten(setting)}",
                f"a setting of {spec.id}",
                'this is a socket: wire it under "inputs"'
                if wire
                else did_you_mean(setting or "", spec.params.model_fields),
            )
        elif item["type"] == "missing":
            self.complain(
                name,
                setting,
                "nothing",
                f"a value for {setting!r}",
                f'add "{setting}" to the node\'s params' + self._exposed_hint(name, setting),
            )
        else:
            self.complain(
                name,
                setting,
                shorten(item["input"]),
                item["msg"].removeprefix("Input should be ").lower(),
                f"change {setting!r} (see `inlay nodes {spec.id}`)" + self._exposed_hint(name, setting),
            )

    def _exposed_hint(self, node: str, setting: str | None) -> str:
        for name in self.workflow.inputs:
            if f"{node}.{setting}" in self.workflow.targets(name):
                return f", or set it with --{name}"
        return ""

    def _path(self, node: str, parameter: str, value: str, role: PathRole) -> tuple[str, str | None]:
        """The path to open and the digest of what is there (None: it will only exist during the run)."""
        if role.kind == "model" and not self._is_local_model(node, parameter, value):
            return value, ""
        try:
            path = self._permitted(node, parameter, value)
        except BadInput as error:
            self.problems.append(Problem(node, parameter, error.found, error.expected, error.fix))
            return value, ""
        if role.kind != "files" and path.is_dir() and role.kind != "model":
            self.complain(node, parameter, f"a folder, {value!r}", "a file", "name a file in it")
            return str(path), ""
        try:
            found = digest(path)
        except FileNotFoundError:
            if self.out is not None and path.suffix == ".safetensors" and path.is_relative_to(self.out.resolve()):
                return str(path), None
            self.complain(
                node,
                parameter,
                f"no such file: {value!r}",
                "a file that exists",
                f"looked for {path}" + self._exposed_hint(node, parameter),
            )
            return str(path), ""
        except OSError as error:
            self.complain(
                node,
                parameter,
                f"{value!r}: {error.strerror}",
                "a file that can be read",
                "check the file's permissions",
            )
            return str(path), ""
        self.files[node, parameter] = {"name": path.name, "digest": found, "path": str(path)}
        return str(path), found

    def _is_local_model(self, node: str, parameter: str, value: str) -> bool:
        path = Path(value)
        weights = (".safetensors", ".ckpt", ".bin", ".pt")
        if path.is_absolute() or value.startswith((".", "~")) or value.endswith(weights):
            return True
        if (node, parameter) in self.trusted:
            return (path.exists() and "/" in value.rstrip("/")) or (
                path.is_dir() and (path / "model_index.json").exists()
            )
        return any((root / value).exists() for root in self.roots) and "/" in value

    def _permitted(self, node: str, parameter: str, value: str) -> Path:
        if (node, parameter) in self.trusted:
            path = Path(value).expanduser()
            return path.absolute() if GLOB.intersection(path.name) else path.resolve()
        if self.out is not None and value.endswith(".safetensors"):
            try:
                return resolve_inside(value, [*self.roots, self.out])
            except BadInput:
                pass
        return resolve_inside(value, self.roots)

    # wires

    def _wires(self, name: str, entry: Node) -> None:
        spec = self.specs[name]
        found: list[tuple[str, str, str]] = []
        for socket, link in entry.inputs.items():
            if socket not in spec.sockets:
                setting = socket in spec.params.model_fields
                self.complain(
                    name,
                    socket,
                    f"an unknown socket {shorten(socket)}",
                    f"a socket of {spec.id}",
                    'this is a setting: put it under "params"' if setting else did_you_mean(socket, spec.sockets),
                )
                continue
            wire = self._link(name, socket, link)
            if wire is not None:
                found.append((socket, *wire))
        for socket, definition in spec.sockets.items():
            if not definition.optional and socket not in entry.inputs:
                self.complain(
                    name,
                    socket,
                    "nothing wired to it",
                    f"a {definition.port.socket}: {definition.port.doc}",
                    self._who_gives(definition.port.socket, socket),
                )
        self.links[name] = found

    def _link(self, name: str, socket: str, link: Any) -> tuple[str, str] | None:
        if isinstance(link, list) and all(isinstance(item, str) for item in link):
            self.complain(name, socket, f"{len(link)} edges into one input", "one link", "keep one of them")
            return None
        if not isinstance(link, str) or link.count(".") != 1:
            self.complain(
                name,
                socket,
                shorten(link),
                'a link "node.output"',
                "links are written as the node's name, a dot, and its output's name",
            )
            return None
        source, output = link.split(".")
        if source not in self.workflow.nodes:
            self.complain(
                name,
                socket,
                f"a link to a node {source!r} that is not there",
                "a node of this file",
                did_you_mean(source, self.workflow.nodes),
            )
            return None
        giver = self.specs.get(source)
        if giver is None:
            return None  # its unknown type is reported already
        if output not in giver.outputs:
            self.complain(
                name,
                socket,
                f"{source!r} ({giver.id}) has no output {output!r}",
                "one of its outputs",
                did_you_mean(output, giver.outputs),
            )
            return None
        given, wanted = giver.outputs[output].socket, self.specs[name].sockets[socket].port
        if given != wanted.socket:
            self.complain(
                name,
                socket,
                f"{link} of type {given}",
                f"{wanted.socket}: {wanted.doc}",
                self._who_gives(wanted.socket, socket),
            )
            return None
        return source, output

    def _who_gives(self, socket_type: str, socket: str) -> str:
        here = [
            f"{name}.{output}"
            for name, spec in self.specs.items()
            for output, port in spec.outputs.items()
            if port.socket == socket_type
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
                self.complain(
                    None,
                    f"inputs.{name}",
                    f"an input called {shorten(name)}",
                    "letters, digits and _, and none of: " + ", ".join(sorted(RESERVED_INPUTS)),
                    "rename it",
                )
            for target in self.workflow.targets(name):
                node, _, parameter = target.partition(".")
                if node not in self.workflow.nodes:
                    self.complain(
                        None,
                        f"inputs.{name}",
                        f"a target {target!r} in no node of this file",
                        '"node.parameter"',
                        did_you_mean(node, self.workflow.nodes),
                    )
                elif node in self.specs and parameter not in self.specs[node].params.model_fields:
                    self.complain(
                        None,
                        f"inputs.{name}",
                        f"{target!r}: {self.specs[node].id} has no such setting",
                        "a setting",
                        did_you_mean(parameter, self.specs[node].params.model_fields),
                    )

    def _outputs(self) -> dict[str, tuple[str, str]]:
        targets = {}
        for name, link in self.workflow.outputs.items():
            node, _, output = link.partition(".")
            if node not in self.workflow.nodes:
                self.complain(
                    None,
                    f"outputs.{name}",
                    f"a link to a node {node!r} that is not there",
                    '"node.output"',
                    did_you_mean(node, self.workflow.nodes),
                )
            elif node in self.specs and output not in self.specs[node].outputs:
                self.complain(
                    None,
                    f"outputs.{name}",
                    f"{node!r} ({self.specs[node].id}) has no output {output!r}",
                    "one of its outputs",
                    did_you_mean(output, self.specs[node].outputs),
                )
            elif node in self.specs:
                targets[name] = (node, output)
        if not self.workflow.outputs and self.specs and not any(spec.effects for spec in self.specs.values()):
            self.complain(
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
        graph = nx.DiGraph()
        graph.add_nodes_from(self.specs)
        graph.add_edges_from((name, source) for name, links in self.links.items() for _, source, _ in links)
        if not nx.is_directed_acyclic_graph(graph):
            circle = [edge[0] for edge in nx.find_cycle(graph)][::-1]
            self.complain(
                circle[0],
                None,
                "a cycle: " + " → ".join([*circle, circle[0]]),
                "a graph without cycles",
                "remove one of these links",
            )
            return []
        wanted = [node for node, _ in targets.values()] + [name for name, spec in self.specs.items() if spec.effects]
        sink = object()
        graph.add_edges_from((sink, node) for node in wanted)
        return [node for node in nx.dfs_postorder_nodes(graph, sink) if node is not sink] if wanted else []

    # static nodes and pairing checks

    def _static(self, order: list[str]) -> dict[str, tuple[Any, ...]]:
        """Run the nodes that only describe (model loaders), then every check hook on what is known."""
        known: dict[str, tuple[Any, ...]] = {}
        blamed = {problem.node for problem in self.problems}
        for name in order:
            spec = self.specs[name]
            if name in blamed or name not in self.settings or not (spec.static or spec.check):
                continue
            given = {
                socket: self._output(known[source], source, output)
                for socket, source, output in self.links.get(name, [])
                if source in known
            }
            try:
                if spec.check is not None:
                    spec.check(given, self.settings[name])
                if spec.static and len(given) == len(self.links.get(name, [])):
                    known[name] = tuple(spec.run(**self.settings[name], **given))
            except BadInput as error:
                self.problems.append(error.at(name))
        return known

    def _output(self, values: tuple[Any, ...], node: str, output: str) -> Any:
        return values[list(self.specs[node].outputs).index(output)]

    def _assemble(
        self, order: list[str], targets: Mapping[str, tuple[str, str]], known: Mapping[str, tuple[Any, ...]]
    ) -> Plan:
        index = {name: position for position, name in enumerate(order)}
        slots: dict[tuple[str, str], int] = {}
        steps: list[Step] = []
        next_slot = 0
        for name in order:
            spec = self.specs[name]
            links = tuple((socket, slots[source, output]) for socket, source, output in self.links[name])
            sources = tuple(index[source] for _, source, _ in self.links[name])
            digests = self.digests[name]
            step = Step(
                name,
                spec,
                self.settings[name],
                links,
                sources,
                next_slot,
                known.get(name),
                None if digests is None else tuple(digests),
            )
            step.key_material = _key_material(step)
            steps.append(step)
            for output in spec.outputs:
                slots[name, output] = next_slot
                next_slot += 1
        files = {key: value for key, value in self.files.items() if key[0] in index}
        return Plan(steps, {name: slots[target] for name, target in targets.items()}, self.workflow, files)


_encode: Callable[[Any], str] = json.JSONEncoder(sort_keys=True, default=repr).encode


def _key_material(step: Step) -> bytes:
    settings = step.settings
    if step.spec.path_roles:  # the content of a file counts, not where it lies
        settings = {key: value for key, value in settings.items() if key not in step.spec.path_roles or not step.files}
    described = [value.fingerprint for value in step.known or () if isinstance(value, ModelDescription)]
    return _encode([step.spec.id, step.spec.version, step.spec.digest, settings, step.files, described]).encode()

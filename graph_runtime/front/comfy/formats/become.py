"""Nodes of the host become nodes of ours: names, settings and links."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from ....core.bounded import limits
from ....core.errors import did_you_mean, shorten
from ....core.pack import HostType
from ....core.spec import NodeSpec, Registry
from ....core.workflow import NAME, Node, Workflow
from ..input_types import typed_name
from .exact import restore
from .host_graph import HostGraph, HostNode, Source, text
from .host_types import setting_name, setting_of_socket, socket_of_setting
from .layout import Layout, Placed, read_layout
from .origins import origin_of
from .values import setting_from_host

#: What editors save beside a node's own inputs.
IGNORED = frozenset({"control_after_generate", "control_before_generate", "upload", "image_upload"})
_SUGGESTED = 20  # types for which a similar one is looked for


@dataclass(frozen=True)
class LeftOut:
    """A node of the host that the workflow does not have: its id, title, type and pack, and why."""

    id: str
    title: str
    type: str
    pack: str
    reason: str


class Becoming:
    """Makes the workflow of a host's graph; problems and warnings go into the graph."""

    def __init__(self, graph: HostGraph, types: Mapping[str, HostType], registry: Registry, *, partial: bool) -> None:
        self.graph, self.types, self.registry, self.partial = graph, types, registry, partial
        self.names: dict[str, str] = {}
        self.labels: dict[str, str] = {}
        self.left_out: list[LeftOut] = []
        self._hints: dict[str, str] = {}
        self.constants: dict[str, list[tuple[str, str]]] = {}  # of a primitive: the settings that it sets

    def workflow(self) -> Workflow:
        """The nodes, their settings and links, and the layout; `interface.py` adds inputs and outputs."""
        nodes = self._that_count()
        self._name(nodes)
        workflow = Workflow(nodes={})
        said = self.graph.own.get("ui")
        seen = read_layout(said) if isinstance(said, Mapping) else Layout()  # of an API file, which has no places
        layout = Layout(groups=self.graph.groups or seen.groups, notes=self.graph.notes or seen.notes)
        for node in nodes:
            name = self.names[node.id]
            made = self._node(node)
            kind = self.types[node.type]
            if kind.before:
                self._convert(workflow, name, kind, made)
            workflow.nodes[name] = made
            layout.nodes[name] = self._placed(node, kind, seen.nodes.get(name))
        workflow.ui = layout.to_ui()
        return workflow

    def _placed(self, node: HostNode, kind: HostType, seen: Placed | None) -> Placed:
        """What is seen of a node: what its file says, its own title and id, and its type if that is the host's.

        Where inlay wrote the file, the type's own title means that there was none.
        """
        title = "" if node.own and node.placed.title in kind.titles else node.placed.title
        stated = text(node.own.get("id"), limits.NAME) or node.placed.id
        host = node.type if kind.spec is None else ""
        placed = node.placed if seen is None else seen
        return replace(placed, title=title, id=stated, host=host)

    def _that_count(self) -> list[HostNode]:
        """The nodes that become nodes of ours; what is not known is a problem, or left out."""
        nodes = self.graph.nodes
        needed = self._needed()
        gone: set[str] = set()
        for node in nodes.values():
            if node.type in self.types:
                continue
            gone.add(node.id)
            reason = f"inlay does not know the type {shorten(node.type)}{_of(node.pack)}"
            if self.partial or node.id not in needed:
                self._leave_out(node, reason)
                continue
            near = self._near(node.type)
            self.graph.wrong(
                node.label,
                None,
                f"the type {shorten(node.type)}{_of(node.pack)}",
                "a node of inlay, or one of ComfyUI's that inlay knows",
                (f"{near} Or" if near.startswith("did you mean") else "replace it, or")
                + " leave it out with --partial, and what needs it",
            )
        if self.partial:
            self._without_inputs(gone, set(nodes))
        self._without_inputs(gone, set(nodes) - needed)
        return [node for node in nodes.values() if node.id not in gone and self.types[node.type].node]

    def _near(self, kind: str) -> str:
        """A hint for a type, for the first ones only: comparing takes time, and a hostile file may have thousands."""
        if kind not in self._hints and len(self._hints) < _SUGGESTED:
            self._hints[kind] = did_you_mean(kind, self.types)
        return self._hints.get(kind, "")

    def _without_inputs(self, gone: set[str], among: set[str]) -> None:
        """Leave out, of some nodes, those that lack an input that they need, and then those that lack these."""
        readers: dict[str, list[str]] = {}
        for node in self.graph.nodes.values():
            for link in node.links.values():
                readers.setdefault(link.node, []).append(node.id)
        waiting = sorted(among)
        while waiting:
            node = self.graph.nodes[waiting.pop()]
            if node.id in gone or (lacking := self._lacking(node, gone)) is None:
                continue
            gone.add(node.id)
            self._leave_out(node, f"nothing is connected to {shorten(lacking)}")
            waiting += [reader for reader in readers.get(node.id, ()) if reader in among]

    def _lacking(self, node: HostNode, gone: set[str]) -> str | None:
        """A socket of the node that nothing is connected to and that it needs; None if there is none."""
        kind, spec = self.types.get(node.type), self._spec(node)
        if kind is None or spec is None:
            return None
        for name, ours in kind.sockets.items():
            link = node.links.get(name)
            empty = link is None or link.node in gone or link.node not in self.graph.nodes
            socket = spec.sockets.get(ours)
            if empty and socket is not None and not socket.optional and name not in node.values:
                return name
        return None

    def _leave_out(self, node: HostNode, reason: str) -> None:
        self.left_out.append(LeftOut(node.id, node.title, node.type, node.pack, reason))
        self.graph.warn(node.label, f"left out: {reason}")

    def _needed(self) -> set[str]:
        """Ids of all nodes that one that saves needs; all, if nothing saves.

        A node of a type that is not known saves, for all that is known, if nothing reads it.
        """
        nodes = self.graph.nodes
        read = {link.node for node in nodes.values() for link in node.links.values()}
        ends = [name for name, node in nodes.items() if self._saves(node)]
        ends += [
            name for name, node in nodes.items() if node.type not in self.types and name not in read and node.links
        ]
        if not ends:
            return set(nodes)
        found: set[str] = set()
        while ends:
            name = ends.pop()
            if name in found or name not in nodes:
                continue
            found.add(name)
            ends += [link.node for link in nodes[name].links.values()]
        return found

    def _saves(self, node: HostNode) -> bool:
        spec = self._spec(node)
        return spec is not None and spec.effects

    def _spec(self, node: HostNode) -> NodeSpec | None:
        kind = self.types.get(node.type)
        return None if kind is None else kind.spec or self.registry.get(kind.node)

    # names

    def _name(self, nodes: Iterable[HostNode]) -> None:
        """Our name of each node: the one that inlay gave it, else of its title, else of its id."""
        nodes = list(nodes)
        taken: set[str] = set()
        for node in nodes:
            said = text(node.own.get("name"), limits.NAME)
            if NAME.fullmatch(said) and said not in taken:
                taken.add(said)
                self.names[node.id] = said
        for node in nodes:
            if node.id not in self.names:
                titled = node.title if node.title not in self.types[node.type].titles else ""
                name = slug(titled)
                if not name or name in taken:
                    name = "n" + re.sub(r"[^A-Za-z0-9]+", "_", node.id)[:200]
                while name in taken:
                    name += "_"
                taken.add(name)
                self.names[node.id] = name
            self.labels[self.names[node.id]] = node.label

    def aliases(self) -> dict[str, str]:
        """`node.setting` of ours for the host's ways to say it: with its id, or with a title that only one node has."""
        titles = Counter(node.title for node in self.graph.nodes.values())
        found: dict[str, str] = {}
        for name, ours in self.names.items():
            node = self.graph.nodes[name]
            kind = self.types[node.type]
            for called in (name, node.title, ours):
                if called and (called != node.title or titles[called] == 1):
                    found |= {f"{called}.{widget}": f"{ours}.{setting}" for widget, setting in kind.settings.items()}
                    found |= {f"{called}.{setting}": f"{ours}.{setting}" for setting in kind.settings.values()}
        return {said: meant for said, meant in found.items() if said != meant}

    # one node

    def _node(self, node: HostNode) -> Node:
        kind, spec = self.types[node.type], self._spec(node)
        version = node.own.get("version")
        found = Node(type=kind.node, version=spec.version if spec is not None else 1)
        if isinstance(version, int) and not isinstance(version, bool) and version >= 1:
            found.version = version
        if spec is None:  # a test's registry without this node of ours
            self.graph.wrong(node.label, None, f"no node {kind.node}", "a node that is installed", "update inlay")
            return found
        found.params.update(kind.fixed)
        for name, value in node.values.items():
            self._set(node, kind, spec, found, name, value)
        if kind.spec is not None:
            restore(spec, found.params, node.values, node.own)
        for name, link in node.links.items():
            self._connect(node, kind, spec, found, name, link)
        return found

    def _convert(self, workflow: Workflow, name: str, kind: HostType, made: Node) -> None:
        """Put the node in between that converts what comes in."""
        spec = self.registry[kind.before]
        between = f"{name}_in"
        while between in self.labels or between in workflow.nodes:
            between += "_"
        socket, output = next(iter(spec.sockets)), next(iter(spec.outputs))
        workflow.nodes[between] = Node(type=spec.id, version=spec.version)
        self.labels[between] = self.labels[name]
        for ours, link in made.inputs.items():
            workflow.nodes[between].inputs[socket] = link
            made.inputs[ours] = f"{between}.{output}"

    def _set(self, node: HostNode, kind: HostType, spec: NodeSpec, found: Node, name: str, value: object) -> None:
        """A widget's value, or a constant that was connected to an input."""
        setting = setting_name(kind, name)
        if setting is None and name in kind.sockets:
            setting = setting_of_socket(spec, kind.sockets[name])
            if setting is None:
                if value is not None:
                    self.graph.wrong(
                        node.label,
                        name,
                        f"the value {shorten(value)}",
                        "a link to a node",
                        "connect a node that outputs it",
                    )
                return
        if setting is None:
            if name not in IGNORED and kind.spec is not None and not name.startswith("$$"):
                self.graph.warn(node.label, f"{shorten(name)} is no input of {kind.node}, and is left out")
            return
        if setting != name and name == typed_name(setting) and not str(value or "").strip():
            return  # the list beside it says which model
        made = setting_from_host(spec, setting, value)
        found.params[setting] = not made if name in kind.negated and isinstance(made, bool) else made

    def _connect(self, node: HostNode, kind: HostType, spec: NodeSpec, found: Node, name: str, link: Source) -> None:
        """A link: to a socket of ours; or from a primitive, whose value becomes a setting."""
        constant, source = self._followed(node, name, link)
        if constant is not None:
            self._set(node, kind, spec, found, name, constant.values.get("value"))
            setting = setting_name(kind, name) or setting_of_socket(spec, kind.sockets.get(name, ""))
            if setting is not None:
                self.constants.setdefault(constant.id, []).append((self.names[node.id], setting))
            return
        socket = kind.sockets.get(name)
        if socket is None and (setting := setting_name(kind, name)) is not None:
            socket = socket_of_setting(spec, setting)
            last = origin_of(link, self.graph, self.types)
            if socket is None and (last is None or last.node not in self.graph.nodes):
                return  # a problem already
            if socket is None:
                self.graph.wrong(
                    node.label,
                    name,
                    "a value that is computed during the run",
                    "a fixed value: a setting is known before the run",
                    f"disconnect {shorten(name)} and type the value",
                )
                return
        if socket is None:
            self.graph.wrong(
                node.label,
                name,
                f"a link to an unknown input {shorten(name)}",
                f"an input of {kind.node}",
                did_you_mean(name, [*kind.sockets, *kind.settings]),
            )
        elif source is not None:
            found.inputs[socket] = source

    def _followed(self, node: HostNode, name: str, link: Source) -> tuple[HostNode | None, str | None]:
        """What a link leads to: a primitive, or `node.output` of ours; neither if it is gone."""
        last = origin_of(link, self.graph, self.types)
        if last is None:
            return None, None  # a circle, which is a problem already
        origin = self.graph.nodes.get(last.node)
        if origin is None:
            self.graph.wrong(
                node.label,
                name,
                f"a link from node {shorten(last.node)}, which is not there",
                "a node of this file",
                "connect another node",
            )
            return None, None
        kind = self.types.get(origin.type)
        if kind is None or (kind.node and origin.id not in self.names):
            return None, None  # left out
        if not kind.node:
            return origin, None
        if not 0 <= last.slot < len(kind.outputs):
            self.graph.wrong(
                node.label,
                name,
                f"a link from output {last.slot} of {origin.label}",
                f"one of its {len(kind.outputs)} outputs" if kind.outputs else "a node with outputs",
                "connect another output",
            )
            return None, None
        return None, f"{self.names[origin.id]}.{kind.outputs[last.slot]}"


def _of(pack: str) -> str:
    return f" of the pack {pack}" if pack else ""


def slug(title: str) -> str:
    """A name of ours made from a title; empty if nothing of it can be in a name."""
    plain = unicodedata.normalize("NFKD", title[:200]).encode("ascii", "ignore").decode()
    words = re.sub(r"[^a-z0-9]+", "_", plain.lower()).strip("_")[:60]
    return words if NAME.fullmatch(words) else ""

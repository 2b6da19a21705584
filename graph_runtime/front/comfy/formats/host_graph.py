"""A host's graph with everything resolved that only its editor knows: what `read.py` makes a workflow of.

Both of its files end up here: the API file as it is, the UI file after subgraphs, reroutes, primitives, bypassed and
muted nodes are gone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ....core.bounded import limits
from ....core.check.graph import cycle_text
from ....core.errors import Problem, clean, shorten
from ....core.events import Warned
from .layout import Group, Note, Placed

_SHOWN = 60  # characters of an id, and of a title, that a message shows


@dataclass(frozen=True)
class Source:
    """An output of a node: its id and the number of the output."""

    node: str
    slot: int


@dataclass
class HostNode:
    """One node that runs.

    Attributes:
        id: `12`; in a subgraph `5:3`, as the host's own prompts write it.
        type: the host's class.
        title: as the user sees it; empty where it is the type's own.
        values: of widgets, by name.
        links: what is connected, by the input's name.
        pack: what the file says about where the type comes from; empty if nothing.
        own: what inlay wrote about the node.
    """

    id: str
    type: str
    title: str = ""
    values: dict[str, object] = field(default_factory=dict)
    links: dict[str, Source] = field(default_factory=dict)
    pack: str = ""
    own: Mapping[str, object] = field(default_factory=dict)
    placed: Placed = field(default_factory=Placed)

    @property
    def label(self) -> str:
        """How a message names it: id and title, or type."""
        return label_of(self.id, self.title or self.type)


def label_of(node_id: str, name: str) -> str:
    """An id and a title on one line: a title that holds lines of its own must not look like a message."""
    node_id, name = (" ".join(clean(text).split()) for text in (node_id, name))
    return f"{_short(node_id)} ({_short(name)})"


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


@dataclass
class HostGraph:
    """All nodes that run, by id, what is only seen, and what was found wrong on the way."""

    nodes: dict[str, HostNode] = field(default_factory=dict)
    groups: list[Group] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    own: Mapping[str, object] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Warned] = field(default_factory=list)
    circles: set[frozenset[str]] = field(default_factory=set)  # that were named
    passed: dict[tuple[str, str], list[str]] = field(default_factory=dict)  # on the way of a link: reroutes and others

    def wrong(self, where: str | None, port: str | None, found: str, expected: str, fix: str) -> None:
        """Note a problem of the file, up to a limit."""
        if len(self.problems) < limits.PROBLEMS:
            self.problems.append(Problem(where, port, found, expected, fix))

    def circle(self, labels: Sequence[str]) -> None:
        """Note links that go round in a circle through these nodes, once."""
        if frozenset(labels) in self.circles:
            return
        self.circles.add(frozenset(labels))
        self.wrong(labels[0], None, cycle_text(labels), "a graph without cycles", "remove one of these links")

    def warn(self, where: str | None, message: str) -> None:
        """Note what the user should know, up to a limit."""
        if len(self.warnings) < limits.PROBLEMS:
            self.warnings.append(Warned(where, message))


def unwrapped(value: object) -> object:
    """A widget's value; a list is written `{"__value__": […]}`, because a plain list would be a link."""
    return value["__value__"] if isinstance(value, dict) and "__value__" in value else value


def as_id(value: object) -> str | None:
    """A node's id as text; None if it cannot be one."""
    if isinstance(value, str):
        return value if 0 < len(value) <= limits.NAME else None
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def text(value: object, most: int = limits.TEXT) -> str:
    """A text of the file; empty if it is none."""
    return value[:most] if isinstance(value, str) else ""


def own_facts(value: object) -> Mapping[str, object]:
    """What inlay wrote into the host's file; nothing if it is no object."""
    return value if isinstance(value, dict) else {}


def pack_of(said: Mapping[str, object]) -> str:
    """The pack of a node that its properties, or the `_meta` of an API file, name; empty if none."""
    for key in ("cnr_id", "aux_id"):
        if name := text(said.get(key), 200):
            return shorten(name)
    return ""

"""What an editor needs to come back without loss: ids, titles, places, sizes, colours, groups and notes.

A native file keeps it in `ui`, which the engine never reads:

    {"nodes": {"photo": {"x": 0, "y": 0, "width": 210, "height": 58, "title": "Photo", "id": "12", "color": "#323"}},
     "groups": [{"title": "Input", "x": 0, "y": 0, "width": 400, "height": 300}],
     "notes": [{"text": "Paint the mask here", "x": 0, "y": 400}]}

A workflow that came from a UI file with more than a flat graph can say keeps that file as `GRAPH`, see `kept.py`.

Older files hold `{"photo": {"x": 0, "y": 0}}`, which is read too. Whatever has another shape is left out.

The host's files name what only ours have under the key `OWN`: on a node (in a UI file its `properties`, in an API file
its `_meta`) `{"name": "photo", "version": 1}`, and of the workflow (in a UI file in `extra`, in an API file in the
`_meta` of its first node, as `workflow`) `{"title", "description", "inputs", "outputs"}`.
"""

import dataclasses
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

OWN = "inlay"
GRAPH = "graph"
Ui = dict[str, object]
K = TypeVar("K", "Placed", "Group", "Note")


@dataclass(frozen=True)
class Placed:
    """A node on the canvas, in the editor's pixels; what is empty or None was not said.

    Attributes:
        id: the host's id, `12`; in a subgraph, `5:3`.
        host: its type in the host, where that is a node of the host's own, such as `PreviewImage`.
    """

    x: float | None = None
    y: float | None = None
    width: float | None = None
    height: float | None = None
    title: str = ""
    id: str = ""
    color: str = ""
    bgcolor: str = ""
    collapsed: bool = False
    host: str = ""


@dataclass(frozen=True)
class Group:
    """A titled frame around nodes."""

    title: str = ""
    x: float = 0.0
    y: float = 0.0
    width: float = 0.0
    height: float = 0.0
    color: str = ""
    font_size: float | None = None


@dataclass(frozen=True)
class Note:
    """A text on the canvas; `markdown` if it is shown as such."""

    text: str = ""
    x: float | None = None
    y: float | None = None
    width: float | None = None
    height: float | None = None
    title: str = ""
    id: str = ""
    color: str = ""
    bgcolor: str = ""
    markdown: bool = False


@dataclass
class Layout:
    """Everything about a graph that is only seen."""

    nodes: dict[str, Placed] = field(default_factory=dict)
    groups: list[Group] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)

    def to_ui(self) -> Ui:
        """The `ui` of a native file; nothing if there is nothing to say."""
        nodes = {name: said for name, placed in self.nodes.items() if (said := _said(placed))}
        groups, notes = [_said(group) for group in self.groups], [_said(note) for note in self.notes]
        found: Ui = {"nodes": nodes}
        if groups:
            found["groups"] = groups
        if notes:
            found["notes"] = notes
        return found if nodes or groups or notes else {}


def read_layout(ui: Mapping[str, object]) -> Layout:
    """The layout that a native file's `ui` holds, in today's form or the older one."""
    nodes = ui.get("nodes")
    if not isinstance(nodes, Mapping) or not all(isinstance(value, Mapping) for value in nodes.values()):
        return Layout({name: _read(Placed, value) for name, value in ui.items() if isinstance(value, Mapping)})
    return Layout(
        {str(name): _read(Placed, value) for name, value in nodes.items()},
        [_read(Group, value) for value in _list(ui.get("groups")) if isinstance(value, Mapping)],
        [_read(Note, value) for value in _list(ui.get("notes")) if isinstance(value, Mapping)],
    )


def part_of(ui: Mapping[str, object], names: Iterable[str]) -> Ui:
    """The `ui` of the part of a workflow that has these nodes alone, in the form that it has, without a kept graph."""
    kept = set(names)
    nodes = ui.get("nodes")
    if not isinstance(nodes, Mapping) or not all(isinstance(value, Mapping) for value in nodes.values()):
        return {name: value for name, value in ui.items() if name in kept}
    rest = {key: value for key, value in ui.items() if key != GRAPH}
    return {**rest, "nodes": {name: value for name, value in nodes.items() if name in kept}}


def _said(item: Placed | Group | Note) -> dict[str, object]:
    """The fields that differ from their defaults; whole numbers without a fraction."""
    fields: dict[str, object] = {}
    for one in dataclasses.fields(item):
        value = getattr(item, one.name)
        if value != one.default or (one.name in ("x", "y") and value is not None):
            fields[one.name] = int(value) if isinstance(value, float) and value.is_integer() else value
    return fields


def _read(kind: type[K], raw: Mapping[str, object]) -> K:
    found: dict[str, Any] = {}  # Any: of each field its own type
    for one in dataclasses.fields(kind):
        value = raw.get(one.name)
        wanted = one.default
        if one.name in ("x", "y", "width", "height", "font_size"):
            value = number(value)
        elif one.name == "id" and isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if value is not None and (isinstance(value, type(wanted)) or wanted is None):
            found[one.name] = value
    return kind(**found)


def number(value: object) -> float | None:
    """A coordinate; None if it is none. Coordinates of no editor are cut off, so that they stay finite."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(max(-1e7, min(1e7, value)))


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []

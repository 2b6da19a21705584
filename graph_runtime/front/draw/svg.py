"""`inlay draw`: a workflow as an SVG picture, fit for a paper.

Nodes are boxes in layers from left to right, sockets are dots in the colour of their type, the workflow's own inputs
and outputs are pills. Only settings that differ from the default are shown. The workflow may come from anyone: every
text is escaped and cut to length, there are no links and no scripts, and unknown node types are drawn in grey.
"""

import unicodedata
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from html import escape
from typing import NamedTuple

from ...core.errors import WorkflowError
from ...core.spec import NodeSpec, Registry
from ...core.workflow import Node, Workflow
from ..docs.reference import shown_default
from ..node_settings import settings_of
from .graph_layout import Edge, GraphLayout, Item, Point, arrange

FONT = "'Helvetica Neue', Helvetica, Arial, 'Liberation Sans', 'Nimbus Sans', sans-serif"
INK, SOFT, FAINT, LINE, UNKNOWN = "#1c2430", "#66707e", "#a3acb8", "#d4d9e0", "#9aa3ae"
MARGIN, HEADER, ROW, PAD, PILL = 28.0, 44.0, 19.0, 14.0, 26.0
MOST_NODES, MOST_ROWS = 1_000, 5_000  # of a drawing
SHOWN = 26  # characters of a value
# widths of Helvetica in 1/1000 em; what is not listed counts as 560, wide scripts as 1000
NARROW = {
    **dict.fromkeys("ijl'|", 230),
    **dict.fromkeys("ftI.,:;!/ ()[]\\", 290),
    **dict.fromkeys('rs-"', 360),
    **dict.fromkeys("mM", 850),
    **dict.fromkeys("wWCDGHNOQRU%@…", 740),
    **dict.fromkeys("ABEKPSVXYZ&", 670),
}


class _Dot(NamedTuple):
    """One socket: its type, the colour of that type, and whether anything is connected to it."""

    type: str
    colour: str
    wired: bool


@dataclass
class _NodeBox:
    """One node, ready to be drawn."""

    name: str
    type: str
    known: bool
    inputs: dict[str, _Dot]
    outputs: dict[str, _Dot]
    settings: list[tuple[str, str, bool]] = field(default_factory=list)  # name, value, is the default

    @property
    def rows(self) -> int:
        return max(len(self.inputs), len(self.outputs))

    @property
    def settings_top(self) -> float:
        return HEADER + self.rows * ROW + (8 if self.rows else 0)

    @property
    def height(self) -> float:
        return self.settings_top + len(self.settings) * ROW + (10 if self.settings else 2)

    def item(self) -> Item:
        """Its size and sockets; settings can be connected too, to the pills of the workflow's inputs."""
        rows = list(self.inputs) + [""] * (self.rows - len(self.inputs))
        outs = list(self.outputs) + [""] * (self.rows - len(self.outputs))
        sockets = [text_width(a, 11) + text_width(b, 11) + 2 * PAD + 22 for a, b in zip(rows, outs, strict=True)]
        settings = [text_width(name, 10.5) + text_width(value, 10.5) + 2 * PAD + 16 for name, value, _ in self.settings]
        width = max(
            124.0,
            text_width(self.name, 13, bold=True) + 2 * PAD,
            text_width(self.type, 10.5) + 2 * PAD,
            *sockets,
            *settings,
        )
        inputs = {name: HEADER + (row + 0.5) * ROW for row, name in enumerate(self.inputs)}
        inputs |= {
            f".{name}": self.settings_top + 4 + (row + 0.5) * ROW for row, (name, _, _) in enumerate(self.settings)
        }
        outputs = {name: HEADER + (row + 0.5) * ROW for row, name in enumerate(self.outputs)}
        return Item(width, self.height, inputs, outputs)


def draw(workflow: Workflow, registry: Registry) -> str:
    """The workflow as SVG text. Draws every workflow that can be parsed, also one with errors in it.

    Raises:
        WorkflowError: it is too large for a drawing.
    """
    _require_few(workflow)
    boxes = _node_boxes(workflow, registry)
    items = {f"n:{name}": box.item() for name, box in boxes.items()}
    edges = _edges(workflow, boxes)
    for name in workflow.inputs:
        items[f"i:{name}"] = Item(_pill_width(name), PILL, {}, {"": PILL / 2}, side="right")
    for name in workflow.outputs:
        items[f"o:{name}"] = Item(_pill_width(name), PILL, {"": PILL / 2}, {}, side="left")
    layout = arrange(items, edges)
    return _svg(workflow, boxes, items, layout)


def _require_few(workflow: Workflow) -> None:
    nodes = workflow.nodes.values()
    targets = sum(len(workflow.targets(name)) for name in workflow.inputs)
    rows = sum(len(node.params) + len(node.inputs) for node in nodes) + targets
    for count, most, what in ((len(nodes), MOST_NODES, "nodes"), (rows, MOST_ROWS, "settings and links")):
        if count > most:
            raise WorkflowError.of(
                "nodes", found=f"{count:,} {what}", expected=f"at most {most:,} in a drawing", fix="draw a part of it"
            )


def socket_colours(registry: Registry) -> dict[str, str]:
    """The colour that ports give their socket type, by type."""
    ports = [
        port
        for spec in registry.values()
        for port in (*(socket.port for socket in spec.sockets.values()), *spec.outputs.values())
    ]
    return {port.socket: port.colour for port in ports if port.colour}


def colour(socket: str, colours: Mapping[str, str]) -> str:
    """The colour of a socket type; a type without one gets a colour derived from its name."""
    if socket in colours or not socket:
        return colours.get(socket, UNKNOWN)
    return f"hsl({zlib.crc32(socket.encode('utf-8', 'replace')) % 360}, 48%, 42%)"


def text_width(text: str, size: float, bold: bool = False) -> float:
    """The approximate width of `text` in pixels, generous enough for any font."""
    units = sum(NARROW.get(char, 1000 if unicodedata.east_asian_width(char) in "WF" else 560) for char in text)
    return units / 1000 * size * (1.2 if bold else 1.12)


def clean(text: object, limit: int) -> str:
    """One line without control characters, cut to `limit`."""
    line = " ".join(
        "".join(
            " " if char in "\t\n\r" else char
            for char in str(text)[: 40 * limit]
            if char in "\t\n\r" or unicodedata.category(char)[0] != "C"
        ).split()
    )
    return line if len(line) <= limit else line[: limit - 1] + "…"


# what is in the picture


def _node_boxes(workflow: Workflow, registry: Registry) -> dict[str, _NodeBox]:
    read = {link for node in workflow.nodes.values() for link in node.inputs.values() if isinstance(link, str)}
    read |= set(workflow.outputs.values())
    exposed = {target for name in workflow.inputs for target in workflow.targets(name)}
    colours = socket_colours(registry)

    def dot(socket: str, wired: bool) -> _Dot:
        return _Dot(socket, colour(socket, colours), wired)

    return {
        name: _node_box(name, node, registry.get(node.type), read, exposed, dot)
        for name, node in workflow.nodes.items()
    }


def _node_box(
    name: str,
    node: Node,
    spec: NodeSpec | None,
    read: set[str],
    exposed: set[str],
    dot: Callable[[str, bool], _Dot],
) -> _NodeBox:
    if spec is None:
        outputs = sorted(link.partition(".")[2] for link in read if link.partition(".")[0] == name)
        inputs = {socket: dot("", True) for socket in node.inputs}
        box = _NodeBox(
            clean(name, 40),
            clean(f"{node.type} (unknown)", 48),
            False,
            inputs,
            {output: dot("", True) for output in outputs},
        )
        box.settings = [(key, _value(value), False) for key, value in node.params.items()]
    else:
        inputs = {
            socket.name: dot(socket.port.socket, socket.name in node.inputs)
            for socket in spec.sockets.values()
            if socket.name in node.inputs or not socket.optional
        }
        inputs |= {socket: dot("", True) for socket in node.inputs if socket not in spec.sockets}
        outputs_ = {output: dot(port.socket, f"{name}.{output}" in read) for output, port in spec.outputs.items()}
        box = _NodeBox(clean(name, 40), spec.id, True, inputs, outputs_, list(_settings(name, node, spec, exposed)))
    known = {setting for setting, _, _ in box.settings}
    wanted = [target.partition(".")[2] for target in sorted(exposed) if target.partition(".")[0] == name]
    box.settings += [(setting, "", True) for setting in wanted if setting not in known]
    return box


def _settings(name: str, node: Node, spec: NodeSpec, exposed: set[str]) -> Iterator[tuple[str, str, bool]]:
    """The settings to show: those that differ from the default, and the inputs of the workflow."""
    seen = set()
    for setting in settings_of(spec):
        seen.add(setting.name)
        given = node.params.get(setting.name, setting.default)
        default = not setting.required and given == setting.default
        if (setting.name in node.params and not default) or f"{name}.{setting.name}" in exposed:
            shown = "" if given in (None, "") else _value(given)
            if setting.path in ("file", "files"):  # the end of a path is more informative than its beginning
                shown = text if len(text := clean(given or "", 4096)) <= SHOWN else "…" + text[1 - SHOWN :]
            yield setting.name, shown, default
    yield from ((key, _value(value), False) for key, value in node.params.items() if key not in seen)


def _value(value: object) -> str:
    return clean(value if isinstance(value, str) else shown_default(value), SHOWN)


def _edges(workflow: Workflow, boxes: dict[str, _NodeBox]) -> list[Edge]:
    edges = []
    for name, node in workflow.nodes.items():
        for socket, link in node.inputs.items():
            source, _, output = link.partition(".") if isinstance(link, str) else ("", "", "")
            if source in boxes and output in boxes[source].outputs:
                edges.append(Edge(f"n:{source}", output, f"n:{name}", socket))
    for name in workflow.inputs:
        for target in workflow.targets(name):
            node_name, _, setting = target.partition(".")
            if node_name in boxes:
                edges.append(Edge(f"i:{name}", "", f"n:{node_name}", f".{setting}"))
    for name, link in workflow.outputs.items():
        source, _, output = link.partition(".")
        if source in boxes and output in boxes[source].outputs:
            edges.append(Edge(f"n:{source}", output, f"o:{name}", ""))
    return edges


def _pill_width(name: str) -> float:
    return text_width(clean(name, 40), 12, bold=True) + 26


# SVG


def _svg(workflow: Workflow, boxes: dict[str, _NodeBox], items: dict[str, Item], layout: GraphLayout) -> str:
    title = clean(workflow.title, 120)
    top = MARGIN + (34 if title else 0)
    legend, legend_width, legend_height = _legend(boxes, max(layout.width, 420.0))
    width = max(layout.width, text_width(title, 17, bold=True), legend_width) + 2 * MARGIN
    height = top + layout.height + (legend_height + 22 if legend else 0) + MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" role="img" font-family="{FONT}">',
        f"<title>{escape(title or 'workflow')}</title>",
        f'<rect width="{width:.0f}" height="{height:.0f}" fill="#ffffff"/>',
    ]
    if title:
        parts.append(_text(MARGIN, MARGIN + 14, title, 17, INK, weight=600))
    parts.append(f'<g transform="translate({MARGIN:g} {top:g})">')
    parts += [_edge(edge, layout, boxes) for edge in layout.routes]
    for name, box in boxes.items():
        parts += _node(box, items[f"n:{name}"])
    parts += [_pill(name, items[f"i:{name}"], INK) for name in workflow.inputs]
    parts += [_pill(name, items[f"o:{name}"], "#0b6e4f") for name in workflow.outputs]
    parts.append("</g>")
    if legend:
        parts.append(f'<g transform="translate({MARGIN:g} {top + layout.height + 22:.1f})">{legend}</g>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _text(x: float, y: float, text: str, size: float, fill: str, anchor: str = "start", weight: int = 400) -> str:
    extra = f' text-anchor="{anchor}"' if anchor != "start" else ""
    extra += f' font-weight="{weight}"' if weight != 400 else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size:g}" fill="{fill}"{extra}>{escape(text)}</text>'


def _edge(edge: Edge, layout: GraphLayout, boxes: dict[str, _NodeBox]) -> str:
    stroke = FAINT if edge.source.startswith("i:") else boxes[edge.source[2:]].outputs[edge.output].colour
    dashes = ' stroke-dasharray="5 4"' if edge in layout.backward else ""
    halo = f'<path d="{(path := _path(layout.routes[edge]))}" fill="none" stroke="#ffffff" stroke-width="5"/>'
    return f'{halo}<path d="{path}" fill="none" stroke="{stroke}" stroke-width="1.7" stroke-linecap="round"{dashes}/>'


def _path(points: list[Point]) -> str:
    """Curves between the layers, straight lines through them."""
    x, y = points[0]
    path = [f"M{x:.1f} {y:.1f}"]
    for number, (to_x, to_y) in enumerate(points[1:]):
        if number % 2:  # a lane
            path.append(f"L{to_x:.1f} {to_y:.1f}")
        else:
            bend = max(abs(to_x - x) / 2, 26.0)
            path.append(f"C{x + bend:.1f} {y:.1f} {to_x - bend:.1f} {to_y:.1f} {to_x:.1f} {to_y:.1f}")
        x, y = to_x, to_y
    return " ".join(path)


def _node(box: _NodeBox, item: Item) -> Iterator[str]:
    x, y, width = item.x, item.y, item.width
    style = f'fill="#ffffff" stroke="{LINE}"'
    if not box.known:
        style = f'fill="#f1f3f5" stroke="{UNKNOWN}" stroke-dasharray="4 3"'
    yield (
        f'<g><rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{box.height:.1f}" rx="9" '
        f'stroke-width="1.2" {style}/>'
    )
    yield _text(x + PAD, y + 19, box.name, 13, INK if box.known else SOFT, weight=600)
    yield _text(x + PAD, y + 34, box.type, 10.5, FAINT if box.known else SOFT)
    for row, (name, dot) in enumerate(box.inputs.items()):
        centre = y + HEADER + (row + 0.5) * ROW
        yield _dot(x, centre, dot)
        yield _text(x + PAD, centre + 3.8, clean(name, 40), 11, INK if dot.wired else FAINT)
    for row, (name, dot) in enumerate(box.outputs.items()):
        centre = y + HEADER + (row + 0.5) * ROW
        yield _dot(x + width, centre, dot)
        yield _text(x + width - PAD, centre + 3.8, clean(name, 40), 11, INK if dot.wired else FAINT, "end")
    if box.settings and box.rows:
        line = y + box.settings_top
        yield f'<path d="M{x + PAD:.1f} {line:.1f}H{x + width - PAD:.1f}" stroke="{LINE}" stroke-width="1"/>'
    for row, (name, value, default) in enumerate(box.settings):
        base = y + box.settings_top + 4 + (row + 0.5) * ROW + 3.6
        yield _text(x + PAD, base, clean(name, 40), 10.5, SOFT)
        if value:
            yield _text(x + width - PAD, base, value, 10.5, FAINT if default else INK, "end")
    yield "</g>"


def _dot(x: float, y: float, dot: _Dot) -> str:
    fill, edge = (dot.colour, "#ffffff") if dot.wired else ("#ffffff", dot.colour)
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.6" fill="{fill}" stroke="{edge}" stroke-width="1.4"/>'


def _pill(name: str, item: Item, fill: str) -> str:
    return (
        f'<rect x="{item.x:.1f}" y="{item.y:.1f}" width="{item.width:.1f}" height="{PILL:g}" rx="{PILL / 2:g}" '
        f'fill="{fill}"/>'
        + _text(item.x + item.width / 2, item.y + PILL / 2 + 4.2, clean(name, 40), 12, "#ffffff", "middle", 600)
    )


def _legend(boxes: dict[str, _NodeBox], limit: float) -> tuple[str, float, float]:
    dots = [dot for box in boxes.values() for dot in (*box.inputs.values(), *box.outputs.values())]
    shown = dict.fromkeys(dot for dot in dots if dot.type and dot.wired)
    parts, x, y, widest = [], 0.0, 8.0, 0.0
    for dot in shown:
        label = clean(dot.type.removeprefix("INLAY_").replace("_", " ").lower(), 40)
        size = text_width(label, 11) + 30
        if x and x + size > limit:
            x, y = 0.0, y + 20
        parts.append(_dot(x + 5, y - 4, dot) + _text(x + 15, y, label, 11, SOFT))
        x += size
        widest = max(widest, x)
    return "".join(parts), widest, y if parts else 0.0

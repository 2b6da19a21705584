"""Where nodes and notes stand in the host's editor, and how large they are there.

`y` of a node is below its title bar, as the editor counts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ....core.errors import WorkflowError
from ....core.workflow import Link
from ...draw.graph_layout import Edge, Item, arrange
from .layout import Layout, Note

TITLE, ROW, WIDGET, TEXT_BOX, PICTURE = 30.0, 20.0, 24.0, 96.0, 220.0  # heights in the editor's pixels
LETTER, NARROWEST, WIDEST = 7.2, 210.0, 400.0
NOTE_WIDTH, NOTE_LETTERS, NOTE_LINE = 360.0, 56, 16.0
GRID = 10.0
GAP = 60.0

Links = Mapping[str, Sequence[Link]]


@dataclass
class Box:
    """A node's place and size; its sockets from top to bottom."""

    width: float
    height: float
    inputs: Sequence[str] = field(default_factory=tuple)
    outputs: Sequence[str] = field(default_factory=tuple)
    x: float = 0.0
    y: float = 0.0


def size_of(
    title: str,
    inputs: Sequence[str],
    outputs: Sequence[str],
    widgets: Mapping[str, tuple[object, bool]],
    *,
    buttons: int,
    pictures: bool,
) -> Box:
    """The size at which an editor shows all of a node.

    Args:
        widgets: by name, the value, and whether it is a box of text.
        buttons: how many more widgets of a row there are.
        pictures: it shows pictures below its widgets.
    """
    rows = max(len(inputs), len(outputs))
    pairs = [
        len(inputs[row] if row < len(inputs) else "") + len(outputs[row] if row < len(outputs) else "") + 6
        for row in range(rows)
    ]
    letters = [len(title) + 6, *pairs]
    letters += [len(name) + 12 + (0 if boxed else min(len(str(value)), 24)) for name, (value, boxed) in widgets.items()]
    width = min(max(max(letters) * LETTER, NARROWEST), WIDEST)
    height = rows * ROW + sum(TEXT_BOX if boxed else WIDGET for _, boxed in widgets.values()) + buttons * WIDGET
    height += 14 if widgets else 6
    return Box(_up(max(width, 300.0 if pictures else 0)), _up(height + (PICTURE if pictures else 0)), inputs, outputs)


def place(layout: Layout, boxes: dict[str, Box], links: Links) -> list[Note]:
    """Set the places of all boxes: those that the layout says, and a drawn graph's for the others.

    Returns:
        the notes, with a place and a size each.
    """
    stated = {
        name: (placed.x, placed.y)
        for name, placed in layout.nodes.items()
        if name in boxes and placed.x is not None and placed.y is not None
    }
    for name, (x, y) in stated.items():
        boxes[name].x, boxes[name].y = x, y
    if not stated or (_is_sketch(layout) and _overlap(boxes)):
        stated = {}
    rest = [name for name in boxes if name not in stated]
    arrange_boxes({name: boxes[name] for name in rest}, links)
    if stated and rest:  # below what stands already
        bottom = max(boxes[name].y + boxes[name].height for name in stated)
        left = min(boxes[name].x for name in stated)
        for name in rest:
            boxes[name].x, boxes[name].y = boxes[name].x + left, boxes[name].y + bottom + GAP
    return list(_place_notes(layout.notes, boxes))


def _is_sketch(layout: Layout) -> bool:
    """True for places without sizes, groups, notes or ids: of an older file, made for smaller boxes."""
    bare = all(node.width is None and node.height is None and not node.id for node in layout.nodes.values())
    return bare and not layout.groups and not layout.notes


def _overlap(boxes: Mapping[str, Box]) -> bool:
    ordered = sorted(boxes.values(), key=lambda box: box.x)
    for number, box in enumerate(ordered):
        for other in ordered[number + 1 :]:
            if other.x >= box.x + box.width:
                break
            if other.y - TITLE < box.y + box.height and box.y - TITLE < other.y + other.height:
                return True
    return False


def arrange_boxes(boxes: Mapping[str, Box], links: Links) -> None:
    """Left to right along the links."""
    items = {
        name: Item(
            box.width + 2 * GRID,
            box.height + TITLE + GRID,
            {socket: TITLE + ROW * (row + 0.5) for row, socket in enumerate(box.inputs)},
            {socket: TITLE + ROW * (row + 0.5) for row, socket in enumerate(box.outputs)},
            side="left",
        )
        for name, box in boxes.items()
    }
    edges = [
        Edge(link.node, link.output, name, link.socket) for name in boxes for link in links[name] if link.node in boxes
    ]
    try:
        arrange(items, edges)
    except WorkflowError:  # links across too many layers: only their columns are readable
        for number, item in enumerate(items.values()):
            item.x, item.y = number * (WIDEST + GAP), 0.0
    for name, item in items.items():
        boxes[name].x, boxes[name].y = _near(item.x), _near(item.y + TITLE)


def _place_notes(notes: Sequence[Note], boxes: Mapping[str, Box]) -> list[Note]:
    """Notes without a place stand one below the other, left of all nodes."""
    left = min((box.x for box in boxes.values()), default=0.0)
    y = min((box.y for box in boxes.values()), default=0.0)
    found = []
    for note in notes:
        width, height = note.width or NOTE_WIDTH, note.height or note_height(note.text, note.width or NOTE_WIDTH)
        if note.x is None or note.y is None:
            note = replace(note, x=left - width - GAP, y=y)
            y += height + GAP
        found.append(replace(note, width=width, height=height))
    return found


def note_height(text: str, width: float = NOTE_WIDTH) -> float:
    """The height at which a note of this width shows all of its text."""
    letters = max(1, int(NOTE_LETTERS * width / NOTE_WIDTH))
    lines = sum(max(1, -(-len(line) // letters)) for line in text.split("\n"))
    return _up(lines * NOTE_LINE + 60)


def _up(value: float) -> float:
    return -(-value // GRID) * GRID


def _near(value: float) -> float:
    return round(value / GRID) * GRID

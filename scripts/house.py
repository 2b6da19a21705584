"""docs/images/house.svg: the rooms of the package, and who imports whom, read from the import statements.

    python scripts/house.py            # writes the picture
    python scripts/house.py --print    # prints it

A thick arrow leads to the floor directly below. Beside the house a thin line for each room ends in an arrow at it; a
dot marks each room further up that imports it.
"""

import ast
import sys
from collections.abc import Iterator
from html import escape
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "images" / "house.svg"

#: The rooms from the top floor to the ground, with the folder of each and what it is.
FLOORS = (
    ("front",),
    ("nodes",),
    ("training",),
    ("methods", "models"),
    ("pictures",),
    ("core",),
)
ROOMS = {
    "front": ("graph_runtime/front", "command line, Python API, ComfyUI, docs, drawings"),
    "nodes": ("nodes", "what a user wires: the nodes, by family, and their checks"),
    "training": ("training", "the training loop, its processes, what can be trained"),
    "methods": ("methods", "what the papers say: tensors in, tensors out"),
    "models": ("models", "where weights come from, how they are read"),
    "pictures": ("pictures", "files, colour, masks, crops, pasting, sheets"),
    "core": ("graph_runtime/core", "the engine: node definitions, files, checks, plan, runs"),
}

WIDTH, MARGIN, FLOOR, HEIGHT, GAP = 800, 80, 96, 60, 20
LANE, INK, SOFT = 16, "#1c2430", "#66707e"
COLOURS = {"core": "#2b74c9", "pictures": "#2f9e44", "models": "#8e44ad", "methods": "#d9480f", "training": "#b8860b"}


def room_of(parts: tuple[str, ...]) -> str | None:
    """The room of a module's path inside the package; None for what stands outside the rooms."""
    if parts[:1] == ("graph_runtime",):
        return parts[1] if parts[1:2] in (("core",), ("front",)) else "core"
    return parts[0] if parts and parts[0] in ROOMS else None


def imports() -> set[tuple[str, str]]:
    """(importing room, imported room) for every relative import statement of the package, those in functions too."""
    found = set()
    for folder in sorted({folder.split("/")[0] for folder, _ in ROOMS.values()}):
        for path in sorted((ROOT / folder).rglob("*.py")):
            package = path.relative_to(ROOT).parent.parts
            own = room_of(path.relative_to(ROOT).with_suffix("").parts)
            for target in _targets(path, package):
                other = room_of(target)
                if own is not None and other is not None and own != other:
                    found.add((own, other))
    return found


def _targets(path: Path, package: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for statement in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(statement, ast.ImportFrom) and 0 < statement.level <= len(package) + 1:
            base = package[: len(package) - statement.level + 1] + tuple((statement.module or "").split("."))
            for alias in statement.names:
                yield tuple(part for part in (*base, alias.name) if part)


def draw(edges: set[tuple[str, str]]) -> str:
    """The picture as SVG text."""
    boxes = _boxes()
    height = len(FLOORS) * FLOOR + 20
    below = {(source, target) for upper, lower in pairwise(FLOORS) for source in upper for target in lower} & edges
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
        "role=\"img\" font-family=\"'Helvetica Neue', Helvetica, Arial, 'Liberation Sans', sans-serif\">",
        "<title>The rooms of inlay: a room imports only those below it</title>",
        '<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0 0L10 5L0 10z" fill="{INK}"/></marker></defs>',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        *(_arrow(boxes[source], boxes[target]) for source, target in sorted(below)),
        *(part for room, box in boxes.items() for part in _room(room, *box)),
        *_bypasses(boxes, edges - below),
    ]
    return "\n".join([*parts, "</svg>"]) + "\n"


Box = tuple[float, float, float]  # left, top, width


def _boxes() -> dict[str, Box]:
    inner = WIDTH - 2 * MARGIN
    boxes = {}
    for number, floor in enumerate(FLOORS):
        width = (inner - GAP * (len(floor) - 1)) / len(floor)
        for column, room in enumerate(floor):
            boxes[room] = (MARGIN + column * (width + GAP), 20.0 + number * FLOOR, width)
    return boxes


def _room(room: str, left: float, top: float, width: float) -> Iterator[str]:
    folder, line = ROOMS[room]
    middle = left + width / 2
    yield (
        f'<rect x="{left:g}" y="{top:g}" width="{width:g}" height="{HEIGHT}" rx="8" fill="#ffffff" '
        f'stroke="{COLOURS.get(room, INK)}" stroke-width="1.6"/>'
    )
    for y, size, fill, text, weight in ((25, 16, INK, folder, 600), (45, 11.5, SOFT, line, 400)):
        yield (
            f'<text x="{middle:g}" y="{top + y:g}" font-size="{size}" font-weight="{weight}" fill="{fill}" '
            f'text-anchor="middle">{escape(text)}</text>'
        )


def _arrow(source: Box, target: Box) -> str:
    left, right = max(source[0], target[0]), min(source[0] + source[2], target[0] + target[2])
    x = (left + right) / 2
    return (
        f'<path d="M{x:g} {source[1] + HEIGHT:g}V{target[1] - 3:g}" stroke="{INK}" stroke-width="2" fill="none" '
        'marker-end="url(#tip)"/>'
    )


def _bypasses(boxes: dict[str, Box], edges: set[tuple[str, str]]) -> Iterator[str]:
    """A line beside the house for each room that is imported from more than one floor up."""
    left = {floor[0] for floor in FLOORS if len(floor) > 1}  # these do not reach the right wall
    lanes = {-1: 0, 1: 0}
    for target in (room for floor in FLOORS for room in floor):
        for side in (-1, 1):
            sources = [
                source for source in boxes if (source, target) in edges and (side < 0) == bool(left & {source, target})
            ]
            if sources:
                yield from _bypass(boxes, target, sources, side, lanes[side])
                lanes[side] += 1


def _bypass(boxes: dict[str, Box], target: str, sources: list[str], side: int, lane: int) -> Iterator[str]:
    colour = COLOURS.get(target, INK)
    wall = WIDTH - MARGIN if side > 0 else MARGIN
    x = wall + side * (24 + LANE * lane)
    end = boxes[target][1] + HEIGHT - 12
    starts = [boxes[source][1] + 14 + 11 * lane for source in sources]
    style = f'stroke="{colour}" stroke-width="1.4" fill="none"'
    yield f'<path d="M{x:g} {min(starts):g}V{end:g}H{wall:g}" {style}/>'
    yield f'<path d="M{wall:g} {end:g}l{9 * side} -4v8z" fill="{colour}"/>'
    for start in starts:
        yield f'<path d="M{wall:g} {start:g}H{x:g}" {style}/>'
        yield f'<circle cx="{wall:g}" cy="{start:g}" r="3" fill="{colour}"/>'


def main() -> None:
    """Write the picture, or print it."""
    text = draw(imports())
    if "--print" in sys.argv:
        print(text, end="")
    else:
        PICTURE.write_text(text, encoding="utf-8")
        print(PICTURE.relative_to(ROOT))


if __name__ == "__main__":
    main()

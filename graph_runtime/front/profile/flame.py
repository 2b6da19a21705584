"""A profile as a picture: time runs to the right, and what happened within something lies below it.

The SVG has rectangles, texts and titles, and nothing else: no script, no link, no style from elsewhere. What is
narrower than a third of a pixel is left out, so the file stays small for a run of any length; titles count what is in
them all the same.
"""

from collections.abc import Iterator
from itertools import accumulate
from xml.sax.saxutils import escape

from ...core.errors import clean
from .spans import Kind, Span

WIDTH, ROW, MARGIN, TOP = 1200.0, 20.0, 10.0, 40.0  # pixels
LEAST = 1 / 3  # pixels
LETTER = 6.6  # pixels that a letter takes at most
TITLE = 120  # letters of the title of the run
LONGEST = 500  # letters of a name or a fact that a title shows
COLOURS: dict[Kind, str] = {"run": "#b9c0c9", "node": "#e8a33d", "step": "#f4d58d", "call": "#7ea8be"}
FOUND = "#a7c4a0"  # nodes that did not run


def flame_of(whole: Span) -> str:
    """The picture as SVG 1.1."""
    depth = _depth(whole)
    height = TOP + depth * ROW + MARGIN
    scale = WIDTH / whole.seconds if whole.seconds > 0 else 0.0
    heading = f"{_cut(whole.name, TITLE)}: {_time(whole.seconds)}, {whole.facts.get('status', '')}"
    legend = "orange: nodes, green: results known before, yellow: steps, blue: calls of models"
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<svg xmlns="http://www.w3.org/2000/svg" version="1.1" width="{WIDTH + 2 * MARGIN:g}" height="{height:g}" '
        f'viewBox="0 0 {WIDTH + 2 * MARGIN:g} {height:g}" font-family="monospace" font-size="11">',
        f"<title>{_text(heading)}</title>",
        '<rect width="100%" height="100%" fill="#ffffff"/>',
        f'<text x="{MARGIN:g}" y="16" font-size="13">{_text(heading)}</text>',
        f'<text x="{MARGIN:g}" y="31" fill="#555555">{legend}; rest on one for its numbers</text>',
        *_drawn(whole, 0, scale),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _drawn(span: Span, row: int, scale: float) -> Iterator[str]:
    width = span.seconds * scale
    if width < LEAST:
        return
    x, y = MARGIN + span.began * scale, TOP + row * ROW
    colour = FOUND if span.kind == "node" and span.facts.get("result") != "made" else COLOURS[span.kind]
    facts = "".join(f"\n{name}: {_cut(str(value), LONGEST)}" for name, value in span.facts.items())
    yield f"<g><title>{_text(f'{_cut(span.name, LONGEST)}: {_time(span.seconds)}{facts}')}</title>"
    yield (
        f'<rect x="{x:.2f}" y="{y:.2f}" width="{width:.2f}" height="{ROW - 1:g}" '
        f'fill="{colour}" stroke="#ffffff" stroke-width="0.3"/>'
    )
    room = int((width - 6) / LETTER)
    if room >= 3:
        yield f'<text x="{x + 3:.2f}" y="{y + 14:.2f}">{_text(_cut(span.name, room))}</text>'
    yield "</g>"
    rows = _rows(span)
    for inner in span.inner:
        yield from _drawn(inner, row + rows[inner.lane], scale)


def _rows(span: Span) -> dict[int, int]:
    """How far below a span the first row of each lane in it is."""
    depths = _depths(span)
    return dict(zip(sorted(depths), accumulate([1, *(depths[lane] for lane in sorted(depths))]), strict=False))


def _depths(span: Span) -> dict[int, int]:
    """Rows that each lane in a span takes."""
    depths: dict[int, int] = {}
    for inner in span.inner:
        depths[inner.lane] = max(depths.get(inner.lane, 0), _depth(inner))
    return depths


def _depth(span: Span) -> int:
    return 1 + sum(_depths(span).values())


def _time(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.2f} ms"


def _cut(words: str, letters: int) -> str:
    return words if len(words) <= letters else words[: letters - 1] + "…"


def _text(words: str) -> str:
    """Any text as XML: without characters that XML cannot hold."""
    kept = "".join(letter for letter in clean(words) if letter not in "\ufffe\uffff")
    return escape(kept, {'"': "&quot;"})

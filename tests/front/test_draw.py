"""The drawing: complete, free of overlaps, and safe whatever a stranger's file holds."""

import contextlib
import itertools
import time
import xml.etree.ElementTree as ElementTree
from typing import Annotated, NamedTuple

import pytest
from hostile_workflows import TEXTS, filled, many
from hypothesis import given, settings
from hypothesis import strategies as st
from inlay.graph_runtime import Port, ReadPath, Registry, WorkflowError, node
from inlay.graph_runtime.core.workflow import Node, Workflow, parse
from inlay.graph_runtime.front.draw.graph_layout import Edge, Item, arrange
from inlay.graph_runtime.front.draw.svg import clean, colour, draw, socket_colours, text_width
from inlay.graph_runtime.front.installed import installed_nodes

Thing = Annotated[object, Port("TOY_THING", "anything")]
SVG = "{http://www.w3.org/2000/svg}"


class Things(NamedTuple):
    thing: Thing


@node("draw_toy.source")
def source(path: ReadPath, steps: int = 3, rate: float = 0.5) -> Things:
    """Make one."""


@node("draw_toy.join")
def join(first: Thing, second: Thing | None = None, third: Thing | None = None, text: str = "") -> Things:
    """Join some."""


Paint = Annotated[object, Port("TOY_PAINT", "paint", colour="#123456")]


class Paints(NamedTuple):
    paint: Paint


@node("draw_toy.paint")
def painted(thing: Thing) -> Paints:
    """Paint it."""


REGISTRY = Registry([source.spec, join.spec])


def small(**changes):
    nodes = {
        "a": Node(type="draw_toy.source", params={"path": "room.png", "steps": 3, "rate": 0.25}),
        "b": Node(type="draw_toy.join", inputs={"first": "a.thing"}),
        "c": Node(type="draw_toy.join", inputs={"first": "b.thing", "third": "a.thing"}),
    }
    return Workflow(title="A title", inputs={"image": "a.path"}, nodes=nodes | changes, outputs={"result": "c.thing"})


def texts(svg):
    return [element.text for element in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def test_everything_is_in_the_picture():
    found = texts(draw(small(), REGISTRY))
    for word in (
        "A title",
        "image",
        "result",
        "a",
        "b",
        "c",
        "draw_toy.source",
        "path",
        "room.png",
        "rate",
        "0.25",
        "first",
        "third",
        "toy thing",
    ):
        assert word in found, word
    assert "steps" not in found  # it has its default
    assert "second" not in found  # optional and not wired


def test_long_values_are_cut_and_paths_keep_their_end():
    found = texts(
        draw(
            small(
                a=Node(type="draw_toy.source", params={"path": "folder/" * 9 + "room.png"}),
                b=Node(type="draw_toy.join", inputs={"first": "a.thing"}, params={"text": "word " * 30}),
            ),
            REGISTRY,
        )
    )
    assert any(text.endswith("room.png") and text.startswith("…") and len(text) == 26 for text in found)
    assert any(text.startswith("word word") and text.endswith("…") and len(text) == 26 for text in found)


def test_the_drawing_is_reproducible():
    assert draw(small(), REGISTRY) == draw(small(), REGISTRY)


def test_unknown_types_wrong_links_and_cycles_are_drawn():
    svg = draw(
        small(
            x=Node(type="who.knows", params={"list": [1, 2]}, inputs={"image": "a.thing", "other": "absent.thing"}),
            y=Node(type="draw_toy.join", inputs={"first": "x.output", "second": ["a.thing", "b.thing"], "odd": 7}),
            p=Node(type="draw_toy.join", inputs={"first": "q.thing"}),
            q=Node(type="draw_toy.join", inputs={"first": "p.thing", "second": "q.thing"}),
        ),
        REGISTRY,
    )
    found = texts(svg)
    assert "who.knows (unknown)" in found
    assert "[1, 2]" in found
    assert "stroke-dasharray" in svg


def test_an_empty_workflow_is_a_picture_too():
    assert "workflow" in draw(Workflow(nodes={}), REGISTRY)


@settings(max_examples=30, deadline=None)
@given(st.text(), st.text(), st.text(min_size=1))
def test_strangers_text_is_escaped(title, value, name):
    evil = f'{title}"/><script>alert(1)</script>&\0\x1b'
    svg = draw(
        Workflow(
            title=evil,
            inputs={evil + name: f"{name}.path", "i": evil},
            outputs={evil: evil, "o": f"{name}.{evil}"},
            nodes={
                name: Node(type="draw_toy.source", params={"path": value + evil, evil: value}),
                evil: Node(type=evil, params={value: evil}, inputs={evil: f"{name}.thing"}),
            },
        ),
        REGISTRY,
    )
    root = ElementTree.fromstring(svg.encode())
    tags = {element.tag.removeprefix(SVG) for element in root.iter()}
    assert tags <= {"svg", "title", "rect", "text", "g", "path", "circle"}
    for element in root.iter():
        assert not any(key.startswith("on") or "href" in key for key in element.attrib)


def test_clean_and_colour():
    assert clean("a\tb\n\x1b[0m‮c", 20) == "a b [0mc"
    assert clean("x" * 50, 10) == "x" * 9 + "…"
    colours = socket_colours(Registry([painted.spec]))
    assert colours == {"TOY_PAINT": "#123456"}
    assert colour("TOY_PAINT", colours) == "#123456"
    assert colour("TOY_THING", colours) == colour("TOY_THING", {}) != colour("TOY_OTHER", {})
    assert text_width("wide", 12, bold=True) > text_width("wide", 12) > text_width("il", 12)


@st.composite
def graphs(draw_):
    size = draw_(st.integers(1, 9))
    heights = draw_(st.lists(st.floats(20, 150), min_size=size, max_size=size))
    pairs = draw_(st.lists(st.tuples(st.integers(0, size - 1), st.integers(0, size - 1)), max_size=16, unique=True))
    return heights, [pair for pair in pairs if pair[0] < pair[1]]


@settings(max_examples=60, deadline=None)
@given(graphs())
def test_nothing_overlaps_and_edges_run_beside_the_boxes(graph):
    heights, pairs = graph
    items = {
        str(name): Item(100, height, {"in": height / 2}, {"out": height / 3}) for name, height in enumerate(heights)
    }
    edges = [Edge(str(left), "out", str(right), "in") for left, right in pairs]
    layout = arrange(items, edges)
    assert set(layout.routes) == set(edges)
    assert not layout.backward
    for a, b in itertools.combinations(items.values(), 2):
        apart = a.x + a.width <= b.x or b.x + b.width <= a.x or a.y + a.height <= b.y or b.y + b.height <= a.y
        assert apart
    for item in items.values():
        assert 0 <= item.x <= item.x + item.width <= layout.width + 1e-6
        assert -1e-6 <= item.y <= item.y + item.height <= layout.height + 1e-6
    for edge, points in layout.routes.items():
        assert points[0][0] < points[-1][0]
        for (x0, y0), (x1, y1) in zip(points[1:-1:2], points[2:-1:2], strict=True):
            assert y0 == y1  # a lane
            for name, item in items.items():
                inside = item.x < (x0 + x1) / 2 < item.x + item.width and item.y < y0 < item.y + item.height
                assert not inside, (edge, name)


def test_a_plain_chain_is_a_straight_line():
    items = {str(name): Item(80, 40, {"in": 20}, {"out": 20}) for name in range(6)}
    arrange(items, [Edge(str(n), "out", str(n + 1), "in") for n in range(5)])
    assert len({round(item.y, 6) for item in items.values()}) == 1
    assert [item.x for item in items.values()] == sorted(item.x for item in items.values())


def test_a_large_workflow_is_drawn_in_time():
    nodes = {"n0": Node(type="draw_toy.source", params={"path": "x"})}
    nodes |= {
        f"n{i}": Node(type="draw_toy.join", inputs={"first": f"n{i - 1}.thing", "second": f"n{i // 2}.thing"})
        for i in range(1, 80)
    }
    began = time.process_time()
    ElementTree.fromstring(draw(Workflow(nodes=nodes), REGISTRY))
    assert time.process_time() - began < 20


@pytest.mark.parametrize("case", TEXTS)
def test_any_file_is_drawn_or_refused_within_seconds(case, tmp_path):
    """Neither the layout nor the texts take time without bound."""
    began = time.process_time()
    with contextlib.suppress(WorkflowError):
        ElementTree.fromstring(draw(parse(TEXTS[case]()), installed_nodes()))
    assert time.process_time() - began < 10


def test_links_across_many_layers_are_refused():
    text = many(200, lambda n: filled(n, f"n{n - 1}.image", f"n{max(0, n - 30)}.image") if n else None)
    with pytest.raises(WorkflowError, match="layers"):
        draw(parse(text), installed_nodes())

"""A stranger's file in the host's formats: every problem at once, in bounded time, and never a traceback."""

import random
import time

import pytest
from host_graphs import Chance, graph, node, slot, subgraph
from inlay.graph_runtime.core.errors import InlayError, WorkflowError
from inlay.graph_runtime.front.comfy.formats.read import from_host, is_host_graph
from inlay.graph_runtime.front.installed import installed_nodes


@pytest.fixture(scope="module")
def registry():
    return installed_nodes()


def found_in(raw, registry):
    start = time.process_time()
    with pytest.raises(WorkflowError) as caught:
        from_host(raw, registry)
    assert time.process_time() - start < 5
    return [problem.found for problem in caught.value.problems]


def test_subgraphs_that_contain_themselves_or_each_other_are_named(registry):
    a = subgraph("a", [], [], [node(1, "b")], [])
    b = subgraph("b", [], [], [node(2, "a")], [])
    raw = graph([node(1, "a"), node(2, "b")], [], [a, b])
    assert found_in(raw, registry) == [
        "the subgraph 'a' inside itself: 'a' → 'b' → 'a'",
        "the subgraph 'b' inside itself: 'b' → 'a' → 'b'",
    ]


def test_subgraphs_that_unfold_without_end_are_stopped(registry):
    """Ten uses in each of ten levels would be ten thousand million nodes."""
    levels = [subgraph(f"s{at}", [], [], [node(n, f"s{at + 1}") for n in range(10)], []) for at in range(9)]
    last = subgraph("s9", [], [], [node(n, "InvertMask") for n in range(10)], [])
    assert "more than 20,000 nodes" in found_in(graph([node(1, "s0")], [], [*levels, last]), registry)[0]


def test_reroutes_in_a_circle_are_named(registry):
    around = [node(1, "Reroute", [slot("", "*", 2)], [("", "*")]), node(2, "Reroute", [slot("", "*", 1)], [("", "*")])]
    raw = graph(
        [*around, node(3, "SaveImage", [slot("images", "IMAGE", 3)])],
        [(1, 1, 0, 2, 0, "*"), (2, 2, 0, 1, 0, "*"), (3, 1, 0, 3, 0, "*")],
    )
    assert found_in(raw, registry) == ["a cycle: 2 (Reroute) → 1 (Reroute) → 2 (Reroute)"]


def test_long_chains_of_reroutes_take_bounded_time(registry):
    count = 600
    chain = [node(0, "LoadImage", outputs=[("IMAGE", "IMAGE")], values=["a.png"])]
    chain += [node(n, "Reroute", [slot("", "*", n)], [("", "*")]) for n in range(1, count)]
    savers = [node(count + n, "SaveImage", [slot("images", "IMAGE", count + n)], values=["x"]) for n in range(1, count)]
    links = [(n, n - 1, 0, n, 0, "IMAGE") for n in range(1, count)]
    links += [(count + n, count - 1, 0, count + n, 0, "IMAGE") for n in range(1, count)]
    assert "reroutes" in found_in(graph(chain + savers, links), registry)[0]


def test_thousands_of_unknown_types_take_bounded_time(registry):
    for kinds in (["ImageInvertx"] * 20_000, [f"ImageInvert{n}" for n in range(20_000)]):
        raw = {str(n): {"class_type": kind, "inputs": {"image": [str(n - 1), 0]}} for n, kind in enumerate(kinds)}
        raw["s"] = {"class_type": "SaveImage", "inputs": {"images": ["19999", 0], "filename_prefix": "x"}}
        assert "the type 'ImageInvert" in found_in(raw, registry)[0]


def test_a_title_and_an_id_are_one_short_line_of_a_message(registry):
    forged = "x)\n    found     nothing\n    fix       \u202e\x1b[31mrun this"
    loader = {**node(1, "LoadImage", outputs=[("IMAGE", "IMAGE")], values=["a.png"]), "id": 10**300, "title": forged}
    for kind in ("Unknown", "MuchUnknown" * 99):
        raw = graph([{**loader, "type": kind}, node(3, "SaveImage", [slot("images", "IMAGE", 1)], values=["x"])], [])
        raw["links"] = [[1, 10**300, 0, 3, 0, "IMAGE"]]
        with pytest.raises(WorkflowError) as caught:
            from_host(raw, registry)
        for problem in caught.value.problems:
            where = problem.where
            assert len(where) < 140
            assert not {"\n", "\x1b", "\u202e"} & set(where)


def test_every_problem_of_a_ui_file_is_reported_at_once(registry):
    raw = graph(
        [
            7,
            {"id": [1], "type": "X"},
            node(1, "LoadImage", values=["a.png"]),
            node(1, "LoadImage", values=["b.png"]),
            node(2, "Foreign", [slot("a", "IMAGE", 1)]),
        ],
        [(1, 1, 0, 2, 0, "IMAGE"), ("x",), (1, 2, -3, 4, 5, "IMAGE")],
    )
    found = found_in(raw, registry)
    assert len(found) == 6
    assert "two nodes with the id 1" in found
    assert "the type 'Foreign'" in found


def test_every_problem_of_an_api_file_is_reported_at_once(registry):
    raw = {
        "1": {"class_type": "LoadImage", "inputs": {"image": "a.png"}},
        "2": {"class_type": "InlayImageFill", "inputs": {"image": ["9", 0], "mask": ["1", 7], "odd": ["1", 0]}},
        "3": {"class_type": "Foreign", "inputs": {"x": ["1", 0]}},
        "4": {"class_type": "SaveImage", "inputs": []},
        "5": 3,
        "6": {"class_type": "SaveImage", "inputs": {"images": 5}},
        "7": {"class_type": "SaveImage", "inputs": {"images": ["2", 0]}},
    }
    found = found_in(raw, registry)
    assert "3" in found
    assert "[]" in found
    assert "a link from node '9', which is not there" in found
    assert "a link from output 7 of 1 (LoadImage)" in found
    assert "a link to an unknown input 'odd'" in found
    assert "the type 'Foreign'" in found
    assert "the value 5" in found


HUGE = [10**300, -1, 2**63, 1e308, "9" * 900, None, True, [], {}, "\x00", ["1", 0], {"__value__": {"__value__": []}}]


def _spoiled(value, drawn, depth=0):
    """A copy of JSON with one or a few of its values replaced."""
    if drawn.random() < 0.02 and depth:
        return drawn.choice(HUGE)
    if isinstance(value, dict):
        return {key: _spoiled(one, drawn, depth + 1) for key, one in value.items() if drawn.random() > 0.01}
    if isinstance(value, list):
        return [_spoiled(one, drawn, depth + 1) for one in value]
    return value


@pytest.mark.parametrize("start", range(0, 80, 40))
def test_spoiled_files_become_workflows_or_problems(start, registry):
    for seed in range(start, start + 40):
        drawn = random.Random(seed)
        raw = _spoiled(Chance(drawn).graph(), drawn)
        if is_host_graph(raw):
            try:
                from_host(raw, registry, partial=seed % 2 == 0)
            except InlayError:
                continue

"""A UI file that becomes a workflow of ours and a UI file again: subgraphs and all that is only drawn come back."""

import json
import random

import pytest
from host_graphs import Chance, graph, node, slot, subgraph
from inlay.graph_runtime.core.workflow import parse
from inlay.graph_runtime.front.comfy.formats.kept import to_ui_as_it_was
from inlay.graph_runtime.front.comfy.formats.layout import OWN
from inlay.graph_runtime.front.comfy.formats.read import from_host
from inlay.graph_runtime.front.comfy.formats.write import to_api
from inlay.graph_runtime.front.installed import installed_nodes


@pytest.fixture(scope="module")
def registry():
    return installed_nodes()


def through_native(raw, registry, change=None, **options):
    """The UI file that comes back, and its warnings."""
    flow = parse(from_host(raw, registry, **options).workflow.to_json().encode())
    if change is not None:
        change(flow)
    return to_ui_as_it_was(flow, registry)


def without_ours(raw):
    """A UI file without what inlay says of the workflow as a whole."""
    extra = {key: value for key, value in raw["extra"].items() if key != OWN}
    return json.loads(json.dumps({**raw, "extra": extra}))


def nested():
    """A picture whose mask is grown in a subgraph in a subgraph, with a reroute, a note, a group and a muted node."""
    inner = subgraph(
        "00000000-0000-4000-8000-000000000001",
        [("mask", "MASK")],
        [("mask", "MASK")],
        [
            node(1, "GrowMask", [slot("mask", "MASK", 1)], [("MASK", "MASK")], [3, True]),
            node(9, "Note", [], [], ["inside"]),
        ],
        [(1, -10, 0, 1, 0, "MASK"), (2, 1, 0, -20, 0, "MASK")],
    )
    outer = subgraph(
        "00000000-0000-4000-8000-000000000002",
        [("mask", "MASK")],
        [("image", "IMAGE")],
        [
            node(1, inner["id"], [slot("mask", "MASK", 1)], [("mask", "MASK")]),
            node(2, "MaskToImage", [slot("mask", "MASK", 2)], [("IMAGE", "IMAGE")]),
        ],
        [(1, -10, 0, 1, 0, "MASK"), (2, 1, 0, 2, 0, "MASK"), (3, 2, 0, -20, 0, "IMAGE")],
    )
    return graph(
        [
            node(1, "LoadImage", [], [("IMAGE", "IMAGE"), ("MASK", "MASK")], ["room.png", "image"], title="Photo"),
            node(2, "Reroute", [slot("", "*", 1)], [("", "MASK")]),
            node(3, outer["id"], [slot("mask", "MASK", 2)], [("image", "IMAGE")], title="Grown"),
            node(4, "SaveImage", [slot("images", "IMAGE", 3)], [], ["a"]),
            node(5, "InvertMask", [slot("mask", "MASK", 4)], [("MASK", "MASK")], mode=2),
            node(6, "Note", [], [], ["outside"]),
        ],
        [(1, 1, 1, 2, 0, "MASK"), (2, 2, 0, 3, 0, "MASK"), (3, 3, 0, 4, 0, "IMAGE"), (4, 1, 1, 5, 0, "MASK")],
        [inner, outer],
        groups=[{"id": 1, "title": "All", "bounding": [0, 0, 900, 500], "flags": {}}],
        extra={"ds": {"scale": 0.7, "offset": [3, 4]}},
    )


def test_subgraphs_reroutes_muted_nodes_groups_and_notes_come_back_as_they_were(registry):
    raw = nested()
    back, warnings = through_native(raw, registry)
    assert warnings == []
    assert without_ours(back) == raw


def test_graphs_by_chance_come_back_as_they_were(registry):
    for seed in range(40):
        raw = Chance(random.Random(seed)).graph()
        back, warnings = through_native(raw, registry)
        assert (warnings, without_ours(back)) == ([], json.loads(json.dumps(raw))), f"seed {seed}"


def test_a_setting_that_was_changed_is_put_into_the_subgraph(registry):
    def change(flow):
        next(one for one in flow.nodes.values() if one.type == "mask.step").params["pixels"] = 8

    back, warnings = through_native(nested(), registry, change)
    assert warnings == []
    grow = back["definitions"]["subgraphs"][0]["nodes"][0]
    assert (grow["widgets_values"], grow["widgets_values_named"]["expand"]) == ([8, True], 8)
    flow = from_host(back, registry).workflow
    assert [one.params["pixels"] for one in flow.nodes.values() if one.type == "mask.step"] == [8]


def test_a_workflow_that_was_changed_otherwise_is_written_flat_and_says_so(registry):
    def change(flow):
        flow.nodes["more"] = flow.nodes["photo"].model_copy()

    back, (warning,) = through_native(nested(), registry, change)
    assert "definitions" not in back
    assert "written flat" in str(warning)
    changed = parse(from_host(nested(), registry).workflow.to_json().encode())
    change(changed)
    assert from_host(back, registry).workflow.nodes == changed.nodes


def test_two_uses_of_a_subgraph_that_differ_since_are_written_flat(registry):
    raw = nested()
    again = node(7, raw["definitions"]["subgraphs"][1]["id"], [slot("mask", "MASK", 5)], [("image", "IMAGE")])
    raw["nodes"] += [again, node(8, "SaveImage", [slot("images", "IMAGE", 6)], [], ["b"])]
    raw["links"] += [[5, 1, 1, 7, 0, "MASK"], [6, 7, 0, 8, 0, "IMAGE"]]

    def change(flow):
        next(one for one in flow.nodes.values() if one.type == "mask.step").params["pixels"] = 8

    assert without_ours(through_native(raw, registry)[0]) == raw
    back, (warning,) = through_native(raw, registry, change)
    assert "written flat" in str(warning)
    flow = from_host(back, registry).workflow
    assert sorted(one.params["pixels"] for one in flow.nodes.values() if one.type == "mask.step") == [3, 8]


def test_nodes_of_other_packs_that_were_left_out_come_back(registry):
    raw = nested()
    raw["nodes"].append(node(7, "OtherPackNode", [slot("image", "IMAGE", 5)], [("IMAGE", "IMAGE")]))
    raw["nodes"].append(node(8, "SaveImage", [slot("images", "IMAGE", 6)], [], ["b"]))
    raw["links"] += [[5, 1, 0, 7, 0, "IMAGE"], [6, 7, 0, 8, 0, "IMAGE"]]
    back, warnings = through_native(raw, registry, partial=True)
    assert warnings == []
    assert without_ours(back) == raw


def test_the_node_that_stands_for_a_workflow_comes_back(registry):
    raw = graph(
        [
            node(1, "InlayImageWithMask", [], [("image", "IMAGE"), ("mask", "MASK")], ["a.png", "image"]),
            node(2, "InlayInpaint", [slot("image", "IMAGE", 1), slot("mask", "MASK", 2)], [("image", "IMAGE")]),
            node(3, "SaveImage", [slot("images", "IMAGE", 3)], [], ["a"]),
        ],
        [(1, 1, 0, 2, 0, "IMAGE"), (2, 1, 1, 2, 1, "MASK"), (3, 2, 0, 3, 0, "IMAGE")],
    )
    assert without_ours(through_native(raw, registry)[0]) == raw


def test_an_api_file_between_loses_nothing_either(registry):
    flow = from_host(to_api(from_host(nested(), registry).workflow, registry), registry).workflow
    assert without_ours(to_ui_as_it_was(flow, registry)[0]) == nested()


def test_a_kept_graph_of_a_stranger_that_says_something_else_is_not_written(registry):
    flow = from_host(nested(), registry).workflow
    for kept in (7, [], {}, {"nodes": []}, {"nodes": 3, "links": []}, graph([node(1, "Gone")], [])):
        flow.ui = {**flow.ui, "graph": kept}
        assert "definitions" not in to_ui_as_it_was(flow, registry)[0]

"""The editor's rules: what bypassed and muted nodes, primitives, promoted and converted widgets mean."""

import pytest
from host_graphs import graph, node, slot, subgraph
from inlay.graph_runtime.core.errors import WorkflowError
from inlay.graph_runtime.front.comfy.formats.read import from_host
from inlay.graph_runtime.front.installed import installed_nodes

PHOTO = node(1, "LoadImage", outputs=[("IMAGE", "IMAGE"), ("MASK", "MASK")], values=["room.png", "image"])
SAVE = node(9, "SaveImage", [slot("images", "IMAGE", 9)], values=["out"])


@pytest.fixture(scope="module")
def registry():
    return installed_nodes()


def fill(number, inputs, values=("blur", 1, "fixed", 7), **more):
    return node(number, "InlayImageFill", inputs, [("image", "IMAGE")], list(values), **more)


def params(found, host):
    return found.workflow.nodes[found.names[host]].params


def inputs(found, host):
    return found.workflow.nodes[found.names[host]].inputs


def test_a_bypassed_node_hands_on_the_first_input_of_the_type(registry):
    sockets = [slot("image", "IMAGE", 1), slot("mask", "MASK", 2)]
    raw = graph(
        [PHOTO, fill(2, sockets, mode=4), SAVE],
        [(1, 1, 0, 2, 0, "IMAGE"), (2, 1, 1, 2, 1, "MASK"), (9, 2, 0, 9, 0, "IMAGE")],
    )
    found = from_host(raw, registry)
    assert set(found.names) == {"1", "9"}
    assert inputs(found, "9") == {"image": "n1.image"}


def test_what_a_muted_node_gives_is_gone_and_a_warning_says_so(registry):
    raw = graph(
        [PHOTO, fill(2, [slot("image", "IMAGE", 1)], mode=2), SAVE],
        [(1, 1, 0, 2, 0, "IMAGE"), (9, 2, 0, 9, 0, "IMAGE")],
    )
    found = from_host(raw, registry)
    assert inputs(found, "9") == {}
    assert [(one.node, one.message) for one in found.warnings] == [
        ("9 (SaveImage)", "what is connected to 'images' is muted, bypassed or gone")
    ]


@pytest.mark.parametrize("kind", ["PrimitiveInt", "PrimitiveNode"])
def test_a_titled_primitive_is_an_input_that_sets_all_that_it_feeds(kind, registry):
    sockets = [slot("image", "IMAGE", 1), slot("mask", "MASK", 2), slot("seed", "INT", 3, widget=True)]
    again = [slot("image", "IMAGE", 4), slot("mask", "MASK", 5), slot("seed", "INT", 6, widget=True)]
    raw = graph(
        [
            PHOTO,
            fill(2, sockets),
            fill(3, again),
            node(5, kind, [], [("INT", "INT")], [42, "randomize"], title="My seed"),
            SAVE,
        ],
        [
            (1, 1, 0, 2, 0, "IMAGE"),
            (2, 1, 1, 2, 1, "MASK"),
            (3, 5, 0, 2, 2, "INT"),
            (4, 2, 0, 3, 0, "IMAGE"),
            (5, 1, 1, 3, 1, "MASK"),
            (6, 5, 0, 3, 2, "INT"),
            (9, 3, 0, 9, 0, "IMAGE"),
        ],
    )
    found = from_host(raw, registry)
    assert params(found, "2")["seed"] == params(found, "3")["seed"] == 42
    assert "5" not in found.names
    if kind == "PrimitiveInt":
        assert found.workflow.inputs["my_seed"] == ["n2.seed", "n3.seed"]


def test_a_primitive_that_feeds_a_widget_inside_a_subgraph_is_not_lost(registry):
    """The editor itself sends the inner widget's own value there."""
    inner = subgraph(
        "s",
        [("image", "IMAGE"), ("mask", "MASK"), ("seed", "INT")],
        [("image", "IMAGE")],
        [fill(21, [slot("image", "IMAGE", 1), slot("mask", "MASK", 2), slot("seed", "INT", 3, widget=True)])],
        [
            (1, -10, 0, 21, 0, "IMAGE"),
            (2, -10, 1, 21, 1, "MASK"),
            (3, -10, 2, 21, 2, "INT"),
            (4, 21, 0, -20, 0, "IMAGE"),
        ],
    )
    use = node(
        2,
        "s",
        [slot("image", "IMAGE", 1), slot("mask", "MASK", 2), slot("seed", "INT", 3, widget=True)],
        [("image", "IMAGE")],
    )
    raw = graph(
        [PHOTO, use, node(5, "PrimitiveNode", [], [("INT", "INT")], [42, "fixed"]), SAVE],
        [(1, 1, 0, 2, 0, "IMAGE"), (2, 1, 1, 2, 1, "MASK"), (3, 5, 0, 2, 2, "INT"), (9, 2, 0, 9, 0, "IMAGE")],
        [inner],
    )
    assert params(from_host(raw, registry), "2:21")["seed"] == 42


def test_a_subgraph_that_only_hands_on_its_input_loses_nothing(registry):
    inner = subgraph("s", [("image", "IMAGE")], [("image", "IMAGE")], [], [(1, -10, 0, -20, 0, "IMAGE")])
    raw = graph(
        [PHOTO, node(2, "s", [slot("image", "IMAGE", 1)], [("image", "IMAGE")]), SAVE],
        [(1, 1, 0, 2, 0, "IMAGE"), (9, 2, 0, 9, 0, "IMAGE")],
        [inner],
    )
    assert inputs(from_host(raw, registry), "9") == {"image": "n1.image"}


@pytest.mark.parametrize(
    "said",
    [
        {"widgets_values": [77]},
        {"widgets_values_named": {"seed": 77}, "widgets_values": [1]},
        {"properties": {"proxyWidgets": [["21", "seed"]]}, "widgets_values": [77]},
        {"properties": {"proxyWidgets": [["-1", "seed"]]}, "widgets_values": [77]},
    ],
)
def test_a_promoted_widget_overrides_the_one_inside_in_each_form_that_editors_wrote(said, registry):
    inner = subgraph(
        "s",
        [("image", "IMAGE"), ("mask", "MASK"), ("seed", "INT")],
        [("image", "IMAGE")],
        [fill(21, [slot("image", "IMAGE", 1), slot("mask", "MASK", 2), slot("seed", "INT", 3, widget=True)])],
        [
            (1, -10, 0, 21, 0, "IMAGE"),
            (2, -10, 1, 21, 1, "MASK"),
            (3, -10, 2, 21, 2, "INT"),
            (4, 21, 0, -20, 0, "IMAGE"),
        ],
    )
    use = node(2, "s", [slot("image", "IMAGE", 1), slot("mask", "MASK", 2)], [("image", "IMAGE")]) | said
    raw = graph(
        [PHOTO, use, SAVE], [(1, 1, 0, 2, 0, "IMAGE"), (2, 1, 1, 2, 1, "MASK"), (9, 2, 0, 9, 0, "IMAGE")], [inner]
    )
    assert params(from_host(raw, registry), "2:21")["seed"] == 77


def test_a_widget_inside_that_no_input_leads_to_is_overridden_by_a_proxy(registry):
    inner = subgraph(
        "s",
        [("image", "IMAGE"), ("mask", "MASK")],
        [("image", "IMAGE")],
        [fill(21, [slot("image", "IMAGE", 1), slot("mask", "MASK", 2)])],
        [(1, -10, 0, 21, 0, "IMAGE"), (2, -10, 1, 21, 1, "MASK"), (4, 21, 0, -20, 0, "IMAGE")],
    )
    proxied = {"properties": {"proxyWidgets": [["21", "fill"], ["21", "seed"]]}, "widgets_values": ["edge", 5]}
    use = node(2, "s", [slot("image", "IMAGE", 1), slot("mask", "MASK", 2)], [("image", "IMAGE")]) | proxied
    raw = graph(
        [PHOTO, use, SAVE], [(1, 1, 0, 2, 0, "IMAGE"), (2, 1, 1, 2, 1, "MASK"), (9, 2, 0, 9, 0, "IMAGE")], [inner]
    )
    assert params(from_host(raw, registry), "2:21") == {"fill": "edge", "seed": 5, "patch": 7}


@pytest.mark.parametrize(
    "values",
    [
        {"widgets_values": ["edge", 3, "randomize", 9]},
        {"widgets_values": ["edge", 3, 9]},  # no widget after the seed
        {"widgets_values": {"fill": "edge", "seed": 3, "patch": 9}},
        {"widgets_values": ["blur", 1, "fixed", 7], "widgets_values_named": {"fill": "edge", "seed": 3, "patch": 9}},
    ],
)
def test_widget_values_by_position_by_name_and_as_an_object(values, registry):
    raw = graph(
        [PHOTO, fill(2, [slot("image", "IMAGE", 1)]) | values, SAVE],
        [(1, 1, 0, 2, 0, "IMAGE"), (9, 2, 0, 9, 0, "IMAGE")],
    )
    assert params(from_host(raw, registry), "2") == {"fill": "edge", "seed": 3, "patch": 9}


def test_links_in_object_form_and_native_reroutes_change_nothing(registry):
    nodes = [PHOTO, SAVE]
    plain = graph(nodes, [(9, 1, 0, 9, 0, "IMAGE")])
    link = {"id": 9, "origin_id": 1, "origin_slot": 0, "target_id": 9, "target_slot": 0, "type": "IMAGE", "parentId": 3}
    reroutes = [{"id": 3, "pos": [1, 2], "linkIds": [9]}]
    newer = plain | {"version": 1, "state": {}, "links": [link], "reroutes": reroutes, "floatingLinks": [{"id": 1}]}
    older = plain | {"extra": {"reroutes": reroutes, "linkExtensions": [{"id": 9, "parentId": 3}]}}
    read = [from_host(raw, registry).workflow.model_copy(update={"ui": {}}) for raw in (plain, newer, older)]
    assert read[0] == read[1] == read[2]


def test_settings_by_older_names_are_read(registry):
    api = {
        "1": {"class_type": "InlayMaskBrush", "inputs": {"amount": 0.5, "mask": ["2", 0]}},
        "2": {"class_type": "SolidMask", "inputs": {"value": 1.0, "width": 8, "height": 8}},
    }
    found = from_host(api, registry)
    assert params(found, "1")["mask_jitter"] == 0.5


def test_lists_are_unwrapped_and_files_lose_the_host_s_folder(registry):
    api = {
        "1": {"class_type": "LoadImage", "inputs": {"image": "clipspace\\a.png [input]", "upload": "image"}},
        "2": {"class_type": "InlayReportTable", "inputs": {"labels": {"__value__": ["a", "b"]}, "value_1": ["3", 0]}},
        "3": {"class_type": "InlayMetricPsnr", "inputs": {"image": ["1", 0], "reference": ["1", 0]}},
    }
    found = from_host(api, registry)
    assert params(found, "1") == {"image": "clipspace/a.png"}
    assert params(found, "2") == {"labels": ["a", "b"]} or found.warnings


def test_partial_leaves_out_what_is_not_known_and_what_needs_it(registry):
    api = {
        "1": {"class_type": "LoadImage", "inputs": {"image": "a.png"}},
        "2": {"class_type": "Foreign", "inputs": {"image": ["1", 0]}},
        "3": {"class_type": "InlayImageFill", "inputs": {"image": ["2", 0], "mask": ["1", 1]}},
        "4": {"class_type": "SaveImage", "inputs": {"images": ["3", 0]}},
        "5": {"class_type": "InlayImageFill", "inputs": {"image": ["1", 0], "mask": ["1", 1], "source": ["2", 1]}},
        "6": {"class_type": "SaveImage", "inputs": {"images": ["5", 0]}},
    }
    with pytest.raises(WorkflowError, match="--partial"):
        from_host(api, registry)
    found = from_host(api, registry, partial=True)
    assert set(found.names) == {"1", "5", "6"}
    assert inputs(found, "5") == {"image": "n1.image", "mask": "n1.mask"}
    assert [one.id for one in found.left_out] == ["2", "3", "4"]


def test_what_leads_to_no_picture_may_be_unknown_or_incomplete_as_in_the_host(registry):
    api = {
        "1": {"class_type": "LoadImage", "inputs": {"image": "a.png"}},
        "4": {"class_type": "SaveImage", "inputs": {"images": ["1", 0]}},
        "7": {"class_type": "Foreign.Note", "inputs": {}},
        "8": {"class_type": "InvertMask", "inputs": {}},
    }
    found = from_host(api, registry)
    assert set(found.names) == {"1", "4"}
    assert {one.id for one in found.left_out} == {"7", "8"}

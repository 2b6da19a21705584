"""The host's files become native workflows."""

import pytest
from inlay.graph_runtime.core.errors import WorkflowError
from inlay.graph_runtime.core.workflow import from_python
from inlay.graph_runtime.front.comfy.formats.read import from_host, is_host_graph
from inlay.graph_runtime.front.installed import installed_nodes

from ....helpers.host_graphs import graph, node, slot, subgraph

API = {
    "1": {"class_type": "LoadImage", "inputs": {"image": "room.png [input]"}, "_meta": {"title": "Photo"}},
    "2": {"class_type": "InlayMaskLoad", "inputs": {"path": "room-mask.png", "channel": "auto", "threshold": 0.5}},
    "3": {
        "class_type": "InlayImageFill",
        "inputs": {"image": ["1", 0], "mask": ["2", 0], "fill": "patches", "seed": 7},
    },
    "4": {
        "class_type": "SaveImage",
        "inputs": {"images": ["3", 0], "filename_prefix": "a/b"},
        "_meta": {"title": "Save Image"},
    },
}


@pytest.fixture(scope="module")
def registry():
    return installed_nodes()


def problems_of(raw, registry, **more):
    with pytest.raises(WorkflowError) as caught:
        from_host(raw, registry, **more)
    return [(one.node, one.port, one.found) for one in caught.value.problems]


def test_an_api_file_becomes_nodes_settings_and_links(registry):
    found = from_host(API, registry)
    assert {name: (entry.type, entry.params, entry.inputs) for name, entry in found.workflow.nodes.items()} == {
        "photo": ("image.with_mask", {"image": "room.png"}, {}),
        "n2": ("mask.load", {"path": "room-mask.png", "channel": "auto", "threshold": 0.5}, {}),
        "n3": ("image.fill", {"fill": "patches", "seed": 7}, {"image": "photo.image", "mask": "n2.mask"}),
        "n4": ("image.save", {"prefix": "a/b"}, {"image": "n3.image"}),
    }
    assert found.names == {"1": "photo", "2": "n2", "3": "n3", "4": "n4"}
    assert found.workflow.inputs == {"image": "photo.image", "mask": "n2.path", "seed": "n3.seed"}
    assert found.workflow.outputs == {"image": "n3.image"}
    assert found.workflow.ui["nodes"]["n4"] == {"id": "4", "title": "Save Image", "host": "SaveImage"}
    assert from_python(found.workflow) == found.workflow


def test_which_files_are_the_host_s():
    assert is_host_graph(API)
    assert is_host_graph({"prompt": API, "client_id": "x"})
    assert is_host_graph(graph([], []))
    for other in ({"format": 1, "nodes": {}}, {"nodes": [], "edges": []}, [], None, {"a": 1}, "text"):
        assert not is_host_graph(other)


def test_a_ui_file_with_a_subgraph_a_reroute_and_a_note_becomes_the_same(registry):
    inside = subgraph(
        "fill",
        [("image", "IMAGE"), ("mask", "MASK"), ("seed", "INT")],
        [("image", "IMAGE")],
        [
            node(
                1,
                "InlayImageFill",
                [slot("image", "IMAGE", 1), slot("mask", "MASK", 2), slot("seed", "INT", 4, widget=True)],
                [("image", "IMAGE")],
                ["patches", 1, "randomize"],
            )
        ],
        [
            (1, -10, 0, 1, 0, "IMAGE"),
            (2, -10, 1, 1, 1, "MASK"),
            (4, -10, 2, 1, 2, "INT"),
            (3, 1, 0, -20, 0, "IMAGE"),
        ],
    )
    raw = graph(
        [
            node(
                1,
                "LoadImage",
                outputs=[("IMAGE", "IMAGE"), ("MASK", "MASK")],
                values=["room.png", "image"],
                title="Photo",
            ),
            node(2, "InlayMaskLoad", outputs=[("mask", "MASK")], values=["room-mask.png", "auto", False, 0.5]),
            node(3, "fill", [slot("image", "IMAGE", 1), slot("mask", "MASK", 2)], [("image", "IMAGE")], [7]),
            node(5, "Reroute", [slot("", "*", 3)], [("", "IMAGE")]),
            node(4, "SaveImage", [slot("images", "IMAGE", 4)], values=["a/b"]),
            node(6, "MarkdownNote", values=["read me"], color="#432"),
        ],
        [(1, 1, 0, 3, 0, "IMAGE"), (2, 2, 0, 3, 1, "MASK"), (3, 3, 0, 5, 0, "*"), (4, 5, 0, 4, 0, "IMAGE")],
        [inside],
        groups=[{"title": "All", "bounding": [0, 0, 900, 400], "color": "#fff", "font_size": 24}],
    )
    found = from_host(raw, registry)
    assert found.names == {"1": "photo", "2": "n2", "3:1": "n3_1", "4": "n4"}
    assert found.workflow.nodes["n3_1"].params == {"fill": "patches", "seed": 7}
    assert found.workflow.nodes["n3_1"].inputs == {"image": "photo.image", "mask": "n2.mask"}
    assert found.workflow.nodes["n4"].inputs == {"image": "n3_1.image"}
    note, group = found.workflow.ui["notes"][0], found.workflow.ui["groups"][0]
    assert (note["text"], note["markdown"], note["color"], note["id"]) == ("read me", True, "#432", "6")
    assert (group["title"], group["width"], group["height"]) == ("All", 900, 400)


def test_every_unknown_type_is_named_with_its_pack_at_once(registry):
    raw = API | {
        "3": {
            "class_type": "ImpactFill",
            "inputs": {"image": ["1", 0]},
            "_meta": {"title": "Fill", "cnr_id": "impact-pack"},
        },
        "2": {"class_type": "OtherMask", "inputs": {}, "_meta": {"aux_id": "someone/masks"}},
        "5": {"class_type": "SaveImage", "inputs": {"images": ["2", 0]}},
    }
    found = problems_of(raw, registry)
    assert ("3 (Fill)", None, "the type 'ImpactFill' of the pack 'impact-pack'") in found
    assert ("2 (OtherMask)", None, "the type 'OtherMask' of the pack 'someone/masks'") in found

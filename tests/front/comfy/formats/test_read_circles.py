"""Circles in the host's files are named as circles, with the host's names of all their nodes, whatever they are of."""

import inlay
import pytest
from host_graphs import graph, node, slot, subgraph
from inlay.graph_runtime.front.comfy.formats.read import from_host
from inlay.graph_runtime.front.installed import installed_nodes


@pytest.fixture(scope="module")
def registry():
    return installed_nodes()


def api(kind, **inputs):
    return {"class_type": kind, "inputs": inputs}


def number(value):
    return api("PrimitiveInt", value=value)


def grown(size):
    """A mask grown by a number, and saved."""
    return {
        "6": api("LoadImage", image="inlay/photo.jpg"),
        "7": api("GrowMask", mask=["6", 1], expand=size, tapered_corners=True),
        "8": api("MaskToImage", mask=["7", 0]),
        "9": api("SaveImage", images=["8", 0], filename_prefix="a"),
    }


def found_in(raw):
    """What is wrong with a file."""
    return [problem.found for problem in inlay.check(raw)]


INPAINT = api("InlayInpaint", image=["6", 0], mask=["6", 1], seed=["1", 0])
AROUND = "a cycle: 2 (PrimitiveInt) → 1 (PrimitiveInt) → 2 (PrimitiveInt)"
CIRCLES = {
    "alone": ({"1": number(["1", 0])}, "a cycle: 1 (PrimitiveInt) → 1 (PrimitiveInt)"),
    "two": ({"1": number(["2", 0]), "2": number(["1", 0])}, AROUND),
    "read": ({"1": number(["2", 0]), "2": number(["1", 0]), **grown(["1", 0])}, AROUND),
    "beside": ({"1": number(["2", 0]), "2": number(["1", 0]), **grown(3)}, AROUND),
    "read by one that becomes many": ({"1": number(["2", 0]), "2": number(["1", 0]), **grown(3), "3": INPAINT}, AROUND),
    "of savers": (
        {"1": api("SaveImage", images=["1", 0], filename_prefix="a")},
        "a cycle: 1 (SaveImage) → 1 (SaveImage)",
    ),
    "that computes": (
        {**grown(3), "7": api("GrowMask", mask=["5", 0], expand=1, tapered_corners=True)}
        | {"5": api("InvertMask", mask=["7", 0])},
        "a cycle: 5 (InvertMask) → 7 (GrowMask) → 5 (InvertMask)",
    ),
    "that computes, over a saver": (
        {**grown(3), "7": api("MaskPreview", mask=["5", 0]), "5": api("InvertMask", mask=["7", 0])},
        "a cycle: 5 (InvertMask) → 5 (InvertMask)",
    ),
}


@pytest.mark.parametrize("name", CIRCLES)
def test_a_circle_in_an_api_file_is_named_with_its_nodes(name):
    raw, said = CIRCLES[name]
    assert found_in(raw) == [said]


def saved(*nodes, links, subgraphs=()):
    """A UI file: node 5 loads a picture, 7 grows its mask, 8 and 9 save it."""
    return graph(
        [
            *nodes,
            node(5, "LoadImage", [], [("IMAGE", "IMAGE"), ("MASK", "MASK")], ["inlay/photo.jpg", "image"]),
            node(7, "GrowMask", [slot("mask", "MASK", 71), slot("expand", "INT", 72, True)], [("MASK", "MASK")]),
            node(8, "MaskToImage", [slot("mask", "MASK", 81)], [("IMAGE", "IMAGE")]),
            node(9, "SaveImage", [slot("images", "IMAGE", 91)], [], ["a"]),
        ],
        [(81, 7, 0, 8, 0, "MASK"), (91, 8, 0, 9, 0, "IMAGE"), *links],
        subgraphs,
    )


def handing(number, kind, name, type_, link, **more):
    return node(number, kind, [slot(name, type_, link, name == "value")], [("", type_)], **more)


def test_primitives_round_a_reroute_are_named_with_it():
    nodes = handing(1, "PrimitiveInt", "value", "INT", 1), handing(2, "Reroute", "", "INT", 2)
    links = [(1, 2, 0, 1, 0, "INT"), (2, 1, 0, 2, 0, "INT"), (72, 2, 0, 7, 1, "INT"), (71, 5, 1, 7, 0, "MASK")]
    assert found_in(saved(*nodes, links=links)) == ["a cycle: 2 (Reroute) → 1 (PrimitiveInt) → 2 (Reroute)"]


@pytest.mark.parametrize("kind", ["Reroute", "bypassed", "subgraph"])
def test_what_hands_its_input_on_to_itself_is_named(kind):
    inside = subgraph("C", [("mask", "MASK")], [("mask", "MASK")], [], [(1, -10, 0, -20, 0, "MASK")])
    made = {
        "Reroute": handing(1, "Reroute", "", "MASK", 1),
        "bypassed": handing(1, "InvertMask", "mask", "MASK", 1, mode=4),
        "subgraph": handing(1, "C", "mask", "MASK", 1),
    }[kind]
    links = [(1, 2, 0, 1, 0, "MASK"), (2, 1, 0, 2, 0, "MASK"), (71, 1, 0, 7, 0, "MASK")]
    raw = saved(made, handing(2, "Reroute", "", "MASK", 2), links=links, subgraphs=[inside])
    assert found_in(raw) == [f"a cycle: 2 (Reroute) → 1 ({made['type']}) → 2 (Reroute)"]


def test_a_circle_inside_a_subgraph_is_named_with_the_ids_of_its_nodes():
    around = [handing(3, "InvertMask", "mask", "MASK", 1), handing(4, "InvertMask", "mask", "MASK", 2)]
    links = [(1, 4, 0, 3, 0, "MASK"), (2, 3, 0, 4, 0, "MASK"), (3, 4, 0, -20, 0, "MASK")]
    inside = subgraph("C", [], [("mask", "MASK")], around, links)
    raw = saved(node(1, "C", [], [("mask", "MASK")]), links=[(71, 1, 0, 7, 0, "MASK")], subgraphs=[inside])
    assert found_in(raw) == ["a cycle: 1:4 (InvertMask) → 1:3 (InvertMask) → 1:4 (InvertMask)"]


def test_a_muted_node_breaks_a_circle(registry):
    nodes = handing(1, "InvertMask", "mask", "MASK", 1, mode=2), handing(2, "InvertMask", "mask", "MASK", 2)
    links = [(1, 2, 0, 1, 0, "MASK"), (2, 1, 0, 2, 0, "MASK"), (71, 2, 0, 7, 0, "MASK")]
    found = from_host(saved(*nodes, links=links), registry)
    assert "cycle" not in " ".join(str(one) for one in found.warnings)


def test_a_primitive_takes_the_value_of_the_one_that_is_connected_to_it(registry):
    chain = {"1": number(["2", 0]), "2": number(["3", 0]), "3": number(7)}
    flow = from_host({**chain, **grown(["1", 0])}, registry)
    assert flow.workflow.nodes[flow.names["7"]].params["pixels"] == 7
    many = from_host({**chain, **grown(3), "4": INPAINT}, registry)
    assert many.workflow.nodes[many.names["4:fill"]].params["seed"] == 7


def test_a_value_from_a_node_that_is_not_there_is_said_once():
    assert found_in({"1": number(["5", 0]), **grown(["1", 0])}) == ["a link from node '5', which is not there"]

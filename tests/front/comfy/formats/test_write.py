"""Ours into the host's files and back: nothing is lost, nothing overlaps, and what cannot be written is named."""

import itertools
import json
import random

import pytest
from fuzzing.graphs import grow
from inlay.graph_runtime import WorkflowError
from inlay.graph_runtime.core.workflow import Workflow, build, parse
from inlay.graph_runtime.front.comfy.formats.layout import Group, Layout, Note, Placed, read_layout
from inlay.graph_runtime.front.comfy.formats.read import from_host
from inlay.graph_runtime.front.comfy.formats.write import to_api, to_ui
from inlay.graph_runtime.front.installed import installed_nodes, shipped_workflows

WORDS = ("Photo", "Loch & Rand", "a\nb", "木", "", "Image load (inlay)", "x" * 60)
SHIPPED = sorted(shipped_workflows())


@pytest.fixture(scope="module")
def registry():
    return installed_nodes()


def through_json(value):
    return json.loads(json.dumps(value))


def shipped(name):
    return parse(shipped_workflows()[name].read_bytes())


def generated(seed):
    """A workflow by the grammar of the real nodes, with everything that an editor keeps beside it."""
    rng = random.Random(seed)
    workflow = build(grow(rng))
    if seed % 3 == 0:
        workflow.ui = {}
        return workflow
    names = list(workflow.nodes)
    ids = rng.sample(range(1, 10 * len(names) + 20), len(names) + 3)
    number = lambda: rng.choice([0, -7.5, 1024, rng.uniform(-3000, 3000)])  # noqa: E731
    size = lambda: rng.choice([210, 333.25, 40])  # noqa: E731
    nodes = {
        name: Placed(
            number(),
            number(),
            size(),
            size(),
            rng.choice(WORDS[:5]),
            str(ids[at]) if rng.random() < 0.8 else rng.choice(["5:3", "a", "007", ""]),
            rng.choice(["", "#232"]),
            rng.choice(["", "#353"]),
            rng.random() < 0.2,
        )
        for at, name in enumerate(names)
    }
    groups = [Group(rng.choice(WORDS), number(), number(), size(), size(), "#3f789e", rng.choice([None, 24.0]))] * 2
    notes = [
        Note(
            rng.choice(WORDS),
            number(),
            number(),
            size(),
            size(),
            rng.choice(WORDS),
            str(one),
            "",
            "#653",
            bool(one % 2),
        )
        for one in ids[-3:]
    ]
    workflow.ui = Layout(nodes, groups[: rng.randrange(3)], notes[: rng.randrange(4)]).to_ui()
    return workflow


def parts(workflow):
    """What a workflow says, with the types of all values (1 is not 1.0, and not true)."""
    return (
        workflow.title,
        workflow.description,
        workflow.inputs,
        workflow.outputs,
        [
            (name, node.type, node.version, repr(sorted(node.params.items())), node.inputs)
            for name, node in workflow.nodes.items()
        ],
    )


def migrated(workflow, registry):
    """The same at the installed versions: what is written is never older."""
    found = workflow.model_copy(deep=True)
    for node in found.nodes.values():
        node.version = registry[node.type].version
    return found


def assert_said(before: Layout, after: Layout):
    """Everything that is stated before is stated after, in the same words."""
    for name, placed in before.nodes.items():
        for key, value in vars(placed).items():
            if value not in ("", None) or key in ("title", "color", "bgcolor", "host"):
                assert getattr(after.nodes[name], key) == value, (name, key)
    assert after.groups == before.groups
    assert after.notes == before.notes


@pytest.mark.parametrize("write", [to_api, to_ui])
@pytest.mark.parametrize("seeds", [range(start, start + 20) for start in range(0, 60, 20)], ids=str)
def test_a_workflow_comes_back_from_the_hosts_file_with_all_that_it_says(registry, seeds, write):
    for seed in seeds:
        before = generated(seed)
        kept = before.model_dump()
        after = from_host(through_json(write(before, registry)), registry).workflow
        assert parts(after) == parts(before), seed
        assert_said(read_layout(before.ui), read_layout(after.ui))
        assert before.model_dump() == kept  # writing changes nothing


@pytest.mark.parametrize("write", [to_api, to_ui])
@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_workflow_comes_back_from_the_hosts_file(registry, name, write):
    before = shipped(name)
    after = from_host(through_json(write(before, registry)), registry).workflow
    assert parts(after) == parts(migrated(before, registry))


@pytest.mark.parametrize("write", [to_api, to_ui])
def test_a_file_of_the_host_comes_back_to_the_letter(registry, write):
    for seed in range(100, 140):
        before = through_json(write(generated(seed), registry))
        after = through_json(write(from_host(before, registry).workflow, registry))
        for nodes in (before, after):  # ids are stated once a file has been read
            nodes = nodes.get("nodes", list(nodes.values())) if write is to_ui else list(nodes.values())
            for node in nodes:
                node.get("_meta", node.get("properties", {})).get("inlay", {}).get("workflow", {}).pop("ui", None)
        assert after == before, seed


# values


def photo_with(**params):
    return Workflow(nodes={"noise": {"type": "noise.gaussian", "params": params}})


def test_a_setting_that_was_left_out_stays_out_until_its_widget_is_changed(registry):
    written = through_json(to_ui(photo_with(seed=3), registry))
    assert from_host(written, registry).workflow.nodes["noise"].params == {"seed": 3}
    (node,) = written["nodes"]
    node["widgets_values_named"]["batch"] = node["widgets_values"][2] = 4
    assert from_host(written, registry).workflow.nodes["noise"].params == {"seed": 3, "batch": 4}


@pytest.mark.parametrize("write", [to_api, to_ui])
def test_a_seed_beyond_the_numbers_of_javascript_survives_an_editor_that_rounds_it(registry, write):
    seed = 2**64 - 1
    written = to_ui(photo_with(seed=seed), registry) if write is to_ui else to_api(photo_with(seed=seed), registry)
    rounded = json.loads(json.dumps(written), parse_int=lambda text: int(float(text)))  # as JavaScript reads integers
    assert from_host(rounded, registry).workflow.nodes["noise"].params == {"seed": seed}
    text = json.dumps(rounded).replace(str(int(float(seed))), "12")
    assert from_host(json.loads(text), registry).workflow.nodes["noise"].params == {"seed": 12}


@pytest.mark.parametrize(
    ("kind", "params"),
    [
        ("attention.balanced", {"layers": [3, 4]}),
        ("attention.balanced", {"layers": "all"}),
        ("image.crop_to_mask", {"size": None, "context": 3}),
        ("image.crop_to_mask", {"size": 512, "context": 3.0}),
        ("condition.text", {"prompt": "", "negative": "none"}),
        ("model.stable_diffusion", {"source": "a", "revision": None, "variant": ""}),
        ("model.stable_diffusion", {"source": "a\\b", "dtype": "float16"}),
        ("mask.load", {"path": "m.png [output]", "invert": True, "threshold": 1}),
        ("image.save", {"prefix": 5, "gps": "yes"}),
    ],
)
@pytest.mark.parametrize("write", [to_api, to_ui])
def test_every_value_comes_back_as_it_was_even_a_wrong_one(registry, kind, params, write):
    before = Workflow(nodes={"a": {"type": kind, "version": registry[kind].version, "params": params}})
    after = from_host(through_json(write(before, registry)), registry).workflow
    assert repr(sorted(after.nodes["a"].params.items())) == repr(sorted(params.items()))


def test_the_hosts_own_nodes_come_back_as_themselves(registry):
    api = {
        "4": {"class_type": "LoadImage", "inputs": {"image": "room.png"}, "_meta": {"title": "Mine"}},
        "9": {"class_type": "InlayMaskGrow", "inputs": {"mask": ["4", 1], "pixels": 2, "feather": 0}},
        "2": {"class_type": "PreviewImage", "inputs": {"images": ["4", 0]}},
        "7": {"class_type": "SaveImage", "inputs": {"images": ["4", 0], "filename_prefix": "a/b"}},
    }
    native = from_host(api, registry).workflow
    written = to_api(Workflow(**through_json(native.model_dump())), registry)
    assert {key: (node["class_type"], node["inputs"]) for key, node in written.items()} == {
        key: (node["class_type"], node["inputs"]) for key, node in api.items()
    }
    assert written["4"]["_meta"]["title"] == "Mine"
    ui = through_json(to_ui(native, registry))
    assert {str(node["id"]): node["type"] for node in ui["nodes"]} == {
        key: node["class_type"] for key, node in api.items()
    }
    native.nodes["n2"].params["format"] = "jpeg"  # what the host's node cannot say makes it one of ours
    assert to_api(native, registry)["2"]["class_type"] == "InlayImageSave"


# places


def frames(graph):
    """Left, top, right, bottom of each node, with its title."""
    return {
        node["id"]: (
            node["pos"][0],
            node["pos"][1] - 30,
            node["pos"][0] + node["size"][0],
            node["pos"][1] + node["size"][1],
        )
        for node in graph["nodes"]
    }


def overlapping(graph):
    return [
        (one, other)
        for (one, a), (other, b) in itertools.combinations(frames(graph).items(), 2)
        if a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
    ]


@pytest.mark.parametrize("name", SHIPPED)
def test_the_nodes_of_a_shipped_workflow_stand_apart_and_links_run_to_the_right(registry, name):
    graph = to_ui(shipped(name), registry)
    assert overlapping(graph) == []
    place = frames(graph)
    assert all(place[source][2] < place[target][0] for _, source, _, target, *_ in graph["links"])


def test_nodes_without_a_place_stand_apart_from_those_that_have_one(registry):
    for seed in range(1, 30, 3):
        workflow = generated(seed)
        names = list(workflow.nodes)
        workflow.ui = {"nodes": {names[0]: {"x": 50, "y": 60, "width": 300, "height": 200}}, "notes": [{"text": "a"}]}
        graph = to_ui(workflow, registry)
        assert graph["nodes"][0]["pos"] == [50, 60]
        assert overlapping(graph) == []


def test_links_and_slots_agree(registry):
    for seed in range(0, 60, 3):
        graph = to_ui(generated(seed), registry)
        nodes = {node["id"]: node for node in graph["nodes"]}
        assert len(nodes) == len(graph["nodes"])
        assert [row[0] for row in graph["links"]] == list(range(1, graph["last_link_id"] + 1))
        for number, source, slot, target, place, kind in graph["links"]:
            assert number in nodes[source]["outputs"][slot]["links"]
            assert nodes[target]["inputs"][place]["link"] == number
            assert nodes[source]["outputs"][slot]["type"] == nodes[target]["inputs"][place]["type"] == kind
            assert nodes[source]["order"] < nodes[target]["order"]


# what cannot be written


def test_everything_that_cannot_be_written_is_named_at_once(registry):
    workflow = Workflow(
        nodes={
            "a": {"type": "image.lod"},
            "b": {"type": "mask.grow", "params": {"pixel": 3}, "inputs": {"mask": "c.mask"}},
            "d": {"type": "mask.grow", "inputs": {"msk": "b.mask", "mask": "b.image"}},
            "e": {"type": "mask.grow", "version": 99},
        }
    )
    for write in (to_api, to_ui):
        with pytest.raises(WorkflowError) as refused:
            write(workflow, registry)
        found = {(problem.node, problem.port) for problem in refused.value.problems}
        assert found == {("a", None), ("b", "pixel"), ("b", "mask"), ("d", "msk"), ("d", "mask"), ("e", "version")}
        assert all(problem.fix for problem in refused.value.problems)

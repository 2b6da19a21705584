"""`example_workflows/`: every shipped workflow as a graph of ComfyUI's editor, up to date, its samples there."""

import importlib.util
import json
from pathlib import Path

import inlay
import pytest
from inlay.graph_runtime.core.workflow import parse
from inlay.graph_runtime.front.comfy.formats.layout import read_layout
from inlay.graph_runtime.front.comfy.formats.read import from_host
from inlay.graph_runtime.front.comfy.host.samples import sample
from inlay.graph_runtime.front.installed import installed_nodes, shipped_workflows
from PIL import Image

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "example_workflows"
NAMES = sorted(shipped_workflows())


@pytest.fixture(scope="module")
def registry():
    return installed_nodes()


def graph(name):
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def test_every_shipped_workflow_is_there_with_a_picture_and_nothing_else():
    assert sorted(path.name for path in FOLDER.iterdir()) == sorted(
        f"{name}{suffix}" for name in NAMES for suffix in (".jpg", ".json")
    )
    for name in NAMES:
        with Image.open(FOLDER / f"{name}.jpg") as picture:
            assert picture.format == "JPEG"
            assert picture.size == (400, 400)
            assert len(picture.convert("RGB").resize((20, 20)).getcolors(400)) > 50  # a picture, no plain colour
        assert (FOLDER / f"{name}.jpg").stat().st_size < 64_000


def test_the_graphs_are_what_the_script_makes(registry):
    path = ROOT / "scripts" / "example_workflows.py"
    spec = importlib.util.spec_from_file_location("example_workflows_script", path)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    for name, text in script.example_files(registry).items():
        assert (FOLDER / name).read_text(encoding="utf-8") == text, "run `make docs`"


@pytest.mark.parametrize("name", NAMES)
def test_a_graph_says_what_its_workflow_says_with_samples_that_are_there(registry, name):
    before = parse(shipped_workflows()[name].read_bytes())
    after = from_host(graph(name), registry).workflow
    assert (after.title, after.description, after.inputs, after.outputs) == (
        before.title,
        before.description,
        before.inputs,
        before.outputs,
    )
    assert list(after.nodes) == list(before.nodes)
    for node, entry in before.nodes.items():
        made = after.nodes[node]
        assert (made.type, made.inputs) == (entry.type, entry.inputs)
        for setting, value in made.params.items():
            if isinstance(value, str) and value.startswith("inlay/"):
                assert sample(value) is not None
                value = value.removeprefix("inlay/")
            assert value == entry.params[setting]
        paths = registry[entry.type].path_roles.keys() & entry.params.keys()
        assert made.params.keys() == entry.params.keys()
        for setting in paths:
            value = made.params[setting]
            assert value is None or value.startswith(("inlay/", "dollhouse")), value


@pytest.mark.parametrize("name", NAMES)
def test_a_graph_is_checked_outside_the_host_too_with_its_samples(name):
    assert inlay.check(FOLDER / f"{name}.json") == []


def test_a_users_file_of_a_samples_name_comes_first(tmp_path):
    (tmp_path / "inlay").mkdir()
    (tmp_path / "inlay" / "photo.jpg").write_text("no picture")
    (tmp_path / "graph.json").write_text((FOLDER / "inpaint.json").read_text(encoding="utf-8"), encoding="utf-8")
    assert [(problem.node, problem.port) for problem in inlay.check(tmp_path / "graph.json")] == [("photo", "path")]


@pytest.mark.parametrize("name", NAMES)
def test_every_node_stands_in_a_frame_and_a_note_tells_what_the_graph_does(registry, name):
    layout = read_layout(from_host(graph(name), registry).workflow.ui)
    for placed in layout.nodes.values():
        inside = [
            group
            for group in layout.groups
            if group.x <= placed.x
            and group.y <= placed.y - 30
            and placed.x + placed.width <= group.x + group.width
            and placed.y + placed.height <= group.y + group.height
        ]
        assert len(inside) == 1
    (note,) = layout.notes
    assert note.markdown
    assert "Press **Run**" in note.text
    assert all(note.x + note.width < group.x for group in layout.groups)

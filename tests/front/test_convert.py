"""`inlay convert`: ours as ComfyUI's files, and those as ours."""

import json
from pathlib import Path

import inlay
import pytest
from inlay.graph_runtime.core.workflow import parse
from inlay.graph_runtime.front.cli.main import main
from inlay.graph_runtime.front.comfy.formats.read import from_host
from inlay.graph_runtime.front.comfy.host.samples import samples
from inlay.graph_runtime.front.installed import installed_nodes, shipped_workflows

FOLDER_OF_EXAMPLES = Path(inlay.__file__).resolve().parent / "example_workflows"


def convert(*words):
    return main(["convert", *map(str, words)])


@pytest.mark.parametrize("kind", ["api", "ui", "comfy-api", "comfy-ui"])
def test_a_shipped_workflow_is_written_for_the_host_and_comes_back(kind, tmp_path, capsys):
    there, back = tmp_path / "there.json", tmp_path / "back.json"
    assert convert("zero_shot_inpaint", "--to", kind, "-o", there) == 0
    assert capsys.readouterr().out.strip() == str(there)
    assert convert(there, "--to", "inlay" if "-" in kind else "native", "-o", back) == 0
    before, after = parse(shipped_workflows()["zero_shot_inpaint"].read_bytes()), parse(back.read_bytes())
    for node, name in (("photo", "room.png"), ("hole", "room-mask.png")):
        assert before.nodes[node].params["path"] == name
        before.nodes[node].params["path"] = f"inlay/{name}"  # which is found wherever the file lies
    assert (after.title, after.description, after.inputs, after.outputs, after.nodes) == (
        before.title,
        before.description,
        before.inputs,
        before.outputs,
        before.nodes,
    )


def test_without_a_file_it_goes_to_standard_output(capsys):
    assert convert("inpaint", "--to", "api") == 0
    written = capsys.readouterr().out
    assert written.endswith("}\n")
    assert json.loads(written)["1"]["class_type"] == "InlayImageLoad"
    assert convert("inpaint", "--to", "api", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"status": "done", "workflow": json.loads(written)}


def test_flags_of_the_workflow_set_what_is_written(capsys):
    assert convert("zero_shot_inpaint", "--to", "native", "--prompt", "a bed", "--seed", "7") == 0
    nodes = json.loads(capsys.readouterr().out)["nodes"]
    assert (nodes["words"]["params"]["prompt"], nodes["noise"]["params"]["seed"]) == ("a bed", 7)
    assert convert("inpaint", "--grow", "3", "--method", "patches", "--to", "native") == 0
    nodes = json.loads(capsys.readouterr().out)["nodes"]
    assert nodes["area"]["params"]["pixels"] == 3


def test_what_cannot_be_written_is_an_error_and_writes_nothing(tmp_path, capsys):
    flow = tmp_path / "flow.json"
    flow.write_text('{"format": 1, "nodes": {"a": {"type": "image.lod"}, "b": {"type": "image.savee"}}}')
    out = tmp_path / "out.json"
    assert convert(flow, "--to", "ui", "-o", out) == 2
    said = capsys.readouterr().err
    assert "image.lod" in said
    assert "image.savee" in said
    assert not out.exists()
    assert convert("inpaint", "--to", "ui", "-o", tmp_path / "no" / "out.json") == 2
    assert "--output" in capsys.readouterr().err
    assert convert("inpaint", "--to", "xml") == 2
    assert "invalid choice: 'xml'" in capsys.readouterr().err


@pytest.mark.parametrize("name", sorted(shipped_workflows()))
@pytest.mark.parametrize("kind", ["api", "ui", "native"])
def test_samples_of_a_shipped_workflow_are_named_so_that_the_host_finds_them_and_any_folder_runs_it(
    name, kind, tmp_path
):
    made = tmp_path / "made.json"
    assert convert(name, "--to", kind, "-o", made) == 0
    registry = installed_nodes()
    flow = from_host(json.loads(made.read_bytes()), registry).workflow if kind != "native" else parse(made.read_bytes())
    named = [
        node.params[setting]
        for node in flow.nodes.values()
        for setting, role in registry[node.type].path_roles.items()
        if role.kind != "model" and node.params.get(setting)
    ]
    assert named
    assert set(named) <= set(samples()), "as the host's loaders list them"
    assert inlay.check(made, out=tmp_path) == []


def test_samples_keep_their_names_where_flags_are_given_and_a_file_of_the_user_keeps_its_own(tmp_path, capsys):
    example = FOLDER_OF_EXAMPLES / "zero_shot_inpaint.json"
    assert convert(example, "--prompt", "a bed", "--to", "native") == 0
    nodes = json.loads(capsys.readouterr().out)["nodes"]
    paths = {node["params"]["path"] for node in nodes.values() if "path" in node.get("params", ())}
    assert paths == {"inlay/room-mask.png", "inlay/room.png"}
    assert convert("zero_shot_inpaint", "--image", "room.png", "--to", "ui") == 0
    written = json.loads(capsys.readouterr().out)
    first = next(node for node in written["nodes"] if node["type"] == "InlayImageLoad")
    assert first["widgets_values_named"]["path"] == "room.png"

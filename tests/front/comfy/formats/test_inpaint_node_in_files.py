"""`Inpaint (inlay)` in a file of ComfyUI: `inlay run` gives the pixels of `inlay inpaint`."""

import json

import inlay
import numpy as np
import pytest
import torch
from inlay.graph_runtime import WorkflowError
from inlay.graph_runtime.front.comfy.expander_node import expander_class
from inlay.graph_runtime.front.comfy.formats.read import from_host
from inlay.graph_runtime.front.installed import installed_nodes
from inlay.nodes.pack import PACK
from PIL import Image


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    rows, columns = np.mgrid[:64, :80]
    photo = np.stack([(rows * 3) % 256, (columns * 2) % 256, (rows + columns) % 256], axis=-1).astype(np.uint8)
    Image.fromarray(photo).save(folder / "photo.png")
    hole = np.zeros((64, 80), np.uint8)
    hole[20:34, 30:50] = 255
    Image.fromarray(np.stack([hole] * 3, axis=-1)).save(folder / "hole.png")
    Image.fromarray(photo[:40, :40]).save(folder / "thing.png")
    return folder


def graph(**widgets):
    loaders = {
        "1": {"class_type": "LoadImage", "inputs": {"image": "photo.png"}},
        "2": {"class_type": "LoadImageMask", "inputs": {"image": "hole.png", "channel": "red"}},
        "5": {"class_type": "LoadImage", "inputs": {"image": "thing.png"}},
    }
    wired = {"image": ["1", 0], "mask": ["2", 0]} | ({"example": ["5", 0]} if widgets.pop("example", None) else {})
    return loaders | {
        "3": {"class_type": "InlayInpaint", "inputs": wired | widgets},
        "4": {"class_type": "SaveImage", "inputs": {"images": ["3", 0], "filename_prefix": "filled"}},
    }


@pytest.mark.parametrize(
    "options",
    [
        {"grow": 2, "seed": 7},
        {"invert": True, "feather": 1},
        {"outpaint": "left=10"},
        {"colour": "#7f3e49~20"},
        {"source": "dollhouse", "prompt": "a red sofa", "steps": 2},
        {"source": "dollhouse", "steps": 2, "strength": 0.5},
        {"source": "dollhouse", "example": True, "steps": 2, "size": 128},
    ],
    ids=str,
)
def test_the_pixels_of_the_command(pictures, tmp_path, options):
    file = pictures / "graph.json"
    file.write_text(json.dumps(graph(**options)))
    found = inlay.run(file, out=tmp_path / "a")
    given = options | ({"example": pictures / "thing.png"} if "example" in options else {})
    expected = inlay.inpaint(pictures / "photo.png", pictures / "hole.png", **given)
    assert torch.equal(found["image"], expected["image"])
    assert [path.name for path in found.paths] == ["filled_00001.png"]


def test_each_variation_is_saved(pictures, tmp_path):
    file = pictures / "graph.json"
    file.write_text(json.dumps(graph(variations=2)))
    found = inlay.run(file, out=tmp_path)
    expected = inlay.inpaint(pictures / "photo.png", pictures / "hole.png", variations=2)
    for number, path in enumerate(sorted(found.paths), 1):
        assert np.array_equal(np.asarray(Image.open(path)), (expected[f"image_{number}"][0].numpy() * 255).round())
    assert len(found.paths) == 2


def test_an_editors_file_with_all_widgets_is_read_alike():
    """The widgets as the editor saves them: in order, with what follows the seed."""
    groups = expander_class("inpaint", PACK.expanders["inpaint"]).INPUT_TYPES()
    widgets, values = {name: entry for group in groups.values() for name, entry in group.items()}, []
    for name, (kind, options) in widgets.items():
        if kind not in ("IMAGE", "MASK"):
            values += [{"grow": 3}.get(name, options["default"])] + (["randomize"] if name == "seed" else [])
    nodes = [
        {"id": 1, "type": "LoadImage", "outputs": [{"name": "IMAGE", "type": "IMAGE", "links": [1]},
         {"name": "MASK", "type": "MASK", "links": [2]}], "widgets_values": ["photo.png", "image"]},
        {"id": 3, "type": "InlayInpaint", "inputs": [{"name": "image", "type": "IMAGE", "link": 1},
         {"name": "mask", "type": "MASK", "link": 2}], "outputs": [{"name": "image", "type": "IMAGE", "links": [3]}],
         "widgets_values": values},
        {"id": 4, "type": "SaveImage", "inputs": [{"name": "images", "type": "IMAGE", "link": 3}],
         "widgets_values": ["x"]},
    ]  # fmt: skip
    links = [[1, 1, 0, 3, 0, "IMAGE"], [2, 1, 1, 3, 1, "MASK"], [3, 3, 0, 4, 0, "IMAGE"]]
    seen = {"nodes": nodes, "links": links, "last_node_id": 4, "groups": [], "version": 0.4}
    sent = graph(grow=3)
    sent["3"]["inputs"]["mask"] = ["1", 1]
    sent = {name: sent[name] | ({"inputs": {**sent[name]["inputs"]}}) for name in ("1", "3", "4")}
    sent["4"]["inputs"]["filename_prefix"] = "x"
    from_editor = from_host(seen, installed_nodes()).workflow
    assert from_editor.nodes == from_host(sent, installed_nodes()).workflow.nodes
    assert from_editor.nodes["n3_area"].params == {"pixels": 3}


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({"steps": 5}, r"3 \(InlayInpaint\)\.steps"),
        ({"prompt": "a cat"}, r"3 \(InlayInpaint\)\.prompt"),
        ({"method": "model"}, r"3 \(InlayInpaint\)\.source"),
        ({"image": None}, r"3 \(InlayInpaint\)\.image"),
        ({"mask": None}, r"3 \(InlayInpaint\)\.mask"),
        ({"seed": ["1", 0]}, r"3 \(InlayInpaint\)\.seed.*computed during the run"),
        ({"source": "/etc/passwd"}, r"3 \(InlayInpaint\)\.method.*auto"),
        ({"source": "owner/name"}, r"3 \(InlayInpaint\)\.method.*auto"),
        ({"grow": "much"}, r"3 \(InlayInpaint\)\.grow"),
    ],
    ids=str,
)
def test_a_problem_names_the_node_and_its_widget(changed, found):
    file = graph()
    file["3"]["inputs"] = {name: v for name, v in {**file["3"]["inputs"], **changed}.items() if v is not None}
    with pytest.raises(WorkflowError, match=f"(?s){found}"):
        from_host(file, installed_nodes())


def test_the_model_of_a_file_is_not_read_to_choose_a_method():
    made = from_host(graph(source="/etc/passwd", method="model", prompt="x"), installed_nodes()).workflow
    assert made.nodes["n3_model"].params["source"] == "/etc/passwd"

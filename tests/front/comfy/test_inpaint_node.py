"""`Inpaint (inlay)`: the everyday workflow as one node of the host."""

import sys
import types
from pathlib import Path

import inlay
import numpy as np
import pytest
import torch
from hosts import folder_paths
from inlay.graph_runtime import NodeError
from inlay.graph_runtime.front.comfy.expander_node import expander_class
from inlay.nodes.pack import PACK
from PIL import Image

ROOT = Path(__file__).resolve().parents[3]
NODE = expander_class("inpaint", PACK.expanders["inpaint"])


@pytest.fixture
def host(tmp_path, monkeypatch):
    told = types.SimpleNamespace(texts=[], steps=[])
    folders = folder_paths(tmp_path, "input", "output", "temp")

    class ProgressBar:
        def __init__(self, total, node_id=None):
            pass

        def update_absolute(self, value, total=None, preview=None):
            told.steps.append((value, total))

    utils, server = types.ModuleType("comfy.utils"), types.ModuleType("server")
    utils.ProgressBar = ProgressBar
    send = types.SimpleNamespace(send_progress_text=lambda text, node, sid=None: told.texts.append(text))
    server.PromptServer = types.SimpleNamespace(instance=send)
    context = types.ModuleType("comfy_execution.utils")
    context.get_executing_context = lambda: types.SimpleNamespace(node_id="7")
    for module in (folders, types.ModuleType("comfy"), utils, server, context):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return told


def picture(height=60, width=80):
    """As the host's loader gives it."""
    rows, columns = np.mgrid[:height, :width]
    bytes_ = np.stack([(rows * 3) % 256, (columns * 2) % 256, (rows + columns) % 256], axis=-1).astype(np.uint8)
    mask = np.zeros((height, width), np.float32)
    mask[20:34, 30:50] = 1
    return bytes_, torch.from_numpy(bytes_.astype(np.float32) / 255)[None], torch.from_numpy(mask)[None]


def run(**inputs):
    with torch.inference_mode():
        return NODE().execute(**inputs)


def image_of(shown):
    return (shown["result"] if isinstance(shown, dict) else shown)[0]


def test_one_required_socket_and_a_default_for_everything_else():
    types_ = NODE.INPUT_TYPES()
    assert list(types_["required"]) == ["image"]
    assert types_["required"]["image"][0] == "IMAGE"
    assert (types_["optional"]["mask"][0], types_["optional"]["example"][0]) == ("MASK", "IMAGE")
    assert types_["optional"]["method"] == (
        ["auto", "patches", "null_space", "exemplar", "model"],
        {"tooltip": types_["optional"]["method"][1]["tooltip"], "default": "auto"},
    )
    widgets = {name: entry for name, entry in types_["optional"].items() if entry[0] not in ("MASK", "IMAGE")}
    assert all("default" in entry[1] for entry in widgets.values())
    assert widgets["prompt"][1]["multiline"]
    assert widgets["steps"][0] == "INT"
    assert NODE.__name__ == "InlayInpaint"
    assert "remove object" in NODE.SEARCH_ALIASES


def test_the_same_pixels_as_the_command(host, tmp_path):
    pixels, image, mask = picture()
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    Image.fromarray((mask[0].numpy() * 255).astype(np.uint8)).save(tmp_path / "hole.png")
    widgets = {
        name: entry[1]["default"] for name, entry in NODE.INPUT_TYPES()["optional"].items() if "default" in entry[1]
    }
    shown = run(image=image, mask=mask, **widgets | {"seed": 3, "grow": 1})
    expected = inlay.run(
        "inpaint", image=tmp_path / "photo.png", mask=tmp_path / "hole.png", seed=3, grow=1, out=tmp_path / "out"
    )
    assert torch.equal(image_of(shown), expected["image"].float())
    assert torch.equal(image_of(shown)[mask == 0][:50], image[mask == 0][:50])
    assert not list((tmp_path / "output").rglob("*.png"))
    assert any(text.startswith("1 of ") for text in host.texts)
    assert "no model is named" in shown["ui"]["text"][0]


def test_variations_come_as_a_batch_and_a_batch_as_a_batch(host):
    _, image, mask = picture()
    assert image_of(run(image=image, mask=mask, variations=2)).shape[0] == 2
    both = image_of(run(image=torch.cat([image, image.flip(2)]), mask=mask))
    assert both.shape[0] == 2
    assert torch.equal(both[0], image_of(run(image=image, mask=mask[0]))[0])  # a mask without its batch axis


@pytest.mark.parametrize(
    ("inputs", "found"),
    [
        ({}, r"Inpaint \(inlay\)\.mask.*found\s+no hole to fill"),
        ({"mask": torch.zeros(1, 64, 64)}, r"Inpaint \(inlay\)\.mask.*this picture has no mask"),
        ({"method": "model"}, r"Inpaint \(inlay\)\.source.*no model for method model"),
        ({"prompt": "a cat"}, r"Inpaint \(inlay\)\.prompt.*prompt without a model"),
        ({"steps": 5000}, r"Inpaint \(inlay\)\.steps"),
        ({"size": 65, "source": "dollhouse"}, r"Inpaint \(inlay\)\.size.*multiple of 8"),
        ({"source": "../secret"}, r"Inpaint \(inlay\)\.source"),
        ({"mask": torch.ones(1, 20, 20)}, r"Inpaint \(inlay\)"),
    ],
    ids=str,
)
def test_errors_name_its_own_widgets(host, inputs, found):
    import re

    _, image, mask = picture()
    given = {"image": image} | ({} if not inputs or "mask" in inputs else {"mask": mask}) | inputs
    with pytest.raises(NodeError) as raised:
        run(**given)
    text = str(raised.value)
    assert re.search(found, text, re.DOTALL), text
    assert "--" not in text


def test_a_mask_of_another_size_with_paint_is_the_workflows_problem(host):
    _, image, _ = picture()
    with pytest.raises(NodeError, match="mask"):
        run(image=image, mask=torch.ones(1, 20, 20))

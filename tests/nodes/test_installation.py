"""What the doctor checks for the pack: torchvision, and the files of the embedded models."""

import json
import struct
import sys

import pytest
from inlay.nodes.checks import installation


def test_the_embedded_models_are_known_by_name_and_whole():
    models = installation.embedded_models()
    assert "dollhouse" in models
    assert all(
        (folder / "model_index.json").exists() or (folder / "config.json").exists() for folder in models.values()
    )
    assert all(finding.ok for finding in installation.embedded_weights())


def test_a_broken_torchvision_is_named(monkeypatch, tmp_path):
    package = tmp_path / "torchvision"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        monkeypatch.delitem(sys.modules, name)
    (finding,) = installation.torchvision()
    assert finding.ok is False
    assert "nms does not exist" in finding.detail
    assert "pip uninstall torchvision" in finding.fix


def weights(path, tensor=b"\0" * 8, cut=0):
    header = json.dumps({"x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
    data = struct.pack("<Q", len(header)) + header + tensor
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data[: max(len(data) - cut, 3)])


@pytest.fixture
def embedded(tmp_path, monkeypatch):
    folder = tmp_path / "weights"
    folder.mkdir()
    (folder / "model_index.json").write_text(
        json.dumps(
            {
                "_class_name": "StableDiffusionPipeline",
                "unet": ["diffusers", "UNet2DConditionModel"],
                "safety_checker": [None, None],
            }
        )
    )
    weights(folder / "unet" / "model.safetensors")
    (folder / "unet" / "config.json").write_text("{}")
    monkeypatch.setattr(installation, "EMBEDDED", tmp_path)
    return folder


def test_embedded_weights_that_are_whole(embedded):
    (finding,) = installation.embedded_weights()
    assert finding.ok is True, finding


@pytest.mark.parametrize(("cut", "said"), [(1, "cut off"), (20, "cut off"), (10**6, "not readable")])
def test_embedded_weights_that_are_cut_off(embedded, cut, said):
    weights(embedded / "unet" / "model.safetensors", cut=cut)
    (finding,) = installation.embedded_weights()
    assert finding.ok is False
    assert said in finding.detail
    assert "reinstall" in finding.fix


def test_embedded_weights_that_are_missing(embedded, monkeypatch, tmp_path):
    (embedded / "unet" / "model.safetensors").unlink()
    (finding,) = installation.embedded_weights()
    assert "unet: no weights" in finding.detail
    monkeypatch.setattr(installation, "EMBEDDED", tmp_path / "nothing")
    (finding,) = installation.embedded_weights()
    assert finding.ok is False

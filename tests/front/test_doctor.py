"""The doctor finds what is broken and says how to mend it; on a healthy machine it has nothing to say."""

import json
import struct
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from inlay.graph_runtime.front import tested
from inlay.graph_runtime.front.cli import doctor
from inlay.graph_runtime.front.cli.doctor import Finding, diagnose, render


def by_name(findings):
    return {finding.name: finding for finding in findings}


def test_this_machine():
    found = by_name(diagnose())
    assert found["python"].ok is True
    assert found["torch"].ok is True
    assert found["cpu"].ok is True
    assert {"diffusers", "transformers", "accelerate", "INLAY_HOME", "hub cache", "offline", "output"} <= set(found)
    for finding in found.values():
        json.dumps(finding.__dict__)
        assert finding.ok is not False or finding.fix


def test_render_shows_cures_and_a_verdict():
    text = render([Finding("a", True, "fine", "never shown"), Finding("bb", False, "broken", "mend it")])
    assert "ok    a   fine" in text
    assert "FAIL  bb  broken" in text
    assert "fix: mend it" in text
    assert "never shown" not in text
    assert text.endswith("1 problem")
    assert render([Finding("a", None, "so")]).endswith("all is well")


def test_missing_old_and_new_packages(monkeypatch):
    monkeypatch.setattr(
        tested,
        "TESTED",
        {
            "torch": ("99.0", "99.9"),
            "numpy": ("0.1", "0.2"),
            "rich": ("1.0", "99.0"),
            "no-such-package": ("1.2", "1.3"),
        },
    )
    monkeypatch.setattr(doctor, "TESTED", tested.TESTED)
    found = by_name(doctor._packages())
    assert found["torch"].ok is False
    assert "older than what was tested (99.0 to 99.9)" in found["torch"].detail
    assert "torch>=99.0" in found["torch"].fix
    assert found["numpy"].ok is None
    assert "newer than what was tested (0.1 to 0.2)" in found["numpy"].detail
    assert found["rich"].ok is True
    assert found["no-such-package"].detail == "not installed"


def test_versions_are_compared_as_numbers(monkeypatch):
    assert tested.release("2.13.0+cpu") == (2, 13, 0)
    assert tested.release("5.0.0rc1")[:2] == (5, 0)
    assert tested.release("of nobody") == ()
    monkeypatch.setattr(tested, "TESTED", {"a": ("0.9", "4.50")})
    assert [tested.older("a", version) for version in ("0.8.9", "0.9", "0.10")] == [True, False, False]
    assert [tested.newer("a", version) for version in ("4.9", "4.50.9", "4.51.0", "5")] == [False, False, True, True]


def test_the_oldest_that_was_tested_is_what_the_project_asks_for():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["dependencies"] == [f"{name}>={oldest}" for name, (oldest, _) in tested.TESTED.items()]
    assert all(tested.release(oldest)[:2] <= tested.release(newest) for oldest, newest in tested.TESTED.values())


def test_a_broken_torchvision_is_named(monkeypatch, tmp_path):
    package = tmp_path / "torchvision"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        monkeypatch.delitem(sys.modules, name)
    (finding,) = doctor._torchvision()
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
    monkeypatch.setattr(doctor, "EMBEDDED", tmp_path)
    return folder


def test_embedded_weights_that_are_whole(embedded):
    (finding,) = doctor._embedded()
    assert finding.ok is True, finding


@pytest.mark.parametrize(("cut", "said"), [(1, "cut off"), (20, "cut off"), (10**6, "not readable")])
def test_embedded_weights_that_are_cut_off(embedded, cut, said):
    weights(embedded / "unet" / "model.safetensors", cut=cut)
    (finding,) = doctor._embedded()
    assert finding.ok is False
    assert said in finding.detail
    assert "reinstall" in finding.fix


def test_embedded_weights_that_are_missing(embedded, monkeypatch, tmp_path):
    (embedded / "unet" / "model.safetensors").unlink()
    (finding,) = doctor._embedded()
    assert "unet: no weights" in finding.detail
    monkeypatch.setattr(doctor, "EMBEDDED", tmp_path / "nothing")
    (finding,) = doctor._embedded()
    assert finding.ok is False


def test_offline_and_disk(monkeypatch, tmp_path):
    monkeypatch.setenv("INLAY_OFFLINE", "1")
    assert "INLAY_OFFLINE" in by_name(doctor._hub())["offline"].detail
    monkeypatch.setenv("INLAY_HOME", str(tmp_path / "new" / "home"))
    found = by_name(diagnose(tmp_path))["INLAY_HOME"]
    assert str(tmp_path / "new" / "home") in found.detail
    assert not (tmp_path / "new").exists()  # looking changes nothing


def test_an_output_folder_that_is_a_file(tmp_path):
    (tmp_path / "out").touch()
    finding = doctor._writable(tmp_path / "out")
    assert finding.ok is False
    assert "--out" in finding.fix


def test_a_home_that_is_a_file(monkeypatch, tmp_path):
    (tmp_path / "home").touch()
    monkeypatch.setenv("INLAY_HOME", str(tmp_path / "home"))
    finding = by_name(diagnose(tmp_path))["INLAY_HOME"]
    assert finding.ok is False
    assert "not a folder" in finding.detail


def test_a_check_that_fails_is_a_finding(monkeypatch):
    def python():
        raise OSError("strange")

    monkeypatch.setattr(doctor, "_python", python)
    assert by_name(diagnose())["python"].detail == "OSError: strange"


def test_importing_the_doctor_imports_no_torch():
    code = "import sys, inlay.graph_runtime.front.cli.doctor; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

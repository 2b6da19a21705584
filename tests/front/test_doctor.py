"""The doctor finds what is broken and says how to fix it; on a healthy machine it has nothing to say."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

from inlay.graph_runtime.core.pack import Diagnosis, Pack
from inlay.graph_runtime.front.cli import doctor
from inlay.graph_runtime.front.cli.doctor import diagnose, render
from inlay.nodes.pack import PACK


def by_name(findings):
    return {finding.name: finding for finding in findings}


def test_this_machine():
    found = by_name(diagnose())
    assert found["python"].ok is True
    assert found["torch"].ok is True
    assert found["cpu"].ok is True
    assert {"diffusers", "transformers", "accelerate", "INLAY_HOME", "hub cache", "offline", "output"} <= set(found)
    assert {"torchvision", "dollhouse"} <= set(found)
    for finding in found.values():
        json.dumps(vars(finding))
        assert finding.ok is not False or finding.fix


def test_render_shows_cures_and_a_verdict():
    text = render([Diagnosis("a", True, "fine", "never shown"), Diagnosis("bb", False, "broken", "repair it")])
    assert "ok    a   fine" in text
    assert "FAIL  bb  broken" in text
    assert "fix: repair it" in text
    assert "never shown" not in text
    assert text.endswith("1 problem")
    assert render([Diagnosis("a", None, "so")]).endswith("no problems found")


def test_missing_old_and_new_packages(monkeypatch):
    tested = {
        "torch": ("99.0", "99.9"),
        "numpy": ("0.1", "0.2"),
        "rich": ("1.0", "99.0"),
        "no-such-package": ("1.2", "1.3"),
    }
    monkeypatch.setattr(doctor, "PACK", Pack(tested=tested))
    found = by_name(doctor._packages())
    assert found["torch"].ok is False
    assert "older than the tested releases (99.0 to 99.9)" in found["torch"].detail
    assert "torch>=99.0" in found["torch"].fix
    assert found["numpy"].ok is None
    assert "newer than the tested releases (0.1 to 0.2)" in found["numpy"].detail
    assert found["rich"].ok is True
    assert found["no-such-package"].detail == "not installed"


def test_versions_are_compared_as_numbers(monkeypatch):
    assert doctor.release("2.13.0+cpu") == (2, 13, 0)
    assert doctor.release("5.0.0rc1")[:2] == (5, 0)
    monkeypatch.setattr(doctor, "PACK", Pack(tested={"a": ("0.9", "4.50")}))

    def verdict(version):
        monkeypatch.setattr(doctor.metadata, "version", lambda _: version)
        return by_name(doctor._packages())["a"].ok

    assert [verdict(version) for version in ("0.8.9", "0.9", "0.10")] == [False, True, True]
    assert [verdict(version) for version in ("4.9", "4.50.9", "4.51.0", "5")] == [True, True, None, None]


def test_the_oldest_that_was_tested_is_what_the_project_asks_for():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    tested = PACK.tested.items()
    assert project["dependencies"] == [f"{name}>={oldest}" for name, (oldest, _) in tested]
    assert all(doctor.release(oldest)[:2] <= doctor.release(newest) for _, (oldest, newest) in tested)


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

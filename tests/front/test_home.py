"""Whatever is in the place of inlay's own folder, a run succeeds: without what is kept there, and says so by name."""

import errno
import os
import shutil
import time
import types

import inlay
import pytest
from graph_toys import One
from inlay.graph_runtime import node
from inlay.graph_runtime.core import file_digests, source_code
from inlay.graph_runtime.core.reading import file_state
from inlay.graph_runtime.core.user_paths import home
from inlay.graph_runtime.front.cli import doctor
from inlay.graph_runtime.front.cli.doctor import diagnose
from inlay.graph_runtime.front.python import api
from PIL import Image

FLOW = {
    "format": 1,
    "inputs": {"image": "photo.path"},
    "nodes": {
        "photo": {"type": "image.load", "params": {"path": "photo.png"}},
        "fill": {
            "type": "image.fill",
            "params": {"fill": "noise"},
            "inputs": {"image": "photo.image", "mask": "hole.mask"},
        },
        "hole": {
            "type": "mask.shape",
            "params": {"kind": "ellipse", "x": 2, "y": 2, "width": 4, "height": 4},
            "inputs": {"image": "photo.image"},
        },
        "save": {"type": "image.save", "inputs": {"image": "fill.image"}},
    },
    "outputs": {"image": "fill.image"},
}


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs a workflow as a new process would, with nothing parsed or read before; checks the file, gives warnings."""
    Image.effect_noise((16, 12), 50).convert("RGB").save(tmp_path / "photo.png")

    def call():
        monkeypatch.setattr(source_code, "_known", {})
        monkeypatch.setattr(file_digests, "_known", {})
        began, warnings = time.monotonic(), []
        result = inlay.run(FLOW, out=tmp_path / "out", image=tmp_path / "photo.png", listeners=[warnings.append])
        assert time.monotonic() - began < 8
        assert result.paths[0].read_bytes() == reference
        return [event.message for event in warnings if type(event).__name__ == "Warned"]

    reference = inlay.run(FLOW, out=tmp_path / "first", image=tmp_path / "photo.png", cache=False).paths[0].read_bytes()
    return call


@pytest.mark.parametrize("kind", ["file", "pipe", "broken link", "circle", "below a file", "takes no files"])
def test_a_home_that_cannot_be_used_is_named_and_the_run_succeeds(tmp_path, monkeypatch, run, kind):
    place = tmp_path / "home"
    if kind in ("file", "below a file"):
        place.write_text("mine")
        place = place / "deep" if kind == "below a file" else place
    elif kind == "pipe":
        os.mkfifo(place)
    elif kind == "takes no files":
        place = type(place)("/sys/kernel/inlay")
    else:
        place.symlink_to("home" if kind == "circle" else tmp_path / "nowhere")
    monkeypatch.setenv("INLAY_HOME", str(place))
    for _ in range(2):
        warnings = run()
        assert any("INLAY_HOME" in message and "nothing is kept" in message for message in warnings)
    finding = next(finding for finding in diagnose(tmp_path) if finding.name == "INLAY_HOME")
    assert finding.ok is False
    assert finding.fix


@pytest.mark.parametrize("kind", ["rubbish", "pipe", "folder", "broken link", "zeros without end"])
@pytest.mark.parametrize("name", ["code.json", "known-inputs.json", "known-inputs.sqlite", "digests.sqlite", "cache"])
def test_rubbish_in_the_home_stops_and_delays_nothing(monkeypatch, run, kind, name):
    monkeypatch.setattr(file_digests, "_LARGE", 0)
    monkeypatch.setattr(file_state, "SETTLED_NS", -1)
    shutil.rmtree(home())
    home().mkdir()
    place = home() / name
    if kind == "rubbish":
        place.write_bytes(b"[" * 100_000)
    elif kind == "pipe":
        os.mkfifo(place)
    elif kind == "folder":
        place.mkdir()
    else:
        place.symlink_to("/dev/zero" if kind == "zeros without end" else "nowhere/at/all")
    run()


def test_a_relative_home_stays_where_it_was(tmp_path, monkeypatch, run):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("INLAY_HOME", "relative-to-the-first-folder")
    run()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    run()
    assert os.listdir(tmp_path / "elsewhere") == []
    assert (tmp_path / "relative-to-the-first-folder").is_dir()


@pytest.mark.parametrize("then", ["gone", "a file", "empty"])
def test_a_home_that_is_deleted_during_the_run_changes_nothing(tmp_path, then):
    module = types.ModuleType("deleting")

    @node("toy.delete")
    def delete() -> One:
        """Deletes the home."""
        shutil.rmtree(home())
        if then == "a file":
            home().write_text("mine")
        elif then == "empty":
            home().mkdir()
        return One(7)

    @node("toy.keep")
    def keep(a: One.__annotations__["value"]) -> One:
        """A result that is worth keeping."""
        time.sleep(0.05)
        return One(a + 1)

    module.delete, module.keep = delete, keep
    flow = {
        "format": 1,
        "nodes": {"d": {"type": "toy.delete"}, "k": {"type": "toy.keep", "inputs": {"a": "d.value"}}},
        "outputs": {"x": "k.value"},
    }
    home().mkdir(exist_ok=True)
    assert inlay.run(flow, nodes=[module], out=tmp_path / "out")["x"] == 8
    assert then != "a file" or home().read_text() == "mine"


def test_what_killed_runs_left_in_home_and_output_folder_is_removed_by_the_next_run(tmp_path, monkeypatch, run):
    from inlay.graph_runtime.core import leftovers

    monkeypatch.setattr(leftovers, "AGAIN", 0.0)
    left = f".a.png.{leftovers._machine()}-{os.getpid()}-1-12345678.part"  # of an earlier process of this number
    for folder in (home(), tmp_path / "out"):
        folder.mkdir(exist_ok=True)
        (folder / left).touch()
    run()
    assert not (home() / left).exists()
    assert not (tmp_path / "out" / left).exists()


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES, errno.ENOENT, errno.ESTALE])
def test_a_disk_error_outside_a_node_is_no_bug_either(monkeypatch, command, number):
    def fail(*args, **options):
        raise OSError(number, os.strerror(number), "/some/file")

    monkeypatch.setattr(doctor, "diagnose", fail)
    done = command("doctor")
    assert done.returncode == 1
    assert "/some/file" in done.stderr
    assert "bug" not in done.stderr
    monkeypatch.setattr(api, "load", fail)
    assert "/some/file" in inlay.check("zero_shot_inpaint")[0].found
    assert "unforeseen" not in str(inlay.check("zero_shot_inpaint"))

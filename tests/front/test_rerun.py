"""The same request again: the same files from the store, without torch, diffusers, or the nodes."""

import json
import os
import subprocess
import sys

import inlay
import pytest
from inlay.graph_runtime.core.events import NodeFinished
from inlay.graph_runtime.core.user_paths import home
from inlay.graph_runtime.front.python import api
from inlay.graph_runtime.front.rerun import surroundings
from inlay.graph_runtime.front.rerun.keep import runs_on_disk

HEAVY = ("torch", "diffusers", "transformers", "peft", "scipy")
COMMAND = (
    "import sys; from inlay.graph_runtime.front.cli.main import main; status = main(); "
    f"print('heavy:', *[name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr); sys.exit(status)"
)
NOTE = "used again"
FLOW = {
    "format": 1,
    "inputs": {"image": "photo.path", "seed": "grey.seed", "prefix": "save.prefix"},
    "nodes": {
        "photo": {"type": "image.load", "version": 1, "params": {"path": "a.png"}},
        "grey": {
            "type": "image.fill",
            "version": 1,
            "params": {"fill": "noise", "seed": 3},
            "inputs": {"image": "photo.image", "mask": "photo.mask"},
        },
        "save": {"type": "image.save", "version": 1, "params": {}, "inputs": {"image": "grey.image"}},
    },
    "outputs": {"image": "grey.image"},
}


def make_room(folder):
    """A workflow and its pictures."""
    from PIL import Image

    for name, colour, size in (("a.png", (200, 10, 30), (12, 8)), ("b.png", (1, 2, 3), (12, 8))):
        Image.new("RGB", size, colour).save(folder / name)
    (folder / "many").mkdir()
    Image.new("RGB", (6, 6), (9, 9, 9)).save(folder / "many" / "1.png")
    (folder / "flow.json").write_text(json.dumps(FLOW))
    return folder


@pytest.fixture
def room(tmp_path, monkeypatch):
    """A folder with a workflow and its pictures, in a process that looks for kept runs as a new one does."""
    monkeypatch.chdir(make_room(tmp_path))
    monkeypatch.setattr(surroundings, "nodes_are_loaded", lambda: False)
    return tmp_path


@pytest.fixture
def run(room, command):
    """`inlay run flow.json …` in this process: status, paths, and whether a kept run was repeated."""

    def call(*words):
        done = command("run", "flow.json", *words)
        paths = [room / line for line in done.stdout.splitlines() if line.endswith((".png", ".jpg", ".webp"))]
        return done.returncode, paths, NOTE in done.stderr

    return call


def process(folder, *code):
    """A Python process of its own in a folder."""
    environment = {**os.environ, "INLAY_HOME": str(folder / "home"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", *code], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done


def test_the_same_command_again_imports_no_torch_and_writes_the_same_bytes(tmp_path):
    make_room(tmp_path)
    first, again = (process(tmp_path, COMMAND, "run", "flow.json", "--out", out) for out in ("one", "two"))
    assert "torch" in first.stderr.rpartition("heavy:")[2]
    assert again.stderr.rpartition("heavy:")[2].split() == []
    assert NOTE in again.stderr
    one, two = (tmp_path / done.stdout.strip() for done in (first, again))
    assert one != two
    assert one.read_bytes() == two.read_bytes()


def test_files_get_the_next_free_numbers(run):
    (first,) = run()[1]
    _, (second,), repeated = run()
    assert repeated
    assert (first.name, second.name) == ("image_00001.png", "image_00002.png")
    assert run("--quiet")[1][0].read_bytes() == second.read_bytes() == first.read_bytes()


def test_json_is_that_of_a_run(run, command):
    first, again = (json.loads(command("run", "flow.json", "--json").stdout) for _ in range(2))
    assert again["outputs"] == first["outputs"] == {"image": {"dtype": "float32", "shape": [1, 8, 12, 3]}}
    assert list(again["timings"]) == ["photo", "grey", "save"]
    assert set(again["timings"].values()) == {0.0}
    assert {**again, "paths": [], "timings": {}, "seconds": 0} == {**first, "paths": [], "timings": {}, "seconds": 0}


CALL = """
import sys, json, inlay
from pathlib import Path
result = inlay.run("flow.json", out="from-python", **json.loads(sys.argv[1]))
before = [name for name in ("torch", "diffusers", "transformers") if name in sys.modules]
picture = Path(result.paths[0]).read_bytes().hex()
values = result["image"].flatten().tolist()
warned = [str(event) for event in result.events if type(event).__name__ == "Warned"]
print(json.dumps([before, picture, values, list(result.timings), warned, type(result["image"]).__name__]))
"""


def test_the_same_call_again_imports_torch_only_for_an_output_that_is_asked_for(tmp_path):
    make_room(tmp_path)
    arguments = json.dumps({"set": {"save.format": "jpeg"}})
    first, again = (json.loads(process(tmp_path, CALL, arguments).stdout) for _ in range(2))
    assert "torch" in first[0]
    assert again[0] == []
    assert again[1:] == first[1:]
    assert any("jpeg" in message.lower() for message in again[4]), "warnings are repeated"


def test_a_call_without_the_cache_is_not_repeated(room, monkeypatch):
    monkeypatch.setattr(api, "nodes_are_loaded", lambda: False)
    events = [inlay.run("flow.json", cache=cache).events for cache in (True, True, False)]
    cached = [any(isinstance(one, NodeFinished) and one.cached for one in found) for found in events]
    assert cached == [False, True, False]


@pytest.mark.parametrize(
    "words",
    [
        ("--image", "b.png"),
        ("--seed", "4"),
        ("--set", "save.format=webp"),
        ("--no-metadata",),
        ("--no-cache",),
        ("--device", "cpu"),
        ("--inputs", "many"),
        ("--memory", "6GB"),
    ],
    ids=" ".join,
)
def test_another_request_is_not_answered_from_it(run, words):
    run()
    assert run()[2]
    assert not run(*words)[2]


@pytest.mark.parametrize("name", ["OMP_NUM_THREADS", "HF_HUB_OFFLINE", "MKL_CBWR", "HOME"])
def test_another_environment_is_not_answered_from_it(run, monkeypatch, name):
    run()
    monkeypatch.setenv(name, "3")
    assert not run()[2]


@pytest.mark.parametrize("change", ["threads", "precision", "code", "library", "folder"])
def test_other_settings_of_torch_code_or_libraries_are_not_answered_from_it(run, room, monkeypatch, change):
    import torch

    run()
    threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    try:
        if change == "threads":
            torch.set_num_threads(threads + 1)
        elif change == "precision":
            torch.set_float32_matmul_precision("medium")
        elif change == "code":
            monkeypatch.setattr(surroundings, "_contents", lambda root, files: "other")
        elif change == "library":
            monkeypatch.setattr(surroundings, "_libraries", lambda: ["diffusers 99"])
        else:
            (room / "deeper").mkdir()
            (room / "deeper" / "flow.json").write_text((room / "flow.json").read_text())
            (room / "deeper" / "a.png").write_bytes((room / "b.png").read_bytes())
            monkeypatch.chdir(room / "deeper")
        assert not run()[2]
    finally:
        torch.set_num_threads(threads)
        torch.set_float32_matmul_precision(precision)


def test_code_that_changed_after_the_process_began_is_no_part_of_a_key(monkeypatch):
    assert surroundings.surroundings() is not None
    monkeypatch.setattr(surroundings, "_BEGAN", 0)
    assert surroundings.surroundings() is None


def test_a_changed_picture_of_the_same_size_and_time_is_seen(run, room):
    from PIL import Image

    Image.new("RGB", (5, 5), (5, 5, 5)).save(room / "c.bmp")
    (old,) = run("--image", "c.bmp")[1]
    assert run("--image", "c.bmp")[2]
    before = os.stat(room / "c.bmp")
    contents = bytearray((room / "c.bmp").read_bytes())
    contents[-2] = 77
    (room / "c.bmp").write_bytes(contents)
    os.utime(room / "c.bmp", ns=(before.st_atime_ns, before.st_mtime_ns))
    _, (path,), repeated = run("--image", "c.bmp")
    assert not repeated
    assert path.read_bytes() != old.read_bytes()


@pytest.mark.parametrize("given", ["many", "many/*.png"])
def test_a_new_file_in_a_folder_or_glob_is_seen(run, room, given):
    """In one run, as `--set` names a folder; `--image FOLDER` is a job, which keeps its own account."""
    from PIL import Image

    assert run("--set", f"photo.path={given}")[0] == 0
    assert run("--set", f"photo.path={given}")[2]
    Image.new("RGB", (6, 6), (8, 9, 9)).save(room / "many" / "2.png")
    _, paths, repeated = run("--set", f"photo.path={given}")
    assert not repeated
    assert len(paths) == 2


def test_a_file_that_comes_first_now_is_seen(room, run):
    """A path is looked for in the workflow's folder first, then in the input folder."""
    (room / "more").mkdir()
    (room / "a.png").rename(room / "more" / "a.png")
    (old,) = run("--inputs", "more")[1]
    assert run("--inputs", "more")[2]
    (room / "a.png").write_bytes((room / "b.png").read_bytes())
    _, (new,), repeated = run("--inputs", "more")
    assert not repeated
    assert new.read_bytes() != old.read_bytes()


def test_a_link_that_leads_elsewhere_now_is_seen(room, run):
    (room / "link.png").symlink_to("a.png")
    run("--image", "link.png")
    assert run("--image", "link.png")[2]
    (room / "link.png").unlink()
    (room / "link.png").symlink_to("b.png")
    assert not run("--image", "link.png")[2]


def test_a_changed_workflow_is_seen(run, room):
    run()
    text = (room / "flow.json").read_text()
    (room / "flow.json").write_text(text.replace('"seed": 3', '"seed": 4'))
    assert not run()[2]
    (room / "flow.json").write_text(text)
    assert run()[2]


def test_a_picture_is_run_again_from_its_own_workflow(run, room, command):
    (picture,) = run()[1]
    first, again = (command("run", picture, "--out", "again") for _ in range(2))
    assert NOTE not in first.stderr
    assert NOTE in again.stderr
    assert {path.read_bytes() for path in (room / "again").iterdir()} == {picture.read_bytes()}


def test_a_damaged_picture_in_the_store_means_a_run(run, room):
    import sqlite3

    (path,) = run()[1]
    with sqlite3.connect(home() / "cache" / "index.sqlite") as rows:
        rows.execute("UPDATE kept SET body = zeroblob(length(body)) WHERE kind = 'file'")
    rows.close()
    _, (again,), repeated = run()
    assert not repeated
    assert again.read_bytes() == path.read_bytes()


def test_a_training_and_a_table_of_times_are_not_repeated(toys, graph, room, monkeypatch):
    """A folder that a node fills, or a result that says how long others took, is made at each run."""
    monkeypatch.setattr(api, "nodes_are_loaded", lambda: False)
    raw = graph({"c": ("toy.constant", {"value": 1})}, {"o": "c.value"})
    kept = []
    for step in ({}, {"asked_time": True}, {"saved": [room / "folder"]}):
        from inlay.graph_runtime.front.rerun import keep

        def finish(self, loaded, plan, ctx, events, outputs, step=step, real=keep.Recording.finish):
            for name, value in step.items():
                setattr(ctx, name, value)
            real(self, loaded, plan, ctx, events, outputs)

        with monkeypatch.context() as patch:
            patch.setattr(keep.Recording, "finish", finish)
            inlay.run(raw, nodes=[toys.module])
        kept.append(runs_on_disk().size()[0])
        runs_on_disk().clear()
    assert kept == [1, 0, 0]


def test_a_closed_output_folder_is_the_usual_error(run, room, command):
    run()
    (room / "closed").write_text("")
    done = command("run", "flow.json", "--out", "closed")
    assert done.returncode == 2
    assert "an output folder, with room in it" in done.stderr


def test_a_home_that_is_no_folder_is_one_warning(run, room, command, monkeypatch):
    (room / "no-home").write_text("")
    monkeypatch.setenv("INLAY_HOME", str(room / "no-home"))
    done = command("run", "flow.json")
    assert (done.returncode, done.stderr.count("warning")) == (0, 1)
    assert "nothing is kept between runs" in done.stderr

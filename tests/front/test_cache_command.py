"""`inlay cache`: what is kept, how much, clearing it, and why a result was made anew."""

import json
import re
import time

import pytest
from inlay.graph_runtime.core.run.history import Made, RunNote, differences, note
from inlay.graph_runtime.core.run.plan import make_plan
from inlay.graph_runtime.core.store.disk import DiskStore
from inlay.graph_runtime.core.user_paths import home
from inlay.graph_runtime.core.workflow import build
from inlay.graph_runtime.front import environment
from inlay.graph_runtime.front.rerun.keep import runs_on_disk
from inlay.nodes.image import fill

FLOW = {
    "format": 1,
    "inputs": {"image": "photo.path", "seed": "grey.seed"},
    "nodes": {
        "photo": {"type": "image.load", "version": 1, "params": {"path": "a.png"}},
        "grey": {
            "type": "image.fill",
            "version": 1,
            "params": {"fill": "noise", "seed": 3},
            "inputs": {"image": "photo.image", "mask": "photo.mask"},
        },
        "loose": {"type": "image.load", "version": 1, "params": {"path": "a.png"}},
        "save": {"type": "image.save", "version": 1, "params": {}, "inputs": {"image": "grey.image"}},
    },
    "outputs": {"image": "grey.image"},
}


@pytest.fixture
def room(tmp_path, monkeypatch):
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    for name, colour in (("a.png", (200, 10, 30)), ("b.png", (1, 2, 3))):
        Image.new("RGB", (12, 8), colour).save(tmp_path / name)
    (tmp_path / "flow.json").write_text(json.dumps(FLOW))
    return tmp_path


@pytest.fixture
def slow_noise(monkeypatch):
    """The noise of image.fill takes a while, so that it is worth keeping."""
    real = fill.noise_like

    def noise_like(*arguments):
        time.sleep(0.1)
        return real(*arguments)

    monkeypatch.setattr(fill, "noise_like", noise_like)


@pytest.fixture
def why(command):
    def call(node, *words):
        done = command("cache", "why", "flow.json", node, *words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return call


def test_compiled_code_is_counted_and_cleared_and_what_a_link_leads_to_stays(command, tmp_path):
    folder, outside = home() / "compiled", tmp_path / "outside"
    (folder / "ab").mkdir(parents=True)
    (folder / "ab" / "code.so").write_bytes(b"x" * 2048)
    outside.mkdir()
    (outside / "mine.txt").write_bytes(b"y" * 4096)
    (folder / "link").symlink_to(outside, target_is_directory=True)
    assert f"compiled code: 2.0 KiB, in {folder}" in command("cache", "size").stdout
    assert json.loads(command("cache", "size", "--json").stdout)["compiled_bytes"] == 2048
    assert "removed compiled code, 2.0 KiB" in command("cache", "clear").stdout
    assert not folder.exists()
    assert (outside / "mine.txt").exists()
    assert "compiled" not in command("cache", "clear").stdout
    assert "compiled" not in command("cache", "size").stdout


def forget_memory(monkeypatch):
    """As after a restart."""
    from inlay.graph_runtime.front import kept_between_runs

    monkeypatch.setattr(kept_between_runs, "_kept", {})


@pytest.mark.parametrize("words", [[], ["--help"], ["why", "--help"], ["list", "-h"]], ids=" ".join)
def test_help_names_every_action_and_the_setting(command, words):
    done = command("cache", *words)
    assert done.returncode == 0
    for text in ("list", "size", "clear", "why", "INLAY_CACHE", "INLAY_HOME"):
        assert text in done.stdout


def test_list_size_and_clear(command, room, slow_noise):
    assert command("cache", "list").stdout == "nothing is kept\n"
    command("run", "flow.json")
    listed = command("cache", "list").stdout
    assert re.search(r"\d{4}-\d\d-\d\d \d\d:\d\d +\S+ \w+ +0\.\d s  result  image\.fill", listed)
    found = json.loads(command("cache", "list", "--json").stdout)["kept"]
    assert {one["kind"] for one in found} == {"result", "run", "file"}
    size = json.loads(command("cache", "size", "--json").stdout)
    assert size["kept"] == len(found)
    assert size["bytes"] == sum(one["bytes"] for one in found)
    assert size["limit"] == 4 * 2**30
    assert f"{len(found)} kept" in command("cache", "size").stdout
    assert command("cache", "clear").stdout.startswith(f"removed {len(found)}, ")
    assert command("cache", "list").stdout == "nothing is kept\n"
    assert json.loads(command("cache", "clear", "--json").stdout) == {"removed": 0, "bytes": 0}


def test_inlay_cache_sets_the_limit(command, room, monkeypatch):
    monkeypatch.setenv("INLAY_CACHE", "100 MiB")
    assert json.loads(command("cache", "size", "--json").stdout)["limit"] == 100 * 2**20
    monkeypatch.setenv("INLAY_CACHE", "0")
    command("run", "flow.json")
    assert command("cache", "list").stdout == "nothing is kept\n"
    monkeypatch.setenv("INLAY_CACHE", "much")
    done = command("run", "flow.json")
    assert done.returncode == 2
    assert "INLAY_CACHE" in done.stderr


@pytest.mark.parametrize(
    "words", [["lisst"], ["list", "more"], ["why"], ["why", "flow.json"], ["size", "--image", "a.png"]], ids=" ".join
)
def test_a_wrong_command_line_is_refused(command, room, words):
    assert command("cache", *words).returncode == 2


def test_a_home_that_cannot_be_used_is_said(command, room, monkeypatch):
    (room / "home").write_text("")
    monkeypatch.setenv("INLAY_HOME", str(room / "home"))
    assert "nothing is kept" in command("cache", "size").stdout
    assert json.loads(command("cache", "list", "--json").stdout)["trouble"]


def test_why_before_any_run_and_of_what_is_never_kept(command, room, why):
    assert "no run of this file is noted" in why("grey")
    assert "no output needs loose" in why("loose")
    assert "never kept: it writes files" in why("save")
    done = command("cache", "why", "flow.json", "graay")
    assert done.returncode == 2
    assert "did you mean 'grey'" in done.stderr


def test_why_after_runs_names_setting_file_and_rule(command, room, why, slow_noise, monkeypatch):
    command("run", "flow.json")
    assert "grey is kept on disk: the next run uses it" in why("grey")
    assert "never kept: making it again takes" in why("photo")
    assert "setting seed is 4 now, it was 3" in why("grey", "--seed", "4")
    found = why("grey", "--image", "b.png")
    assert "node photo above it: the file of setting path: b.png instead of a.png" in found
    (room / "a.png").write_bytes((room / "b.png").read_bytes())
    assert "node photo above it: the file of setting path: a.png has other contents" in why("grey")
    forget_memory(monkeypatch)
    command("run", "flow.json", "--seed", "5")
    then = why("grey", "--seed", "5").partition("the last run")[2]
    assert "made it anew" in then
    assert "setting seed is 5 now, it was 3" in then
    assert "a.png has other contents" in then
    forget_memory(monkeypatch)
    command("run", "flow.json", "--seed", "5", "--set", "save.format=webp")
    assert "found in disk" in why("grey", "--seed", "5", "--set", "save.format=webp")
    found = json.loads(command("cache", "why", "flow.json", "grey", "--seed", "5", "--json").stdout)
    assert found["kept"] is True
    assert found["node"] == "grey"


def test_why_names_the_environment_and_eviction(command, room, why, slow_noise, monkeypatch):
    command("run", "flow.json")
    real = environment.environment_parts
    for module in (environment, *_users_of_environment()):
        monkeypatch.setattr(module, "environment_parts", lambda device: real(device) | {"the version of peft": "99"})
    assert "the version of peft is 99 now" in why("grey")
    monkeypatch.undo()


def test_why_says_what_was_removed_or_damaged(command, room, why, slow_noise):
    command("run", "flow.json")
    store = runs_on_disk()
    places = [entry.place for entry in store.entries() if entry.kind == "result"]
    store._unlink(store._index.remove(places, "removed to stay within the limit of the cache"))
    assert "it was kept, and then removed: removed to stay within the limit of the cache" in why("grey")


def _users_of_environment():
    from inlay.graph_runtime.front import why

    return [why]


MADE = Made("toy.add", 1, "code", {"plus": "1"}, {"path": ["a", "d"]}, ["m"], {"a": "c.value"}, "k1")
CHANGES = {
    "it is toy.add version 2 now, it was toy.add version 1": {"version": 2},
    "setting plus is 2 now, it was 1": {"settings": {"plus": "2"}},
    "the file of setting path: a has other contents": {"files": {"path": ["a", "e"]}},
    "the file of setting path: b instead of a": {"files": {"path": ["b", "e"]}},
    "the files or settings of its model changed": {"models": ["n"]},
    "what is connected to a is b.value now, it was c.value": {"links": {"a": "b.value"}},
    "the code behind toy.add changed": {"code": "other"},
}


@pytest.mark.parametrize("expected", CHANGES)
@pytest.mark.parametrize("above", [False, True])
def test_every_kind_of_change_is_named_also_of_a_node_above(expected, above):
    changed = Made(**(MADE.__dict__ | CHANGES[expected]))
    end = Made("toy.end", 1, "code", {}, {}, [], {"a": "n.value"}, "k2")
    before, now = (RunNote({"torch": "1"}, {"n": one, "end": end}) for one in (MADE, changed))
    assert differences("end" if above else "n", now, before) == [("node n above it: " if above else "") + expected]
    assert differences("n", before, before) == []


def test_a_note_of_a_run_comes_back(toys, graph, tmp_path):
    plan = make_plan(build(graph({"c": ("toy.constant", {"value": 1})}, {"o": "c.value"})), toys.registry)
    made = note(plan, {"torch": "1"}, {})
    assert RunNote.unpacked(made.packed()) == made
    assert made.nodes["c"].key == plan.keys[0].hex()
    with pytest.raises(ValueError, match="not a note"):
        RunNote.unpacked(b"rubbish")
    store = DiskStore(home() / "cache", "here")
    for number in range(12):
        store.note_run("flow", bytes([number]))
    assert [packed for _, packed in store.runs("flow")] == [bytes([number]) for number in range(11, 3, -1)]

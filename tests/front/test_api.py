"""`inlay.run` and `inlay.check` on toy graphs: names, paths, results, warm sessions."""

import json

import inlay
import pytest
from inlay.graph_runtime.core.errors import BadInput, NodeError, WorkflowError
from inlay.graph_runtime.core.spec import NodeSpec
from inlay.graph_runtime.front import device as devices
from inlay.graph_runtime.front.installed import installed_nodes


@pytest.fixture
def flow(toys, graph, tmp_path):
    (tmp_path / "words.txt").write_text("hello")
    raw = graph(
        {"r": ("toy.read", {"path": "words.txt"}), "w": ("toy.write", {}, {"word": "r.word"})},
        {"word": "w.word"},
        inputs={"text": "r.path", "prefix": "w.prefix"},
    )
    path = tmp_path / "flow.json"
    path.write_text(json.dumps(raw))
    return path


def test_a_file_runs(flow, toys, tmp_path):
    result = inlay.run(flow, nodes=[toys.module], out=tmp_path / "out")
    assert result["word"] == "hello"
    assert [path.relative_to(tmp_path).as_posix() for path in result.paths] == ["out/word_00001.txt"]
    assert list(result) == ["word"]
    assert set(result.timings) == {"r", "w"}


def test_inputs_by_name_and_settings_by_place(flow, toys, tmp_path):
    other = tmp_path / "elsewhere.txt"
    other.write_text("bye")
    result = inlay.run(flow, nodes=[toys.module], out=tmp_path / "out", text=other, set={"w.prefix": "deep/er"})
    assert result["word"] == "bye"
    assert result.paths[0].relative_to(tmp_path).as_posix() == "out/deep/er_00001.txt"


def test_nothing_is_overwritten(flow, toys, tmp_path):
    for number in (1, 2, 3):
        result = inlay.run(flow, nodes=[toys.module], out=tmp_path / "out", prefix="same")
        assert result.paths[0].name == f"same_0000{number}.txt"


@pytest.mark.parametrize("prefix", ["../escape", "/tmp/escape", "", "a/../../escape", ".."])
def test_files_land_only_below_the_output_folder(flow, toys, tmp_path, prefix):
    with pytest.raises(inlay.WorkflowError, match="below the output folder"):
        inlay.run(flow, nodes=[toys.module], out=tmp_path / "out", prefix=prefix)
    assert not list(tmp_path.parent.rglob("escape*"))


def test_a_link_in_the_output_folder_leads_nowhere(flow, toys, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "away").mkdir()
    (tmp_path / "out" / "link").symlink_to(tmp_path / "away")
    with pytest.raises(WorkflowError, match="below the output folder"):
        inlay.run(flow, nodes=[toys.module], out=tmp_path / "out", prefix="link/x")
    assert toys.calls == []
    with pytest.raises(BadInput) as error, inlay.graph_runtime.Context(out=tmp_path / "out").new_file("link/x", ".t"):
        pass  # what a node that is called from Python is told
    assert error.value.port == "prefix"
    assert not list((tmp_path / "away").iterdir())


def test_a_dict_is_the_users_own_word(toys, graph, tmp_path, monkeypatch):
    (tmp_path / "w.txt").write_text("mine")
    raw = graph({"r": ("toy.read", {"path": "w.txt"})}, {"word": "r.word"})
    monkeypatch.chdir(tmp_path)
    assert inlay.run(raw, nodes=[toys.module])["word"] == "mine"
    assert raw["nodes"]["r"]["params"] == {"path": "w.txt"}


def test_check_gives_problems_and_runs_nothing(flow, toys):
    assert inlay.check(flow, nodes=[toys.module]) == []
    problems = inlay.check(flow, nodes=[toys.module], txet="a")
    assert [problem.fix for problem in problems] == ["did you mean 'text'?"]
    problems = inlay.check(flow, nodes=[toys.module], text="/nowhere/at/all.txt")
    assert problems[0].where == "r.path"
    assert "--text" in problems[0].fix
    assert toys.calls == []


def test_results_stay_warm_between_runs_and_no_cache_computes_anew(flow, toys, tmp_path):
    for _ in range(2):
        inlay.run(flow, nodes=[toys.module], out=tmp_path / "out")
    assert toys.calls.count("read") == 1
    inlay.run(flow, nodes=[toys.module], out=tmp_path / "out", cache=False)
    assert toys.calls.count("read") == 2
    (tmp_path / "words.txt").write_text("other")
    assert inlay.run(flow, nodes=[toys.module], out=tmp_path / "out")["word"] == "other"


def test_an_unknown_file_names_the_shipped_ones():
    with pytest.raises(WorkflowError) as caught:
        inlay.run("zero_shot_inpiant")
    assert "zero_shot_inpaint" in caught.value.problems[0].fix


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("6GB", 6 * 10**9),
        ("500 MiB", 500 * 2**20),
        ("1.5g", 1_500_000_000),
        ("123", 123),
        (None, None),
        (7, 7),
        ("2 TiB", 2 * 2**40),
        ("3gi", 3 * 2**30),
    ],
)
def test_memory_sizes(text, size):
    assert devices.parse_memory(text) == size


@pytest.mark.parametrize("text", ["", "six", "-3GB", "0", "3 GBB"])
def test_what_is_no_memory_size_is_refused(text):
    with pytest.raises(WorkflowError, match="6GB"):
        devices.parse_memory(text)


@pytest.mark.parametrize("device", ["cuda:99", "tpu", "cpu:x", ""])
def test_a_device_that_is_not_there_is_refused(device):
    with pytest.raises(WorkflowError, match="--device auto"):
        devices.resolve_device(device)


def test_a_broken_plugin_is_named(monkeypatch):
    import importlib.metadata

    class Entry:
        name, value = "bad", "bad_pack.nodes"

        def load(self):
            raise RuntimeError("no such thing")

    monkeypatch.setattr(importlib.metadata, "entry_points", lambda **_: [Entry()])
    with pytest.raises(WorkflowError, match="bad_pack"):
        installed_nodes.__wrapped__()


def test_importing_inlay_is_light():
    import subprocess
    import sys

    code = "import sys, inlay; assert 'torch' not in sys.modules and 'pydantic' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_input_may_be_called_source(toys, graph, tmp_path):
    (tmp_path / "words.txt").write_text("hello")
    raw = graph({"r": ("toy.read", {"path": "other.txt"})}, {"word": "r.word"}, inputs={"source": "r.path"})
    assert inlay.run(raw, source=tmp_path / "words.txt", nodes=[toys.module], out=tmp_path)["word"] == "hello"
    assert inlay.check(raw, source=tmp_path / "words.txt", nodes=[toys.module]) == []


def test_what_a_caller_writes_into_a_result_does_not_reach_the_next_run(tmp_path):
    from PIL import Image

    Image.new("RGB", (8, 8), (200, 100, 50)).save(tmp_path / "p.png")
    raw = {"format": 1, "nodes": {"p": {"type": "image.load", "params": {"path": tmp_path / "p.png"}}}}
    raw["outputs"] = {"image": "p.image"}
    inlay.run(raw, out=tmp_path)["image"].zero_()
    assert inlay.run(raw, out=tmp_path)["image"].mean() > 0.3


def test_a_file_that_changes_during_the_run_is_not_remembered_under_its_old_content(flow, toys, tmp_path):
    from inlay.graph_runtime.core.events import RunStarted

    words = tmp_path / "words.txt"

    def meddle(event):
        if isinstance(event, RunStarted):
            words.write_text("HELLO")

    assert inlay.run(flow, nodes=[toys.module], out=tmp_path / "o", listeners=[meddle])["word"] == "HELLO"
    words.write_text("hello")
    assert inlay.run(flow, nodes=[toys.module], out=tmp_path / "o")["word"] == "hello"


@pytest.mark.parametrize("source", [None, 5, b"x", object()])
def test_what_is_no_workflow_at_all_is_refused(source):
    with pytest.raises(WorkflowError, match="a dict"):
        inlay.run(source)


def test_an_output_folder_that_cannot_be_is_refused_before_anything_runs(flow, toys, tmp_path):
    with pytest.raises(WorkflowError, match="--out"):
        inlay.run(flow, nodes=[toys.module], out=tmp_path / "words.txt" / "below")
    assert toys.calls == []


def test_links_that_go_round_are_refused_as_any_other_path(flow, toys, tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    one.symlink_to(other)
    other.symlink_to(one)
    with pytest.raises(WorkflowError, match="--out"):
        inlay.run(flow, nodes=[toys.module], out=one)
    assert toys.calls == []
    with pytest.raises(WorkflowError, match="one"):
        inlay.run("zero_shot_inpaint", image=str(one), out=tmp_path / "o")


@pytest.mark.parametrize(("port", "where"), [("path", "r.path"), ("source", "r"), (None, "r")])
def test_a_failure_names_no_port_that_its_node_has_not(flow, toys, tmp_path, monkeypatch, port, where):
    def fail(*_, **__):
        raise BadInput(port, found="a", expected="b", fix="c")

    monkeypatch.setattr(NodeSpec, "run", fail)
    with pytest.raises(NodeError) as caught:
        inlay.run(flow, nodes=[toys.module], out=tmp_path / "o")
    assert caught.value.problem.where == where


def test_a_listener_that_fails_does_not_stop_the_run(flow, toys, tmp_path):
    def broken(event):
        raise RuntimeError

    assert inlay.run(flow, nodes=[toys.module], out=tmp_path / "o", listeners=[broken])["word"] == "hello"

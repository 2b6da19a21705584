"""Nothing that is kept is given for another request: what changes amid a run, beside a file, or in this process."""

import importlib.metadata
import json
import os
from typing import NamedTuple

import inlay
import pytest
import torch
from inlay.graph_runtime.core.file_digests import file_sha256
from inlay.graph_runtime.core.reading import file_state
from inlay.graph_runtime.core.reads import collect_reads
from inlay.graph_runtime.core.run.reread import unchanged, untouched
from inlay.graph_runtime.front.cli import run as run_module
from inlay.graph_runtime.front.python import api
from inlay.graph_runtime.front.rerun import keep, surroundings
from inlay.graph_runtime.front.rerun.keep import names_in
from inlay.graph_runtime.front.rerun.request import _without_output
from inlay.nodes.image import files
from PIL import Image

NOTE = "used again"


def flow(colour_of):
    return {
        "format": 1,
        "nodes": {
            "photo": {"type": "image.load", "version": 1, "params": {"path": colour_of}},
            "save": {"type": "image.save", "version": 1, "params": {}, "inputs": {"image": "photo.image"}},
        },
        "outputs": {"image": "photo.image"},
    }


@pytest.fixture
def room(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(surroundings, "nodes_are_loaded", lambda: False)
    for module in (run_module, api):
        if hasattr(module, "nodes_are_loaded"):
            monkeypatch.setattr(module, "nodes_are_loaded", lambda: False)
    for name, colour in (("a.png", (200, 10, 30)), ("b.png", (1, 2, 3))):
        Image.new("RGB", (6, 4), colour).save(tmp_path / name)
    (tmp_path / "flow.json").write_text(json.dumps(flow("a.png")))
    return tmp_path


def colour(path):
    with Image.open(path) as picture:
        return picture.convert("RGB").getpixel((0, 0))


@pytest.mark.parametrize("way", ["command", "call"])
def test_a_workflow_that_changes_before_it_is_loaded_is_not_kept_under_its_old_content(room, command, monkeypatch, way):
    """Importing torch takes seconds, in which an editor saves."""
    old, new = json.dumps(flow("a.png")), json.dumps(flow("b.png"))
    real = surroundings.load_nodes

    def slow():
        (room / "flow.json").write_text(new)
        real()

    def go():
        if way == "call":
            return inlay.run("flow.json", out="out").paths[0]
        return command("run", "flow.json", "--out", "out").stdout.splitlines()[0]

    for module in (surroundings, api):
        monkeypatch.setattr(module, "load_nodes", slow)
    assert colour(go()) == (1, 2, 3)
    for module in (surroundings, api):
        monkeypatch.setattr(module, "load_nodes", real)
    (room / "flow.json").write_text(old)
    assert colour(go()) == (200, 10, 30)


def test_a_file_that_was_another_while_a_node_read_it_is_not_kept_as_what_it_was(room, monkeypatch):
    """It is exchanged before the node reads it, and put back after; only the state of the file tells."""
    real = files.each_picture

    def exchanged(*arguments, **named):
        os.rename("a.png", "aside.png")
        os.rename("b.png", "a.png")
        try:
            return iter(list(real(*arguments, **named)))
        finally:
            os.rename("a.png", "b.png")
            os.rename("aside.png", "a.png")

    monkeypatch.setattr(files, "each_picture", exchanged)
    said = []
    other = inlay.run("flow.json", out="out", listeners=[lambda event: said.append(str(event))])
    monkeypatch.undo()
    os.chdir(room)
    assert colour(other.paths[0]) == (1, 2, 3)
    assert any("changed meanwhile" in line for line in said)
    assert colour(inlay.run("flow.json", out="out").paths[0]) == (200, 10, 30)


def test_a_file_that_changed_just_before_it_was_read_is_read_again_whatever_its_state(tmp_path, monkeypatch):
    """On a coarse clock, a second change of the same length leaves the state as it is."""
    file = tmp_path / "a.txt"
    file.write_bytes(b"aaaa")
    with collect_reads() as reads:
        file_sha256(file)
    assert unchanged(reads)
    assert untouched(reads)
    state = reads.files[str(file)][0]
    file.write_bytes(b"bbbb")
    monkeypatch.setattr("inlay.graph_runtime.core.run.reread.state_of", lambda path: state)
    assert not unchanged(reads)
    assert not untouched(reads)


def test_the_first_reading_counts_for_what_was_made_of_it(tmp_path):
    file = tmp_path / "a.txt"
    file.write_bytes(b"aaaa")
    with collect_reads() as reads:
        first = file_sha256(file)
        file.write_bytes(b"bbbbb")
        file_sha256(file)
    assert reads.files[str(file)][1] == first
    assert not unchanged(reads)


def test_a_file_is_sure_once_it_was_read_at_rest(tmp_path, monkeypatch):
    file = tmp_path / "a.txt"
    file.write_bytes(b"aaaa")
    with collect_reads() as reads:
        file_sha256(file)
        assert reads.unsure == {str(file)}
        monkeypatch.setattr(file_state, "SETTLED_NS", 0)
        file_sha256(file)
    assert not reads.unsure


@pytest.mark.parametrize("change", ["threads", "dtype", "deterministic", "variable"])
def test_results_of_one_process_belong_to_the_settings_they_were_made_with(room, monkeypatch, change):
    threads = torch.get_num_threads()

    def cached():
        found = inlay.run(flow(str(room / "a.png")), out="out")
        return [
            event.cached for event in found.events if getattr(event, "node", "") == "photo" and hasattr(event, "cached")
        ]

    monkeypatch.setattr(api, "repeat", lambda *_, **__: None)
    assert cached() == [False]
    assert cached() == [True]
    try:
        if change == "threads":
            torch.set_num_threads(threads + 1)
        elif change == "dtype":
            torch.set_default_dtype(torch.float64)
        elif change == "deterministic":
            torch.use_deterministic_algorithms(True)
        else:
            monkeypatch.setenv("MKL_CBWR", "COMPATIBLE")
        assert cached() == [False]
    finally:
        torch.set_num_threads(threads)
        torch.set_default_dtype(torch.float32)
        torch.use_deterministic_algorithms(False)


def test_names_beside_weights_are_part_of_what_a_kept_run_depends_on(tmp_path):
    (tmp_path / "lora.safetensors").write_bytes(b"")
    before = names_in(str(tmp_path))
    assert names_in(str(tmp_path)) == before
    (tmp_path / "adapter_config.json").write_text("{}")
    with_file = names_in(str(tmp_path))
    (tmp_path / "tokenizer").mkdir()
    (tmp_path / "tokenizer" / "vocab.json").write_text("{}")
    assert len({before, with_file, names_in(str(tmp_path))}) == 3
    assert keep._folders_of_files({"a": str(tmp_path / "lora.safetensors"), "b": None, "c": "/x.png"}) == [
        str(tmp_path)
    ]


def test_a_library_of_a_package_of_nodes_counts_with_its_version(monkeypatch):
    """A package that adds nodes may import any other that is installed."""
    from inlay.graph_runtime.front import environment

    class Installed(NamedTuple):
        name: str
        version: str

    def found(adds_nodes, *versions):
        environment.packages_of_nodes.cache_clear()
        monkeypatch.setattr(importlib.metadata, "entry_points", lambda **_: ["one"] if adds_nodes else [])
        monkeypatch.setattr(
            importlib.metadata, "distributions", lambda: [Installed("scikit-image", v) for v in versions]
        )
        return environment.packages_of_nodes()

    try:
        assert found(False, "1") == found(False, "2")
        assert found(True, "1") != found(True, "2")
        assert found(True, "1", "2") == found(True, "2", "1")
    finally:
        environment.packages_of_nodes.cache_clear()


@pytest.mark.parametrize("switch", ["--json", "--quiet", "--out"])
def test_a_flag_without_its_value_has_no_key_of_a_good_command(switch):
    good = ["run", "flow.json", "--seed", "4"]
    assert _without_output([*good, "--json", "--out", "x", "--quiet"]) == good
    assert _without_output(["run", "flow.json", "--seed", switch, "4"]) != good
    assert _without_output(["run", "flow.json", "--no-cache", "--json"]) == ["run", "flow.json", "--no-cache"]

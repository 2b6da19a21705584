"""The command line refuses any workflow file with exit status 2, names what is wrong, and shows no traceback."""

import json
import os

import pytest
from hostile_workflows import TEXTS
from inlay.graph_runtime.core.errors import clean
from PIL import Image

CASES = {
    **{name: TEXTS[name] for name in ("brackets", "a number of 4,301 digits", "lone surrogates", "unknown settings")},
    **{name: TEXTS[name] for name in ("inputs", "as many targets as allowed", "a node's name of 15 MiB", "a ring")},
    "an input that is no setting": lambda: '{"format":1,"nodes":{},"inputs":{"a":"b","c":["d.e",""]}}',
    "an input without a target": lambda: '{"format":1,"nodes":{},"inputs":{"a":[]}}',
    "an output of nothing": lambda: '{"format":1,"nodes":{"":{"type":"image.load"}},"outputs":{"":""}}',
    "a node whose migration fails": lambda: json.dumps(
        {"format": 1, "nodes": {"n": {"type": "mask.brush", "params": {"amount": {}}}}, "outputs": {"m": "n.mask"}}
    ),
    "a picture in name alone": lambda: "{}",
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("words", [("check",), ("run",), ("check", "--json"), ("run", "--help")], ids=" ".join)
def test_any_file_is_refused_with_status_2(case, words, command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / ("w.png" if "picture" in case else "w.json")
    file.write_text(CASES[case](), encoding="utf-8")
    done = command(words[0], file, *words[1:])
    assert done.returncode == (0 if words[1:] == ("--help",) and done.returncode == 0 else 2), done.stderr[-2000:]
    assert not any(word in done.stderr for word in ("Traceback", "bug in inlay", "unforeseen"))
    if words[1:] == ("--json",):
        assert json.loads(done.stdout)["problems"]


@pytest.mark.parametrize("case", CASES)
def test_draw_draws_a_file_or_refuses_it_with_status_2(case, command, tmp_path):
    file = tmp_path / ("w.png" if "picture" in case else "w.json")
    file.write_text(CASES[case](), encoding="utf-8")
    done = command("draw", file, "-o", tmp_path / "w.svg")
    assert done.returncode in (0, 2), done.stderr[-2000:]
    assert (tmp_path / "w.svg").exists() == (done.returncode == 0)
    assert not any(word in done.stderr for word in ("Traceback", "bug in inlay", "unforeseen"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
@pytest.mark.parametrize("name", ["w.json", "w.png"])
def test_what_is_no_ordinary_file_is_refused_at_once(name, command, tmp_path):
    os.mkfifo(tmp_path / name)
    (tmp_path / f"zero-{name}").symlink_to("/dev/zero")
    for file in (tmp_path / name, tmp_path / f"zero-{name}"):
        for words in (("check", file), ("run", file), ("draw", file, "-o", tmp_path / "w.svg")):
            done = command(*words)
            assert done.returncode == 2, done.stderr[-2000:]
            assert "Traceback" not in done.stderr


ESCAPES = "\x1b]0;title\x07\x1b[31m\u202e\u2066\x9b2J"


@pytest.mark.parametrize("words", ["check", "run", "run --help", "draw", "cache why", "cache list"])
def test_no_command_passes_an_escape_sequence_on_to_the_terminal(words, command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (8, 8)).save("a.png")
    nodes = {
        "load": {"type": "image.load", "params": {"path": "a.png"}},
        "save": {"type": "image.save", "inputs": {"image": "load.image"}, "params": {"prefix": "x"}},
    }
    file = tmp_path / f"w{ESCAPES}.json"
    file.write_text(json.dumps({"format": 1, "title": ESCAPES, "description": ESCAPES, "nodes": nodes}))
    extra = {"draw": ("-o", f"g{ESCAPES}.svg"), "cache why": ("save",)}.get(words, ())
    given = () if words == "cache list" else (file,)
    if words.startswith("cache"):
        command("run", file)
    first, *rest = words.split()
    done = command(first, *(rest if first == "cache" else ()), *given, *(rest if first != "cache" else ()), *extra)
    assert done.returncode == 0, done.stderr
    assert not set(ESCAPES) - set("]0;title[31m2J") & set(done.stdout + done.stderr)


def test_names_keep_the_joiners_that_their_writing_needs():
    assert clean("می\u200cخواهم 👩\u200d🎨\x1b") == "می\u200cخواهم 👩\u200d🎨�"

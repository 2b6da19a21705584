"""Words between percent signs in the names of files."""

import re
from datetime import datetime

import inlay
import pytest
from inlay.graph_runtime import BadInput, Context
from inlay.graph_runtime.core.context import safe_prefix
from inlay.graph_runtime.core.run.prefixes import with_date, with_facts
from PIL import Image

NOW = datetime(2026, 3, 7, 5, 9, 2)


@pytest.mark.parametrize(
    ("prefix", "name"),
    [
        ("%date%", "2026-03-07"),
        ("%date:yyyy-MM-dd_hh-mm-ss%", "2026-03-07_05-09-02"),
        ("%date:yy.M.d h.m.s%", "26.3.7 5.9.2"),
        ("%date:yyyy/MM%/room", "2026/03/room"),
        ("%date:hh:mm%", "05_09"),
        ("%year%%month%%day%-%hour%%minute%%second%", "20260307-050902"),
        ("%dates% 100% sure", "%dates% 100% sure"),
    ],
)
def test_dates_as_the_editor_writes_them(prefix, name):
    assert with_date(prefix, NOW) == name


FACTS = {
    "width": 640,
    "noise.seed": 7,
    "words.prompt": "a/b: red?\n cat",
    "photo.path": "/home/me/rooms/room.PNG",
    "a.x": 0.5,
}


@pytest.mark.parametrize(
    ("prefix", "name"),
    [
        ("%width%x", "640x"),
        ("s%noise.seed%_%a.x%", "s7_0.5"),
        ("%photo.path%", "room"),
        ("%words.prompt%", "b_ red_ cat"),
        ("%height%", "%height%"),
        ("%date%-%width%", "%date%-640"),
        ("50%-60%", "50%-60%"),
    ],
)
def test_facts_and_settings(prefix, name):
    assert with_facts(prefix, FACTS.get)[0] == name


@pytest.mark.parametrize(
    "value", ["../../etc/passwd", "..", "/root", "C:\\x\\..", "a" * 500, "\x1b[31m", "\u202egnp", ""]
)
def test_no_value_leads_out_of_the_folder_or_is_no_name(value, tmp_path):
    ctx = Context(out=tmp_path)
    ctx.setting_of = lambda word: value
    with ctx.new_file("in/%a.b%", ".txt") as path:
        path.write_text("x")
    (saved,) = ctx.saved
    assert saved.parent == tmp_path / "in"
    assert safe_prefix(saved.stem, windows=True)


def test_a_prefix_with_a_date_is_a_name_on_windows_too():
    assert safe_prefix("%date:yyyy-MM-dd%/room", windows=True)
    assert not safe_prefix("a:b", windows=True)
    assert not safe_prefix("../%date%")


def graph(prefix):
    return {
        "format": 1,
        "nodes": {
            "photo": {"type": "image.load", "version": 1, "params": {"path": "room.png"}},
            "save": {
                "type": "image.save",
                "version": 1,
                "params": {"prefix": prefix},
                "inputs": {"image": "photo.image"},
            },
        },
        "inputs": {"image": "photo.path"},
        "outputs": {"image": "photo.image"},
    }


def test_a_run_fills_in_size_date_and_settings_and_so_does_the_same_run_again(tmp_path):
    Image.new("RGB", (12, 9)).save(tmp_path / "room.png")
    for _ in range(2):
        result = inlay.run(
            graph("%date:yyyy%/%photo.path%-%width%x%height%-%save.format%"),
            image=tmp_path / "room.png",
            out=tmp_path / "out",
        )
    year = datetime.now().astimezone().year
    names = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.png"))
    assert names == [f"{year}/room-12x9-png_0000{number}.png" for number in (1, 2)]
    assert re.search("room-12x9-png_00002", str(result.paths[0]))


def test_a_word_that_stands_for_nothing_is_said_and_stays(tmp_path):
    Image.new("RGB", (12, 9)).save(tmp_path / "room.png")
    with pytest.warns(inlay.InlayWarning, match=r"%nothing\.here% stands for nothing"):
        result = inlay.run(graph("a%nothing.here%b"), image=tmp_path / "room.png", out=tmp_path / "out")
    assert result.paths[0].name == "a%nothing.here%b_00001.png"


def test_a_date_that_leads_out_is_refused(tmp_path):
    with pytest.raises(BadInput), Context(out=tmp_path).new_file("%date:../..%/x", ".txt"):
        pass

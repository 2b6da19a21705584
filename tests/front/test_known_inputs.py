"""Where earlier runs read their files is kept for all later ones, whoever else writes at the same time."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from inlay.graph_runtime.core.user_paths import home
from inlay.graph_runtime.front.recipe import known_inputs
from inlay.graph_runtime.front.recipe.known_inputs import recall, remember

COUNT = int(os.environ.get("INLAY_TEST_CONCURRENT", "40"))  # entries of each process; `make concurrent` takes 1,000
PROCESS = """
import sys
from inlay.graph_runtime.front.recipe.known_inputs import remember
for number in range(int(sys.argv[2])):
    remember({f"{sys.argv[1]}-{number}": f"/photos/{sys.argv[1]}/{number}.png"})
"""


def test_the_last_path_of_a_content_is_found_again():
    remember({"a": "/one.png", "b": "/two\udce9.png"})
    remember({"a": "/three.png"})
    assert [recall(digest) for digest in "abc"] == [Path("/three.png"), Path("/two\udce9.png"), None]


def test_eight_processes_remember_at_once_and_none_is_lost():
    words = [sys.executable, "-c", PROCESS]
    running = [subprocess.Popen([*words, str(process), str(COUNT)]) for process in range(8)]
    assert [one.wait(600) for one in running] == [0] * 8
    for process in range(8):
        for number in range(COUNT):
            assert recall(f"{process}-{number}") == Path(f"/photos/{process}/{number}.png")


def test_threads_remember_at_once_and_none_is_lost():
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: remember({str(number): f"/{number}.png"}), range(200)))
    assert all(recall(str(number)) == Path(f"/{number}.png") for number in range(200))


def test_the_least_recently_used_make_room(monkeypatch):
    monkeypatch.setattr(known_inputs, "MOST", 4)
    for digest in ("a", "b", "c", "a", "d", "e"):
        remember({digest: f"/{digest}"})
    assert [recall(digest) is not None for digest in "abcde"] == [True, False, True, True, True]


def test_the_list_of_earlier_releases_is_taken_over_once():
    home().mkdir(exist_ok=True)
    former = home() / "known-inputs.json"
    former.write_text(json.dumps({"old": "/old.png", "both": "/former.png", "odd": "\ud800", "none": None}))
    remember({"both": "/new.png"})
    assert recall("old") == Path("/old.png")
    assert recall("both") == Path("/new.png")
    assert recall("odd") is None
    assert not former.exists()


@pytest.mark.parametrize("kind", ["rubbish", "folder", "pipe", "a list", "deep"])
def test_a_list_that_cannot_be_taken_over_changes_nothing(kind):
    home().mkdir(exist_ok=True)
    former = home() / "known-inputs.json"
    if kind == "folder":
        former.mkdir()
    elif kind == "pipe":
        os.mkfifo(former)
    else:
        former.write_text({"rubbish": "{", "a list": "[1]", "deep": "[" * 100_000}[kind])
    remember({"a": "/one.png"})
    assert recall("a") == Path("/one.png")


@pytest.mark.parametrize("name", ["known-inputs.sqlite", "."])
def test_without_a_place_to_keep_them_nothing_is_kept_and_nothing_fails(name):
    place = home() / name
    place.rmdir() if name == "." else None
    os.mkfifo(place if name != "." else home())
    remember({"a": "/one.png"})
    assert recall("a") is None

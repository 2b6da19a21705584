"""What is done is known without planning it again, and nothing stale is taken for done."""

import os
import subprocess
import sys
from pathlib import Path

import inlay
import pytest
from inlay.graph_runtime.front.python.load_workflow import LoadedWorkflow
from PIL import Image

FLOW = {
    "format": 1,
    "inputs": {"image": "photo.path", "mask": "hole.path", "seed": "fill.seed"},
    "nodes": {
        "photo": {"type": "image.load", "params": {"path": "photo.png"}},
        "hole": {"type": "mask.load", "params": {"path": "hole.png"}},
        "fill": {
            "type": "image.fill",
            "params": {"fill": "noise"},
            "inputs": {"image": "photo.image", "mask": "hole.mask"},
        },
    },
    "outputs": {"image": "fill.image"},
}
COUNT = 12


@pytest.fixture
def album(tmp_path):
    (tmp_path / "in").mkdir()
    for number in range(COUNT):
        Image.new("RGB", (9, 9), (number * 20, 0, 0)).save(tmp_path / f"in/{number:02d}.png")
    Image.new("L", (9, 9), 255).save(tmp_path / "mask.png")
    return tmp_path


def job(album, **more):
    return inlay.run(FLOW, **{"image": album / "in", "mask": album / "mask.png", "out": album / "out", **more})


@pytest.fixture
def plans(monkeypatch):
    """How often a workflow was planned."""
    real, calls = LoadedWorkflow.plan, []

    def plan(self, *given):
        calls.append(1)
        return real(self, *given)

    monkeypatch.setattr(LoadedWorkflow, "plan", plan)
    return calls


def test_a_second_start_plans_two_runs_however_many_are_done(album, plans):
    job(album)
    assert len(plans) >= COUNT
    plans.clear()
    assert job(album).tally.known == COUNT
    assert len(plans) <= 3  # the check of the first one, and one that shows what all have in common


def test_the_same_goes_for_a_sweep(album, plans):
    sweep = {"grid": {"seed": range(COUNT)}, "image": album / "in/00.png", "mask": album / "mask.png"}
    inlay.sweep(FLOW, **sweep, out=album / "swept")
    before = len(plans)
    assert inlay.sweep(FLOW, **sweep, out=album / "swept").tally.known == COUNT
    assert len(plans) - before < before - COUNT + 3


@pytest.mark.parametrize("what", ["shared", "own", "swapped", "result", "setting", "renamed"])
def test_whatever_changes_a_result_makes_it_anew(album, what):
    job(album)
    more, changed = {}, 1
    if what == "shared":
        Image.new("L", (9, 9), 200).save(album / "mask.png")
        changed = COUNT
    elif what == "own":
        Image.new("RGB", (9, 9), "blue").save(album / "in/05.png")
    elif what == "swapped":
        first, second = album / "in/03.png", album / "in/07.png"
        one, other = first.read_bytes(), second.read_bytes()
        first.write_bytes(other)
        second.write_bytes(one)
        changed = 2
    elif what == "result":
        (album / "out/04.png").write_bytes(b"somebody else's")
    elif what == "setting":
        more, changed = {"seed": 5}, COUNT
    else:
        (album / "in/02.png").rename(album / "in/2b.png")
    again = job(album, **more)
    assert again.tally.done == changed
    assert again.tally.known == COUNT - changed
    for one in again.outcomes:
        alone = inlay.run(FLOW, image=one.inputs["image"], mask=album / "mask.png", **more)
        with Image.open(album / "out" / one.files[0].path) as made:
            assert made.convert("RGB").tobytes() == alone.pil(output="image").convert("RGB").tobytes()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no SIGKILL")
def test_of_40_pictures_and_3_kills_none_is_lost_and_none_is_made_twice():
    """`make job-kills` does so with 10,000 pictures and 100 kills."""
    script = Path(__file__).parents[2] / "helpers" / "job_kills.py"
    words = ["--pictures", "40", "--kills", "3", "--longest", "0.3"]
    done = subprocess.run([sys.executable, str(script), *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "none lost, none made twice" in done.stdout

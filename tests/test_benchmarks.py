"""The benchmarks start: every module imports, every topic has a `run.py` with a help page, and README.md lists it."""

import importlib
import runpy
import sys
from pathlib import Path

import inlay
import pytest
import torch
from inlay.benchmarks.overhead import hand_written

ROOT = Path(__file__).parents[1]
BENCHMARKS = ROOT / "benchmarks"
MODULES = sorted(path.relative_to(ROOT).with_suffix("") for path in BENCHMARKS.rglob("*.py"))
TOPICS = sorted(path.name for path in BENCHMARKS.iterdir() if list(path.glob("*.py")))


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_every_module_imports(module):
    importlib.import_module(".".join(("inlay", *module.parts)))


@pytest.mark.parametrize("topic", TOPICS)
def test_every_topic_shows_its_help(topic, capsys, monkeypatch):
    script = BENCHMARKS / topic / "run.py"
    monkeypatch.setattr(sys, "argv", [str(script), "--help"])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(script), run_name="__main__")
    assert end.value.code == 0
    assert f"benchmarks/{topic}/run.py" in capsys.readouterr().out


@pytest.mark.parametrize("topic", TOPICS)
def test_the_readme_explains_every_topic(topic):
    text = (BENCHMARKS / "README.md").read_text("utf-8")
    assert f"benchmarks/{topic}/run.py" in text
    assert f"\n## {topic}\n" in text


def test_the_published_workflow_gives_the_pixels_of_a_hand_written_loop(tmp_path):
    weights, pictures = ROOT / "dollhouse" / "weights", ROOT / "workflows" / "inpaint"
    image, mask = str(pictures / "room.png"), str(pictures / "room-mask.png")
    by_hand = hand_written.inpaint(
        hand_written.load_models(str(weights)), image, mask, str(tmp_path / "hand.png"), steps=3, seed=0
    )
    by_graph = inlay.run(
        "zero_shot_inpaint_strict", image=image, mask=mask, source=str(weights), steps=3, seed=0,
        out=tmp_path / "out", device="cpu", cache=False,
    )  # fmt: skip
    assert torch.equal(by_hand, by_graph["image"])

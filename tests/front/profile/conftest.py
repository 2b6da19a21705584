"""Workflows that the profile is tested with."""

import json

import inlay
import pytest
from inlay.graph_runtime.front.profile.place import NAMES
from PIL import Image, ImageDraw

STEPS = 4


class Profiled:
    """The files of a profile."""

    def __init__(self, folder):
        assert sorted(path.name for path in folder.iterdir()) == sorted(NAMES)
        self.data = json.loads((folder / "profile.json").read_text("utf-8"))
        self.trace = json.loads((folder / "trace.json").read_text("utf-8"))["traceEvents"]
        self.flame = (folder / "flame.svg").read_text("utf-8")
        self.nodes = {node["name"]: node for node in self.data["nodes"]}


@pytest.fixture
def profile_in():
    """Reads a profile from its folder."""
    return Profiled


@pytest.fixture
def small_job(tmp_path, shared_sd):
    """What the shipped zero-shot workflow is given: by input."""
    Image.radial_gradient("L").resize((64, 64)).convert("RGB").save(tmp_path / "photo.png")
    mask = Image.new("L", (64, 64))
    ImageDraw.Draw(mask).rectangle((20, 20, 40, 40), fill=255)
    mask.save(tmp_path / "mask.png")
    photo, mask_path = str(tmp_path / "photo.png"), str(tmp_path / "mask.png")
    return {"image": photo, "mask": mask_path, "source": str(shared_sd), "steps": STEPS}


@pytest.fixture
def sampled(tmp_path, small_job):
    """Runs the shipped zero-shot workflow on a small model in a few steps, in an output folder of the test."""

    def run(**more):
        return inlay.run("zero_shot_inpaint", **{"out": tmp_path / "out", "device": "cpu", **small_job} | more)

    run.steps = STEPS
    return run

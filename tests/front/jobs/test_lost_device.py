"""A device that disappears in the middle of a job or a sweep: the others go on; without another, the work stops."""

import importlib
import sys
import warnings

import inlay
import pytest
from PIL import Image

NODES = '''
"""A node whose device disappears when there is a file that says so."""

import os
from pathlib import Path
from typing import NamedTuple

from inlay.graph_runtime import Context, node
from inlay.nodes.ports import Image


class Made(NamedTuple):
    image: Image


@node("lost.invert")
def invert(image: Image, ctx: Context, by: float = 1.0) -> Made:
    """The negative."""
    place = Path(os.environ["LOST_PLACE"])
    with open(place / "log", "a") as log:
        log.write(f"{ctx.device}\\n")
    gone = place / ctx.device.replace(":", "-")
    if gone.exists():
        left = int(gone.read_text())
        gone.write_text(str(left - 1))
        if left <= 0:
            raise RuntimeError("CUDA error: unspecified launch failure")
    return Made(by - image)
'''
FLOW = {
    "format": 1,
    "inputs": {"image": "photo.path", "by": "negative.by"},
    "nodes": {
        "photo": {"type": "image.load", "params": {"path": "x.png"}},
        "negative": {"type": "lost.invert", "inputs": {"image": "photo.image"}},
        "save": {"type": "image.save", "inputs": {"image": "negative.image"}},
    },
    "outputs": {"image": "negative.image"},
}
COUNT = 6


class Place:
    """A folder with pictures; devices in it disappear."""

    def __init__(self, folder, nodes):
        self.folder, self.nodes = folder, nodes
        self.photos = []
        for number in range(COUNT):
            self.photos.append(str(folder / f"{number}.png"))
            Image.new("RGB", (4 + number, 4), (number, 0, 9)).save(self.photos[-1])

    def lose(self, device, after=0):
        (self.folder / device.replace(":", "-")).write_text(str(after))

    def back(self, device):
        (self.folder / device.replace(":", "-")).unlink()

    def run(self, out, **options):
        """The job, and its warnings."""
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always", inlay.InlayWarning)
            job = inlay.run(FLOW, image=self.photos, out=self.folder / out, nodes=[self.nodes], **options)
        return job, [str(one.message) for one in said if one.category is inlay.InlayWarning]

    def made(self, out):
        return {path.name: path.read_bytes() for path in (self.folder / out).glob("?.png")}

    def used(self):
        return (self.folder / "log").read_text().split()


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("INLAY_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("LOST_PLACE", str(tmp_path))
    (tmp_path / "lost_nodes.py").write_text(NODES)
    monkeypatch.syspath_prepend(str(tmp_path))
    nodes = importlib.import_module("lost_nodes")
    yield Place(tmp_path, nodes)
    del sys.modules["lost_nodes"]


@pytest.mark.parametrize("after", [0, 1])
def test_a_job_of_which_a_device_disappears_is_made_whole_by_the_other_one(place, after):
    place.run("expected", device="cpu", metadata=False)
    place.lose("cpu:1", after)
    job, said = place.run("out", device="cpu:0,cpu:1", metadata=False)
    assert not job.failed
    assert place.made("out") == place.made("expected")
    assert len(place.made("out")) == COUNT
    if place.used().count("cpu:1") > after:  # it may have been slow to start, and have had no run to be lost in
        (message,) = said
        assert "cpu:1 does not answer any more: CUDA error: unspecified launch failure; the others go on" in message
        assert place.used().count("cpu:1") == after + 1


def test_a_job_whose_only_device_disappears_stops_and_the_same_call_goes_on(place):
    place.lose("cpu", 2)
    job, said = place.run("out", device="cpu")
    assert [one.status for one in job.outcomes] == ["done", "done", "failed"]
    problem = job.outcomes[-1].problems[0]
    assert problem.node == "negative"
    assert "cpu does not answer any more: CUDA error: unspecified launch failure" in problem.found
    assert "nvidia-smi" in problem.fix
    assert said[-1] == "the device is gone, so nothing more was made; the same command goes on from there"
    place.back("cpu")
    job, said = place.run("out", device="cpu")
    assert [one.status for one in job.outcomes] == ["known", "known", *["done"] * (COUNT - 2)]
    assert said == []


def test_a_sweep_whose_only_device_disappears_stops_and_says_so(place):
    place.lose("cpu", 1)

    def sweep():
        return inlay.sweep(
            FLOW, grid={"by": [1.0, 0.9, 0.8]}, image=place.photos[0], out=place.folder / "s", nodes=[place.nodes]
        )

    result = sweep()
    assert "the device is gone" in result.stopped
    assert place.used() == ["cpu"] * 2
    place.back("cpu")
    assert not sweep().stopped
    assert place.used() == ["cpu"] * 4

"""A server whose worker loses its device: its runs fail and say so, another worker takes over, the server lives."""

import os
import re

import pytest
from serving import Process, free_port

pytestmark = pytest.mark.xdist_group("serve")

NODES = '''
"""A node whose device disappears while there is a file that says how."""

import os
from pathlib import Path
from typing import NamedTuple

import torch
from inlay.graph_runtime import Context, node
from inlay.nodes.ports import Image


class Made(NamedTuple):
    image: Image


@node("lost.invert")
def invert(image: Image, ctx: Context, by: float = 1.0) -> Made:
    """The negative."""
    device, gone = ctx.device, Path(os.environ["LOST_PLACE"])
    if gone.exists():
        raise getattr(torch, "AcceleratorError", RuntimeError)(gone.read_text())
    return Made((by - image).clamp(0, 1))
'''
SAID = [
    "CUDA error: unspecified launch failure\nCUDA kernel errors might be asynchronously reported at some other API",
    "CUDA error: uncorrectable ECC error encountered",
    "Unable to determine the device handle for GPU0000:01:00.0: GPU is lost.  Reboot the system to recover this GPU",
]


def flow(path, by):
    return {
        "format": 1,
        "nodes": {
            "photo": {"type": "image.load", "params": {"path": path}},
            "negative": {"type": "lost.invert", "params": {"by": by}, "inputs": {"image": "photo.image"}},
            "keep": {"type": "image.save", "inputs": {"image": "negative.image"}},
        },
        "outputs": {"image": "negative.image"},
    }


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """The file that makes devices disappear, and a server with two workers that has the node installed."""
    folder = tmp_path_factory.mktemp("lost")
    installed = folder / "site"
    (installed / "lost_pack-1.0.dist-info").mkdir(parents=True)
    (installed / "lost_pack-1.0.dist-info/METADATA").write_text(
        "Metadata-Version: 2.1\nName: lost-pack\nVersion: 1.0\n"
    )
    (installed / "lost_pack-1.0.dist-info/entry_points.txt").write_text("[inlay.nodes]\nlost = lost_pack\n")
    (installed / "lost_pack.py").write_text(NODES)
    more = {"PYTHONPATH": str(installed), "LOST_PLACE": str(folder / "gone")}
    server = Process(folder, free_port(), "--device", "cpu:0,cpu:1", **more)
    try:
        server.listening()
        server.client.ready()
        yield folder / "gone", server
    finally:
        server.stop()


@pytest.mark.parametrize("said", SAID)
def test_runs_of_a_server_whose_device_is_gone_fail_by_name_and_a_new_worker_makes_the_next_one(place, said):
    gone, server = place
    client = server.client
    upload = {"upload": client.upload()["id"]}
    by = iter(number / 64 + SAID.index(said) / 512 for number in range(8, 64))

    def submit():
        workflow = flow("x.png", next(by)) | {"inputs": {"image": "photo.path"}}
        return client.submit(workflow, values={"image": upload})["id"]

    assert client.ended(submit())["state"] == "done"
    before = {one["pid"] for one in client.ready()}
    assert len(before) == 2
    gone.write_text(said)
    runs = [client.ended(run) for run in [submit() for _ in range(6)]]
    for run in runs:  # also those that waited behind a worker that was about to end
        assert run["state"] == "failed"
        (problem,) = run["problems"]
        assert problem["node"] == "negative"
        assert re.fullmatch(r"cpu:[01] does not answer any more: " + re.escape(said.splitlines()[0]), problem["found"])
        assert "nvidia-smi" in problem["fix"]
        assert "start inlay again" not in problem["fix"]  # the server goes on
    assert server.process.poll() is None
    gone.unlink()
    again = client.ended(submit())
    assert again["state"] == "done", again
    after = {one["pid"] for one in client.ready()}
    assert len(after) == 2
    assert after != before
    for pid in before - after:
        with pytest.raises(OSError, match="No such process"):
            os.kill(pid, 0)

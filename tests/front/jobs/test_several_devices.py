"""`--device` with several names: which are taken, and that results are the same bytes as on one."""

import inlay
import pytest
import torch
from inlay.graph_runtime.core.errors import WorkflowError
from inlay.graph_runtime.core.events import NodeFinished, NodeProgress, NodeStarted, RunStarted
from inlay.graph_runtime.front.cli.lines import Lines
from inlay.graph_runtime.front.cli.progress import Bars
from inlay.graph_runtime.front.device import resolve_device, resolve_devices
from inlay.graph_runtime.front.environment import environment
from inlay.graph_runtime.front.kept_between_runs import crew_between_runs, forget, kept_between_runs
from PIL import Image


@pytest.fixture
def cards(monkeypatch):
    """Makes torch name some cards."""

    def have(*names):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(names))
        monkeypatch.setattr(torch.cuda, "device_count", lambda: len(names))
        monkeypatch.setattr(
            torch.cuda, "get_device_name", lambda device: names[int(str(device).partition(":")[2] or 0)]
        )
        monkeypatch.delenv("WORLD_SIZE", raising=False)

    return have


def test_auto_takes_every_card_like_the_first(cards):
    cards("A", "B", "A")
    assert resolve_devices("auto") == ("cuda:0", "cuda:2")
    assert resolve_device("auto") == "cuda:0"
    assert resolve_devices("cuda") == ("cuda:0",)
    assert resolve_devices("cuda:2, cuda:0") == ("cuda:2", "cuda:0")


def test_a_process_of_several_keeps_its_own_card(cards, monkeypatch):
    cards("A", "A")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert resolve_devices("auto") == ("cuda:1",)


@pytest.mark.parametrize(
    "named", ["cuda:0,cuda:1", "cuda:0,cpu", "cuda:0,cuda:0", "cuda:0,cuda:9", "cuda:0,", "auto,cuda:0"]
)
def test_cards_that_give_other_bytes_are_refused_by_name(cards, named):
    cards("A", "B", "A")
    with pytest.raises(WorkflowError, match="device"):
        resolve_devices(named)


def test_a_device_that_is_named_twice_is_the_cause_that_is_told():
    with pytest.raises(WorkflowError) as caught:
        resolve_devices("cpu:0,cpu:1,cpu:0")
    problem = caught.value.problems[0]
    assert problem.found == "cpu:0, which is named 2 times"
    assert problem.fix.endswith("--device cpu:0,cpu:1")
    assert resolve_devices("cpu:0,cpu:1") == ("cpu:0", "cpu:1")


def test_what_one_card_kept_is_found_by_another_of_its_kind(cards):
    cards("A", "A", "B")
    assert environment("cuda:0") == environment("cuda:1") != environment("cuda:2")


def test_runs_share_their_devices_and_weights():
    crew = crew_between_runs(("cpu:0", "cpu:1"), None)
    assert crew is crew_between_runs(("cpu:0", "cpu:1"), None)
    assert crew.managers[1] is kept_between_runs("cpu:1", None)[0]
    assert crew_between_runs(("cpu",), None) is None
    forget(results=True)
    assert crew_between_runs(("cpu:0", "cpu:1"), None) is not crew


TWO = {
    "format": 1,
    "inputs": {"seed": "n1.seed"},
    "nodes": {
        "model": {"type": "model.stable_diffusion"},
        "photo": {"type": "image.load", "params": {"path": "room.png"}},
        "again": {"type": "latent.encode", "inputs": {"image": "photo.image", "vae": "model.vae"}},
        "back": {"type": "latent.decode", "inputs": {"latent": "again.latent", "vae": "model.vae"}},
        "n1": {
            "type": "mask.shape",
            "params": {"x": 4, "y": 4, "width": 30, "height": 20},
            "inputs": {"image": "back.image"},
        },
        "other": {
            "type": "image.fill",
            "params": {"fill": "noise"},
            "inputs": {"image": "photo.image", "mask": "n1.mask"},
        },
        "save1": {"type": "image.save", "inputs": {"image": "back.image"}},
        "save2": {"type": "image.save", "inputs": {"image": "other.image"}},
    },
    "outputs": {"a": "back.image", "b": "other.image"},
}


def test_a_workflow_gives_the_same_files_on_one_device_and_on_two(tmp_path):
    flow = {key: value for key, value in TWO.items() if key != "inputs"}
    generator = torch.Generator().manual_seed(1)
    pixels = (torch.rand(64, 64, 3, generator=generator) * 255).to(torch.uint8).numpy()
    Image.fromarray(pixels).save(tmp_path / "room.png")
    flow["nodes"]["photo"]["params"]["path"] = str(tmp_path / "room.png")
    files = {}
    for device in ("cpu", "cpu:0,cpu:1"):
        out = tmp_path / device.replace(":", "_")
        result = inlay.run(flow, out=out, device=device, cache=False)
        files[device] = [(path.name, path.read_bytes()) for path in result.paths]
    assert len(files["cpu"]) == 2
    assert files["cpu"] == files["cpu:0,cpu:1"]


def test_progress_of_nodes_at_once_is_told_apart(capsys):
    said = []
    lines, bars = Lines(said.append), Bars(enabled=True)
    events = [
        RunStarted(2),
        NodeStarted("a", "x"),
        NodeStarted("b", "x"),
        NodeProgress("a", 1, 4),
        NodeProgress("b", 1, 9),
    ]
    events += [NodeProgress("a", 4, 4), NodeProgress("b", 9, 9), NodeFinished("a", "x", 1), NodeFinished("b", "x", 1)]
    for event in events:
        lines(event)
        bars(event)
    assert [line.partition(",")[0] for line in said[1:]] == ["a: 1 of 4", "b: 1 of 9", "a: 4 of 4", "b: 9 of 9"]

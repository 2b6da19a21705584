"""`inpaint` with a model that is still on the hub: its configuration decides, before anything large is fetched."""

import json

import inlay
import numpy as np
import pytest
from hub_toys import FakeHub, network_of, served
from inlay.graph_runtime.core.errors import WorkflowError
from inlay.graph_runtime.core.events import Noted
from PIL import Image


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A hub on this machine, an empty cache, and a photo with a hole in the current folder."""
    use = network_of(monkeypatch, tmp_path / "hub")
    monkeypatch.chdir(tmp_path)
    picture = np.random.default_rng(0).integers(0, 255, (64, 72, 3), np.uint8)
    Image.fromarray(picture).save("photo.png")
    hole = np.zeros((64, 72), np.uint8)
    hole[20:40, 30:50] = 255
    Image.fromarray(hole).save("hole.png")
    with served(FakeHub()) as hub:
        use(hub.url)
        yield hub


def nodes_of(path):
    with Image.open(path) as image:
        return {node["type"] for node in json.loads(image.info["inlay"])["workflow"]["nodes"].values()}


@pytest.mark.parametrize(
    ("kind", "more", "expected"),
    [
        ("text", {"prompt": "abc"}, "constraint.null_space"),
        ("inpaint", {}, "condition.inpaint"),
        ("exemplar", {"example": "photo.png"}, "condition.exemplar"),
    ],
)
def test_the_configuration_is_fetched_first_and_decides(hub, tiny, tmp_path, kind, more, expected):
    hub.folders["someone/tiny"] = {
        "text": tiny.stable_diffusion,
        "inpaint": lambda: tiny.stable_diffusion(unet={"in_channels": 9}),
        "exemplar": tiny.paint_by_example,
    }[kind]()
    options = {"image": "photo.png", "mask": "hole.png", "source": "someone/tiny", "size": 64, **more}
    report = inlay.check("inpaint", **options)
    assert report == []
    assert any("chooses" in str(warning) for warning in report.warnings)
    assert not hub.asked, "a check touches no network"
    result = inlay.run("inpaint", **options, steps=1, out=tmp_path / "out")
    assert expected in nodes_of(result.paths[0])
    assert hub.served[0] in ("model_index.json", "config.json")
    assert not [event for event in result.events if isinstance(event, Noted)], "it is decided by now"
    asked = len(hub.asked)
    again = inlay.run("inpaint", **options, steps=1, out=tmp_path / "again")
    assert len(hub.asked) == asked, "from now on its configuration is here"
    assert again.paths[0].read_bytes() == result.paths[0].read_bytes()


def test_what_contradicts_the_fetched_configuration_is_said_before_any_weights_are_fetched(hub, tiny):
    hub.folders["someone/tiny"] = tiny.paint_by_example()
    with pytest.raises(WorkflowError) as caught:
        inlay.run("inpaint", image="photo.png", mask="hole.png", source="someone/tiny")
    assert "--example" in str(caught.value)
    assert not [name for name in hub.served if name.endswith(".safetensors")]


def test_settings_of_nodes_survive_the_decision(hub, tiny, tmp_path):
    hub.folders["someone/tiny"] = tiny.stable_diffusion(unet={"in_channels": 9})
    result = inlay.run(
        "inpaint",
        image="photo.png",
        mask="hole.png",
        source="someone/tiny",
        size=64,
        steps=1,
        set={"save.prefix": "mine"},
        out=tmp_path / "out",
    )
    assert result.paths[0].name == "mine_00001.png"


def test_no_such_repository_is_one_problem_of_the_model(hub):
    with pytest.raises(WorkflowError) as caught:
        inlay.run("inpaint", image="photo.png", mask="hole.png", source="someone/gone")
    assert "model.source" in str(caught.value)
    assert "someone/gone" in str(caught.value)

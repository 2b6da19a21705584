"""Folders for the shipped workflows: each picture's result is the one that it has alone."""

import inlay
import pytest
from PIL import Image

SIZES = {"a": (64, 64), "b": (72, 56)}


@pytest.fixture
def album(tmp_path):
    room = Image.open(inlay.__path__[0] + "/workflows/exemplar/living-room.png").convert("RGB")
    for name, size in SIZES.items():
        for folder in ("in", "masks"):
            (tmp_path / folder).mkdir(exist_ok=True)
        room.resize(size).save(tmp_path / f"in/{name}.png")
        mask = Image.new("L", size)
        mask.paste(255, (16, 16, 40, 40))
        mask.save(tmp_path / f"masks/{name}.png")
    return tmp_path


JOBS = {
    "zero_shot_inpaint": ({"steps": 2, "seed": 3}, ["image", "mask"]),
    "zero_shot_inpaint_strict": ({"steps": 2}, ["image", "mask"]),
    "paint_by_example": ({"steps": 2}, ["image", "mask"]),
    "baret_edit": ({"steps": 2, "iterations": 1, "prompt": "a room with a red sofa"}, ["image"]),
    "inpaint": ({"variations": 2}, ["image", "mask"]),
}


@pytest.mark.parametrize("name", JOBS)
@pytest.mark.filterwarnings("ignore::inlay.InlayWarning")
def test_a_folder_gives_what_each_picture_gives_alone(album, name):
    settings, inputs = JOBS[name]
    folders = {"image": album / "in", "mask": album / "masks"}
    result = inlay.run(name, **{key: folders[key] for key in inputs}, **settings, out=album / "out")
    assert not result.failed, [one.message for one in result.failed]
    for number, one in enumerate(SIZES):
        alone = inlay.run(
            name, **{key: folders[key] / f"{one}.png" for key in inputs}, **settings, out=album / "alone" / one
        )
        together = result.results[number].paths
        assert together[0].name == f"{one}.png"
        assert [path.read_bytes() for path in together] == [path.read_bytes() for path in alone.paths]


@pytest.mark.filterwarnings("ignore::inlay.InlayWarning")
def test_a_folder_of_examples_paints_each_into_one_picture(album):
    given = {"image": album / "in/a.png", "mask": album / "masks/a.png", "steps": 1}
    result = inlay.run("paint_by_example", **given, example=album / "in", out=album / "out")
    assert [path.name for path in result.paths] == ["a.png", "b.png"]
    assert (result.results[0]["image"] != result.results[1]["image"]).any()


@pytest.mark.filterwarnings("ignore::inlay.InlayWarning")
def test_models_and_prompts_are_loaded_once(album):
    moved, encoded = [], []

    def listen(event):
        if type(event).__name__ == "ModelMoved" and "load" in event.message:
            moved.append(event.message)
        if type(event).__name__ == "NodeFinished" and event.type == "condition.text" and not event.cached:
            encoded.append(event)

    inlay.run("zero_shot_inpaint", image=album / "in", mask=album / "masks", steps=1, out=album / "out",
              prompt="a sofa", listeners=[listen])  # fmt: skip
    assert len(moved) == len(set(moved))
    assert len(encoded) == 1

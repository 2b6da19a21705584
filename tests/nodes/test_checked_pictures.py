"""What files' headers, sizes and settings give away of picture and mask nodes is found while checking, not running."""

import inlay
import pytest
from inlay.graph_runtime.front.installed import installed_nodes
from PIL import Image


def picture(path, size=(48, 40), mode="RGB", colour=0, mark=None):
    image = Image.new(mode, size, colour)
    if mark is not None:
        image.paste(mark, (8, 8, 24, 24))
    image.save(path)
    return str(path)


@pytest.fixture
def room(tmp_path):
    return picture(tmp_path / "room.png")


@pytest.fixture
def hole(tmp_path):
    return picture(tmp_path / "hole.png", mode="L", mark=255)


def flow(image, mask, node, *, ports=("image", "mask"), more=None, **params):
    """A picture and a mask into one node, whose first output is asked for."""
    inputs = dict(zip(ports, ("photo.image", "hole.mask"), strict=True)) | (more or {})
    out = installed_nodes()[node].outputs
    return {
        "format": 1,
        "nodes": {
            "photo": {"type": "image.load", "params": {"path": image}},
            "hole": {"type": "mask.load", "params": {"path": mask}},
            "it": {"type": node, "params": params, "inputs": inputs},
        },
        "outputs": {"x": f"it.{next(iter(out))}"},
    }


def found(raw):
    return [(problem.node, problem.port, problem.found) for problem in inlay.check(raw)]


def fails_as_checked(raw):
    """What the check says of a workflow is what a run would have said."""
    (problem,) = inlay.check(raw)
    with pytest.raises(inlay.WorkflowError) as error:
        inlay.run(raw, cache=False)
    assert error.value.problems == [problem]
    return problem


def test_an_empty_mask_is_found(room, tmp_path):
    black = picture(tmp_path / "black.png", mode="L")
    assert fails_as_checked(flow(room, black, "image.crop_to_mask")).found == "an empty mask"
    report = inlay.check(flow(room, black, "image.fill"))
    assert report == []
    assert any("mask-empty" in warning.message for warning in report.warnings)


def test_a_warning_of_the_check_is_said_once_by_the_run(room, tmp_path):
    black = picture(tmp_path / "black.png", mode="L")
    raw = flow(room, black, "image.fill")
    said = [
        event.message
        for event in inlay.run(raw, cache=False, out=tmp_path / "out").events
        if type(event).__name__ == "Warned"
    ]
    assert said == [warning.message for warning in inlay.check(raw).warnings]
    assert len(said) == 1


@pytest.mark.parametrize(
    ("node", "params"), [("image.fill", {}), ("image.fit", {}), ("image.crop_to_mask", {}), ("image.augment", {})]
)
def test_a_mask_of_another_size_is_found(room, tmp_path, node, params):
    small = picture(tmp_path / "small.png", size=(40, 48), mode="L", mark=255)
    problem = fails_as_checked(flow(room, small, node, **params))
    assert (problem.port, problem.found) == ("mask", "a mask of 40×48 pixels")


def test_a_full_mask_leaves_nothing_to_fill_from(room, tmp_path):
    white = picture(tmp_path / "white.png", mode="L", colour=255)
    assert "whole picture" in fails_as_checked(flow(room, white, "image.fill", fill="edge")).found


@pytest.mark.parametrize(
    ("size", "mark", "found"),
    [((40, 48), 255, "a mask of 40×48 pixels"), ((48, 40), 0, "an empty source"), ((48, 40), 255, "in the hole alone")],
)
def test_a_source_with_nothing_to_copy_is_found(room, hole, tmp_path, size, mark, found):
    raw = flow(room, hole, "image.fill", more={"source": "from.mask"}, fill="patches")
    marked = picture(tmp_path / "from.png", size=size, mode="L", mark=mark)
    raw["nodes"]["from"] = {"type": "mask.load", "params": {"path": marked}}
    problem = fails_as_checked(raw)
    assert problem.port == "source"
    assert found in problem.found


def test_an_even_patch_and_a_full_mask_are_found(room, hole, tmp_path):
    assert fails_as_checked(flow(room, hole, "image.fill", fill="patches", patch=8)).port == "patch"
    white = picture(tmp_path / "white.png", mode="L", colour=255)
    assert "fill=patches" in fails_as_checked(flow(room, white, "image.fill", fill="patches")).found


def test_a_picture_too_small_to_crop(room, hole):
    assert "mode=crop" in fails_as_checked(flow(room, hole, "image.fit", mode="crop", multiple=64)).found


def test_a_shape_outside_the_picture(room, hole):
    raw = flow(room, hole, "mask.shape", x=40.0, width=20.0)
    del raw["nodes"]["it"]["inputs"]["mask"]
    assert fails_as_checked(raw).port == "x"


def test_sizes_that_differ_in_a_folder(tmp_path, hole):
    folder = tmp_path / "many"
    folder.mkdir()
    for side in (8, 16):
        picture(folder / f"{side}.png", size=(side, side))
    assert "2 sizes" in found(flow(str(folder), hole, "image.fill"))[0][2]


def test_an_empty_folder_and_a_file_that_is_no_picture(tmp_path, hole):
    (tmp_path / "none").mkdir()
    (tmp_path / "text.png").write_text("hello")
    assert "no picture among" in found(flow(str(tmp_path / "none"), hole, "image.fill"))[0][2]
    assert "not a picture" in found(flow(str(tmp_path / "text.png"), hole, "image.fill"))[0][2]


def test_an_alpha_that_is_not_there(room, hole):
    raw = flow(room, hole, "image.fill")
    raw["nodes"]["hole"]["params"]["channel"] = "alpha"
    assert fails_as_checked(raw).port == "channel"


def test_a_picture_without_alpha_gives_an_empty_mask(room, hole):
    raw = flow(room, hole, "image.crop_to_mask")
    raw["nodes"]["it"]["inputs"]["mask"] = "photo.mask"
    assert fails_as_checked(raw).found == "an empty mask"


def test_sizes_are_followed_through_the_graph(room, hole):
    raw = flow(room, hole, "image.crop_to_mask", size=64)
    raw["nodes"]["fit"] = {"type": "image.fit", "inputs": {"image": "it.image"}, "params": {"size": 128}}
    raw["nodes"]["back"] = {"type": "image.stitch", "inputs": {"patch": "fit.image", "crop": "it.crop"}}
    raw["outputs"] = {"x": "back.image"}
    assert fails_as_checked(raw).found == "a patch of 152×128"
    raw["nodes"]["unfit"] = {"type": "image.unfit", "inputs": {"image": "fit.image", "fit": "fit.fit"}}
    raw["nodes"]["back"]["inputs"]["patch"] = "unfit.image"
    assert inlay.check(raw) == []
    assert inlay.run(raw, cache=False)["x"].shape == (1, 40, 48, 3)


def test_a_mask_larger_than_the_budget_is_not_decoded(room, tmp_path, monkeypatch):
    from inlay.nodes.checks import mask as mask_module

    black = picture(tmp_path / "black.png", mode="L")
    monkeypatch.setattr(mask_module, "READ", 100)
    assert inlay.check(flow(room, black, "image.crop_to_mask")) == []

"""A mask of one colour: distances, names, and what is said where nothing has it."""

import inlay
import numpy as np
import pytest
import torch
from inlay.graph_runtime import BadInput
from inlay.nodes.mask.colour import colour
from inlay.pictures.colour.lab import lab_of
from inlay.pictures.masks.colour import parse_colour
from PIL import Image as Pil
from recording import RecordingContext

#: L*, a*, b* of sRGB with D65, as B. Lindbloom's calculator gives them
PUBLISHED = {
    (255, 255, 255): (100, 0, 0),
    (0, 0, 0): (0, 0, 0),
    (255, 0, 0): (53.2408, 80.0925, 67.2032),
    (0, 255, 0): (87.7347, -86.1827, 83.1793),
    (0, 0, 255): (32.2970, 79.1875, -107.8602),
    (119, 119, 119): (50.0344, 0, 0),
}


@pytest.mark.parametrize(("rgb", "lab"), PUBLISHED.items())
def test_lab_has_the_published_values(rgb, lab):
    found = lab_of(np.array([[rgb]], np.float32) / 255)[0, 0]
    assert np.allclose(found, lab, atol=0.02)


@pytest.mark.parametrize(
    "text", ["#ff0000", "#F00", "red", " Red ", "rgb(255, 0, 0)", "rgb(100%,0%,0%)", "hsl(0, 100%, 50%)"]
)
def test_a_colour_is_written_in_many_ways(text):
    assert parse_colour(text) == (255, 0, 0)


@pytest.mark.parametrize("text", ["", "reddish", "#ff00", "#ff000080", "rgb(300, 0, 0)", "#gg0000", "r" * 10_000])
def test_what_is_no_colour_is_refused_before_the_run(text, tmp_path):
    with pytest.raises(BadInput) as caught:
        colour(torch.zeros(1, 4, 4, 3), text)
    assert caught.value.port == "colour"
    assert len(str(caught.value)) < 400
    Pil.new("RGB", (9, 9)).save(tmp_path / "a.png")
    nodes = {
        "photo": {"type": "image.load", "params": {"path": str(tmp_path / "a.png")}},
        "it": {"type": "mask.colour", "params": {"colour": text}, "inputs": {"image": "photo.image"}},
    }
    assert len(inlay.check({"format": 1, "nodes": nodes, "outputs": {"x": "it.mask"}})) == 1


def test_each_pixel_is_judged_by_its_distance():
    image = torch.rand(2, 33, 47, 3, generator=torch.Generator().manual_seed(3))
    image[0, 5, 6] = image[1, 7, 8] = torch.tensor([200, 30, 40]) / 255
    for tolerance in (0.0, 10.0, 40.0):
        mask = colour(image, "#c81e28", tolerance=tolerance).mask
        wanted = lab_of(np.array([200, 30, 40], np.float32) / 255)
        distance = np.linalg.norm(lab_of(image.numpy()) - wanted, axis=-1)
        clear = np.abs(distance - tolerance) > 0.01
        assert np.array_equal((mask.numpy() > 0)[clear], (distance <= tolerance)[clear])
        assert mask[0, 5, 6] == mask[1, 7, 8] == 1
        assert set(mask.unique().tolist()) <= {0.0, 1.0}
    assert colour(image, "#c81e28", tolerance=200).mask.all()


def test_where_nothing_has_it_the_colours_that_are_there_are_named():
    image = torch.zeros(2, 20, 20, 3)
    image[:, :15] = torch.tensor([0.0, 0.0, 1.0])
    image[:, 15:] = torch.tensor([1.0, 1.0, 1.0])
    image[0, 0, 0] = torch.tensor([1.0, 0.0, 0.0])
    with pytest.raises(BadInput) as caught:
        colour(image, "red", tolerance=20)
    assert "picture 2 of 2" in caught.value.found
    assert "#0000ff (75%), #ffffff (25%)" in caught.value.found
    needed = np.linalg.norm(np.subtract(PUBLISHED[255, 0, 0], PUBLISHED[255, 255, 255]))
    assert caught.value.fix.endswith(f"tolerance={int(np.ceil(needed))} or more")
    with pytest.raises(BadInput, match="NaN"):
        colour(image / 0, "red")


def test_a_mask_that_is_all_or_most_of_the_picture_is_named():
    ctx = RecordingContext()
    colour(torch.ones(1, 20, 20, 3), "white", ctx=ctx)
    assert any("mask-full" in warning for warning in ctx.warnings)


def test_a_mask_of_some_pixels_runs_with_a_context_and_most_of_the_picture_is_named():
    ctx = RecordingContext()
    image = torch.ones(1, 20, 20, 3)
    image[:, :10] = 0
    assert colour(image, "white", ctx=ctx).mask.mean() == 0.5
    assert not ctx.warnings
    image[:, 1:] = 1
    colour(image, "white", ctx=ctx)
    assert any("mask-large" in warning for warning in ctx.warnings)

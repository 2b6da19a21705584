"""image.with_mask: a picture, and the mask that was painted on it, which a mask editor keeps in its transparency."""

import inlay
import numpy as np
import pytest
import torch
from inlay.graph_runtime import BadInput
from inlay.nodes.image.files import load
from inlay.nodes.image.painted import with_mask
from PIL import Image as Pil

RNG = np.random.default_rng(7)


def painted(path, alpha):
    """A noisy picture in a file with this alpha, and its pixels."""
    pixels = RNG.integers(0, 256, (*alpha.shape, 3), dtype=np.uint8)
    Pil.fromarray(np.dstack([pixels, alpha]), "RGBA").save(path)
    return pixels


def test_it_gives_every_colour_as_stored_and_one_minus_alpha(tmp_path, ctx):
    alpha = RNG.integers(0, 256, (9, 7), dtype=np.uint8)
    alpha[2:4, 2:4] = 0  # wholly painted: the colours below are kept all the same
    pixels = painted(tmp_path / "a.png", alpha)
    image, mask, _ = with_mask(str(tmp_path / "a.png"), ctx)
    assert np.array_equal(image[0].numpy(), pixels.astype(np.float32) / np.float32(255))
    assert np.array_equal(mask[0].numpy(), 1 - alpha.astype(np.float32) / np.float32(255))


def test_without_transparency_the_mask_is_zeros_of_the_pictures_size(tmp_path, ctx):
    Pil.new("RGB", (31, 17), "red").save(tmp_path / "a.jpg")
    image, mask, _ = with_mask(str(tmp_path / "a.jpg"), ctx)
    assert image.shape == (1, 17, 31, 3)
    assert torch.equal(mask, torch.zeros(1, 17, 31))


def test_what_is_saved_is_opaque_because_the_transparency_was_the_mask(tmp_path, ctx):
    alpha = np.full((8, 8), 255, np.uint8)
    alpha[2:5, 2:5] = 100
    pixels = painted(tmp_path / "a.png", alpha)
    flow = {
        "format": 1,
        "inputs": {"image": "photo.image"},
        "nodes": {
            "photo": {"type": "image.with_mask", "params": {"image": "a.png"}},
            "save": {"type": "image.save", "inputs": {"image": "photo.image"}},
        },
    }
    made = inlay.run(flow, image=tmp_path / "a.png", out=tmp_path / "out")
    with Pil.open(made.paths[0]) as saved:
        assert saved.mode == "RGB"
        assert np.array_equal(np.asarray(saved), pixels)
    assert load(str(tmp_path / "a.png"), ctx).profile.pictures[0].alpha is not None


@pytest.mark.parametrize("name", ["none.png", "note.txt", "*.png"])
def test_what_is_no_picture_is_blamed_on_its_own_setting(tmp_path, ctx, name):
    (tmp_path / "note.txt").write_text("no picture")
    with pytest.raises(BadInput) as refused:
        with_mask(str(tmp_path / name), ctx)
    assert refused.value.port == "image"
    flow = {
        "format": 1,
        "nodes": {"photo": {"type": "image.with_mask", "params": {"image": str(tmp_path / name)}}},
        "outputs": {"image": "photo.image"},
    }
    (problem,) = inlay.check(flow)
    assert (problem.node, problem.port) == ("photo", "image")


def test_a_folder_given_for_it_is_a_job(tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("a.png", "b.png"):
        painted(tmp_path / "in" / name, np.full((8, 8), 90, np.uint8))
    flow = {
        "format": 1,
        "inputs": {"image": "photo.image"},
        "nodes": {
            "photo": {"type": "image.with_mask", "params": {"image": "a.png"}},
            "save": {"type": "image.save", "inputs": {"image": "photo.image"}},
        },
    }
    inlay.run(flow, image=tmp_path / "in", out=tmp_path / "out")
    assert len(list((tmp_path / "out").glob("[ab]*.png"))) == 2

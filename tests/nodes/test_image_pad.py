"""Room around a picture: where it lies, what stands in it, and what its file says."""

import inlay
import numpy as np
import pytest
import torch
from inlay.graph_runtime import BadInput
from inlay.nodes.image.files import load, save
from inlay.nodes.image.pad import pad
from PIL import Image as Pil
from recording import RecordingContext


def rand(seed, *shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("border", ["mirror", "edge"])
@pytest.mark.parametrize(
    ("unit", "sides", "pixels"),
    [
        ("px", (3, 0, 0, 0), (3, 0, 0, 0)),
        ("px", (5, 7, 11, 2), (5, 7, 11, 2)),
        ("px", (0, 0, 423, 297), (0, 0, 423, 297)),  # three times the picture, 141×99
        ("fraction", (0.3, 0.1, 0, 0), (42, 10, 0, 0)),  # 42.3, 9.9
        ("fraction", (0, 0, 1.5, 3.0), (0, 0, 212, 297)),  # 211.5 rounds to the even number
    ],
)
def test_the_margins_are_as_numpy_pads(unit, sides, pixels, border):
    image = rand(0, 2, 99, 141, 3)
    left, top, right, bottom = pixels
    out = pad(image, *map(float, sides), unit=unit, border=border)
    around = ((0, 0), (top, bottom), (left, right), (0, 0))
    mode = {"mirror": "reflect", "edge": "edge"}[border]
    assert np.array_equal(out.image.numpy(), np.pad(image.numpy(), around, mode=mode))
    assert np.array_equal(out.mask.numpy(), np.pad(np.zeros((2, 99, 141), np.float32), around[:3], constant_values=1))
    assert np.array_equal(out.image[:, top : top + 99, left : left + 141].numpy(), image.numpy())


@pytest.mark.parametrize(
    ("settings", "port", "words"),
    [
        ({}, "left", "0 on all sides"),
        ({"left": 0.4}, "left", "less than one"),
        ({"left": 0.001, "unit": "fraction"}, "left", "less than one"),
        ({"right": 424.0}, "right", "301%"),
        ({"bottom": 10.0, "unit": "fraction"}, "bottom", "1000%"),
        ({"top": 298.0}, "top", "301%"),
    ],
)
def test_nothing_and_too_much_are_refused_before_the_run(settings, port, words, tmp_path):
    with pytest.raises(BadInput) as caught:
        pad(rand(0, 1, 99, 141, 3), **settings)
    assert caught.value.port == port
    assert words in caught.value.found
    Pil.new("RGB", (141, 99)).save(tmp_path / "a.png")
    nodes = {
        "photo": {"type": "image.load", "params": {"path": str(tmp_path / "a.png")}},
        "it": {"type": "image.pad", "params": settings, "inputs": {"image": "photo.image"}},
    }
    (problem,) = inlay.check({"format": 1, "nodes": nodes, "outputs": {"x": "it.image"}})
    assert (problem.node, problem.port, problem.found) == ("it", port, caught.value.found)


def test_more_than_a_picture_may_be_is_refused():
    with pytest.raises(BadInput, match="megapixels"):
        pad(torch.zeros(1).expand(1, 6000, 6000, 3), right=18_000)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "L", "I;16", "P"])
def test_a_saved_picture_is_larger_and_keeps_depth_metadata_and_transparency(mode, tmp_path):
    rng = np.random.default_rng(0)
    if mode == "I;16":
        picture = Pil.fromarray(rng.integers(0, 65_536, (99, 141)).astype(np.uint16))
    elif mode == "P":
        picture = Pil.fromarray(rng.integers(0, 256, (99, 141, 3)).astype(np.uint8)).quantize(9)
    else:
        shape = (99, 141, *((len(mode),) if len(mode) > 1 else ()))
        picture = Pil.fromarray(rng.integers(0, 256, shape).astype(np.uint8), mode)
    exif = Pil.Exif()
    exif[0x013B] = "somebody"
    picture.save(tmp_path / "a.png", dpi=(300, 300), exif=exif)
    flow = {
        "format": 1,
        "nodes": {
            "photo": {"type": "image.load", "params": {"path": str(tmp_path / "a.png")}},
            "room": {"type": "image.pad", "params": {"left": 30.0, "top": 5.0}, "inputs": {"image": "photo.image"}},
            "crop": {
                "type": "image.crop_to_mask",
                "params": {"size": None},
                "inputs": {"image": "room.image", "mask": "room.mask"},
            },
            "back": {"type": "image.stitch", "inputs": {"patch": "crop.image", "crop": "crop.crop"}},
            "save": {"type": "image.save", "inputs": {"image": "back.image"}},
        },
        "outputs": {"image": "back.image"},
    }
    result = inlay.run(flow, out=str(tmp_path / "out"), cache=False)
    with Pil.open(result.paths[0]) as saved, Pil.open(tmp_path / "a.png") as source:
        assert saved.size == (171, 104)
        assert saved.getexif()[0x013B] == "somebody"
        assert saved.info["dpi"] == pytest.approx((300, 300), abs=0.1)
        kind = {"P": "RGB", "L": "RGB", "LA": "RGBA"}.get(mode, mode)  # grey of 8 bits without a grey profile
        assert saved.mode == kind
        inner, whole = np.asarray(saved.crop((30, 5, 171, 104))), np.asarray(saved)
        assert np.array_equal(inner, np.asarray(source if mode == "I;16" else source.convert(kind)))
        if mode in ("LA", "RGBA"):
            assert (whole[:5, :, -1] == 255).all()
            assert (whole[:, :30, -1] == 255).all()


def test_a_picture_without_a_file_and_one_resized_before_are_padded_too(tmp_path):
    ctx = RecordingContext(out=tmp_path)
    out = pad(rand(0, 1, 20, 30, 3), left=5.0, ctx=ctx)
    assert out.profile.count == 1
    assert not ctx.warnings
    Pil.new("RGBA", (30, 20), (1, 2, 3, 100)).save(tmp_path / "a.png")
    loaded = load(str(tmp_path / "a.png"), ctx)
    other = pad(rand(0, 1, 40, 60, 3), left=5.0, profile=loaded.profile, ctx=ctx)
    save(other.image, ctx, profile=other.profile)
    assert any("transparency is left out" in warning for warning in ctx.warnings)


def test_a_hole_that_is_there_already_stays_one_and_may_be_padded_again():
    image, hole = torch.rand(2, 9, 14, 3), (torch.rand(1, 9, 14) > 0.5).float()
    out = pad(image, left=3.0, bottom=2.0, mask=hole)
    wanted = np.pad(hole.numpy(), ((0, 0), (0, 2), (3, 0)), constant_values=1)
    assert np.array_equal(out.mask.numpy(), np.concatenate([wanted, wanted]))
    again = pad(out.image, top=1.0, mask=out.mask)
    assert np.array_equal(again.mask.numpy()[0], np.pad(wanted[0], ((1, 0), (0, 0)), constant_values=1))
    assert len(pad(image[:1], top=1.0, mask=torch.zeros(3, 9, 14)).mask) == 3
    with pytest.raises(BadInput, match="14×9"):
        pad(image, left=3.0, mask=torch.zeros(1, 9, 13))

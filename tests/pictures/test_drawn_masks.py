"""Masks as people draw them: in red on a copy of the photo, in any colour on grey, on a transparent layer, erased."""

import numpy as np
import pytest
import torch
from inlay.nodes.mask.files import load
from PIL import Image as Pil
from PIL import ImageDraw
from recording import RecordingContext

SIZE = (141, 99)
LINE = [(20, 20), (70, 60), (120, 30)]
RED = (237, 28, 36)  # the red of a common paint program


def photo(seed=0, red=False):
    """Noise over a slope; with a red thing in it, of many shades."""
    y, x = np.mgrid[: SIZE[1], : SIZE[0]]
    values = np.stack([x * 1.2, y * 1.6, (x + y) * 0.7], -1) + np.random.default_rng(seed).integers(0, 60, (99, 141, 3))
    if red:
        values[70:95, 90:135] = np.random.default_rng(1).uniform([150, 0, 0], [255, 60, 60], (25, 45, 3))
    return Pil.fromarray(values.clip(0, 255).astype(np.uint8))


def stroke(picture, pen, width=15):
    ImageDraw.Draw(picture).line(LINE, fill=pen, width=width)
    return picture


TRUTH = np.asarray(stroke(Pil.new("L", SIZE), 255)) > 0
WHITE = (255, 255, 255, 255)


def erased():
    alpha = Pil.fromarray(np.where(TRUTH, 0, 255).astype(np.uint8))
    picture = photo().convert("RGBA")
    picture.putalpha(alpha)
    return picture


DRAWINGS = {
    "red on the photo": lambda: stroke(photo(), RED),
    "pure red on the photo": lambda: stroke(photo(3), (255, 0, 0)),
    "red on a photo with a red thing": lambda: stroke(photo(red=True), (255, 0, 0), 25),
    "blue on a grey photo": lambda: stroke(photo().convert("L").convert("RGB"), (0, 0, 255)),
    "green on white": lambda: stroke(Pil.new("RGB", SIZE, "white"), (0, 200, 40)),
    "yellow on black": lambda: stroke(Pil.new("RGB", SIZE), (255, 230, 0)),
    "magenta in a palette": lambda: stroke(Pil.new("RGB", SIZE, (90, 90, 90)), (255, 0, 255)).quantize(8),
    "black on a transparent layer": lambda: stroke(Pil.new("RGBA", SIZE, (0, 0, 0, 0)), (0, 0, 0, 255)),
    "white on a transparent layer": lambda: stroke(Pil.new("RGBA", SIZE, (0, 0, 0, 0)), WHITE),
    "erased": erased,
    "white on black": lambda: stroke(Pil.new("L", SIZE), 255),
    "white on black, RGB": lambda: stroke(Pil.new("RGB", SIZE), "white"),
    "one bit": lambda: stroke(Pil.new("1", SIZE), 1),
}


@pytest.mark.parametrize("name", DRAWINGS)
def test_what_was_drawn_is_the_hole(name, tmp_path):
    drawing = DRAWINGS[name]()
    drawing.save(tmp_path / "drawn.png")
    truth = TRUTH
    if name == "red on a photo with a red thing":
        truth = np.asarray(stroke(Pil.new("L", SIZE), 255, 25)) > 0
    ctx = RecordingContext()
    mask = load(str(tmp_path / "drawn.png"), ctx, channel="drawn").mask[0].numpy()
    wrong = (mask > 0) != truth
    assert wrong.mean() < (0.03 if "red thing" in name else 1e-9)
    assert (mask[truth] == 1).all()
    assert not ctx.warnings
    inverted = load(str(tmp_path / "drawn.png"), ctx, channel="drawn", invert=True).mask[0].numpy()
    assert np.array_equal(inverted, 1 - mask)


@pytest.mark.parametrize("quality", [75, 95])
@pytest.mark.parametrize("paper", ["photo", "grey"])
def test_a_jpeg_of_a_drawing_is_read_up_to_its_soft_edge(paper, quality, tmp_path):
    picture = photo() if paper == "photo" else photo().convert("L").convert("RGB")
    stroke(picture, (255, 0, 0)).save(tmp_path / "drawn.jpg", quality=quality)
    mask = load(str(tmp_path / "drawn.jpg"), RecordingContext(), channel="drawn").mask[0].numpy() > 0
    inner = np.asarray(stroke(Pil.new("L", SIZE), 255, 9)) > 0
    outer = np.asarray(stroke(Pil.new("L", SIZE), 255, 25)) > 0
    assert mask[inner].mean() > 0.97
    assert mask[~outer].mean() < 0.005


@pytest.mark.parametrize("name", ["white on black", "white on black, RGB", "one bit", "erased"])
def test_a_mask_of_before_is_read_as_auto_reads_it(name, tmp_path):
    DRAWINGS[name]().save(tmp_path / "mask.png")
    auto, drawn = (
        load(str(tmp_path / "mask.png"), RecordingContext(), channel=kind).mask for kind in ("auto", "drawn")
    )
    assert torch.equal(auto, drawn)


def test_a_grey_ramp_and_a_photo_without_strokes_are_read_by_their_brightness(tmp_path):
    for picture in (Pil.linear_gradient("L"), photo()):
        picture.save(tmp_path / "mask.png")
        one, other = RecordingContext(), RecordingContext()
        auto = load(str(tmp_path / "mask.png"), one, channel="auto", threshold=None).mask
        assert torch.equal(auto, load(str(tmp_path / "mask.png"), other, channel="drawn", threshold=None).mask)
        assert one.warnings == other.warnings  # that it looks like a picture


def test_sixteen_bits_and_soft_strokes(tmp_path):
    layer = Pil.new("RGBA", SIZE, (255, 0, 0, 0))
    layer.putalpha(Pil.fromarray(np.where(TRUTH, 200, 0).astype(np.uint8)))
    layer.save(tmp_path / "soft.png")
    soft = load(str(tmp_path / "soft.png"), RecordingContext(), channel="drawn", threshold=None).mask[0].numpy()
    assert np.array_equal(soft, np.where(TRUTH, np.float32(200) / 255, 0).astype(np.float32))
    deep = (TRUTH * 65_535).astype(np.uint16)
    Pil.fromarray(deep).save(tmp_path / "deep.png")
    assert np.array_equal(
        load(str(tmp_path / "deep.png"), RecordingContext(), channel="drawn").mask[0].numpy() > 0, TRUTH
    )


def test_a_photo_with_a_few_red_pixels_given_as_a_drawing_is_doubted(tmp_path):
    picture = photo().resize((564, 396), Pil.Resampling.NEAREST)
    ImageDraw.Draw(picture).rectangle((5, 5, 10, 10), fill=RED)
    picture.save(tmp_path / "photo.png")
    ctx = RecordingContext()
    mask = load(str(tmp_path / "photo.png"), channel="drawn", ctx=ctx).mask
    assert mask.sum() == 36
    assert any("mask-few" in warning for warning in ctx.warnings), ctx.warnings

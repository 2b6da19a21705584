"""Warnings about a mask's file: the name, the shares, and the setting that reads it the other way."""

import inlay
import numpy as np
import pytest
from inlay.nodes.mask.files import load
from PIL import Image as Pil
from PIL import ImageDraw, ImageFilter

SIZE = (160, 120)


def drawn(mode="L", paper=0, pen=255, width=14, blur=0):
    """A stroke of a brush on paper of one colour."""
    picture = Pil.new(mode, SIZE, paper)
    ImageDraw.Draw(picture).line([(30, 30), (80, 70), (120, 40)], fill=pen, width=width)
    return picture.filter(ImageFilter.GaussianBlur(blur)) if blur else picture


def photo(seed=0, grey=False):
    """Noise over a slope, as a photo has it."""
    y, x = np.mgrid[: SIZE[1], : SIZE[0]]
    slope = np.stack([x * 1.2, y * 1.6, (x + y) * 0.7], -1)
    values = (slope + np.random.default_rng(seed).integers(0, 60, slope.shape)).clip(0, 255).astype(np.uint8)
    picture = Pil.fromarray(values)
    return picture.convert("L").convert("RGB") if grey else picture


def with_alpha(picture, alpha):
    picture = picture.convert("RGB")
    picture.putalpha(alpha)
    return picture


def names(said):
    return [message.split(": ")[1] for message in said]


STROKE = drawn()
CLEAR = (0, 0, 0, 0)


@pytest.mark.parametrize(
    ("picture", "options", "name", "words"),
    [
        (
            drawn("RGBA", CLEAR, (255, 255, 255, 255)),
            {},
            "mask-strokes",
            ["white", "invert=true, or channel=luminance"],
        ),
        (drawn("RGBA", (255, 255, 255, 0), (255, 255, 255, 255)), {}, "mask-strokes", ["invert=true"]),
        (with_alpha(Pil.new("RGB", SIZE, "white"), drawn(blur=2)), {}, "mask-strokes", ["white"]),
        (drawn("RGBA", CLEAR, (230, 20, 30, 255)), {}, "mask-strokes", ["one colour", "invert=true"]),
        (drawn("RGBA", CLEAR, (0, 0, 0, 255)), {}, "mask-strokes", ["black"]),
        (drawn("LA", (0, 0), (255, 255)), {}, "mask-strokes", ["white"]),
        (drawn("RGBA", CLEAR, (255, 255, 255, 255)), {"channel": "alpha"}, "mask-strokes", ["invert=true"]),
        (
            with_alpha(STROKE, Pil.fromarray(255 - np.roll(np.asarray(STROKE), 40, 0))),
            {},
            "mask-disagrees",
            ["channel=luminance"],
        ),
        (with_alpha(photo(), STROKE), {}, "mask-most", ["invert=true"]),
        (photo(), {}, "mask-picture", ["coloured", "swapped"]),
        (photo(), {"channel": "luminance", "threshold": None}, "mask-picture", ["coloured"]),
        (photo(grey=True), {}, "mask-picture", ["grey", "swapped"]),
        (with_alpha(photo(), 255), {}, "mask-picture", ["channel=alpha"]),
        (drawn("RGB", "white", "black"), {}, "mask-inverted", ["invert=true"]),
        (drawn("RGB", "black", (250, 30, 30), width=40), {"threshold": 0.3}, "mask-coloured", ["paint the hole white"]),
        (
            drawn(width=1).crop((0, 0, 33, 33)).resize(SIZE, Pil.Resampling.NEAREST).point(lambda v: 0),
            {},
            "mask-empty",
            [],
        ),
    ],
)
def test_a_warning_names_the_problem_and_the_remedy(tmp_path, ctx, picture, options, name, words):
    picture.save(tmp_path / "m.png")
    load(str(tmp_path / "m.png"), ctx, **options)
    assert names(ctx.warnings) == [name], ctx.warnings
    for word in words:
        assert word in ctx.warnings[0]


def test_the_shares_are_those_of_the_pixels_and_the_advice_is_right(tmp_path, ctx):
    layer = drawn("RGBA", CLEAR, (255, 255, 255, 255))
    share = (np.asarray(layer)[..., 3] > 127).mean()
    layer.save(tmp_path / "m.png")
    load(str(tmp_path / "m.png"), ctx)
    assert f"{share:.1%} of it is painted in white" in ctx.warnings[0]
    assert f"{1 - share:.1%} of the picture would be repainted" in ctx.warnings[0]
    ctx.warnings.clear()
    for options in ({"invert": True}, {"channel": "luminance"}):
        mask = load(str(tmp_path / "m.png"), ctx, **options).mask
        assert float(mask.mean()) == pytest.approx(share, abs=1e-6)
    assert ctx.warnings == []


def test_a_few_pixels_specks_and_pinholes(tmp_path, ctx):
    values = np.zeros((400, 500), np.uint8)
    values[7, 9:12] = 255
    Pil.fromarray(values).save(tmp_path / "m.png")
    load(str(tmp_path / "m.png"), ctx)
    assert names(ctx.warnings) == ["mask-few"]
    assert "only 3 pixels (x 9–11, y 7–7) of 200000" in ctx.warnings[0]
    ctx.warnings.clear()
    values[100:300, 100:400] = 255
    values[200, 200] = 0
    Pil.fromarray(values).save(tmp_path / "m.png")
    load(str(tmp_path / "m.png"), ctx)
    assert names(ctx.warnings) == ["mask-specks", "mask-pinholes"]
    assert "1 part of at most 4 pixels (the first at x 9, y 7) would be repainted beside 1 larger" in ctx.warnings[0]
    assert "(the first at x 200, y 200) would be kept" in ctx.warnings[1]


def test_what_jpeg_leaves_around_a_border_near_the_threshold(tmp_path, ctx):
    drawn().save(tmp_path / "m.jpg", quality=10)
    load(str(tmp_path / "m.jpg"), ctx, threshold=0.08)
    assert names(ctx.warnings) == ["mask-specks"], ctx.warnings
    assert "save masks as PNG" in ctx.warnings[0]


def test_ordinary_masks_give_no_warning(tmp_path, ctx):
    ordinary = {
        "white.png": drawn(),
        "photo-with-a-hole.png": with_alpha(photo(), Pil.fromarray(255 - np.asarray(STROKE))),
        "black-and-clear.png": with_alpha(Pil.new("RGB", SIZE), Pil.fromarray(255 - np.asarray(STROKE))),
        "palette.png": drawn().convert("P"),
        "one-bit.png": drawn().convert("1"),
        "rgb.png": drawn("RGB", "black", "white"),
        "half.png": Pil.fromarray(np.pad(np.full((120, 70), 255, np.uint8), ((0, 0), (0, 90)))),
    }
    for name, picture in ordinary.items():
        picture.save(tmp_path / name, quality=95)
        load(str(tmp_path / name), ctx)
        assert ctx.warnings == [], name
        if "photo" not in name:
            load(str(tmp_path / name), ctx, threshold=None)
            assert ctx.warnings == [], name


def test_a_smooth_gradient_is_a_mask(tmp_path, ctx):
    ramp = np.linspace(0, 255, SIZE[0]).round().astype(np.uint8)[None].repeat(SIZE[1], 0)
    Pil.fromarray(ramp).save(tmp_path / "m.png")
    for threshold in (None, 0.5):
        load(str(tmp_path / "m.png"), ctx, threshold=threshold)
    assert names(ctx.warnings) == ["mask-large", "mask-not-opaque", "mask-soft"]  # and nothing of a picture


def test_check_warns_before_anything_runs(tmp_path):
    photo().save(tmp_path / "photo.png")
    drawn("RGBA", CLEAR, (255, 255, 255, 255)).save(tmp_path / "m.png")
    flow = {
        "format": 1,
        "nodes": {
            "photo": {"type": "image.load", "params": {"path": str(tmp_path / "photo.png")}},
            "hole": {"type": "mask.load", "params": {"path": str(tmp_path / "m.png")}},
            "fill": {"type": "image.fill", "inputs": {"image": "photo.image", "mask": "hole.mask"}},
        },
        "outputs": {"image": "fill.image"},
    }
    report = inlay.check(flow)
    assert report == []
    assert [warning.node for warning in report.warnings] == ["hole"]
    assert "mask-strokes" in report.warnings[0].message

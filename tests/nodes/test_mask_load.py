"""mask.load: every mode, every channel, and a word about every mask that is probably a mistake."""

import numpy as np
import pytest
import torch
from inlay.graph_runtime import BadInput
from inlay.nodes.mask.files import load
from PIL import Image as Pil

HOLE = np.zeros((12, 16), dtype=bool)
HOLE[3:9, 4:12] = True


def save(path, hole=HOLE, mode="L", white=255, black=0):
    """A picture in which `hole` is white (transparent in alpha modes)."""
    grey = np.where(hole, white, black)
    if mode == "I;16":
        Pil.fromarray((grey * 257).astype(np.uint16)).save(path)
    elif mode == "P":
        picture = Pil.fromarray(np.where(hole, 0, 1).astype(np.uint8), "P")  # index 0 is the white one
        picture.putpalette([white] * 3 + [black] * 3)
        picture.save(path)
    elif mode in ("LA", "RGBA"):
        colour = Pil.fromarray(np.full(hole.shape, 90, dtype=np.uint8)).convert(mode)
        colour.putalpha(Pil.fromarray((255 - grey).astype(np.uint8)))
        colour.save(path)
    else:
        Pil.fromarray(grey.astype(np.uint8)).convert(mode).save(path)
    return str(path)


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGB", "RGBA", "I;16"])
@pytest.mark.parametrize("threshold", [0.5, None])
@pytest.mark.parametrize("invert", [False, True])
def test_every_mode(tmp_path, ctx, mode, threshold, invert):
    mask = load(save(tmp_path / "m.png", mode=mode), ctx, invert=invert, threshold=threshold).mask
    assert mask.dtype == torch.float32
    assert np.array_equal(mask[0].numpy(), (HOLE ^ invert).astype(np.float32))
    assert ctx.warnings == []


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_auto_reads_luminance_where_alpha_is_flat(tmp_path, ctx, mode):
    for opacity in (255, 128):
        picture = Pil.fromarray((HOLE * 255).astype(np.uint8)).convert(mode)
        picture.putalpha(opacity)
        picture.save(tmp_path / "m.png")
        assert np.array_equal(load(str(tmp_path / "m.png"), ctx).mask[0].numpy(), HOLE)


def test_channels_can_be_forced(tmp_path, ctx):
    picture = Pil.fromarray((HOLE * 255).astype(np.uint8)).convert("RGBA")
    other = np.roll(HOLE, 2, 1)
    picture.putalpha(Pil.fromarray((~other * 255).astype(np.uint8)))
    picture.save(tmp_path / "m.png")
    assert np.array_equal(load(str(tmp_path / "m.png"), ctx).mask[0].numpy(), other)
    assert np.array_equal(load(str(tmp_path / "m.png"), ctx, channel="alpha").mask[0].numpy(), other)
    assert np.array_equal(load(str(tmp_path / "m.png"), ctx, channel="luminance").mask[0].numpy(), HOLE)
    save(tmp_path / "l.png")
    with pytest.raises(BadInput, match="without transparency") as caught:
        load(str(tmp_path / "l.png"), ctx, channel="alpha")
    assert caught.value.port == "channel"


def test_luminance_is_itu_601_and_alpha_is_one_minus(tmp_path, ctx):
    colours = np.random.default_rng(1).integers(0, 256, (12, 16, 4), dtype=np.uint8)
    Pil.fromarray(colours).save(tmp_path / "m.png")
    soft = load(str(tmp_path / "m.png"), ctx, channel="luminance", threshold=None).mask[0].numpy()
    weights = colours[..., :3].astype(float) @ [0.299, 0.587, 0.114] / 255
    assert np.abs(soft - weights).max() < 0.6 / 255
    alpha = load(str(tmp_path / "m.png"), ctx, threshold=None).mask[0].numpy()
    assert np.array_equal(alpha, 1 - colours[..., 3].astype(np.float32) / np.float32(255))


@pytest.mark.parametrize("value", [0, 127, 128, 255])
@pytest.mark.parametrize("threshold", [0.5, 1.0, 128 / 255])
def test_values_at_the_threshold_are_repainted(tmp_path, ctx, value, threshold):
    path = save(tmp_path / "m.png", hole=np.arange(16)[None].repeat(12, 0) > 3, white=value)
    mask = load(path, ctx, threshold=threshold).mask
    assert bool(mask.any()) == (np.float32(value) / np.float32(255) >= np.float32(threshold))


def test_sixteen_bit_thresholds_are_exact(tmp_path, ctx):
    values = np.array([[32767, 32768, 0, 65535]], dtype=np.uint16)
    Pil.fromarray(values).save(tmp_path / "m.png")
    assert load(str(tmp_path / "m.png"), ctx).mask[0].tolist() == [[0, 1, 0, 1]]


def test_exif_orientation_is_applied(tmp_path, ctx):
    exif = Pil.Exif()
    exif[0x0112] = 6
    Pil.fromarray((HOLE * 255).astype(np.uint8)).save(tmp_path / "m.png", exif=exif)
    assert np.array_equal(load(str(tmp_path / "m.png"), ctx).mask[0].numpy(), np.rot90(HOLE, -1))


def test_a_folder_is_a_batch(tmp_path, ctx):
    save(tmp_path / "m1.png")
    save(tmp_path / "m2.png", hole=~HOLE)
    mask = load(str(tmp_path), ctx).mask
    assert np.array_equal(mask.numpy(), np.stack([HOLE, ~HOLE]))


NOTHING, ALL = np.zeros((12, 16), dtype=bool), np.ones((12, 16), dtype=bool)
RAMP = np.linspace(0, 255, 16).astype(np.uint8)[None].repeat(12, 0)


def raw(path, array, mode="L"):
    """Write the array as luminance, or as the alpha of a grey RGBA picture."""
    picture = Pil.fromarray(array.astype(np.uint8))
    if mode == "alpha":
        colour = Pil.new("RGB", picture.size, (90, 90, 90))
        colour.putalpha(picture)
        picture = colour
    picture.save(path)
    return str(path)


@pytest.mark.parametrize(
    ("array", "mode", "options", "name"),
    [
        (NOTHING * 255, "L", {}, "mask-empty"),
        (ALL * 255, "L", {}, "mask-full"),
        (np.full((12, 16), 250), "alpha", {"channel": "alpha"}, "mask-faint"),  # 98 % opaque everywhere
        (np.where(HOLE, 250, 255), "alpha", {}, "mask-faint"),  # erased with a 2 % brush
        (np.where(HOLE, 5, 0), "L", {}, "mask-faint"),  # a luminance mask that peaks at 0.02
        (np.where(HOLE, 250, 0), "L", {}, "mask-not-opaque"),  # painted at 98 %
        (np.where(HOLE, 250, 0), "L", {"threshold": None}, "mask-not-opaque"),
        (np.where(HOLE, 5, 255), "alpha", {"threshold": None}, "mask-not-opaque"),
        (np.where(HOLE, 0, 250), "alpha", {}, "mask-haze"),  # the background is 98 % opaque
        (np.where(HOLE, 0, 250), "alpha", {"threshold": None}, "mask-haze"),
        (np.where(RAMP > 60, 255, np.where(RAMP > 20, 3, 0)), "L", {"threshold": None}, "mask-haze"),
        (np.where(HOLE, 120, 0), "L", {}, "mask-faint"),
        (np.where(HOLE, np.where(RAMP > 128, 255, 100), 0), "L", {}, "mask-soft"),  # half of the hole would be dropped
        (RAMP, "L", {}, "mask-soft"),
        (~HOLE * 0 + np.where(ALL & ~(RAMP < 1), 255, 0), "L", {}, "mask-large"),
        (np.full((12, 16), 200), "L", {}, "mask-full"),
    ],
)
def test_suspicious_masks_are_named(tmp_path, ctx, array, mode, options, name):
    load(raw(tmp_path / "m.png", array, mode), ctx, **options)
    assert any(message.startswith(f"m.png: {name}: ") for message in ctx.warnings), ctx.warnings


def test_ordinary_masks_are_not_commented_on(tmp_path, ctx):
    y, x = np.mgrid[:200, :300]
    distance = 60 - np.hypot(x - 150, y - 100)
    smooth = np.clip(distance + 0.5, 0, 1) * 255  # antialiased disc
    feathered = np.clip(distance / 6, 0, 1) * 255
    for array in (smooth, feathered):
        load(raw(tmp_path / "m.png", array), ctx)
        load(raw(tmp_path / "m.png", array), ctx, threshold=None)
        Pil.fromarray(array.astype(np.uint8)).save(tmp_path / "m.jpg", quality=90)
        load(str(tmp_path / "m.jpg"), ctx)
    assert ctx.warnings == []

"""A thousand random photos through the everyday way: what the mask does not cover comes back bit for bit.

Any size, mode, profile and format; windows of every kind, model sizes, colour conversion, fills and blending.
"""

import numpy as np
import pytest
import torch
from any_picture import MODES, PROFILES, make
from inlay.nodes.image.colour import from_srgb, to_srgb
from inlay.nodes.image.crop import crop_to_mask, stitch
from inlay.nodes.image.files import load, save
from inlay.nodes.image.fill import fill
from inlay.nodes.image.pad import pad
from inlay.nodes.mask.grow import grow
from recording import RecordingContext

CASES, EACH = 20, 50


def random_mask(draw, height, width):
    """Some boxes, anywhere and of any size, hard or soft; never everything."""
    mask = np.zeros((1, height, width), np.float32)
    for _ in range(draw.integers(1, 4)):
        top, left = draw.integers(0, height), draw.integers(0, width)
        bottom, right = top + draw.integers(1, height // 3 + 2), left + draw.integers(1, width // 3 + 2)
        mask[0, top:bottom, left:right] = draw.choice([1.0, 1.0, draw.random() * 0.9 + 0.05])
    if (mask > 0).all():
        mask[0, -1, -1] = 0
    return torch.from_numpy(mask)


def filled(draw, window, hole, profile):
    """What a method makes of a window: all of it anew, or a fill of the hole."""
    kind = draw.choice(["model", "model", "neutral", "edge", "harmonic", "noise", "patches"])
    if kind == "patches" and (window.shape[1] * window.shape[2] > 40 * 40 or draw.random() < 0.5):
        kind = "blur"
    if bool((hole > 0).flatten(1).all(1).any()) or kind == "model":
        seen = to_srgb(window, profile, RecordingContext()).image
        patch = torch.from_numpy(draw.random(seen.shape, np.float32))
        return from_srgb(patch, profile).image
    return fill(window, hole, fill=str(kind), seed=int(draw.integers(0, 2**31))).image


@pytest.mark.parametrize("seed", range(CASES))
def test_known_pixels_are_the_file_s_own_in_a_thousand_random_cases(seed, tmp_path):
    draw = np.random.default_rng(seed)
    for number in range(EACH):
        folder = tmp_path / str(number)
        folder.mkdir()
        ctx = RecordingContext(out=folder / "out")
        shape = tuple(map(int, draw.integers(8, 90, 2))) if draw.random() < 0.95 else (99, 141)
        mode, profile = draw.choice(MODES), draw.choice(list(PROFILES))
        path, colours, alpha = make(folder, str(mode), PROFILES[profile], shape, int(draw.integers(0, 2**16)))
        photo = load(str(path), ctx)
        image, mask, told = photo.image, random_mask(draw, *shape), photo.profile
        top = left = 0
        if draw.random() < 0.15:
            left, top = (int(side) for side in draw.integers(0, 9, 2))
            padded = pad(image, float(left), float(top), 1.0, profile=told, ctx=ctx)
            whole = padded.mask.clone()
            inside = (slice(None), slice(top, top + shape[0]), slice(left, left + shape[1]))
            whole[inside] = torch.maximum(whole[inside], mask)
            image, mask, told = padded.image, whole, padded.profile
        mask = grow(mask, ctx, pixels=int(draw.choice([0, 0, 1, 3]))).mask
        crop = crop_to_mask(
            image,
            mask,
            context=float(draw.choice([1.0, 1.5, 3.0])),
            size=draw.choice([None, 16, 64]),
            windows=str(draw.choice(["one", "each"])),
        )
        patch = filled(draw, crop.image, crop.mask, told)
        blend = "none" if (mask > 0).all() else str(draw.choice(["none", "membrane"]))
        back = stitch(patch, crop.crop, feather=int(draw.choice([0, 0, 2])), blend=blend).image
        deep = colours.dtype == np.uint16  # of these, WebP holds 8 bits
        kind = "png" if deep else str(draw.choice(["png", "webp"]))
        save(back, ctx, format=kind, profile=told, mask=mask)
        again = load(str(ctx.saved[0]), RecordingContext())
        known = (mask[0] == 0)[top : top + shape[0], left : left + shape[1]].numpy()
        bits = 65_535 if deep else 255
        inner = again.image[0, top : top + shape[0], left : left + shape[1]].numpy()
        what = f"case {number}: {mode}, {profile}, {shape}, {ctx.saved[0].suffix}"
        stored = np.round(inner.astype(np.float64) * bits).astype(colours.dtype)
        assert np.array_equal(stored[known], colours[known]), what
        if alpha is not None:
            opacity = 1 - again.mask[0, top : top + shape[0], left : left + shape[1]].numpy()
            assert np.array_equal(np.round(opacity * bits).astype(alpha.dtype)[known], alpha[known]), what

"""The promise: pixels outside the mask are the same numbers in the saved picture as in the decoded input.

From file to file, through every step that touches them, for a thousand random sizes and masks; and after ten edits.
"""

import numpy as np
import pytest
import torch
from inlay.graph_runtime import Context
from inlay.nodes.image.crop import crop_to_mask, stitch
from inlay.nodes.image.files import load, save
from inlay.nodes.image.fill import fill
from inlay.nodes.image.fit import fit, unfit
from inlay.nodes.image.paste import paste_back
from inlay.nodes.mask.files import load as load_mask
from PIL import Image as Pil

SPECIAL = [(99, 141), (141, 99), (1, 1), (1, 64), (64, 1), (7, 8), (8, 8)]


def random_case(rng, height, width):
    picture = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    hole = np.zeros((height, width), dtype=np.uint8)
    for _ in range(rng.integers(1, 4)):
        y, x = rng.integers(0, height), rng.integers(0, width)
        hole[y : y + rng.integers(1, height + 1), x : x + rng.integers(1, width + 1)] = rng.integers(1, 256)
    hole[rng.random((height, width)) < 0.3] = 0
    return picture, hole


def edited(rng, base, mask, how):
    """One edit by random colours, through one of the ways that a workflow may take."""
    feather = int(rng.integers(0, 6))
    match = ["none", "mean", "histogram"][int(rng.integers(0, 3))] if bool((mask == 0).any()) else "none"

    def noise(like):
        return torch.from_numpy(rng.random(like.shape, dtype=np.float32)) * 1.5 - 0.25

    if how == "plain" or not mask.any():
        return paste_back(base, noise(base), mask, feather=feather, color_match=match).image
    if how == "fit":
        mode = ["pad", "crop", "resize"][int(rng.integers(0, 3))] if min(base.shape[1:3]) >= 8 else "pad"
        small, _, record = fit(fill(base, mask).image, mask, mode=mode)
        patch = unfit(noise(small), record).image
        return paste_back(base, patch, mask, feather=feather, color_match=match).image
    patch, _, crop = crop_to_mask(base, mask, size=[None, 64][int(rng.integers(0, 2))])
    return stitch(noise(patch), crop, feather=feather, color_match=match).image


def check(tmp_path, number, height, width, how, kind="png"):
    rng = np.random.default_rng(number)
    picture, hole = random_case(rng, height, width)
    Pil.fromarray(picture).save(tmp_path / "in.png", compress_level=1)
    Pil.fromarray(hole).save(tmp_path / "mask.png", compress_level=1)
    ctx = Context(out=tmp_path / "out")
    base = load(str(tmp_path / "in.png"), ctx).image
    mask = load_mask(str(tmp_path / "mask.png"), ctx, threshold=[None, 0.5][number % 2]).mask
    (path,) = save(edited(rng, base, mask, how), ctx, format=kind).paths
    kept = mask[0].numpy() == 0
    with Pil.open(path) as out:
        result = np.asarray(out.convert("RGB"))
    assert result.shape == picture.shape
    assert np.array_equal(result[kept], picture[kept]), (number, height, width, how)
    return bool((result[~kept] != picture[~kept]).any()) or not (~kept).any()


@pytest.mark.parametrize("how", ["plain", "fit", "crop"])
def test_a_thousand_random_sizes_and_masks(tmp_path, how):
    sizes = np.random.default_rng(len(how)).integers(1, 48, (334, 2)).tolist()
    sizes[: len(SPECIAL)] = SPECIAL
    changed = [check(tmp_path, number, height, width, how) for number, (height, width) in enumerate(sizes)]
    assert sum(changed) > 0.95 * len(changed)  # the edits did edit


@pytest.mark.parametrize("kind", ["png", "webp"])
def test_1036_square(tmp_path, kind):
    assert check(tmp_path, 5, 1036, 1036, "fit" if kind == "png" else "crop", kind)


@pytest.mark.parametrize("kind", ["png", "webp"])
def test_ten_edits_in_a_row(tmp_path, kind):
    rng = np.random.default_rng(10)
    picture = rng.integers(0, 256, (99, 141, 3), dtype=np.uint8)
    Pil.fromarray(picture).save(tmp_path / "in.png")
    ctx, path, touched = Context(out=tmp_path / "out"), str(tmp_path / "in.png"), np.zeros((99, 141), dtype=bool)
    for number in range(10):
        base = load(path, ctx).image
        _, hole = random_case(rng, 40, 50)
        mask = torch.zeros(1, 99, 141)
        y, x = rng.integers(0, 59), rng.integers(0, 91)
        mask[0, y : y + 40, x : x + 50] = torch.from_numpy(hole / np.float32(255))
        touched |= mask[0].numpy() > 0
        (path,) = save(edited(rng, base, mask, ("plain", "fit", "crop")[number % 3]), ctx, format=kind).paths
    result = np.asarray(Pil.open(path).convert("RGB"))
    assert 0 < (~touched).sum() < touched.size
    assert np.array_equal(result[~touched], picture[~touched])

"""blend=membrane of image.paste_back and image.stitch: no jump at the edge, and no known pixel changes."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from inlay.graph_runtime import BadInput
from inlay.nodes.image.crop import crop_to_mask, stitch
from inlay.nodes.image.fill import fill
from inlay.nodes.image.paste import paste_back
from seamless import cloned


def rand(seed, *shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def bits(tensor):
    return tensor.contiguous().numpy().view(np.int32)


def holes(seed, batch, height, width, soft=False):
    rng = np.random.default_rng(seed)
    mask = (rng.random((batch, height, width)) < 0.02).astype(np.float32)
    y, x = rng.integers(0, height), rng.integers(0, width)
    mask[:, y : y + height // 2 + 1, x : x + width // 2 + 1] = 1
    return torch.from_numpy(mask * rng.random(mask.shape).astype(np.float32) if soft else mask)


@pytest.mark.parametrize("seed", range(4))
def test_the_membrane_is_seamless_cloning(seed):
    base, patch, mask = rand(seed, 1, 23, 31, 3), rand(seed + 9, 1, 23, 31, 3) * 0.2 + 0.4, holes(seed, 1, 23, 31)
    found = paste_back(base * 0.2 + 0.4, patch, mask, blend="membrane").image[0].numpy()
    wanted = cloned((base[0] * 0.2 + 0.4).double().numpy(), patch[0].double().numpy(), mask[0].numpy() > 0)
    assert np.abs(found - wanted).max() < 2e-6


@given(
    st.integers(0, 2**31),
    st.integers(1, 33),
    st.integers(1, 33),
    st.integers(0, 9),
    st.booleans(),
    st.sampled_from(["none", "mean", "histogram"]),
)
@settings(max_examples=60, deadline=None)
def test_no_known_pixel_changes_by_one_bit(seed, height, width, feather, soft, match):
    base, patch = rand(seed % 2**31, 1, height, width, 3), rand(seed % 2**31 + 1, 1, height, width, 3)
    mask = holes(seed, 1, height, width, soft)
    if bool((mask > 0).all()):
        match = "none"
    base[0, 0, 0, 0] = -0.0
    out = paste_back(base, patch, mask, feather=feather, color_match=match, blend="membrane").image
    assert np.array_equal(bits(out[mask == 0]), bits(base[mask == 0]))
    assert bool(torch.isfinite(out).all())


def test_an_offset_goes_and_detail_stays():
    y, x = torch.meshgrid(torch.arange(48.0), torch.arange(64.0), indexing="ij")
    base = (0.4 + 0.1 * torch.sin(x / 3) * torch.cos(y / 4))[None, ..., None].repeat(1, 1, 1, 3)
    mask = torch.zeros(1, 48, 64)
    mask[:, 10:30, 40:] = 1  # to the border
    for blend, worst in (("none", 0.1), ("membrane", 1e-5)):
        out = paste_back(base, base + 0.1, mask, blend=blend).image
        assert float((out - base).abs().max()) == pytest.approx(worst, abs=1e-5)


def test_a_soft_mask_and_a_feather_mix_the_evened_patch():
    base, patch, mask = rand(0, 1, 20, 24, 3), rand(1, 1, 20, 24, 3), holes(3, 1, 20, 24, soft=True)
    even = paste_back(base, patch, (mask > 0).float(), blend="membrane").image
    found = paste_back(base, patch, mask, feather=3, blend="membrane").image
    assert torch.equal(found, paste_back(base, even, mask, feather=3).image)


def test_where_nothing_is_known_there_is_nothing_to_blend():
    base, patch = rand(0, 1, 9, 9, 3), rand(1, 1, 9, 9, 3) * 3 - 1
    assert torch.equal(paste_back(base, patch, torch.ones(1, 9, 9), blend="membrane").image, patch)


def test_each_variation_is_blended_with_its_own_picture():
    base, patch, mask = rand(0, 2, 16, 18, 3), rand(1, 6, 16, 18, 3), holes(2, 2, 16, 18)
    mask[1] = mask[1].flip(0)
    out = paste_back(base, patch, mask, blend="membrane").image
    for row in range(6):
        mine = row // 3
        one = paste_back(base[mine][None], patch[row][None], mask[mine][None], blend="membrane").image
        assert torch.equal(out[row], one[0])


def test_what_lies_beside_the_hole_is_compared_and_must_be_a_number():
    base, patch, mask = rand(0, 1, 12, 12, 3), rand(1, 1, 12, 12, 3), torch.zeros(1, 12, 12)
    mask[:, 4:8, 4:8] = 1
    for port, picture in (("base", base), ("patch", patch)):
        good = picture[0, 3, 5].clone()
        picture[0, 3, 5] = torch.nan
        with pytest.raises(BadInput, match="NaN") as caught:
            paste_back(base, patch, mask, blend="membrane")
        assert caught.value.port == port
        picture[0, 3, 5] = good
    patch[0, 0, 0] = base[0, 0, 0] = base[0, 5, 5] = torch.nan  # far away, or in the hole: never looked at
    out = paste_back(base, patch, mask, blend="membrane").image
    assert bool(torch.isfinite(out[mask > 0]).all())


def test_stitch_blends_as_paste_back_does():
    image, mask = rand(0, 1, 141, 99, 3), torch.zeros(1, 141, 99)
    mask[:, 60:100, 70:] = 1
    patch, _, crop = crop_to_mask(image, mask, size=None)
    shifted = patch * 0.5 + 0.3
    found = stitch(shifted, crop, blend="membrane").image
    whole = stitch(shifted, crop, blend="none").image
    known = mask == 0
    assert np.array_equal(bits(found[known]), bits(image[known]))
    assert float((found - whole)[mask > 0].abs().max()) > 0.01
    jump = (found[0, 59, 70:] - found[0, 60, 70:]).abs().mean() / (whole[0, 59, 70:] - whole[0, 60, 70:]).abs().mean()
    assert float(jump) < 1.5  # of noise, halved by the patch


def test_a_harmonic_fill_has_each_pixel_the_mean_of_its_neighbours():
    image, mask = rand(0, 1, 30, 40, 3), torch.zeros(1, 30, 40)
    mask[:, 8:20, 10:30] = 0.3
    out = fill(image, mask, fill="harmonic").image
    mean = (out[:, :-2, 1:-1] + out[:, 2:, 1:-1] + out[:, 1:-1, :-2] + out[:, 1:-1, 2:]) / 4
    inside = mask[:, 1:-1, 1:-1] > 0
    assert float((out[:, 1:-1, 1:-1] - mean)[inside].abs().max()) < 1e-6
    assert np.array_equal(bits(out[mask == 0]), bits(image[mask == 0]))
    with pytest.raises(BadInput, match="whole picture"):
        fill(image, torch.ones(1, 30, 40), fill="harmonic")

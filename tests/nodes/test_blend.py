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
    st.sampled_from(["membrane", "gradients"]),
)
@settings(max_examples=60, deadline=None)
def test_no_known_pixel_changes_by_one_bit(seed, height, width, feather, soft, match, blend):
    base, patch = rand(seed % 2**31, 1, height, width, 3), rand(seed % 2**31 + 1, 1, height, width, 3)
    mask = holes(seed, 1, height, width, soft)
    if bool((mask > 0).all()):
        match = "none"
    base[0, 0, 0, 0] = -0.0
    out = paste_back(base, patch, mask, feather=feather, color_match=match, blend=blend).image
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


def lengths(picture, known):
    across, down = known[:, 1:] & known[:, :-1], known[1:] & known[:-1]
    found = np.concatenate([np.diff(picture, axis=1)[across], np.diff(picture, axis=0)[down]])
    return np.sort(np.sqrt((found**2).sum(-1)))


def test_gradients_are_shortened_to_the_quantiles_of_the_bases_own():
    y, x = np.mgrid[:72, :80]
    rng = np.random.default_rng(0)
    base = np.repeat((0.3 + 0.4 * (x > 33) + 0.002 * y)[..., None], 3, axis=2)
    patch = (base + 0.01 * rng.standard_normal(base.shape)).clip(0, 1)
    hole = ((x - 36) ** 2 + (y - 40) ** 2 < 200) | ((x > 70) & (y < 9))
    ours, theirs = (np.array_split(lengths(one, ~hole), 256) for one in (patch, base))
    at, to = [part.mean() for part in ours], [part.mean() for part in theirs]
    gain = np.minimum(1, np.array(to) / np.array(at))
    wanted = cloned(base, patch, hole, lambda d: np.interp(np.sqrt((d**2).sum()), at, gain) * d)
    found = paste_back(
        torch.from_numpy(base)[None],
        torch.from_numpy(patch)[None],
        torch.from_numpy(hole * 1.0)[None],
        blend="gradients",
    ).image[0]
    assert np.abs(found.numpy() - wanted).max() < 1e-5
    plain = cloned(base, patch, hole)
    assert np.abs(wanted - base)[hole].mean() < 0.4 * np.abs(plain - base)[hole].mean()  # and nearer to the truth
    assert abs(float(found[40, 33, 0] - found[40, 34, 0])) > 0.3  # an edge stays sharp


def test_a_texture_as_lively_as_the_bases_keeps_its_energy():
    base, patch, mask = rand(0, 1, 96, 96, 3), rand(1, 1, 96, 96, 3), torch.zeros(1, 96, 96)
    mask[:, 30:60, 30:60] = 1
    out = paste_back(base * 0.2 + 0.4, patch * 0.2 + 0.4, mask, blend="gradients").image[0]
    energy = [
        float((part[1:] - part[:-1]).square().mean()) for part in (out[31:59, 31:59], patch[0, 31:59, 31:59] * 0.2)
    ]
    assert 0.9 < energy[0] / energy[1] < 1.02


def test_what_was_not_repainted_is_not_compared():
    """Outside its window a stitched patch is the base itself: nothing to learn from, so this is the membrane."""
    base, mask = rand(0, 1, 60, 60, 3), torch.zeros(1, 60, 60)
    mask[:, 20:40, 20:40] = 1
    patch = torch.where(mask[..., None] > 0, rand(1, 1, 60, 60, 3), base)
    soft = paste_back(base, patch, mask, blend="gradients").image
    assert torch.allclose(soft, paste_back(base, patch, mask, blend="membrane").image, atol=2e-6)


@pytest.mark.parametrize("blend", ["membrane", "gradients"])
def test_where_nothing_is_known_there_is_nothing_to_blend(blend):
    base, patch = rand(0, 1, 9, 9, 3), rand(1, 1, 9, 9, 3) * 3 - 1
    assert torch.equal(paste_back(base, patch, torch.ones(1, 9, 9), blend=blend).image, patch)


@pytest.mark.parametrize("blend", ["membrane", "gradients"])
def test_each_variation_is_blended_with_its_own_picture(blend):
    base, patch, mask = rand(0, 2, 16, 18, 3), rand(1, 6, 16, 18, 3), holes(2, 2, 16, 18)
    mask[1] = mask[1].flip(0)
    out = paste_back(base, patch, mask, blend=blend).image
    for row in range(6):
        mine = row // 3
        one = paste_back(base[mine][None], patch[row][None], mask[mine][None], blend=blend).image
        assert torch.equal(out[row], one[0])


@pytest.mark.parametrize("blend", ["membrane", "gradients"])
def test_what_lies_beside_the_hole_is_compared_and_must_be_a_number(blend):
    base, patch, mask = rand(0, 1, 12, 12, 3), rand(1, 1, 12, 12, 3), torch.zeros(1, 12, 12)
    mask[:, 4:8, 4:8] = 1
    for port, picture in (("base", base), ("patch", patch)):
        good = picture[0, 3, 5].clone()
        picture[0, 3, 5] = torch.nan
        with pytest.raises(BadInput, match="NaN") as caught:
            paste_back(base, patch, mask, blend=blend)
        assert caught.value.port == port
        picture[0, 3, 5] = good
    patch[0, 0, 0] = base[0, 0, 0] = base[0, 5, 5] = torch.nan  # far away, or in the hole: never looked at
    out = paste_back(base, patch, mask, blend=blend).image
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

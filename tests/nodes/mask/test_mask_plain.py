"""The plain operations on masks give what ComfyUI's own nodes give, to the last bit.

The oracle is written from what those nodes do, with NumPy and SciPy, a row or a pixel at a time.
"""

import numpy as np
import pytest
import scipy.ndimage
import torch
from inlay.graph_runtime import BadInput
from inlay.nodes.image.from_mask import from_mask
from inlay.nodes.mask.from_image import channel, exact_colour
from inlay.nodes.mask.plain import combine, crop, fade, invert, solid, step, threshold

ONE = np.float32(1)


def masks(seed, batch=2):
    """Soft and stepped masks of odd sizes."""
    drawn = np.random.default_rng(seed)
    height, width = drawn.integers(1, 30, 2)
    soft = drawn.random((batch, height, width), dtype=np.float32)
    return soft if seed % 2 else (soft * 4).round().astype(np.float32) / 4


def same(found, expected):
    assert found.dtype == torch.float32
    assert found.shape == expected.shape
    assert np.array_equal(found.numpy(), expected)


@pytest.mark.parametrize("seed", range(8))
def test_invert_threshold_and_crop_are_the_host_s(seed):
    mask = masks(seed)
    same(invert(torch.from_numpy(mask)).mask, ONE - mask)
    for value in (0.0, 0.25, 0.5, 1.0):
        same(threshold(torch.from_numpy(mask), value=value).mask, (mask > value).astype(np.float32))
    same(crop(torch.from_numpy(mask), x=0, y=0, width=7, height=5).mask, mask[:, :5, :7])
    same(solid(value=0.3, width=3, height=2).mask, np.full((1, 2, 3), 0.3, np.float32))


@pytest.mark.parametrize("seed", range(8))
def test_fade_multiplies_row_by_row_as_the_host_s_feather_does(seed):
    mask, sides = masks(seed), [int(side) for side in np.random.default_rng(seed).integers(0, 40, 4)]
    expected = mask.copy()
    left, top, right, bottom = sides
    left, right = min(left, mask.shape[2]), min(right, mask.shape[2])
    top, bottom = min(top, mask.shape[1]), min(bottom, mask.shape[1])
    for at in range(left):
        expected[:, :, at] *= np.float32((at + 1) / left)
    for at in range(right):
        expected[:, :, -(at + 1)] *= np.float32((at + 1) / right)
    for at in range(top):
        expected[:, at] *= np.float32((at + 1) / top)
    for at in range(bottom):
        expected[:, -(at + 1)] *= np.float32((at + 1) / bottom)
    found = fade(torch.from_numpy(mask), left=sides[0], top=sides[1], right=sides[2], bottom=sides[3]).mask
    same(found, expected)


@pytest.mark.parametrize("square", [False, True])
@pytest.mark.parametrize("pixels", [-9, -2, -1, 0, 1, 3])
def test_steps_are_grey_dilations_and_erosions_by_a_cross_or_a_square(pixels, square):
    footprint = np.ones((3, 3)) if square else np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]])
    work = scipy.ndimage.grey_dilation if pixels > 0 else scipy.ndimage.grey_erosion
    for seed in range(4):
        expected = mask = masks(seed)
        for _ in range(abs(pixels)):
            expected = np.stack([work(plane, footprint=footprint) for plane in expected])
        same(step(torch.from_numpy(mask), pixels=pixels, square=square).mask, expected)


@pytest.mark.parametrize("operation", ["multiply", "add", "subtract", "and", "or", "xor"])
def test_combine_works_pixel_by_pixel_where_both_are(operation):
    for seed in range(6):
        below, above = masks(seed), masks(seed + 10, batch=1 + seed % 2)
        x, y = (int(at) for at in np.random.default_rng(seed).integers(0, 35, 2))
        expected = below.copy()
        for number in range(len(below)):
            for row in range(below.shape[1]):
                for column in range(below.shape[2]):
                    if 0 <= row - y < above.shape[1] and 0 <= column - x < above.shape[2]:
                        one, other = below[number, row, column], above[number % len(above), row - y, column - x]
                        whole = bool(np.round(one)), bool(np.round(other))
                        expected[number, row, column] = {
                            "multiply": one * other,
                            "add": one + other,
                            "subtract": one - other,
                            "and": whole[0] and whole[1],
                            "or": whole[0] or whole[1],
                            "xor": whole[0] != whole[1],
                        }[operation]
        found = combine(torch.from_numpy(below), torch.from_numpy(above), x=x, y=y, operation=operation).mask
        same(found, expected.clip(0, 1))


def test_channels_colours_and_grey_pictures_are_the_pixels_themselves():
    image = np.random.default_rng(1).integers(0, 4, (2, 9, 7, 3)).astype(np.float32) / np.float32(3)
    for number, name in enumerate(("red", "green", "blue")):
        same(channel(torch.from_numpy(image), channel=name).mask, image[..., number])
    wanted = (85, 170, 255)
    number = wanted[0] * 65536 + wanted[1] * 256 + wanted[2]
    expected = (np.round(image * 255).astype(int) == wanted).all(-1).astype(np.float32)
    assert expected.any()
    same(exact_colour(torch.from_numpy(image), colour=number).mask, expected)
    same(from_mask(torch.from_numpy(image[..., 0])).image, np.repeat(image[..., :1], 3, axis=-1))


def test_results_share_no_memory_with_what_came_in():
    mask = torch.rand(1, 4, 4)
    for found in (
        step(mask).mask,
        fade(mask).mask,
        crop(mask, width=4, height=4).mask,
        combine(mask, mask, operation="or").mask,
        from_mask(mask).image,
    ):
        before = mask.clone()
        found.zero_()
        assert torch.equal(mask, before)


def test_a_rectangle_outside_the_mask_is_refused():
    with pytest.raises(BadInput, match="4×3"):
        crop(torch.zeros(1, 3, 4), x=4)

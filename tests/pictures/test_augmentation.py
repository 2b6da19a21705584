"""Exemplar augmentation against scipy, plain resizing and the border's mirror."""

import time

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from inlay.graph_runtime import BadInput
from inlay.nodes.image.augment import augment
from inlay.pictures.augmentation import Augment, augmented, blurred, cut_reference, rotated, warped
from PIL import Image
from scipy import ndimage

NOTHING = Augment(flip=0, rotate=0, blur=0, elastic=0)


def generator(seed=0):
    return torch.Generator("cpu").manual_seed(seed)


def picture(height=99, width=141, seed=0, dtype=torch.float32):
    small = torch.rand(1, 3, 12, 12, generator=generator(seed), dtype=dtype)
    return F.interpolate(small, (height, width), mode="bicubic").clamp(0, 1)[0]


def noise(size, seed=0):
    return torch.rand(3, size, size, generator=generator(seed), dtype=torch.float64)


def test_without_augmentation_it_is_the_box_resized():
    source = picture()
    box = (21, 8, 100, 83)
    cut = source[:, 8:83, 21:100]
    made = cut_reference(source, box, 64, NOTHING, generator())
    wanted = F.interpolate(cut[None], (64, 64), mode="bicubic", antialias=True)[0].clamp(0, 1)
    assert torch.equal(made, wanted)
    planes = [Image.fromarray(plane.numpy()).resize((64, 64), Image.Resampling.BICUBIC) for plane in cut]
    assert np.abs(np.stack([np.array(plane) for plane in planes]).clip(0, 1) - made.numpy()).max() < 1e-5
    whole = cut_reference(source, (0, 0, 99, 99), 99, NOTHING, generator())
    assert torch.equal(whole, source[:, :99, :99])
    whole.zero_()
    assert source.max() > 0  # a copy


def test_the_padding_ends_at_the_border():
    source = picture()
    made = cut_reference(source, (5, 90, 60, 99), 32, Augment(flip=0, rotate=0, blur=0, elastic=0, pad=10), generator())
    assert torch.equal(made, cut_reference(source, (0, 80, 70, 99), 32, NOTHING, generator()))


def test_the_flip_is_exact():
    source = picture()
    plain = cut_reference(source, (21, 8, 100, 83), 64, NOTHING, generator())
    assert torch.equal(cut_reference(source, (21, 8, 100, 83), 64, Augment(1, 0, 0, 0), generator()), plain.flip(-1))
    half = [
        torch.equal(augmented(plain, Augment(0.5, 0, 0, 0), draws), plain)
        for draws in [generator(1)]
        for _ in range(600)
    ]
    assert abs(np.mean(half) - 0.5) < 0.06


@pytest.mark.parametrize("angle", [20.0, -13.7, 90.0, 180.0])
@pytest.mark.parametrize("size", [64, 33])
def test_rotation_against_scipy(angle, size):
    source = noise(size)
    wanted = np.stack([ndimage.rotate(plane.numpy(), angle, reshape=False, order=1, mode="mirror") for plane in source])
    assert np.abs(rotated(source, angle).numpy() - wanted).max() < 1e-9


def test_angles_are_uniform():
    source = torch.zeros(3, 65, 65, dtype=torch.float64)
    source[:, 32, 52:60] = 1  # right of the middle
    angles = []
    draws = generator(2)
    for _ in range(300):
        plane = augmented(source, Augment(0, 20, 0, 0), draws)[0]
        y, x = (plane.sum(axis).mul(torch.arange(65.0)).sum() / plane.sum() - 32 for axis in (1, 0))
        angles.append(float(torch.rad2deg(torch.atan2(-y, x))))  # counter-clockwise, rows run down
    angles = np.array(angles)
    assert np.abs(angles).max() < 20.1
    assert np.abs(np.sort(angles) - np.linspace(-20, 20, 300)).max() < 4


@pytest.mark.parametrize("width", [3, 5, 7])
def test_blur_against_scipy(width):
    source = noise(33)
    wanted = np.stack([ndimage.uniform_filter(plane.numpy(), width, mode="mirror") for plane in source])
    made = blurred(source, width)
    assert np.abs(made.numpy() - wanted).max() < 1e-12
    assert made.var() < 0.2 * source.var()
    assert abs(made.mean() - source.mean()) < 0.01


def test_the_blur_grows_with_the_picture():
    for size, widths in ((64, {3}), (224, {3, 5, 7}), (300, {3, 5, 7, 9})):
        plain = torch.rand(3, size, size, generator=generator(1))
        known = {width: blurred(plain, width) for width in range(3, 12, 2)}
        seen = set()
        for seed in range(30):
            made = augmented(plain, Augment(0, 0, 1, 0), generator(seed))
            seen |= {width for width, wanted in known.items() if torch.equal(made, wanted)}
        assert seen == widths


def test_the_warp_maps_three_points_where_it_should():
    """Against a solve of the linear system and scipy's interpolation."""
    size = 45
    source = noise(size)
    moves = (torch.rand(3, 2, generator=generator(8), dtype=torch.float64) * 2 - 1) * 50 / 224
    side = size - 1  # pixel centres to pixel centres
    points = np.array([[1, 1], [1, -1], [-1, -1]]) * side / 3 + side / 2
    read = points + moves.numpy() * side
    linear = np.linalg.solve(np.c_[points, np.ones(3)], read)
    rows, columns = np.mgrid[:size, :size]
    places = np.stack([columns.ravel(), rows.ravel(), np.ones(size**2)], axis=1) @ linear
    wanted = [ndimage.map_coordinates(plane.numpy(), places[:, ::-1].T, order=1, mode="mirror") for plane in source]
    made = warped(source, moves, torch.zeros(2, 4, 4, dtype=torch.float64))
    assert np.abs(made.numpy().reshape(3, -1) - np.stack(wanted)).max() < 1e-9
    assert np.abs(warped(source, moves * 0, torch.zeros(2, 4, 4)).numpy() - source.numpy()).max() < 1e-9


def test_the_field_bends_lines():
    lines = torch.zeros(3, 64, 64, dtype=torch.float64)
    lines[:, 32] = 1
    field = torch.zeros(2, 4, 4, dtype=torch.float64)
    field[1, :, 1] = 0.05
    made = warped(lines, torch.zeros(3, 2, dtype=torch.float64), field)[0]
    height = (made * torch.arange(64.0)[:, None]).sum(0) / made.sum(0)
    assert height[21] < 32 - 0.045 * 63
    assert abs(height[0] - 32) < 0.01
    assert abs(height[63] - 32) < 0.01


@pytest.mark.parametrize("seed", range(5))
def test_nothing_from_outside_the_cut_is_shown(seed):
    source = picture()
    box = (40, 30, 90, 70)
    how = Augment(1, 20, 1, 1, pad=3)
    other = torch.full_like(source, torch.nan)
    other[:, 27:73, 37:93] = source[:, 27:73, 37:93]
    made = cut_reference(source, box, 48, how, generator(seed))
    assert torch.equal(made, cut_reference(other, box, 48, how, generator(seed)))
    assert torch.isfinite(made).all()
    assert 0 <= made.min() <= made.max() <= 1


def test_determined_by_the_generator_whatever_is_on():
    source, box = picture(), (21, 8, 100, 83)
    assert torch.equal(
        cut_reference(source, box, 64, Augment(), generator(3)), cut_reference(source, box, 64, Augment(), generator(3))
    )
    made = {cut_reference(source, box, 64, Augment(), generator(seed)).numpy().tobytes() for seed in range(20)}
    assert len(made) == 20
    states = []
    for how in (NOTHING, Augment(), Augment(1, 20, 1, 1)):
        draws = generator(9)
        cut_reference(source, box, 64, how, draws)
        states.append(draws.get_state())
    assert torch.equal(states[0], states[1])
    assert torch.equal(states[1], states[2])


@pytest.mark.parametrize("size", [1, 2, 3, 8])
@pytest.mark.parametrize("box", [(0, 0, 1, 1), (140, 98, 141, 99), (0, 0, 141, 1), (0, 0, 141, 99)])
def test_tiny_boxes_and_sizes(box, size):
    for seed in range(4):
        made = cut_reference(picture(), box, size, Augment(1, 20, 1, 1), generator(seed))
        assert made.shape == (3, size, size)
        assert torch.isfinite(made).all()


def test_an_exemplar_takes_less_than_three_milliseconds():
    source, times = picture(128, 128), []
    for seed in range(20):
        start = time.perf_counter()
        cut_reference(source, (0, 0, 128, 128), 64, Augment(1, 20, 1, 1), generator(seed))
        times.append(time.perf_counter() - start)
    assert min(times) < 3e-3


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("flip", 1.5),
        ("rotate", 181),
        ("blur", -0.1),
        ("elastic", float("nan")),
        ("pad", -1),
        ("reach", 2),
        ("bend", -1),
    ],
)
def test_chances_outside_their_range(name, value):
    with pytest.raises(BadInput, match="from 0 to") as caught:
        Augment(**{name: value})
    assert caught.value.port == name


# --- the node ---------------------------------------------------------------------------------------------------------


def test_the_node_shows_what_training_uses():
    image = picture().movedim(0, -1)[None]
    mask = torch.zeros(1, 99, 141)
    mask[:, 8:83, 21:100] = 1
    before = image.clone()
    made = augment(image, mask, seed=6, size=64, pad=2, count=3).image
    draws = generator(6)
    wanted = [cut_reference(picture(), (21, 8, 100, 83), 64, Augment(pad=2), draws) for _ in range(3)]
    assert torch.equal(made.movedim(-1, 1), torch.stack(wanted))
    assert made.is_contiguous()
    assert torch.equal(image, before)
    assert augment(image.expand(2, -1, -1, -1), mask, count=2).image.shape == (4, 224, 224, 3)
    plain = augment(image, flip=0, rotate=0, blur=0, elastic=0, size=32).image
    assert torch.equal(plain[0].movedim(-1, 0), cut_reference(picture(), (0, 0, 141, 99), 32, NOTHING, generator()))


def test_the_node_refuses():
    image = picture().movedim(0, -1)[None]
    for changes, port, word in (
        ({"mask": torch.zeros(1, 99, 141)}, "mask", "empty"),
        ({"mask": torch.zeros(1, 9, 9)}, "mask", "141×99"),
        ({"image": image * torch.nan}, "image", "NaN"),
        ({"image": image[..., :1]}, "image", "[b, h, w, 3]"),
    ):
        with pytest.raises(BadInput) as caught:
            augment(**{"image": image, **changes})
        assert caught.value.port == port
        assert word in str(caught.value)

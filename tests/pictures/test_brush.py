"""Brushes against a plain transcription fed with the same draws, exact fractions, and closed forms."""

import hashlib
import inspect
import time
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from inlay.graph_runtime import BadInput
from inlay.nodes.mask.brush import brush
from inlay.pictures.masks.brush import brush_mask, crop_around, extend, fill_polygon, outline
from PIL import Image, ImageDraw
from scipy import stats

draw_mask = brush_mask


def generator(seed=0):
    return torch.Generator("cpu").manual_seed(seed)


# --- the formula, transcribed: plain Python, one number at a time -----------------------------------------------------


def transcribed_extension(box, size, draws, amount):
    left, top, right, bottom = box
    height, width = size
    u = torch.rand(4, generator=draws, dtype=torch.float64).tolist()
    return (
        left - int(u[0] * (int(amount * left) + 1)),
        top - int(u[1] * (int(amount * top) + 1)),
        right + int(u[2] * (int(amount * (width - right)) + 1)),
        bottom + int(u[3] * (int(amount * (height - bottom)) + 1)),
    )


def transcribed_outline(box, outer, draws, points=20, offset_min=1, offset_max=5):
    left, top, right, bottom = box
    middle_x, middle_y = Fraction(left + right, 2), Fraction(top + bottom, 2)
    curves = [
        ((left, top), (middle_x, outer[1]), (right, top)),
        ((right, top), (outer[2], middle_y), (right, bottom)),
        ((right, bottom), (middle_x, outer[3]), (left, bottom)),
        ((left, bottom), (outer[0], middle_y), (left, top)),
    ]
    moves = [v for v in range(-offset_max, offset_max + 1) if offset_min <= abs(v) <= offset_max]
    picks = torch.randint(len(moves), (4 * points, 2), generator=draws).tolist()
    corners = []
    for number, (start, control, end) in enumerate(curves):
        for i in range(points):
            t = Fraction(i, points)
            corner = []
            for axis in range(2):
                on_curve = (1 - t) ** 2 * start[axis] + 2 * t * (1 - t) * control[axis] + t**2 * end[axis]
                corner.append(float(on_curve + moves[picks[number * points + i][axis]]))
            corners.append(tuple(corner))
    return corners


def transcribed_brush(box, size, draws, arbitrary=0.5, amount=0.4, points=20, offset_min=1, offset_max=5):
    outer = transcribed_extension(box, size, draws, amount)
    shaped = torch.rand(1, generator=draws, dtype=torch.float64).item() < arbitrary
    corners = transcribed_outline(box, outer, draws, points, offset_min, offset_max)
    mask = np.zeros(size, np.uint8)
    if not shaped:
        mask[outer[1] : outer[3], outer[0] : outer[2]] = 1
        return mask
    picture = Image.fromarray(mask)
    ImageDraw.Draw(picture).polygon(corners, fill=1)
    mask = np.array(picture)
    mask[(box[1] + box[3]) // 2, (box[0] + box[2]) // 2] = 1
    return mask


@st.composite
def cases(draw, most=160):
    height, width = draw(st.integers(1, most)), draw(st.integers(1, most))
    left, top = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
    return (left, top, draw(st.integers(left + 1, width)), draw(st.integers(top + 1, height))), (height, width)


EXTREME = [
    ((0, 0, 99, 141), (141, 99)),
    ((50, 60, 51, 61), (141, 99)),
    ((0, 0, 1, 1), (141, 99)),
    ((98, 140, 99, 141), (141, 99)),
    ((0, 30, 99, 31), (141, 99)),
    ((0, 0, 1, 1), (1, 1)),
    ((40, 0, 80, 141), (141, 99)),
    ((300, 200, 700, 900), (1036, 1036)),
]


@pytest.mark.parametrize(("box", "size"), EXTREME)
@pytest.mark.parametrize("seed", [0, 1, 2**63 + 5])
def test_extreme_boxes_equal_the_transcription(box, size, seed):
    for arbitrary in (0.0, 0.5, 1.0):
        mask = draw_mask(box, size, generator(seed), arbitrary=arbitrary)
        wanted = transcribed_brush(box, size, generator(seed), arbitrary)
        assert mask.dtype == torch.float32
        assert np.array_equal(mask.numpy(), wanted)
        assert mask.any()


@settings(max_examples=150, deadline=None)
@given(cases(), st.integers(0, 2**64 - 1), st.integers(2, 40), st.integers(0, 6), st.integers(0, 6), st.floats(0, 1))
def test_any_box_equals_the_transcription(case, seed, points, low, more, amount):
    box, size = case
    options = {"points": points, "offset_min": low, "offset_max": low + more}
    ours, theirs = generator(seed), generator(seed)
    outer = extend(box, size, ours, amount)
    assert outer == transcribed_extension(box, size, theirs, amount)
    ring = outline(box, outer, ours, **options)
    assert ring.dtype == torch.float64
    assert [tuple(corner) for corner in ring.tolist()] == transcribed_outline(box, outer, theirs, **options)
    assert torch.equal(ours.get_state(), theirs.get_state())
    mask = draw_mask(box, size, generator(seed), amount=amount, **options)
    assert np.array_equal(mask.numpy(), transcribed_brush(box, size, generator(seed), 0.5, amount, **options))


@settings(max_examples=150, deadline=None)
@given(cases(), st.integers(0, 2**32), st.integers(2, 30), st.integers(0, 8))
def test_what_is_covered_and_what_is_not(case, seed, points, offset_max):
    (left, top, right, bottom), size = box, size = case
    options = {"points": points, "offset_min": min(1, offset_max), "offset_max": offset_max}
    outer = extend(box, size, generator(seed))
    rectangle = draw_mask(box, size, generator(seed), arbitrary=0.0, **options)
    assert bool(rectangle[top:bottom, left:right].all())
    assert int(rectangle.sum()) == (outer[2] - outer[0]) * (outer[3] - outer[1])
    shape = draw_mask(box, size, generator(seed), arbitrary=1.0, **options)
    assert set(shape.unique().tolist()) <= {0.0, 1.0}
    assert bool(
        shape[top + offset_max : max(0, bottom - offset_max), left + offset_max : max(0, right - offset_max)].all()
    )
    reach = offset_max + 1
    shape[max(0, outer[1] - reach) : outer[3] + reach, max(0, outer[0] - reach) : outer[2] + reach] = 0
    assert not shape.any()


def test_without_offsets_and_space_the_shape_is_the_box():
    mask = draw_mask((10, 20, 60, 50), (80, 90), generator(), arbitrary=1.0, amount=0.0, offset_min=0, offset_max=0)
    wanted = torch.zeros(80, 90)
    wanted[20:51, 10:61] = 1  # PIL fills the last row and column too
    assert torch.equal(mask, wanted)


def test_the_bulge_reaches_half_way_to_the_extended_side():
    ring = outline((40, 40, 80, 80), (10, 40, 100, 80), generator(), points=2, offset_min=0, offset_max=0)
    assert ring.tolist() == [[40, 40], [60, 40], [80, 40], [90, 60], [80, 80], [60, 80], [40, 80], [25, 60]]


def test_a_polygon_is_what_pil_fills():
    points = [(3.9, -4.2), (20.5, 6.0), (-7.7, 14.9)]
    picture = Image.new("L", (17, 11))
    ImageDraw.Draw(picture).polygon(points, fill=1)
    mask = fill_polygon(torch.tensor(points, dtype=torch.float64), (11, 17))
    assert np.array_equal(mask.numpy(), np.array(picture))
    assert mask.shape == (11, 17)


def test_each_side_moves_out_uniformly():
    box, size = (40, 50, 60, 90), (165, 165)  # free: 40, 50, 105, 75 -> 0…16, 0…20, 0…42, 0…30
    draws = generator(7)
    outer = np.array([extend(box, size, draws) for _ in range(20_000)])
    moves = np.abs(outer - np.array(box))
    for side, most in enumerate((16, 20, 42, 30)):
        counts = np.bincount(moves[:, side], minlength=most + 1)
        assert len(counts) == most + 1
        assert stats.chisquare(counts).pvalue > 1e-4
    assert np.abs(np.corrcoef(moves.T) - np.eye(4)).max() < 0.03
    assert extend((0, 0, 165, 165), size, draws) == (0, 0, 165, 165)


def test_offsets_are_uniform_over_both_signs():
    box = (100, 100, 200, 200)
    still = outline(box, box, generator(), points=500, offset_min=0, offset_max=0)
    moved = outline(box, box, generator(3), points=500, offset_min=1, offset_max=5)
    off = (moved - still).round().to(torch.int64).numpy().ravel()
    values, counts = np.unique(off, return_counts=True)
    assert values.tolist() == [-5, -4, -3, -2, -1, 1, 2, 3, 4, 5]
    assert stats.chisquare(counts).pvalue > 1e-4
    published = outline(box, box, generator(3), points=500, offset_min=0, offset_max=5) - still
    assert set(published.round().flatten().tolist()) == set(range(-5, 6))


def test_half_of_the_holes_are_rectangles():
    def is_rectangle(mask):
        rows, columns = mask.any(1).nonzero(), mask.any(0).nonzero()
        return bool(mask[int(rows[0]) : int(rows[-1]) + 1, int(columns[0]) : int(columns[-1]) + 1].all())

    draws = generator(11)
    share = np.mean([is_rectangle(draw_mask((30, 40, 70, 90), (128, 128), draws)) for _ in range(1000)])
    assert abs(share - 0.5) < 0.05


def test_what_comes_next_does_not_depend_on_the_shape():
    states = []
    for arbitrary in (0.0, 0.5, 1.0):
        draws = generator(5)
        draw_mask((30, 40, 70, 90), (128, 128), draws, arbitrary=arbitrary)
        states.append(draws.get_state())
    assert torch.equal(states[0], states[1])
    assert torch.equal(states[1], states[2])


GOLDEN_OUTER = (28, 12, 91, 113)  # these three are what the code gave when it was written: they must never change
GOLDEN_RING = "c5b5a3cdfbe393d5"
GOLDEN_MASK = "e57b176bd1e96451"


def test_the_same_seed_gives_the_same_points_and_mask_on_every_machine():
    ring = outline((31, 17, 90, 101), (12, 3, 110, 120), generator(2024))
    outer = extend((31, 17, 90, 101), (141, 99), generator(2024))
    assert outer == GOLDEN_OUTER
    assert hashlib.sha256(ring.numpy().tobytes()).hexdigest()[:16] == GOLDEN_RING  # x86 and ARM are both little-endian
    mask = draw_mask((31, 17, 90, 101), (141, 99), generator(2024), arbitrary=1.0)
    assert hashlib.sha256(mask.numpy().astype(np.uint8).tobytes()).hexdigest()[:16] == GOLDEN_MASK


def test_a_brush_takes_less_than_a_millisecond():
    times = []
    for seed in range(30):
        start = time.perf_counter()
        draw_mask((30, 40, 70, 90), (128, 128), generator(seed), arbitrary=1.0)
        times.append(time.perf_counter() - start)
    assert min(times) < 1e-3


# --- the crop ---------------------------------------------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(cases(), st.integers(0, 2**32), st.sampled_from([1.0, 4 / 3, 0.5]), st.sampled_from([0.0, 0.6, 1.0]))
def test_the_crop_contains_the_box_and_lies_in_the_picture(case, seed, aspect, zoom):
    (left, top, right, bottom), (height, width) = box, size = case
    x0, y0, x1, y1 = crop_around(box, size, generator(seed), aspect=aspect, zoom=zoom)
    assert 0 <= x0 <= left < right <= x1 <= width
    assert 0 <= y0 <= top < bottom <= y1 <= height
    if (x0, y0, x1, y1) != (0, 0, width, height):
        assert abs((x1 - x0) - (y1 - y0) * aspect) <= 1 + 2 * aspect
        if aspect == 1:
            assert x1 - x0 == y1 - y0
        if zoom == 0:  # the largest: one side is the picture's
            assert x1 - x0 == width or y1 - y0 == height


def test_crops_are_the_published_ones_for_squares():
    """Place uniform among those that contain the box, then all sides in by 0 … int(0.6 · smallest gap)."""
    box, size, draws = (90, 30, 120, 60), (99, 141), generator(1)
    lefts, moves = set(), set()
    for _ in range(4000):
        x0, y0, x1, y1 = crop_around(box, size, draws)
        lefts.add(x0 - y0)
        moves.add(y0)
        gap = min(30, 90 - (x0 - y0), (x0 - y0) + 99 - 120, 99 - 60)
        assert 0 <= y0 <= int(0.6 * gap)
        assert y1 == 99 - y0
        assert x1 - x0 == y1 - y0
    assert lefts == set(range(21, 43))
    assert max(moves) == 12  # of int(0.6 · 21) at most
    tall = {crop_around((30, 90, 60, 120), (141, 99), generator(seed), zoom=0.0)[1] for seed in range(500)}
    assert tall == set(range(21, 43))


def test_a_square_picture_and_a_box_too_wide_give_the_whole_picture():
    assert crop_around((3, 4, 50, 60), (128, 128), generator()) == (0, 0, 128, 128)
    assert crop_around((3, 4, 120, 60), (99, 141), generator()) == (0, 0, 141, 99)
    assert crop_around((3, 4, 60, 120), (141, 99), generator()) == (0, 0, 99, 141)
    assert crop_around((20, 4, 119, 60), (99, 141), generator(), zoom=0.0) == (20, 0, 119, 99)


# --- the node ---------------------------------------------------------------------------------------------------------


def thing(box=(30, 20, 70, 60), size=(99, 141), batch=1):
    mask = torch.zeros(batch, *size)
    mask[:, box[1] : box[3], box[0] : box[2]] = 1
    return mask


def test_a_mask_or_its_box_give_the_same_hole():
    mask = thing()
    mask[:, 22:55, 40:50] = 0  # only the bounding box counts
    mask[:, 30, 69] = 0.01
    from_mask = brush(mask, seed=4).mask
    from_box = brush(image=torch.zeros(1, 99, 141, 3), box=[30, 20, 70, 60], seed=4).mask
    assert from_mask.shape == (1, 99, 141)
    assert torch.equal(from_mask, from_box)
    assert torch.equal(from_mask[0], draw_mask((30, 20, 70, 60), (99, 141), generator(4), arbitrary=1.0))
    assert not torch.equal(from_mask, brush(mask, seed=5).mask)
    assert torch.equal(brush(mask * 0.5, seed=4).mask, from_mask)


def test_every_item_of_a_batch_has_a_box_and_a_shape_of_its_own():
    masks = torch.cat([thing(), thing((0, 0, 9, 9)), thing()])
    before = masks.clone()
    holes = brush(masks, seed=4).mask
    draws = generator(4)
    for hole, box in zip(holes, [(30, 20, 70, 60), (0, 0, 9, 9), (30, 20, 70, 60)], strict=True):
        assert torch.equal(hole, draw_mask(box, (99, 141), draws, arbitrary=1.0))
    assert torch.equal(masks, before)
    assert torch.equal(holes[0], brush(masks[:1], seed=4).mask[0])  # the first does not depend on the others
    pictures = torch.zeros(3, 99, 141, 3)
    assert brush(image=pictures, box=[1, 2, 30, 40]).mask.shape == (3, 99, 141)
    many = brush(thing(), pictures).mask
    assert many.shape == (3, 99, 141)
    assert not torch.equal(many[0], many[1])


def test_settings_reach_the_brush():
    mask = thing()
    options = {"points": 3, "offset_min": 0, "offset_max": 9, "arbitrary": 0.5}
    for seed in range(4):
        assert torch.equal(
            brush(mask, seed=seed, mask_jitter=0.9, **options).mask[0],
            draw_mask((30, 20, 70, 60), (99, 141), generator(seed), amount=0.9, **options),
        )
    defaults = {name: parameter.default for name, parameter in inspect.signature(brush).parameters.items()}
    assert (defaults["points"], defaults["offset_min"], defaults["offset_max"], defaults["mask_jitter"]) == (
        20,
        1,
        5,
        0.4,
    )


@pytest.mark.parametrize(
    ("inputs", "port", "words"),
    [
        ({}, "mask", ("neither", "box=")),
        ({"image": torch.zeros(1, 99, 141, 3)}, "mask", ("neither",)),
        ({"mask": thing(), "box": [1, 2, 3, 4]}, "box", ("a mask and a box", "null")),
        ({"box": [1, 2, 3, 4]}, "image", ("without a picture", "size")),
        ({"mask": torch.zeros(1, 9, 9)}, "mask", ("empty", "white")),
        ({"mask": torch.cat([thing(), thing() * 0])}, "mask", ("mask 2 of 2", "empty")),
        ({"mask": thing(), "image": torch.zeros(1, 141, 99, 3)}, "mask", ("141×99", "99×141")),
        ({"mask": thing() * torch.nan}, "mask", ("nan",)),
        ({"image": torch.zeros(1, 99, 141, 3), "box": [1, 2, 142, 40]}, "box", ("142", "141×99")),
        ({"image": torch.zeros(1, 99, 141, 3), "box": [-1, 2, 14, 40]}, "box", ("-1", "within")),
        ({"image": torch.zeros(1, 99, 141, 3), "box": [30, 2, 30, 40]}, "box", ("0 px wide", "COCO")),
        ({"mask": thing(), "offset_min": 6}, "offset_min", ("offset_max=5", "swap")),
        ({"mask": thing(), "points": 1}, "points", ("at least 2",)),
    ],
)
def test_bad_input(inputs, port, words):
    with pytest.raises(BadInput) as caught:
        brush(**inputs)
    assert caught.value.port == port
    for word in words:
        assert word in str(caught.value)


def test_contradictions_are_found_before_anything_runs(tmp_path):
    from inlay import check

    Image.new("L", (16, 16), 255).save(tmp_path / "mask.png")
    job = {
        "format": 1,
        "nodes": {
            "thing": {"type": "mask.load", "params": {"path": str(tmp_path / "mask.png")}},
            "hole": {"type": "mask.brush", "inputs": {"mask": "thing.mask"}, "params": {"box": [1, 2, 3, 4]}},
        },
        "outputs": {"mask": "hole.mask"},
    }
    problems = " ".join(map(str, check(job)))
    assert "a mask and a box" in problems
    job["nodes"]["hole"] = {"type": "mask.brush", "params": {"box": [1, 2, 3]}}
    assert "box" in " ".join(map(str, check(job)))
    job["nodes"]["hole"] = {"type": "mask.brush", "inputs": {"mask": "thing.mask"}, "params": {"offset_min": 9}}
    assert "offset_min" in " ".join(map(str, check(job)))
    job["nodes"]["hole"]["params"] = {}
    assert not check(job)

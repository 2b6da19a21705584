"""Strokes of a round brush: each pixel against its distance from the line."""

import itertools
import math

import inlay
import numpy as np
import pytest
import torch
from inlay.graph_runtime import BadInput
from inlay.nodes.mask.strokes import strokes
from PIL import Image as Pil


def distance(x, y, one, other):
    """From a point to a segment."""
    (ax, ay), (bx, by) = one, other
    length = (bx - ax) ** 2 + (by - ay) ** 2
    t = 0 if length == 0 else max(0, min(1, ((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / length))
    return math.hypot(x - ax - t * (bx - ax), y - ay - t * (by - ay))


CASES = [
    ("10,20", 9),
    ("10,20 40,20", 8),  # level
    ("10,5 10,30", 7),  # upright
    ("0,0 46,32", 5),
    ("5.5,3.25 30,28 44,2", 11.5),
    ("-20,10 60,12.5; 20,-9 20,50", 6),  # from outside to outside
    ("3,3 3,3; 40,30", 2),
    ("23,16", 400),
    ("10,10 10.001,30", 3),
]


@pytest.mark.parametrize(("text", "width"), CASES)
def test_a_pixel_is_marked_if_its_centre_is_near_enough(text, width):
    mask = strokes(torch.zeros(2, 33, 47, 3), text, width=width).mask
    assert torch.equal(mask[0], mask[1])
    lines = [[tuple(map(float, point.split(","))) for point in stroke.split()] for stroke in text.split(";")]
    segments = [pair for line in lines for pair in (itertools.pairwise(line) if len(line) > 1 else [(*line, *line)])]
    for y in range(33):
        for x in range(47):
            near = min(distance(x, y, *segment) for segment in segments)
            if abs(near - width / 2) > 1e-9:
                assert mask[0, y, x] == (near < width / 2), (x, y)


def test_fractions_count_from_the_corner_and_of_the_longer_side():
    image = torch.zeros(1, 50, 100, 3)
    fraction = strokes(image, "0.1,0.2 0.5,0.9", width=0.08, unit="fraction").mask
    pixels = strokes(image, "9.5,9.5 49.5,44.5", width=8).mask
    assert torch.equal(fraction, pixels)


def test_many_long_strokes_take_no_time():
    text = "; ".join(f"{x},0 {1999 - x},1499" for x in range(2000))
    mask = strokes(torch.zeros(1).expand(1, 1500, 2000, 3), text, width=1).mask
    assert 0.5 < float(mask.mean()) < 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no stroke"),
        (" ; ;", "no stroke"),
        ("10", "'10' in stroke 1"),
        ("1,2; 3,4 5,x", "'5,x' in stroke 2"),
        ("1,2,3", "'1,2,3' in stroke 1"),
        ("nan,2", "the point nan,2"),
        ("1,1e300", "the point 1,1e300"),
        ("300,300", "mark no pixel"),
        ("1,1 " * 10_001, "10,001 points"),
        ("1" * 2_000_000, "2,000,000 characters"),
    ],
)
def test_what_are_no_strokes_is_named_before_the_run(text, words, tmp_path):
    with pytest.raises(BadInput) as caught:
        strokes(torch.zeros(1, 33, 47, 3), text, width=3)
    assert caught.value.port == "strokes"
    assert words in caught.value.found
    Pil.new("RGB", (47, 33)).save(tmp_path / "a.png")
    nodes = {
        "photo": {"type": "image.load", "params": {"path": str(tmp_path / "a.png")}},
        "it": {"type": "mask.strokes", "params": {"strokes": text, "width": 3}, "inputs": {"image": "photo.image"}},
    }
    (problem,) = inlay.check({"format": 1, "nodes": nodes, "outputs": {"x": "it.mask"}})
    assert words in problem.found


def test_spaces_around_commas_and_line_breaks_do_not_matter():
    image = torch.zeros(1, 33, 47, 3)
    one, other = strokes(image, "1 , 2   3,4 ;\n 5,6\n").mask, strokes(image, "1,2 3,4;5,6").mask
    assert np.array_equal(one.numpy(), other.numpy())

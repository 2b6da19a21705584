"""The harmonic fill against a sparse solve, closed forms, and holes of every shape."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from inlay.pictures.membrane import TOLERANCE, harmonic_fill, membrane


def solved(picture, hole):
    """Laplace's equation on the hole, written down pixel by pixel and solved by SuperLU; no flux at the border."""
    from scipy.sparse import lil_matrix
    from scipy.sparse.linalg import spsolve

    height, width = hole.shape
    places = np.argwhere(hole)
    row_of = {tuple(place): row for row, place in enumerate(places)}
    matrix, right = lil_matrix((len(places), len(places))), np.zeros((len(places), picture.shape[-1]))
    for (y, x), row in row_of.items():
        for a, b in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
            if 0 <= a < height and 0 <= b < width:
                matrix[row, row] += 1
                if (a, b) in row_of:
                    matrix[row, row_of[a, b]] -= 1
                else:
                    right[row] += picture[a, b]
    out = picture.copy()
    if len(places):
        out[hole] = spsolve(matrix.tocsc(), right).reshape(len(places), -1)
    return out


def noise(*shape, seed=0, dtype=torch.float64):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def disc(side, radius):
    y, x = np.mgrid[:side, :side] - side // 2
    return x * x + y * y < radius * radius


def shapes():
    rng = np.random.default_rng(0)
    border = np.zeros((60, 64), bool)
    border[10:40, 25:] = True
    one_known = np.ones((41, 29), bool)
    one_known[40, 28] = False
    stripes = np.ones((80, 80), bool)
    stripes[::20] = False
    outside = np.ones((70, 90), bool)  # outpainting
    outside[20:50, 20:60] = False
    apart = np.zeros((300, 300), bool)
    apart[3:9, 3:9] = apart[-1, -1] = apart[140:200, 2:5] = apart[127:129, 250:260] = True
    ring = disc(90, 40) & ~disc(90, 25)
    row, column = np.ones((1, 120), bool), np.ones((120, 1), bool)
    row[0, 0] = row[0, -1] = column[5] = False
    maze = np.zeros((64, 64), bool)
    maze[::2] = maze[::4, 0] = maze[2::4, -1] = True
    return {
        "disc": disc(64, 20),
        "border": border,
        "one known pixel": one_known,
        "stripes": stripes,
        "outside": outside,
        "apart": apart,
        "ring": ring,
        "a row": row,
        "a column": column,
        "maze": maze,
        "specks": rng.random((61, 53)) < 0.3,
        "few known": rng.random((61, 53)) < 0.98,
    }


@pytest.mark.parametrize("shape", shapes())
def test_the_fill_is_the_sparse_solution(shape):
    hole = shapes()[shape]
    image = noise(*hole.shape, 3)
    found = harmonic_fill(image[None], torch.from_numpy(hole)[None])[0]
    assert torch.equal(found[~torch.from_numpy(hole)], image[~torch.from_numpy(hole)])
    assert np.abs(found.numpy() - solved(image.numpy(), hole)).max() <= TOLERANCE


@given(st.integers(0, 2**31), st.integers(1, 24), st.integers(1, 24), st.floats(0.01, 0.99))
@settings(max_examples=40, deadline=None)
def test_the_fill_of_random_holes_is_the_sparse_solution(seed, height, width, share):
    hole = np.random.default_rng(seed).random((height, width)) < share
    hole[seed % height, seed % width] = False
    image = noise(height, width, 3, seed=seed % 2**31)
    found = harmonic_fill(image[None], torch.from_numpy(hole)[None])[0].numpy()
    assert np.abs(found - solved(image.numpy(), hole)).max() <= TOLERANCE


def test_a_harmonic_function_comes_back():
    """x² − y² + 3x − y solves the five-point equation exactly, over a hole of any size: here 160,000 pixels."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, 420), torch.linspace(-1, 1, 420), indexing="ij")
    image = (x * x - y * y + 3 * x - y).double()[None, ..., None] / 8
    hole = torch.zeros(1, 420, 420, dtype=torch.bool)
    hole[:, 10:410, 10:410] = True
    found = harmonic_fill(torch.where(hole[..., None], 77.0, image), hole)
    assert float((found - image).abs().max()) <= 2 * TOLERANCE


def test_what_the_hole_held_and_other_pictures_of_the_batch_do_not_matter():
    image, hole = noise(2, 30, 40, 3, dtype=torch.float32), torch.zeros(2, 30, 40, dtype=torch.bool)
    hole[0, 5:20, 5:20], hole[1, 10:30, 30:40] = True, True
    spoilt = torch.where(hole[..., None], torch.nan, image)
    both = harmonic_fill(spoilt, hole)
    assert both.dtype == torch.float32
    for row in range(2):
        assert torch.equal(both[row], harmonic_fill(image[row : row + 1], hole[row : row + 1])[0])
    assert torch.equal(spoilt[~hole], image[~hole])


def test_no_hole_and_nothing_known_change_nothing():
    image = noise(2, 9, 7, 3)
    hole = torch.stack([torch.zeros(9, 7), torch.ones(9, 7)]).bool()
    assert torch.equal(harmonic_fill(image, hole), image)
    assert torch.equal(membrane(image, hole), torch.zeros_like(image))


def test_the_membrane_over_a_constant_error_is_that_constant_in_the_hole_alone():
    hole = torch.from_numpy(disc(40, 12))[None]
    found = membrane(torch.full((1, 40, 40, 3), 0.125), hole)
    assert float((found[hole] - 0.125).abs().max()) <= TOLERANCE
    assert not found[~hole].any()

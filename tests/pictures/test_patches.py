"""Content-aware filling: textures go on exactly, copies are found, sources are obeyed, known bits stay."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from inlay.graph_runtime import BadInput, Cancelled
from inlay.pictures.patches import copying, pyramid
from inlay.pictures.patches.fill import fill_patches
from inlay.pictures.patches.seams import CONFLICT, SCREEN, Places, hide_seams


def rand(seed, *shape, dtype=torch.float32):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def rectangle(height, width, top, left, bottom, right):
    hole = torch.zeros(1, height, width, dtype=torch.bool)
    hole[:, top:bottom, left:right] = True
    return hole


def spoilt(image, hole):
    """The picture with values in its hole that must not be seen."""
    return torch.where(hole[..., None], float("nan"), image)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_a_constant_goes_on_exactly(dtype):
    image = torch.tensor([0.2, 0.4, 0.7], dtype=dtype).expand(1, 40, 50, 3)
    hole = rectangle(40, 50, 10, 10, 30, 40)
    out = fill_patches(spoilt(image, hole), hole)
    assert out.dtype == dtype
    assert torch.equal(out, image)


@pytest.mark.parametrize(("rows", "columns"), [(4, 4), (5, 7), (8, 3), (1, 6)])
def test_a_periodic_texture_goes_on_exactly(rows, columns):
    image = rand(1, rows, columns, 3).repeat(96 // rows + 1, 96 // columns + 1, 1)[None, :96, :96]
    hole = rectangle(96, 96, 36, 32, 60, 64)
    assert torch.equal(fill_patches(spoilt(image, hole), hole), image)


def test_a_translated_copy_is_found_exactly():
    """Noise appears twice; what the hole took from one is in the other."""
    image = rand(2, 1, 64, 128, 3)
    image[:, :, 64:] = image[:, :, :64]
    hole = rectangle(64, 128, 20, 84, 40, 108)
    assert torch.equal(fill_patches(spoilt(image, hole), hole), image)


@given(
    st.integers(0, 2**31),
    st.integers(8, 60),
    st.integers(8, 60),
    st.sampled_from([3, 7, 15]),
    st.floats(0.02, 0.9),
    st.booleans(),
)
@settings(max_examples=6, deadline=None)
def test_known_bits_stay_and_every_colour_is_a_copy(seed, height, width, patch, share, rectangular):
    """Any size and any hole, also one that leaves single pixels."""
    rng = np.random.default_rng(seed)
    image = rand(seed, 1, height, width, 3)
    hole = torch.from_numpy(rng.random((1, height, width)) < share)
    if rectangular:
        hole = rectangle(height, width, 0, rng.integers(0, width), int(share * height) + 1, width)
    hole[0, -1, 0] = False
    before = image.clone()
    out = fill_patches(spoilt(image, hole), hole, patch=patch, seed=seed, blend=False)
    assert torch.equal(out[~hole], before[~hole])
    known = {tuple(colour) for colour in before[~hole].tolist()}
    assert {tuple(colour) for colour in out[hole].tolist()} <= known
    blended = fill_patches(image, hole, patch=patch, seed=seed)
    assert torch.equal(blended[~hole], before[~hole])
    assert float(blended.min()) >= float(before[~hole].min())
    assert float(blended.max()) <= float(before[~hole].max())


@given(st.integers(0, 2**31))
@settings(max_examples=10, deadline=None)
def test_only_the_source_is_copied(seed):
    rng = np.random.default_rng(seed)
    image = rand(seed, 1, 50, 70, 3)
    hole = rectangle(50, 70, 15, 20, 35, 50)
    source = torch.zeros(1, 50, 70, dtype=torch.bool)
    top, left = rng.integers(0, 40), rng.integers(0, 60)
    source[:, top : top + rng.integers(1, 20), left : left + rng.integers(1, 20)] = True
    source[:, 0, 0] = True
    allowed = {tuple(colour) for colour in image[source & ~hole].tolist()}
    out = fill_patches(image, hole, source=source, seed=seed, blend=False)
    assert {tuple(colour) for colour in out[hole].tolist()} <= allowed


def test_a_source_far_from_the_hole_is_used():
    image = rand(3, 1, 400, 60, 3)
    hole = rectangle(400, 60, 10, 20, 20, 30)
    source = rectangle(400, 60, 350, 0, 400, 60)
    out = fill_patches(image, hole, source=source, blend=False)
    allowed = {tuple(colour) for colour in image[source].tolist()}
    assert {tuple(colour) for colour in out[hole].tolist()} <= allowed


def test_the_seed_alone_decides_and_rows_do_not_mix():
    image, hole = rand(4, 3, 70, 70, 3), rectangle(70, 70, 20, 20, 50, 40).repeat(3, 1, 1)
    hole[1] = False
    first, again = (fill_patches(image, hole, seed=5) for _ in range(2))
    assert torch.equal(first, again)
    assert torch.equal(first[1], image[1])
    assert torch.equal(first[2:], fill_patches(image[2:], hole[2:], seed=5))
    assert not torch.equal(first, fill_patches(image, hole, seed=6))


def test_nothing_to_copy_from_is_refused():
    hole = torch.ones(1, 20, 20, dtype=torch.bool)
    with pytest.raises(BadInput, match="nothing to copy") as caught:
        fill_patches(rand(0, 1, 20, 20, 3), hole)
    assert caught.value.port == "mask"
    with pytest.raises(BadInput, match="nothing to copy") as caught:
        fill_patches(rand(0, 1, 20, 20, 3), rectangle(20, 20, 4, 4, 9, 9), source=~hole)
    assert caught.value.port == "source"


def test_progress_rises_and_can_stop():
    seen = []
    fill_patches(
        rand(6, 2, 60, 60, 3), rectangle(60, 60, 20, 20, 40, 40).repeat(2, 1, 1), progress=lambda *x: seen.append(x)
    )
    assert seen == sorted(seen)
    assert len({total for _, total in seen}) == 1
    assert all(0 <= step <= total for step, total in seen)

    def stop(step, total):
        raise Cancelled("stop")

    with pytest.raises(Cancelled):
        fill_patches(rand(6, 1, 60, 60, 3), rectangle(60, 60, 20, 20, 40, 40), progress=stop)


def test_the_texture_is_as_sharp_as_around_it():
    """Energy of the differences between neighbours, in the hole and around it."""
    image, hole = rand(7, 1, 150, 150, 3), rectangle(150, 150, 45, 45, 105, 105)
    out = fill_patches(image, hole, seed=1)
    energy = (out[:, 1:] - out[:, :-1]).square().mean(-1)
    inside = hole[:, 1:] & hole[:, :-1]
    assert 0.7 < float(energy[inside].mean() / energy[~inside].mean()) < 1.3


def test_an_edge_goes_on_straight():
    """A disc of the hole lies on the border between two flat colours; the border goes on within a pixel."""
    image = torch.zeros(1, 128, 128, 3)
    image[:, 70:] = torch.tensor([0.8, 0.5, 0.2])
    y, x = torch.meshgrid(torch.arange(128), torch.arange(128), indexing="ij")
    hole = ((y - 66) ** 2 + (x - 60) ** 2 < 24**2)[None]
    out = fill_patches(image, hole)
    assert float((out - image)[:, (y[:, 0] - 70).abs() > 1].abs().max()) < 0.02


def test_seams_are_hidden_as_a_sparse_solver_would():
    """The correction of a copy against the quadratic of its docstring, written plainly and solved by SciPy."""
    from scipy.sparse import lil_matrix
    from scipy.sparse.linalg import spsolve

    picture = rand(9, 14, 30, 3) * 0.2
    hole = torch.zeros(14, 30, dtype=torch.bool)
    hole[4:10, 4:11] = True
    rows, columns = hole.nonzero(as_tuple=True)
    apart = torch.from_numpy(np.where(columns.numpy() < 7, 13, 15))  # two pieces
    picture[rows, columns] = picture[rows, columns + apart]
    found = hide_seams(picture, ~hole, hole, Places(rows, columns), Places(rows, columns + apart))

    number = {place: k for k, place in enumerate(zip(rows.tolist(), columns.tolist(), strict=True))}
    origin = {place: (place[0], place[1] + int(step)) for place, step in zip(number, apart, strict=True)}
    values = picture.double().numpy()
    matrix, right = lil_matrix((len(number), len(number))), np.zeros((len(number), 3))
    for p, k in number.items():
        matrix[k, k] += SCREEN
        right[k] += SCREEN * values[p]
        for step in ((0, 1), (0, -1), (1, 0), (-1, 0)):
            q = (p[0] + step[0], p[1] + step[1])
            now = values[p] - values[q]
            wanted = [values[origin[p]] - values[origin[p][0] + step[0], origin[p][1] + step[1]]]
            if q in number:
                wanted += [values[origin[q][0] - step[0], origin[q][1] - step[1]] - values[origin[q]]]
            error = min((one - now for one in wanted), key=lambda one: (one**2).sum())
            matrix[k, k] += 1
            right[k] += now + error / (1 + (error**2).sum() / CONFLICT**2)
            if q in number:
                matrix[k, number[q]] -= 1
            else:
                right[k] += values[q]
    solved = spsolve(matrix.tocsr(), right)
    wanted = solved - values[rows.numpy(), columns.numpy()]
    assert np.abs(wanted).max() > 0.02
    assert np.abs(found.numpy() - wanted).max() < 0.01 * np.abs(wanted).max()


def test_holes_far_apart_are_filled_each_from_its_surroundings():
    """A picture of two textures: neither appears where the other is, and both go on exactly."""
    image = torch.zeros(1, 60, 900, 3)
    image[:, :, :450] = rand(1, 4, 6, 3).repeat(15, 75, 1)
    image[:, :, 450:] = rand(2, 6, 5, 3).repeat(10, 90, 1)
    hole = rectangle(60, 900, 20, 60, 40, 80) | rectangle(60, 900, 20, 800, 40, 830)
    hole |= rectangle(60, 900, 0, 700, 9, 712)
    assert torch.equal(fill_patches(spoilt(image, hole), hole), image)


def test_large_holes_are_searched_smaller_and_copied_at_full_resolution(monkeypatch):
    """Bounds made small: every colour is still one of the picture's own, known bits stay, texture stays sharp."""
    monkeypatch.setattr(pyramid, "MOST_FILLED", 900)
    monkeypatch.setattr(copying, "BAND", 1000)
    image, hole = rand(10, 1, 203, 251, 3), rectangle(203, 251, 60, 70, 133, 171)
    out = fill_patches(spoilt(image, hole), hole, blend=False)
    assert torch.equal(out[~hole], image[~hole])
    known = {tuple(colour) for colour in image[~hole].tolist()}
    assert {tuple(colour) for colour in out[hole].tolist()} <= known
    blended = fill_patches(image, hole)
    steps = (blended[:, 1:] - blended[:, :-1]).square().mean(-1)
    assert 0.7 < float(steps[(hole[:, 1:] & hole[:, :-1])].mean() / steps[~(hole[:, 1:] | hole[:, :-1])].mean()) < 1.3
    periodic = rand(11, 8, 16, 3).repeat(26, 16, 1)[None, :203, :251]
    assert torch.equal(fill_patches(spoilt(periodic, hole), hole), periodic)


def test_a_large_hole_with_next_to_nothing_around_it_is_refused(monkeypatch):
    monkeypatch.setattr(pyramid, "MOST_FILLED", 400)
    monkeypatch.setattr(pyramid, "LIMIT", 2_000)
    hole = torch.ones(1, 80, 80, dtype=torch.bool)
    hole[:, 3, 3] = False
    with pytest.raises(BadInput, match="next to nothing"):
        fill_patches(rand(0, 1, 80, 80, 3), hole)


def test_sixteen_bit_values_stay_what_they_were():
    values = torch.randint(0, 65536, (1, 40, 40, 3), generator=torch.Generator().manual_seed(0))
    image = (values.double() / 65535).float()
    hole = rectangle(40, 40, 12, 12, 26, 28)
    out = fill_patches(image, hole, blend=False)
    assert torch.equal((out.double() * 65535).round().float() / 65535, out)
    assert {tuple(colour) for colour in out[hole].tolist()} <= {tuple(colour) for colour in image[~hole].tolist()}

"""image.fill, paste_back, fit/unfit, crop_to_mask/stitch and grid against closed forms and brute force."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from inlay.graph_runtime import BadInput
from inlay.nodes.image.crop import crop_to_mask, stitch
from inlay.nodes.image.fill import fill
from inlay.nodes.image.fit import fit, unfit
from inlay.nodes.image.grid import grid
from inlay.nodes.image.paste import paste_back


def rand(seed, *shape, dtype=torch.float32):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def bits(tensor):
    return tensor.contiguous().numpy().view(np.int32)


def holes(seed, batch, height, width, soft=False):
    """A random rectangle and some specks."""
    rng = np.random.default_rng(seed)
    mask = (rng.random((batch, height, width)) < 0.02).astype(np.float32)
    y, x = rng.integers(0, height), rng.integers(0, width)
    mask[:, y : y + height // 2 + 1, x : x + width // 2 + 1] = 1
    mask[:, 0, 0] = 0
    return torch.from_numpy(mask * rng.random(mask.shape).astype(np.float32) if soft else mask)


# --- image.fill ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["neutral", "original", "noise", "blur", "edge", "harmonic"])
@given(seed=st.integers(0, 2**31), height=st.integers(2, 40), width=st.integers(2, 40), soft=st.booleans())
@settings(max_examples=15, deadline=None)
def test_fill_keeps_known_bits_and_the_input(kind, seed, height, width, soft):
    image, mask = rand(seed, 2, height, width, 3), holes(seed, 1, height, width, soft)
    before = image.clone()
    out = fill(image, mask, fill=kind, seed=seed).image
    known = (mask == 0).expand(2, -1, -1)
    assert np.array_equal(bits(out[known]), bits(image[known]))
    assert torch.equal(image, before)
    assert bool(((out >= 0) & (out <= 1)).all())
    assert torch.equal(out, fill(image, mask, fill=kind, seed=seed).image)
    if kind == "neutral":
        assert bool((out[~known] == 0.5).all())
        assert torch.equal(out * 2 - 1, (image * 2 - 1) * known[..., None])  # x·(1 − hole) in the model's range
    if kind == "original":
        assert torch.equal(out, image)
        assert out.data_ptr() != image.data_ptr()


def test_edge_is_the_nearest_known_pixel():
    image, mask = rand(3, 1, 14, 17, 3), holes(5, 1, 14, 17)
    out = fill(image, mask, fill="edge").image
    known = np.argwhere(mask[0].numpy() == 0)
    for y, x in np.argwhere(mask[0].numpy() > 0):
        distance = ((known - [y, x]) ** 2).sum(1)
        nearest = [image[0, a, b] for a, b in known[distance == distance.min()]]
        assert any(torch.equal(out[0, y, x], colour) for colour in nearest)


def test_blur_is_smooth_and_close_to_the_membrane():
    y, x = torch.meshgrid(torch.linspace(0, 1, 48), torch.linspace(0, 1, 64), indexing="ij")
    plane = 0.2 + 0.3 * x + 0.4 * y  # harmonic, so the membrane over a hole is the plane itself
    image = plane[None, ..., None].repeat(1, 1, 1, 3).contiguous()
    mask = torch.zeros(1, 48, 64)
    mask[:, 14:34, 20:44] = 1
    error = {kind: float((fill(image, mask, fill=kind).image - image).abs().max()) for kind in ("edge", "blur")}
    assert error["blur"] < 0.01 < error["edge"]


@given(st.integers(0, 2**31), st.integers(3, 30), st.integers(3, 30))
@settings(max_examples=20, deadline=None)
def test_blur_against_the_solution_of_laplaces_equation(seed, height, width):
    from scipy.sparse import lil_matrix
    from scipy.sparse.linalg import spsolve

    y, x = np.mgrid[:height, :width]
    image = np.sin(x / 6 + seed % 7) * np.cos(y / 5) * 0.4 + 0.5
    mask = holes(seed, 1, height, width)
    where = np.argwhere(mask[0].numpy() > 0)
    if not len(where):
        return
    index = {tuple(place): row for row, place in enumerate(where)}
    matrix, right = lil_matrix((len(where), len(where))), np.zeros(len(where))
    for (a, b), row in index.items():
        for c, d in ((a - 1, b), (a + 1, b), (a, b - 1), (a, b + 1)):
            if 0 <= c < height and 0 <= d < width:  # nothing flows through the picture's border
                matrix[row, row] += 1
                if (c, d) in index:
                    matrix[row, index[c, d]] -= 1
                else:
                    right[row] += image[c, d]
    wanted = spsolve(matrix.tocsr(), right)
    picture = torch.from_numpy(image)[None, ..., None].repeat(1, 1, 1, 3)
    got = fill(picture, mask, fill="blur").image[0, where[:, 0], where[:, 1], 0].numpy()
    assert np.abs(got - wanted).max() < 0.06
    assert np.sqrt(((got - wanted) ** 2).mean()) < 0.03


def test_noise_depends_on_the_seed_alone():
    image, mask = rand(0, 1, 64, 64, 3), torch.ones(1, 64, 64)
    first, again, other = (fill(image, mask, fill="noise", seed=s).image for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert float(first.mean()) == pytest.approx(0.5, abs=0.01)
    assert float(first.std()) == pytest.approx(0.24, abs=0.02)
    assert torch.equal(first, fill(image * 0, mask, fill="noise", seed=1).image)


@pytest.mark.parametrize("kind", ["edge", "blur", "harmonic", "patches"])
def test_fill_from_nothing_known_is_refused(kind):
    mask = torch.zeros(2, 8, 8)
    mask[1] = 1
    with pytest.raises(BadInput, match="whole picture") as caught:
        fill(rand(0, 2, 8, 8, 3), mask, fill=kind)
    assert caught.value.port == "mask"


def test_patches_copy_from_the_source_alone():
    """Beside noise, a flat part: copied from there alone, the hole in the noise becomes smooth."""
    image, mask, source = rand(8, 1, 50, 80, 3), torch.zeros(1, 50, 80), torch.zeros(1, 50, 80)
    mask[:, 10:40, 10:40] = 0.1  # a faint mask is a hole all the same
    image[:, :, 50:] = 0.5
    source[:, :, 50:] = 0.7
    for there, low, high in ((source, 0, 0.15), (1 - source, 0.7, 1.3), (None, 0.7, 1.3)):
        out = fill(image, mask, fill="patches", source=there, seed=3).image
        assert torch.equal(out[mask == 0], image[mask == 0])
        assert low <= float(out[:, 15:35, 15:35].std() / image[:, :, :50].std()) < high


def test_an_even_patch_and_a_source_with_nothing_in_it_are_refused():
    image, mask = rand(8, 1, 30, 40, 3), torch.zeros(1, 30, 40)
    mask[:, 10:20, 10:20] = 1
    for settings_, port in (
        ({"patch": 8}, "patch"),
        ({"source": torch.zeros(1, 30, 40)}, "source"),
        ({"source": mask}, "source"),
        ({"source": torch.ones(1, 40, 30)}, "source"),
    ):
        with pytest.raises(BadInput) as caught:
            fill(image, mask, fill="patches", **settings_)
        assert caught.value.port == port


def test_patches_refuse_a_known_nan_and_ignore_one_in_the_hole():
    image, mask = rand(8, 1, 30, 40, 3), torch.zeros(1, 30, 40)
    mask[:, 10:20, 10:20] = 1
    image[0, 15, 15] = float("nan")
    assert torch.isfinite(fill(image, mask, fill="patches").image).all()
    image[0, 0, 0] = float("nan")
    with pytest.raises(BadInput, match="NaN"):
        fill(image, mask, fill="patches")


# --- image.paste_back ------------------------------------------------------------------------------------------------


@given(
    st.integers(0, 2**31),
    st.integers(2, 33),
    st.integers(2, 33),
    st.integers(0, 9),
    st.booleans(),
    st.sampled_from(["none", "mean", "histogram"]),
)
@settings(max_examples=80, deadline=None)
def test_paste_back_is_exact_outside_and_the_patch_inside(seed, height, width, feather, soft, match):
    base, patch, mask = (
        rand(seed, 1, height, width, 3),
        rand(seed + 1, 1, height, width, 3),
        holes(seed, 1, height, width, soft),
    )
    base[0, 0, 0, 0] = -0.0
    out = paste_back(base, patch, mask, feather=feather, color_match=match).image
    assert np.array_equal(bits(out[mask == 0]), bits(base[mask == 0]))
    if match == "none" and feather == 0:
        assert np.array_equal(bits(out[mask == 1]), bits(patch[mask == 1]))


@pytest.mark.parametrize("leak", [float("nan"), float("inf"), -0.0, 1e38])
def test_nothing_leaks_from_outside_the_mask(leak):
    base, mask = -torch.zeros(1, 8, 8, 3), torch.zeros(1, 8, 8)
    mask[:, 2:5, 2:5] = 1
    patch = torch.where(mask[..., None] > 0, 0.25, torch.full((1, 8, 8, 3), leak))
    for feather in (0, 3):
        out = paste_back(base, patch, mask, feather=feather).image
        assert np.array_equal(bits(out[mask == 0]), bits(base[mask == 0]))
        assert bool((out[0, 3, 3] > 0).all())


def test_nan_where_the_patch_shows_is_refused():
    patch, mask = rand(0, 1, 8, 8, 3), torch.zeros(1, 8, 8)
    mask[:, 2:5, 2:5] = 1
    patch[0, 3, 3, 1] = float("nan")
    with pytest.raises(BadInput, match="NaN") as caught:
        paste_back(rand(1, 1, 8, 8, 3), patch, mask)
    assert caught.value.port == "patch"
    patch[0, 3, 3, 1], patch[0, 0, 0, 0] = 0, float("nan")
    with pytest.raises(BadInput, match="NaN"):
        paste_back(rand(1, 1, 8, 8, 3), patch, mask, color_match="mean")


def test_feather_by_brute_force():
    mask = holes(2, 1, 20, 24, soft=True)
    out = paste_back(torch.zeros(1, 20, 24, 3), torch.ones(1, 20, 24, 3), mask, feather=4).image[0, ..., 0]
    outside = np.argwhere(mask[0].numpy() == 0)
    for y in range(20):
        for x in range(24):
            distance = np.sqrt(((outside - [y, x]) ** 2).sum(1).min())
            t = min(1.0, distance / 5)
            assert float(out[y, x]) == pytest.approx(float(mask[0, y, x]) * (3 * t * t - 2 * t**3), abs=1e-6)


def test_a_full_mask_gives_the_patch_whatever_the_feather():
    patch = rand(1, 1, 9, 9, 3)
    assert torch.equal(paste_back(rand(0, 1, 9, 9, 3), patch, torch.ones(1, 9, 9), feather=5).image, patch)


@pytest.mark.parametrize("base", [1, 3])
@pytest.mark.parametrize("patch", [1, 3])
@pytest.mark.parametrize("mask", [1, 3])
@pytest.mark.parametrize("match", ["none", "mean"])
def test_batches_broadcast_in_every_combination(base, patch, mask, match):
    b, p, m = rand(0, base, 8, 9, 3), rand(1, patch, 8, 9, 3), holes(2, mask, 8, 9)
    out = paste_back(b, p, m, feather=1, color_match=match).image
    assert out.shape == (max(base, patch, mask), 8, 9, 3)
    for number in range(out.shape[0]):
        one = paste_back(
            b[number % base][None], p[number % patch][None], m[number % mask][None], feather=1, color_match=match
        ).image
        assert torch.equal(out[number], one[0])


def test_batches_and_sizes_that_do_not_go_together():
    with pytest.raises(BadInput, match="base 2, patch 3, mask 1") as caught:
        paste_back(rand(0, 2, 8, 8, 3), rand(0, 3, 8, 8, 3), torch.ones(1, 8, 8))
    with pytest.raises(BadInput) as caught:
        paste_back(rand(0, 1, 99, 141, 3), rand(0, 1, 104, 144, 3), torch.ones(1, 99, 141))
    assert "144×104" in caught.value.found
    assert "141×99" in caught.value.found
    assert "image.unfit" in caught.value.fix
    with pytest.raises(BadInput, match="141×99"):
        paste_back(rand(0, 1, 99, 141, 3), rand(0, 1, 99, 141, 3), torch.ones(1, 64, 64))


def test_mean_match_undoes_a_tint():
    base, mask = rand(0, 1, 40, 40, 3) * 0.5 + 0.2, torch.zeros(1, 40, 40)
    mask[:, 10:30, 10:30] = 1
    patch = base + torch.tensor([0.1, -0.1, 0.05])
    out = paste_back(base, patch, mask, color_match="mean").image
    assert torch.allclose(out, base, atol=1e-6)


def test_histogram_match_undoes_a_curve():
    base, mask = rand(0, 1, 60, 60, 3), torch.zeros(1, 60, 60)
    mask[:, 20:40, 20:40] = 1
    curve = 0.1 + 0.8 * base**1.5
    out = paste_back(base, curve, mask, color_match="histogram").image
    assert float((out - base).abs().max()) < 0.02
    assert float((paste_back(base, curve, mask, color_match="mean").image - base).abs().max()) > 0.05
    flat = torch.full_like(base, 0.3)
    assert torch.isfinite(paste_back(base, flat, mask, color_match="histogram").image).all()
    assert torch.allclose(paste_back(base, base, mask, color_match="histogram").image, base, atol=1e-6)


def test_colours_are_judged_near_the_hole_only():
    base, mask = torch.full((1, 40, 200, 3), 0.4), torch.zeros(1, 40, 200)
    mask[:, 15:25, 15:25] = 1
    patch = base + 0.1
    patch[:, :, 100:] = 0.9  # far away, another tint
    out = paste_back(base, patch, mask, color_match="mean").image
    assert torch.allclose(out, base, atol=1e-6)


def test_colour_match_needs_something_known():
    with pytest.raises(BadInput) as caught:
        paste_back(rand(0, 1, 8, 8, 3), rand(1, 1, 8, 8, 3), torch.ones(1, 8, 8), color_match="mean")
    assert caught.value.port == "color_match"


# --- image.fit and image.unfit ---------------------------------------------------------------------------------------


@given(st.integers(1, 60), st.integers(1, 60), st.sampled_from([1, 4, 8, 16, 64]), st.booleans(), st.integers(1, 2))
@settings(max_examples=60, deadline=None)
def test_pad_is_a_mirror_and_comes_off_bit_for_bit(height, width, multiple, square, batch):
    image, mask = rand(height, batch, height, width, 3), torch.zeros(1, height, width)
    mask[0, height // 2, width // 2] = 1
    before = image.clone()
    out, hole, how = fit(image, mask, multiple=multiple, square=square)
    rows, columns = out.shape[1:3]
    assert rows % multiple == columns % multiple == 0
    assert hole.shape[1:] == (rows, columns)
    if not square:
        assert (rows, columns) == (-(-height // multiple) * multiple, -(-width // multiple) * multiple)
    else:
        assert rows == columns
    assert float(hole.sum()) == 1  # padding is known
    assert np.array_equal(bits(unfit(out, how).image), bits(image))
    assert torch.equal(image, before)
    top, left = (rows - height) // 2, (columns - width) // 2
    plain = fit(image, None, multiple=multiple, square=square)
    assert not plain.mask.any()
    pads = ((0, 0), (top, rows - height - top), (left, columns - width - left), (0, 0))
    wanted = image.numpy()
    for axis in (1, 2):
        only = [pads[i] if i == axis else (0, 0) for i in range(4)]
        wanted = np.pad(wanted, only, mode="reflect" if image.shape[axis] > 1 else "edge")
    assert np.array_equal(plain.image.numpy(), wanted)


def test_what_the_hole_hides_is_not_mirrored_into_known_padding():
    image, mask = torch.full((1, 20, 20, 3), 0.2), torch.zeros(1, 20, 20)
    image[:, :, 14:] = 0.9  # the thing to remove touches the border
    mask[:, :, 14:] = 1
    out, hole, how = fit(image, mask, multiple=16)
    assert bool((out[hole == 0] == 0.2).all())
    assert torch.equal(unfit(out, how).image, image)
    two = fit(image, torch.cat([mask, mask * 0]), multiple=16)
    assert two.image.shape[0] == two.mask.shape[0] == 2
    assert float(two.image[1].max()) == pytest.approx(0.9)


@given(st.integers(8, 70), st.integers(8, 70), st.sampled_from([4, 8]), st.booleans())
@settings(max_examples=40, deadline=None)
def test_crop_takes_the_centre_and_gives_the_margin_back(height, width, multiple, square):
    image, mask = rand(height, 1, height, width, 3), holes(width, 1, height, width)
    out, hole, how = fit(image, mask, multiple=multiple, mode="crop", square=square)
    rows, columns = out.shape[1:3]
    top, left = (height - rows) // 2, (width - columns) // 2
    assert torch.equal(out, image[:, top : top + rows, left : left + columns])
    assert torch.equal(hole, mask[:, top : top + rows, left : left + columns])
    assert np.array_equal(bits(unfit(out, how).image), bits(image))
    edited = unfit(out * 0, how).image
    assert not edited[:, top : top + rows, left : left + columns].any()
    edited[:, top : top + rows, left : left + columns] = out
    assert torch.equal(edited, image)


@pytest.mark.parametrize("mode", ["pad", "crop", "resize"])
@pytest.mark.parametrize("square", [False, True])
@pytest.mark.parametrize("size", [None, 64, 200])
@pytest.mark.parametrize("shape", [(99, 141), (141, 99), (103, 103), (20, 150)])
def test_any_size_in_same_size_out(mode, square, size, shape):
    image, mask = rand(1, 1, *shape, 3) * 0 + torch.linspace(0, 1, shape[1])[None, None, :, None], holes(1, 1, *shape)
    out, hole, how = fit(image.contiguous(), mask, size=size, mode=mode, square=square)
    assert out.shape[1] % 8 == out.shape[2] % 8 == 0
    assert hole.shape == out.shape[:3]
    if size:
        assert abs(min(out.shape[1:3]) - size) < 8
    if square:
        assert out.shape[1] == out.shape[2]
    back = unfit(out, how).image
    assert back.shape == image.shape
    inside = slice(None) if mode != "crop" else slice(0, 0)
    if shape[1] > 50:
        assert float((back - image)[:, inside].abs().mean() if mode != "crop" else 0) < 0.02


def test_the_papers_centre_crop():
    out, _, how = fit(rand(0, 1, 321, 481, 3), size=512, mode="crop", square=True)
    assert out.shape == (1, 512, 512, 3)
    assert how.scaled == (512, 767)
    assert unfit(out, how).image.shape == (1, 321, 481, 3)


@given(st.integers(0, 2**31), st.integers(16, 90), st.sampled_from(["pad", "resize"]), st.integers(8, 80))
@settings(max_examples=30, deadline=None)
def test_scaling_loses_no_hole(seed, side, mode, size):
    rng = np.random.default_rng(seed)
    mask = torch.zeros(1, side, side + 5)
    y, x = rng.integers(0, side), rng.integers(0, side)
    mask[0, y, x] = 1
    image = rand(0, 1, side, side + 5, 3)
    out, hole, how = fit(image, mask, size=size, mode=mode)
    assert hole.any()
    # the pixel, scaled, lies inside the fitted hole
    top, left = how.top, how.left
    yy, xx = (y + 0.5) * how.scaled[0] / side + top, (x + 0.5) * how.scaled[1] / (side + 5) + left
    assert hole[0, int(yy), int(xx)] == 1
    assert out.shape[:3] == hole.shape


def test_fit_mistakes_are_explained():
    with pytest.raises(BadInput, match="mode=pad"):
        fit(rand(0, 1, 5, 40, 3), mode="crop")
    out, _, how = fit(rand(0, 1, 99, 141, 3))
    with pytest.raises(BadInput) as caught:
        unfit(rand(0, 1, 64, 64, 3), how)
    assert "64×64" in caught.value.found
    assert "144×104" in caught.value.expected
    with pytest.raises(BadInput, match=r"fit of image\.fit"):
        unfit(out, {"mode": "pad"})
    with pytest.raises(BadInput, match="141×99"):
        fit(rand(0, 1, 99, 141, 3), torch.ones(1, 64, 64))


# --- image.crop_to_mask and image.stitch -----------------------------------------------------------------------------


@given(
    st.integers(0, 2**31),
    st.integers(9, 150),
    st.integers(9, 150),
    st.sampled_from([None, 64, 96]),
    st.floats(1, 4),
    st.integers(0, 5),
)
@settings(max_examples=60, deadline=None)
def test_stitch_is_exact_outside_the_mask(seed, height, width, size, context, feather):
    image, mask = rand(seed, 1, height, width, 3), torch.zeros(1, height, width)
    rng = np.random.default_rng(seed)
    y, x = rng.integers(0, height), rng.integers(0, width)
    mask[:, y : y + rng.integers(1, 20), x : x + rng.integers(1, 20)] = 1
    out, hole, crop = crop_to_mask(image, mask, context=context, size=size)
    assert out.shape[1] % 8 == out.shape[2] % 8 == 0
    assert hole.shape == out.shape[:3]
    assert hole.any()
    if size is not None:
        assert max(out.shape[1:3]) == size
    back = stitch(rand(seed + 1, *out.shape), crop, feather=feather).image
    assert np.array_equal(bits(back[mask == 0]), bits(image[mask == 0]))
    assert not torch.equal(back[mask > 0], image[mask > 0])
    if size is None:
        assert np.array_equal(bits(stitch(out, crop).image), bits(image))
        assert float(hole.sum()) == float(mask.sum())


def test_the_window_is_centred_and_as_large_as_asked():
    image, mask = rand(0, 1, 400, 600, 3), torch.zeros(1, 400, 600)
    mask[:, 150:250, 300:360] = 1
    out, hole, crop = crop_to_mask(image, mask, context=1.5, size=512)
    assert (crop.top, crop.left, crop.height, crop.width) == (125, 255, 150, 150)
    assert out.shape == (1, 512, 512, 3)
    assert float(hole.mean()) == pytest.approx(100 * 60 / 150**2, abs=0.01)
    native, _, crop = crop_to_mask(image, mask, context=2, size=None)
    assert native.shape == (1, 200, 200, 3)
    assert torch.equal(native, image[:, 100:300, 230:430])
    corner = torch.zeros(1, 400, 600)
    corner[:, 380:, 590:] = 1
    _, _, crop = crop_to_mask(image, corner, size=64)
    assert (crop.top + crop.height, crop.left + crop.width) == (400, 600)
    wide = torch.ones(1, 400, 600)
    out, _, crop = crop_to_mask(image, wide)
    assert (crop.height, crop.width) == (400, 600)
    assert out.shape == (1, 344, 512, 3)


def test_crops_of_batches_share_a_window_and_patches_may_vary():
    image, mask = rand(0, 2, 80, 90, 3), torch.zeros(2, 80, 90)
    mask[0, 10:14, 10:14] = 1
    mask[1, 60:64, 70:74] = 1
    out, _, crop = crop_to_mask(image, mask, context=1, size=None)
    assert out.shape[0] == 2
    assert crop.width >= 64
    back = stitch(out * 0, crop).image
    assert np.array_equal(bits(back[mask == 0]), bits(image[mask == 0]))
    assert not back[mask > 0].any()
    _, _, one = crop_to_mask(image[:1], mask[:1], size=64)
    assert stitch(rand(1, 3, 64, 64, 3), one).image.shape == (3, 80, 90, 3)


def test_crop_mistakes_are_explained():
    image = rand(0, 1, 80, 90, 3)
    with pytest.raises(BadInput, match="empty mask"):
        crop_to_mask(image, torch.zeros(1, 80, 90))
    _, _, crop = crop_to_mask(image, torch.ones(1, 80, 90), size=64)
    with pytest.raises(BadInput, match="64×56"):
        stitch(image, crop)
    with pytest.raises(BadInput, match=r"image\.crop_to_mask"):
        stitch(image, None)
    two = crop_to_mask(image.repeat(2, 1, 1, 1), torch.ones(1, 80, 90), size=64)
    with pytest.raises(BadInput, match="batches"):
        stitch(rand(0, 3, *two.image.shape[1:]), two.crop)


# --- image.grid ------------------------------------------------------------------------------------------------------


def find(sheet, tile):
    """Places where the tile appears with its exact bits."""
    sheet, tile = sheet[0].numpy(), tile.numpy()
    height, width = tile.shape[:2]
    starts = np.argwhere((sheet == tile[0, 0]).all(-1))
    return [
        (y, x)
        for y, x in starts
        if sheet[y : y + height, x : x + width].shape == tile.shape
        and np.array_equal(sheet[y : y + height, x : x + width], tile)
    ]


def test_pictures_keep_their_bits_side_by_side():
    first, second = rand(0, 1, 64, 48, 3), rand(1, 2, 64, 80, 3)
    sheet = grid.spec.run(image_1=first, image_3=second, label_1="before", label_3="after").image
    places = [find(sheet, tile) for tile in (first[0], second[0], second[1])]
    assert [len(place) for place in places] == [1, 1, 1]
    rows, columns = zip(*(place[0] for place in places), strict=True)
    assert len(set(rows)) == 1
    assert list(columns) == sorted(columns)
    assert columns[1] >= columns[0] + 48
    label = sheet[0, : rows[0], columns[0] : columns[0] + 48]
    assert float(label.min()) < 0.3  # ink
    assert bool((sheet[0, -1] == 1).all())  # paper


def test_columns_rows_and_scaling():
    tiles = [rand(number, 1, 32, 32, 3) for number in range(5)]
    sheet = grid(tiles, columns=2).image
    places = [find(sheet, tile[0])[0] for tile in tiles]
    assert [places[i][0] for i in (0, 2, 4)] == sorted({place[0] for place in places})
    assert len({place[1] for place in places}) == 2
    assert grid(tiles).image.shape[2] > 3 * 32  # five: nearly square, three in a row
    small, large = rand(0, 1, 16, 16, 3), rand(1, 1, 50, 40, 3)
    sheet = grid([small, large]).image
    assert len(find(sheet, small[0].repeat_interleave(3, 0).repeat_interleave(3, 1))) == 1  # crisp, three times
    assert grid([rand(0, 1, 1100, 20, 3), rand(0, 1, 2200, 30, 3)]).image.shape[1] < 1100


@pytest.mark.parametrize("label", ["x" * 500, "naïve – ‘quotes’ λ", "two\nlines", " "])
def test_any_label_fits(label):
    sheet = grid([rand(0, 1, 24, 24, 3), rand(1, 1, 24, 24, 3)], [label]).image
    assert sheet.shape[0] == 1
    assert torch.isfinite(sheet).all()


def test_greek_letters_are_spelt_out():
    from inlay.pictures.sheet import draw_label

    assert torch.equal(draw_label("η = 0.85", 200, 30, 16), draw_label("eta = 0.85", 200, 30, 16))
    assert not torch.equal(draw_label("é", 200, 30, 16), draw_label("e", 200, 30, 16))


def test_grid_mistakes_are_explained():
    a = rand(0, 1, 8, 8, 3)
    with pytest.raises(BadInput, match="at least two"):
        grid([a])
    with pytest.raises(BadInput, match="image_3") as caught:
        grid([a, a], ["x", "y", "z"])
    assert caught.value.port == "label_3"
    with pytest.raises(BadInput, match="NaN") as caught:
        grid([a, a * float("nan")])
    assert caught.value.port == "image_2"
    with pytest.raises(BadInput, match=r"image_2.*an image \[b, h, w, 3\].*divide by 255"):
        grid([a, (a * 255).to(torch.uint8)])


@pytest.mark.parametrize("width", [40, 120, 300])
def test_a_label_that_is_too_long_keeps_as_many_letters_as_fit(width, monkeypatch):
    from inlay.pictures.sheet import _font, draw_label
    from PIL import Image, ImageDraw

    pen, words = ImageDraw.Draw(Image.new("RGB", (1, 1))), "wide and iii narrow letters " * 30
    kept = words
    while pen.textlength(kept + "…", font=_font(10)) > width:
        kept = kept[:-1]
    assert torch.equal(draw_label(words, width, 20, 10), draw_label(kept + "…", width, 20, 10))
    measured, measure = [], ImageDraw.ImageDraw.textlength

    def counted(pen, text, **kwargs):
        measured.append(len(text))
        return measure(pen, text, **kwargs)

    monkeypatch.setattr(ImageDraw.ImageDraw, "textlength", counted)
    draw_label("x" * 1_000_000, width, 20, 16)
    assert sum(measured) < 40 * width  # a stranger's title of any length costs no more


@pytest.mark.parametrize(("typed", "said"), [("2×", "2x"), ("≤ 3", "<= 3"), ("a → b", "a -> b")])
def test_signs_that_the_font_lacks_are_spelled(typed, said):
    from inlay.pictures.sheet import draw_label

    assert torch.equal(draw_label(typed, 120, 24, 14), draw_label(said, 120, 24, 14))

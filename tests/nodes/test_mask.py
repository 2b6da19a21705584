"""mask.shape, mask.grow and mask.to_latent against brute-force transcriptions."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from inlay.graph_runtime import BadInput, Context
from inlay.nodes.mask.grow import grow
from inlay.nodes.mask.latent import to_latent
from inlay.nodes.mask.shape import shape
from recording import RecordingContext
from scipy import ndimage

CTX = Context()


def vae_of(factor):
    """A description of a VAE whose cells span so many pixels."""
    return SimpleNamespace(factor=factor, scaling_factor=1.0, shift_factor=0.0, latent_channels=4)


def picture(height, width, batch=1):
    return torch.zeros(batch, height, width, 3)


def blobs(seed, height, width, batch=1, share=0.03):
    rng = np.random.default_rng(seed)
    return torch.from_numpy((rng.random((batch, height, width)) < share).astype(np.float32))


# --- mask.shape ------------------------------------------------------------------------------------------------------


def test_the_papers_centred_hole():
    mask = shape(picture(512, 512), kind="center", width=168, height=168).mask
    assert mask.shape == (1, 512, 512)
    assert int(mask.sum()) == 168 * 168
    assert bool((mask[0, 172:340, 172:340] == 1).all())
    assert torch.equal(mask, shape(picture(512, 512), kind="center", width=168).mask)


def test_rectangle_in_pixels_and_fractions():
    mask = shape(picture(99, 141), x=10, y=20, width=30, height=40).mask
    wanted = torch.zeros(1, 99, 141)
    wanted[:, 20:60, 10:40] = 1
    assert torch.equal(mask, wanted)
    mask = shape(picture(100, 200), x=0.25, y=0.1, width=0.5, height=0.3, unit="fraction").mask
    wanted = torch.zeros(1, 100, 200)
    wanted[:, 10:40, 50:150] = 1
    assert torch.equal(mask, wanted)
    whole = shape(picture(99, 141), x=0, y=0, width=1, height=1, unit="fraction").mask
    assert bool(whole.all())


@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from(["rectangle", "ellipse", "center"]))
@settings(max_examples=30, deadline=None)
def test_defaults_are_the_middle_half(height, width, kind):
    mask = shape(picture(height, width), kind=kind).mask
    assert mask.any()
    if kind != "ellipse":
        assert int(mask.sum()) == max(1, height // 2) * max(1, width // 2)


def test_ellipse_counts_pixel_centres():
    mask = shape(picture(50, 60), kind="ellipse", x=7, y=11, width=31, height=20).mask[0]
    for y in range(50):
        for x in range(60):
            inside = ((x + 0.5 - 22.5) / 15.5) ** 2 + ((y + 0.5 - 21) / 10) ** 2 <= 1
            assert bool(mask[y, x]) == inside


@given(st.integers(0, 2**31), st.floats(0, 500), st.sampled_from(["px", "fraction"]))
@settings(max_examples=30, deadline=None)
def test_jitter_moves_each_mask_but_never_out(seed, jitter, unit):
    size = {"width": 9, "height": 5} if unit == "px" else {"width": 0.3, "height": 0.2}
    first = shape(picture(31, 47, 24), **size, jitter=jitter, seed=seed, unit=unit).mask
    assert torch.equal(first, shape(picture(31, 47, 24), **size, jitter=jitter, seed=seed, unit=unit).mask)
    area = 45 if unit == "px" else round(0.3 * 47) * round(0.2 * 31)
    assert first.sum((1, 2)).tolist() == [area] * 24
    if jitter > 1 and unit == "px":  # a large jitter ends in a corner: of four masks all may be in one, of 24 never
        assert len({tuple(np.argwhere(plane.numpy())[0]) for plane in first}) > 1 or jitter < 3


@pytest.mark.parametrize(
    ("options", "port"),
    [
        ({"x": 120, "width": 30}, "x"),
        ({"x": -1, "width": 5}, "x"),
        ({"y": 90, "height": 10}, "y"),
        ({"width": 142}, "width"),
        ({"height": 100}, "height"),
        ({"width": 0.001, "unit": "fraction"}, "width"),
        ({"kind": "center", "width": 20, "x": 100}, "x"),
        ({"width": 168, "unit": "fraction"}, "width"),
    ],
)
def test_shapes_out_of_the_picture_are_refused(options, port):
    with pytest.raises(BadInput) as caught:
        shape(picture(99, 141), **options)
    assert caught.value.port == port
    assert "px" in caught.value.expected or "pixel" in caught.value.expected


# --- mask.grow -------------------------------------------------------------------------------------------------------


def brute_disc(mask, radius):
    """Largest value within Euclidean distance `radius`, pixel by pixel."""
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    return ndimage.grey_dilation(mask, footprint=(y * y + x * x) <= radius * radius, mode="constant", cval=-np.inf)


@given(st.integers(0, 2**31), st.integers(1, 9), st.integers(1, 30), st.integers(1, 30), st.booleans())
@settings(max_examples=60, deadline=None)
def test_growing_and_shrinking_is_a_euclidean_disc(seed, radius, height, width, soft):
    mask = blobs(seed, height, width, batch=2, share=0.1)
    if soft:
        mask = mask * torch.rand(mask.shape, generator=torch.Generator().manual_seed(seed))
    grown = grow(mask, CTX, pixels=radius).mask
    shrunk = grow(1 - mask, CTX, pixels=-radius).mask
    for plane, out, back in zip(mask.numpy(), grown.numpy(), shrunk.numpy(), strict=True):
        wanted = brute_disc(plane, radius)
        assert np.array_equal(out, wanted)
        assert np.allclose(back, 1 - wanted, atol=1e-7)
        assert np.array_equal(back == 0, wanted == 1)


@given(st.integers(0, 2**31), st.integers(-4, 4), st.integers(1, 12))
@settings(max_examples=40, deadline=None)
def test_feather_never_leaves_the_grown_mask(seed, pixels, feather):
    mask = blobs(seed, 33, 41, share=0.3) * 0.8
    hard, soft = grow(mask, CTX, pixels=pixels).mask, grow(mask, CTX, pixels=pixels, feather=feather).mask
    assert torch.equal(hard > 0, soft > 0)
    assert bool((soft <= hard).all())


@given(st.integers(0, 2**31), st.integers(1, 25), st.integers(1, 25))
@settings(max_examples=60, deadline=None)
def test_depth_by_brute_force(seed, height, width):
    from inlay.pictures.masks.morphology import depth

    rng = np.random.default_rng(seed)
    hole = np.zeros((height, width), dtype=bool)
    y, x = rng.integers(0, height), rng.integers(0, width)
    hole[y : y + rng.integers(1, height + 1), x : x + rng.integers(1, width + 1)] = True
    hole &= rng.random(hole.shape) < 0.95
    outside = np.argwhere(~hole)
    got = depth(torch.from_numpy(hole)[None])[0].numpy()
    for place in np.ndindex(hole.shape):
        wanted = np.sqrt(((outside - place) ** 2).sum(1).min()) if len(outside) else np.inf
        assert got[place] == pytest.approx(wanted)


def test_feather_is_the_stated_ramp():
    mask = torch.zeros(1, 1, 30)
    mask[..., 5:25] = 1
    out = grow(mask, CTX, feather=4).mask[0, 0, 5:15].tolist()
    ramp = [min(1, d / 5) for d in range(1, 11)]
    assert out == pytest.approx([3 * t * t - 2 * t**3 for t in ramp])


def test_the_pictures_border_does_not_shrink_a_hole():
    mask = torch.zeros(1, 20, 20)
    mask[:, :10] = 1
    shrunk = grow(mask, CTX, pixels=-3).mask
    assert bool((shrunk[:, :7] == 1).all())
    assert int(shrunk.sum()) == 7 * 20
    full = torch.ones(1, 8, 8)
    assert torch.equal(grow(full, CTX, pixels=-3, feather=5).mask, full)


def test_empty_and_full_results_are_named_and_nothing_is_mutated():
    ctx = RecordingContext()
    mask = torch.zeros(2, 20, 20)
    mask[0, 8:11, 8:11] = 1
    before = mask.clone()
    assert not grow(mask, ctx, pixels=-2).mask.any()
    assert ctx.warnings[0].startswith("mask-empty")
    grow(mask, ctx, pixels=40)
    assert ctx.warnings[1].startswith("mask-full")
    assert len(ctx.warnings) == 2
    assert torch.equal(mask, before)
    assert grow(mask, ctx).mask.data_ptr() != mask.data_ptr()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 255.0, -1.0])
def test_values_outside_the_range_are_refused(value):
    mask = torch.zeros(1, 8, 8)
    mask[0, 3, 3] = value
    for call in (lambda: grow(mask, CTX, pixels=1), lambda: to_latent(mask, vae_of(8), CTX)):
        with pytest.raises(BadInput) as caught:
            call()
        assert caught.value.port == "mask"
        assert "255" in caught.value.fix


# --- mask.to_latent --------------------------------------------------------------------------------------------------


def literal(hole, factor, dilate, reduce):
    """methods.md §1: reduce by loops, then max_pool3x3 `dilate` times."""
    height, width = hole.shape[0] // factor, hole.shape[1] // factor
    cells = torch.zeros(1, 1, height, width)
    for i in range(height):
        for j in range(width):
            block = hole[i * factor : (i + 1) * factor, j * factor : (j + 1) * factor]
            cells[0, 0, i, j] = float(block.max() if reduce == "max" else block[0, 0])
    for _ in range(dilate):
        cells = F.max_pool2d(cells, 3, stride=1, padding=1)
    return cells


@given(st.integers(0, 2**31), st.sampled_from([1, 4, 8, 16]), st.integers(0, 5), st.integers(1, 7), st.integers(1, 7))
@settings(max_examples=60, deadline=None)
def test_max_is_the_literal_algorithm(seed, factor, dilate, rows, columns):
    mask = blobs(seed, rows * factor, columns * factor, batch=2)
    mask[:, 0, 0] = 0.3  # soft: hole all the same
    out = to_latent(mask, vae_of(factor), CTX, dilate=dilate).latent_mask
    assert out.dtype == torch.float32
    assert out.shape == (2, 1, rows, columns)
    for number in range(2):
        assert torch.equal(out[number : number + 1], literal((mask[number] > 0).float(), factor, dilate, "max"))
    reached = out.repeat_interleave(factor, 2).repeat_interleave(factor, 3)[:, 0]
    assert bool((reached[mask > 0] == 1).all())  # whatever may be pasted is hole


@given(st.integers(0, 2**31), st.sampled_from([1, 4, 8, 16]), st.integers(0, 3))
@settings(max_examples=40, deadline=None)
def test_nearest_is_torchs_and_lost_parts_are_errors(seed, factor, dilate):
    mask = F.interpolate(blobs(seed, 6, 5, share=0.2)[None], scale_factor=2 * factor // min(2, factor))[0]
    mask = F.pad(mask, (0, -mask.shape[2] % factor, 0, -mask.shape[1] % factor))
    sampled = F.interpolate(mask[:, None], size=(mask.shape[1] // factor, mask.shape[2] // factor), mode="nearest")
    labels, count = ndimage.label(mask[0].numpy(), np.ones((3, 3)))
    covered = np.kron(sampled[0, 0].numpy() > 0, np.ones((factor, factor))) > 0
    lost = [n for n in range(1, count + 1) if not covered[labels == n].any()]
    if count == 0 or lost:
        with pytest.raises(BadInput):
            to_latent(mask, vae_of(factor), CTX, dilate=dilate, reduce="nearest")
        return
    out = to_latent(mask, vae_of(factor), CTX, dilate=dilate, reduce="nearest").latent_mask
    assert torch.equal(out, literal(mask[0], factor, dilate, "nearest"))


def test_a_thin_line_vanishes_under_nearest_and_the_error_says_where():
    mask = torch.zeros(2, 64, 96)
    mask[:, 8:24, 8:24] = 1
    mask[1, 41:44, 17:90] = 1  # three pixels high, between the rows 40 and 48 that nearest reads
    vae = vae_of(8)
    with pytest.raises(BadInput) as caught:
        to_latent(mask, vae, CTX, dilate=5, reduce="nearest")
    assert caught.value.port == "reduce"
    assert "x 17–89, y 41–43" in caught.value.found
    assert "mask 2 of 2" in caught.value.found
    assert "reduce=max" in caught.value.fix
    kept = to_latent(mask, vae, CTX, dilate=0).latent_mask
    assert bool((kept[1, 0, 5, 2:12] == 1).all())


def test_components_are_eight_connected():
    mask = torch.zeros(1, 16, 16)
    mask[0, :7, :8] = 1
    mask[0, 7, 8] = 1  # in a cell of its own that nearest misses, but joined to the block at a corner
    out = to_latent(mask, vae_of(8), CTX, dilate=0, reduce="nearest").latent_mask
    assert out[0, 0].tolist() == [[1, 0], [0, 0]]
    mask[0, 6, 7] = 0
    with pytest.raises(BadInput, match="x 8–8, y 7–7"):
        to_latent(mask, vae_of(8), CTX, dilate=0, reduce="nearest")


def test_partly_covered_holes_are_named():
    ctx = RecordingContext()
    mask = torch.zeros(1, 64, 64)
    mask[0, 0:3, 0:3] = 1
    mask[0, 2, 3:60] = 1  # the thin tail is lost, its head is not
    to_latent(mask, vae_of(8), ctx, dilate=0, reduce="nearest")
    assert any(message.startswith("mask-uncovered: ") for message in ctx.warnings)


@pytest.mark.parametrize(("factor", "size"), [(8, (99, 141)), (8, (1036, 1036)), (16, (24, 32)), (4, (6, 8))])
def test_sizes_off_the_grid_point_to_image_fit(factor, size):
    with pytest.raises(BadInput) as caught:
        to_latent(torch.ones(1, *size), vae_of(factor), CTX)
    assert caught.value.port == "mask"
    assert f"{size[1]}×{size[0]}" in caught.value.found
    assert f"image.fit with multiple={factor}" in caught.value.fix


def test_empty_is_an_error_and_full_a_warning():
    ctx, vae = RecordingContext(), vae_of(8)
    empty = torch.ones(2, 32, 32)
    empty[1] = 0
    with pytest.raises(BadInput, match="mask 2 of 2 is empty: nothing to repaint"):
        to_latent(empty, vae, ctx)
    ctx.warnings.clear()
    assert bool(to_latent(torch.ones(1, 32, 32), vae, ctx).latent_mask.all())
    assert ctx.warnings[0].startswith("mask-full")
    ctx.warnings.clear()
    dot = torch.zeros(1, 32, 32)
    dot[0, 16, 16] = 1
    to_latent(dot, vae, ctx, dilate=3)
    assert "dilate" in ctx.warnings[0]


def test_the_papers_hole_leaves_no_contaminated_known_cell():
    """A centred 168-px hole at 512²: with nearest, 43 cells that overlap it stay known undilated, none with ≥ 1."""
    mask = shape(picture(512, 512), kind="center", width=168).mask
    overlap = F.max_pool2d(mask[:, None], 8)
    counts = []
    for dilate in (0, 1, 2):
        out = to_latent(mask, vae_of(8), CTX, dilate=dilate, reduce="nearest").latent_mask
        counts.append(int(((overlap > 0) & (out == 0)).sum()))
    assert counts == [43, 0, 0]

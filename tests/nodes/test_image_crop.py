"""Windows around holes: where they lie, at which size a model sees them, and what comes back."""

import inlay
import numpy as np
import pytest
import torch
from inlay.graph_runtime import BadInput
from inlay.nodes.image.crop import crop_to_mask, stitch
from inlay.nodes.model import stable_diffusion
from PIL import Image
from recording import RecordingContext


def rand(seed, *shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def holes(width, height, *boxes, value=1.0):
    """A mask with holes at boxes (left, top, right, bottom)."""
    mask = torch.zeros(1, height, width)
    for left, top, right, bottom in boxes:
        mask[:, top:bottom, left:right] = value
    return mask


def bits(value):
    return value.contiguous().numpy().view(np.uint32)


def places(crop):
    return [tuple(place) for place in crop.places]


# width and height, hole, context, size; top, left, height, width of the window, height and width of the patch
ONE = [
    ((141, 99), (10, 20, 30, 40), 1.5, None, (0, 0, 64, 64), (64, 64)),  # at the top left, at least 64 px
    ((141, 99), (131, 89, 141, 99), 1.5, None, (35, 77, 64, 64), (64, 64)),  # at the bottom right
    ((141, 99), (30, 40, 110, 70), 1.5, None, (-2, 10, 104, 120), (104, 120)),  # higher than the picture: mirrored
    ((141, 99), (30, 40, 110, 70), 1.5, 64, (0, 10, 99, 120), (56, 64)),
    ((141, 99), (0, 0, 141, 99), 1.0, 512, (0, 0, 99, 141), (360, 512)),
    ((141, 99), (70, 0, 71, 99), 2.0, 96, (0, 0, 99, 141), (64, 96)),  # a line from border to border
    ((200, 200), (8, 16, 72, 80), 1.0, None, (16, 8, 64, 64), (64, 64)),
    ((5, 7), (0, 0, 5, 7), 1.5, None, (0, -1, 8, 8), (8, 8)),
    ((6000, 4000), (2700, 1700, 3300, 2300), 1.5, 512, (1550, 2550, 900, 900), (512, 512)),
]


@pytest.mark.parametrize(("picture", "hole", "context", "size", "place", "patch"), ONE)
def test_a_window_lies_where_it_was_worked_out_by_hand(picture, hole, context, size, place, patch):
    width, height = picture
    image = torch.zeros(1).expand(1, height, width, 3)
    out = crop_to_mask(image, holes(width, height, hole), context=context, size=size)
    assert places(out.crop) == [place]
    assert out.image.shape == (1, *patch, 3)
    assert out.mask.shape == (1, *patch)


A, A2, B, C = (100, 100, 140, 140), (160, 100, 180, 120), (800, 400, 900, 450), (160, 100, 200, 140)
EACH = [
    ((1000, 600), [A, B], 128, [(88, 88, 64, 64), (350, 775, 150, 150)], (128, 128)),
    ((1000, 600), [A, C], 128, [(45, 75, 150, 150)], (128, 128)),  # their windows would overlap
    ((1000, 600), [A, A2, B], 128, [(60, 80, 120, 120), (350, 775, 150, 150)], (128, 128)),
    ((1000, 600), [A, B], 1024, [(0, 0, 600, 1000)], (616, 1024)),  # one window is not scaled down
    ((1000, 600), [A, B], None, [(44, 44, 152, 152), (349, 774, 152, 152)], (152, 152)),
    ((260, 220), [(0, 0, 20, 20), (200, 160, 220, 180)], None, [(0, 0, 64, 64), (138, 178, 64, 64)], (64, 64)),
    ((1000, 100), [(10, 40, 20, 50), (900, 20, 990, 80)], 64, [(0, 865, 100, 135), (0, 0, 100, 135)], (48, 64)),
    ((1000, 600), [A], 16, [(88, 88, 64, 64)], (16, 16)),
]


@pytest.mark.parametrize(("picture", "boxes", "size", "windows", "patch"), EACH)
def test_holes_far_apart_get_windows_of_their_own(picture, boxes, size, windows, patch):
    width, height = picture
    image, mask = rand(0, 1, height, width, 3), holes(width, height, *boxes)
    out = crop_to_mask(image, mask, size=size, windows="each")
    assert places(out.crop) == windows
    assert out.image.shape == (len(windows), *patch, 3)
    assert bool((out.mask > 0).flatten(1).any(1).all())
    whole = crop_to_mask(image, mask, size=size).crop
    assert len(whole.places) == 1
    back = stitch(torch.zeros_like(out.image), out.crop).image
    assert np.array_equal(bits(back[mask == 0]), bits(image[mask == 0]))
    assert not back[mask > 0].any()


def test_dust_and_many_holes_are_shared_among_few_windows():
    spots = [(x, y, x + 9, y + 9) for x in range(5, 3000, 150) for y in range(5, 2000, 150)]
    for boxes, most in ((spots[::7], 16), (spots, 1)):
        crop = crop_to_mask(
            torch.zeros(1).expand(1, 2000, 3000, 3), holes(3000, 2000, *boxes), size=128, windows="each"
        ).crop
        assert 1 <= len(crop.places) <= most
        covered = torch.zeros(2000, 3000)
        for top, left, height, width in crop.places:
            covered[max(0, top) : top + height, max(0, left) : left + width] += 1
        assert all(covered[top, left] for left, top, _, _ in boxes)
        assert covered.max() == 1  # windows are apart


@pytest.mark.parametrize("windows", ["one", "each"])
@pytest.mark.parametrize(("pictures", "variations"), [(1, 1), (1, 3), (2, 1), (2, 2)])
def test_each_patch_comes_back_to_its_picture_window_and_variation(windows, pictures, variations):
    image, mask = rand(0, pictures, 600, 1000, 3), holes(1000, 600, A, B)
    out = crop_to_mask(image, mask, size=128, windows=windows)
    count = len(out.crop.places)
    assert len(out.image) == pictures * count
    patch = (
        torch.arange(pictures * count * variations).float()[:, None, None, None].expand(-1, *out.image.shape[1:]) / 100
    )
    back = stitch(patch, out.crop).image
    assert len(back) == pictures * variations
    for row, picture in enumerate(back):
        for number, (left, top, right, bottom) in enumerate((A, B)):
            of_picture, variation = divmod(row, variations)
            wanted = ((of_picture * count + number % count) * variations + variation) / 100
            shown = picture[top:bottom, left:right]
            assert torch.allclose(shown, torch.tensor(wanted), atol=1e-6)
        known = mask[0] == 0
        assert np.array_equal(bits(picture[known]), bits(image[row // variations][known]))


def test_several_masks_share_one_window_and_a_warning_says_so():
    image, ctx = rand(0, 2, 300, 900, 3), RecordingContext()
    masks = torch.cat([holes(900, 300, (10, 10, 30, 30)), holes(900, 300, (800, 200, 820, 220))])
    out = crop_to_mask(image, masks, size=64, windows="each", ctx=ctx)
    assert len(out.crop.places) == 1
    assert any("windows=each takes one mask" in warning for warning in ctx.warnings)


@pytest.mark.parametrize("size", [None, 64])
def test_nothing_is_copied_but_the_window_and_no_input_is_written_to(size):
    image, mask = rand(0, 1, 300, 400, 3), holes(400, 300, (50, 60, 90, 100))
    before = image.clone(), mask.clone()
    out = crop_to_mask(image, mask, size=size)
    assert out.crop.base.data_ptr() == image.data_ptr()
    out.image.zero_()
    out.mask.zero_()
    back = stitch(torch.zeros_like(out.image), out.crop).image
    back.zero_()
    assert torch.equal(image, before[0])
    assert torch.equal(mask, before[1])


@pytest.mark.parametrize("windows", ["one", "each"])
def test_without_scaling_an_unchanged_patch_is_the_picture_bit_for_bit(windows):
    for seed, (width, height) in enumerate([(141, 99), (64, 64), (5, 3), (1000, 40)]):
        image, mask = rand(seed, 1, height, width, 3), (rand(seed + 9, 1, height, width) > 0.97).float()
        mask[0, height // 2, width // 2] = 0.4
        out = crop_to_mask(image, mask, size=None, windows=windows)
        assert np.array_equal(bits(stitch(out.image, out.crop).image), bits(image))


@pytest.fixture
def model(tiny):
    """A UNet of a sample size and a VAE of a factor."""

    def make(sample_size=8, levels=4):
        folder = tiny.stable_diffusion(
            f"sd{sample_size}{levels}", unet={"sample_size": sample_size}, vae={"levels": levels}
        )
        return stable_diffusion(str(folder))

    return make


@pytest.mark.parametrize(
    ("sample_size", "levels", "side"),
    [(8, 4, 64), (64, 4, 512), (24, 3, 96), (10, 2, 20), (20, 5, 320)],  # VAE factors 8, 8, 4, 2, 16
)
def test_a_window_gets_the_model_s_own_size(model, sample_size, levels, side):
    parts = model(sample_size, levels)
    image, mask = rand(0, 1, 1500, 2000, 3), holes(2000, 1500, (900, 700, 905, 705))
    out = crop_to_mask(image, mask, size="model", denoiser=parts.denoiser, vae=parts.vae)
    assert out.image.shape == (1, side, side, 3)
    least = max(64, side // 2)  # of so small a hole, a model sees at most twice its pixels, and at least 64
    assert places(out.crop) == [(702 - least // 2, 902 - least // 2, least, least)]


def test_a_hole_too_large_for_the_model_is_refused_and_a_large_one_is_named(model):
    parts = model()  # 64 px
    image = rand(0, 1, 400, 500, 3)
    settings = {"size": "model", "denoiser": parts.denoiser, "vae": parts.vae}
    with pytest.raises(BadInput) as caught:
        crop_to_mask(image, holes(500, 400, (100, 100, 280, 200)), **settings)
    assert caught.value.found == (
        "a hole of 180×100 pixels, whose window of 270 pixels the model would see scaled down 4.2 times"
    )
    assert "own size is 64 pixels" in caught.value.expected
    ctx = RecordingContext()
    crop_to_mask(image, holes(500, 400, (100, 100, 180, 140)), ctx=ctx, **settings)
    (warning,) = ctx.warnings
    assert warning.startswith("window-reduced: a hole of 80×40 pixels needs a window of 120 pixels, which is scaled")
    assert "1.9 times to 64" in warning
    quiet = RecordingContext()
    crop_to_mask(image, holes(500, 400, (100, 100, 130, 130)), ctx=quiet, **settings)
    assert quiet.warnings == []


def test_what_a_model_cannot_work_on_is_refused(model):
    parts = model()
    settings = {"size": "model", "denoiser": parts.denoiser, "vae": parts.vae}
    for image, mask, more, port in (
        (rand(0, 1, 7, 90, 3), holes(90, 7, (5, 2, 9, 4)), settings, "image"),
        (rand(0, 1, 80, 90, 3), holes(90, 80), settings, "mask"),
        (rand(0, 1, 80, 90, 3), holes(90, 80, (8, 8, 72, 72)), settings | {"context": 1}, "mask"),
        (rand(0, 1, 80, 90, 3), holes(90, 80, (8, 8, 72, 72)), {"size": "model"}, "denoiser"),
    ):
        with pytest.raises(BadInput) as caught:
            crop_to_mask(image, mask, **more)
        assert caught.value.port == port


def test_a_check_knows_what_a_run_would_refuse(tmp_path, tiny):
    folder = tiny.stable_diffusion("sd")
    Image.new("RGB", (500, 400)).save(tmp_path / "photo.png")

    def problems(box, **settings):
        mask = Image.new("L", (500, 400))
        mask.paste(255, box)
        mask.save(tmp_path / "hole.png")
        return inlay.check(
            {
                "format": 1,
                "nodes": {
                    "photo": {"type": "image.load", "params": {"path": str(tmp_path / "photo.png")}},
                    "hole": {"type": "mask.load", "params": {"path": str(tmp_path / "hole.png")}},
                    "model": {"type": "model.stable_diffusion", "params": {"source": str(folder)}},
                    "crop": {
                        "type": "image.crop_to_mask",
                        "params": {"size": "model"} | settings,
                        "inputs": {
                            "image": "photo.image",
                            "mask": "hole.mask",
                            "denoiser": "model.denoiser",
                            "vae": "model.vae",
                        },
                    },
                    "fit": {"type": "image.fit", "params": {"multiple": 64}, "inputs": {"image": "crop.image"}},
                },
                "outputs": {"x": "crop.image", "fitted": "fit.image"},
            }
        )

    assert problems((100, 100, 140, 140)) == []
    (problem,) = problems((100, 100, 280, 200))
    assert (problem.node, problem.port) == ("crop", "mask")
    assert "scaled down 4.2 times" in problem.found
    (problem,) = problems((0, 0, 0, 0))
    assert problem.found == "an empty mask"
    report = problems((100, 100, 180, 140))
    assert report == []
    assert any("window-reduced" in warning.message for warning in report.warnings)


def test_a_model_that_is_not_there_yet_is_not_asked(tmp_path, monkeypatch):
    """A model of the hub: the check says nothing of its size, and fetches nothing."""
    monkeypatch.setenv("INLAY_OFFLINE", "1")
    Image.new("RGB", (500, 400)).save(tmp_path / "photo.png")
    mask = Image.new("L", (500, 400))
    mask.paste(255, (100, 100, 280, 200))
    mask.save(tmp_path / "hole.png")
    raw = {
        "format": 1,
        "nodes": {
            "photo": {"type": "image.load", "params": {"path": str(tmp_path / "photo.png")}},
            "hole": {"type": "mask.load", "params": {"path": str(tmp_path / "hole.png")}},
            "model": {"type": "model.stable_diffusion", "params": {"source": "somebody/some-model"}},
            "crop": {
                "type": "image.crop_to_mask",
                "params": {"size": "model"},
                "inputs": {
                    "image": "photo.image",
                    "mask": "hole.mask",
                    "denoiser": "model.denoiser",
                    "vae": "model.vae",
                },
            },
        },
        "outputs": {"x": "crop.image"},
    }
    assert not any(problem.node == "crop" for problem in inlay.check(raw))


@pytest.mark.parametrize("hole", [(90, 99, 40, 60), (0, 9, 0, 20), (50, 99, 100, 141)])
def test_with_multiple_1_a_window_of_the_pictures_own_pixels_stays_inside_it(hole):
    image, mask = torch.rand(1, 99, 141, 3), torch.zeros(1, 99, 141)
    top, bottom, left, right = hole
    mask[:, top:bottom, left:right] = 1
    cut = crop_to_mask(image, mask, context=9.0, size=None, multiple=1)
    side = min(99, max(64, 9 * max(bottom - top, right - left)))
    assert cut.image.shape[1] == side
    assert cut.mask.sum() == mask.sum()
    (place,) = cut.crop.places
    inside = image[:, place.top : place.top + place.height, place.left : place.left + place.width]
    assert torch.equal(cut.image, inside)
    assert torch.equal(stitch(cut.image, cut.crop).image, image)


def test_a_hole_at_the_border_is_hole_in_the_mirror_too():
    """Otherwise what is to go is known beyond the border, and is painted again."""
    image, mask = rand(1, 1, 43, 200, 3), holes(200, 43, (40, 30, 160, 43))
    known, mirrored = (crop_to_mask(image, mask, context=3.0, size=None, beyond=how) for how in ("known", "mirrored"))
    [(top, left, height, width)] = places(known.crop)
    assert (top, height) == (-2, 48)
    rows = [abs(row) if row < 43 else 84 - row for row in range(top, top + height)]  # mirrored at the last pixel
    assert torch.equal(mirrored.mask, mask[:, rows, left : left + width])
    inside = [0 <= row < 43 for row in range(top, top + height)]
    assert torch.equal(known.mask, mirrored.mask * torch.tensor(inside)[None, :, None])
    assert torch.equal(known.image, mirrored.image)
    assert mirrored.mask[:, 45:].any()
    back = stitch(torch.zeros_like(mirrored.image), mirrored.crop).image
    assert torch.equal(back[mask == 0], image[mask == 0])
    assert not back[mask == 1].any()


@pytest.mark.parametrize(("grown", "feather", "said"), [(0, 3, True), (3, 3, False), (0, 0, False)])
def test_a_feather_over_a_tight_mask_is_named_and_a_grown_one_is_not(grown, feather, said):
    """A black blot on a light wall; what is painted is the wall."""
    image = torch.full((1, 80, 90, 3), 0.8)
    image[:, 30:50, 30:50] = 0
    mask, ctx = holes(90, 80, (30 - grown, 30 - grown, 50 + grown, 50 + grown)), RecordingContext()
    crop = crop_to_mask(image, mask, size=None).crop
    back = stitch(torch.full((1, *crop.size, 3), 0.8), crop, feather=feather, ctx=ctx).image
    assert any("feather-shows" in warning and "grow the mask by 3 px" in warning for warning in ctx.warnings) == said
    assert bool(torch.isclose(back, torch.tensor(0.8)).all()) != said


@pytest.mark.parametrize(
    ("size", "expected"), [(13, "a multiple of 8, or 'model'"), ("big", "a valid integer, or 'model'")]
)
def test_a_wrong_size_is_one_problem(size, expected):
    graph = {
        "photo": {"type": "image.load", "params": {"path": "room.png"}},
        "crop": {"type": "image.crop_to_mask", "params": {"size": size}, "inputs": {"image": "photo.image"}},
    }
    found = [one for one in inlay.check({"format": 1, "nodes": graph}) if one.where == "crop.size"]
    assert [one.expected for one in found] == [expected]


def test_who_misses_a_mask_is_told_of_the_nodes_that_load_one_first():
    graph = {"grow": {"type": "mask.grow"}}
    (found,) = [one for one in inlay.check({"format": 1, "nodes": graph}) if one.where == "grow.mask"]
    assert "outputs it: image.load, image.with_mask, mask.brush, mask.load, " in found.fix

"""Strokes on a copy of the photo are what differs from it, whatever the photo itself holds."""

import io

import numpy as np
import pytest
import torch
from inlay.graph_runtime.core.notices import collect_notices
from inlay.nodes.checks.before_run import shaped
from inlay.nodes.checks.mask import load as check
from inlay.nodes.image.files import load as load_image
from inlay.nodes.mask.files import load
from PIL import Image as Pil
from PIL import ImageCms, ImageDraw, ImageFilter
from recording import RecordingContext
from scipy.ndimage import binary_dilation, gaussian_filter

SIZE = (141, 99)
SETTINGS = {"channel": "drawn", "invert": False, "threshold": 0.5}


def photo(seed=0):
    """Soft shapes with grain, as in a photo, and a red thing of the colour of pens."""
    random = np.random.default_rng(seed)
    values = gaussian_filter(random.uniform(0, 1, (99, 141, 3)), (6, 6, 0))
    values = 0.2 + 0.6 * (values - values.min()) / (values.max() - values.min()) + random.normal(0, 0.01, (99, 141, 1))
    values[60:95, 85:135] = np.array([0.78, 0.1, 0.12]) + random.normal(0, 0.02, (35, 50, 1))
    return Pil.fromarray((values.clip(0, 1) * 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(0.6))


def strokes(width):
    """A line from the border over the red thing, and its pixels."""
    plane = Pil.new("L", SIZE)
    ImageDraw.Draw(plane).line([(0, 20), (60, 30), (120, 80)], fill=255, width=width)
    return np.asarray(plane) > 0


def draw(picture, where, pen, alpha=1.0):
    values = np.asarray(picture.convert("RGB")).astype(float)
    values[where] += alpha * (np.array(pen) - values[where])
    return Pil.fromarray(values.round().astype(np.uint8))


def read(folder, copy="copy.png", of="photo.png", **settings):
    ctx = RecordingContext()
    picture = load_image(str(folder / of), ctx)
    mask = load(str(folder / copy), ctx, channel="drawn", image=picture.image, profile=picture.profile, **settings)
    return mask.mask[0].numpy() > 0, ctx.warnings


@pytest.mark.parametrize("alpha", [1.0, 0.5])
@pytest.mark.parametrize("width", [1, 9])
@pytest.mark.parametrize("pen", [(255, 0, 0), (255, 255, 255), (0, 0, 0), (0, 160, 255)], ids=str)
def test_strokes_of_any_colour_are_the_hole_and_nothing_of_the_photo(pen, width, alpha, tmp_path):
    photo().save(tmp_path / "photo.png")
    truth = strokes(width)
    draw(photo(), truth, pen, alpha).save(tmp_path / "copy.png")
    mask, warnings = read(tmp_path)
    assert mask[truth].mean() > 0.99
    assert not mask[~binary_dilation(truth, iterations=3)].any()
    assert not [note for note in warnings if "thin" not in note and "small" not in note]
    inverted, _ = read(tmp_path, invert=True)
    assert np.array_equal(inverted, ~mask)


@pytest.mark.parametrize("quality", [75, 85, 95])
@pytest.mark.parametrize("pen", [(255, 0, 0), (255, 255, 255), (0, 200, 40)], ids=str)
@pytest.mark.parametrize("alpha", [1.0, 0.6])
def test_in_a_compressed_copy_too(pen, quality, alpha, tmp_path):
    """All that differs by more than JPEG does, and hardly anything beyond the 16×16 pixels whose colours it mixes."""
    photo().save(tmp_path / "photo.png")
    truth = strokes(9)
    copy = draw(photo(), truth, pen, alpha)
    copy.save(tmp_path / "copy.jpg", quality=quality)
    mask, _ = read(tmp_path, "copy.jpg")
    clear = np.abs(np.asarray(copy).astype(int) - np.asarray(photo())).max(-1) >= 0.2 * 255
    assert mask[truth & clear].mean() > 0.97
    assert mask[~binary_dilation(truth, iterations=16)].sum() <= 0.02 * truth.sum()
    assert mask.sum() < 1.3 * truth.sum()


def test_a_photo_of_sixteen_bits_and_a_copy_of_eight(tmp_path):
    deep = np.asarray(photo()).astype(np.uint16) * 257 + 100
    truth = strokes(5)
    draw(photo(), truth, (255, 0, 0)).save(tmp_path / "copy.png")
    shallow = load_image(str(tmp_path / "copy.png"), RecordingContext())
    image = torch.from_numpy(deep.clip(0, 65_535).astype(np.float32) / 65_535)[None]
    mask = load(str(tmp_path / "copy.png"), RecordingContext(), channel="drawn", image=image, profile=shallow.profile)
    assert (mask.mask[0].numpy()[truth] > 0).all()
    assert not mask.mask[0].numpy()[~binary_dilation(truth, iterations=3)].any()


def test_a_copy_that_was_converted_to_srgb(tmp_path):
    """The photo's numbers mean Adobe RGB; the copy's, converted by littleCMS, sRGB."""
    from inlay.pictures.colour.icc import write_icc
    from inlay.pictures.colour.matrix_space import Curve, MatrixSpace, matrix_of
    from inlay.pictures.colour.space import ADOBE

    adobe = write_icc(MatrixSpace(matrix_of(ADOBE), (Curve(2.19921875),) * 3), "Adobe")
    photo().save(tmp_path / "photo.png", icc_profile=adobe)
    converted = ImageCms.profileToProfile(
        photo(), ImageCms.ImageCmsProfile(io.BytesIO(adobe)), ImageCms.createProfile("sRGB")
    )
    converted.info.pop("icc_profile", None)
    truth = strokes(5)
    draw(converted, truth, (0, 0, 255)).save(tmp_path / "copy.png")
    mask, _ = read(tmp_path)
    assert mask[truth].all()
    assert not mask[~binary_dilation(truth, iterations=3)].any()


def test_an_outline_is_not_filled(tmp_path):
    photo().save(tmp_path / "photo.png")
    ring = Pil.new("L", SIZE)
    ImageDraw.Draw(ring).ellipse((20, 20, 90, 80), outline=255, width=3)
    draw(photo(), np.asarray(ring) > 0, (255, 0, 0)).save(tmp_path / "copy.png")
    mask, _ = read(tmp_path)
    assert not mask[50, 55]
    assert mask[50, 20:23].all()


def masks(folder):
    """Masks that are no copy of the photo."""
    white = np.where(strokes(9), 255, 0).astype(np.uint8)
    soft = Pil.fromarray(white).filter(ImageFilter.GaussianBlur(4))
    erased = photo().convert("RGBA")
    erased.putalpha(Pil.fromarray(255 - white))
    other = photo(5).resize((70, 50))
    return {
        "black and white": Pil.fromarray(white),
        "one bit": Pil.fromarray(white).convert("1"),
        "soft": soft,
        "black and white, RGB": Pil.fromarray(white).convert("RGB"),
        "erased": erased,
        "another size": draw(photo().resize((70, 50)), np.asarray(other)[..., 0] > 150, (255, 0, 0)),
        "another photo": draw(photo(7), strokes(9), (255, 0, 0)),
        "the photo itself": photo(),
    }


@pytest.mark.parametrize("name", masks(None))
def test_other_masks_are_read_as_without_the_photo(name, tmp_path):
    photo().save(tmp_path / "photo.png")
    masks(tmp_path)[name].save(tmp_path / "copy.png")
    mask, warnings = read(tmp_path)
    ctx = RecordingContext()
    plain = load(str(tmp_path / "copy.png"), ctx, channel="drawn").mask[0].numpy() > 0
    assert np.array_equal(mask, plain)
    assert warnings == ctx.warnings


def test_a_white_background_that_photo_and_mask_share_makes_no_copy(tmp_path):
    product = Pil.new("RGB", SIZE, "white")
    product.paste(photo().crop((0, 0, 50, 50)), (40, 20))
    product.save(tmp_path / "photo.png")
    mask = Pil.new("L", SIZE, "white")
    mask.paste(0, (40, 20, 90, 70))
    mask.save(tmp_path / "copy.png")
    found, _ = read(tmp_path)
    assert np.array_equal(found, np.asarray(mask) > 0)


def test_a_compressed_copy_without_strokes_is_empty_and_says_so(tmp_path):
    photo().save(tmp_path / "photo.png")
    photo().save(tmp_path / "copy.jpg", quality=80)
    mask, warnings = read(tmp_path, "copy.jpg")
    assert not mask.any()
    assert any("mask-empty" in note for note in warnings)


@pytest.mark.parametrize("name", ["black and white", "erased", "copy"])
def test_the_check_waits_for_the_photo_only_where_it_is_needed(name, tmp_path):
    drawn = {**masks(tmp_path), "copy": draw(photo(), strokes(9), (255, 0, 0))}[name]
    drawn.save(tmp_path / "copy.png")
    params = {"path": str(tmp_path / "copy.png"), **SETTINGS}
    with collect_notices() as notes:
        facts = check({"image": shaped(1, 99, 141, 3), "profile": None}, params)
        unknown = check({}, params)
    assert not notes
    for found in (facts["mask"], unknown["mask"]):
        assert found.shape == (1, 99, 141)
        assert found.is_meta == (name == "copy")
    assert not check({"image": None, "profile": None}, params)["mask"].is_meta

"""Each method of `inpaint` on a real run: known pixels, variations, recall."""

import inlay
import numpy as np
import pytest
from PIL import Image

ODD = (141, 99)


@pytest.fixture
def photo(tmp_path, monkeypatch):
    """A folder with photo.png, its mask hole.png, and example.png."""
    monkeypatch.chdir(tmp_path)
    draw = np.random.default_rng(1)
    small = draw.integers(0, 255, (9, 13, 3), np.uint8)
    Image.fromarray(small).resize(ODD, Image.Resampling.BICUBIC).save("photo.png")
    Image.fromarray(small).resize((40, 40)).save("example.png")
    hole = np.zeros(ODD[::-1], np.uint8)
    hole[30:52, 60:91] = 255
    Image.fromarray(hole).save("hole.png")
    return tmp_path


@pytest.fixture(scope="session")
def sources(tiny_at, tmp_path_factory):
    """A tiny model for each method."""
    tiny = tiny_at(tmp_path_factory.mktemp("everyday"))
    return {
        "null_space": tiny.stable_diffusion(),
        "model": tiny.stable_diffusion("inpainting", unet={"in_channels": 9}),
        "exemplar": tiny.paint_by_example(),
    }


def options(method, sources):
    if method == "patches":
        return {}
    more = {"source": sources[method], "steps": 2, "size": 64}
    return more | ({"example": "example.png"} if method == "exemplar" else {"prompt": "abc"})


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image)


def run(out, **values):
    return inlay.run("inpaint", image="photo.png", mask="hole.png", out=out, **values)


METHODS = ("patches", "null_space", "model", "exemplar")


@pytest.mark.parametrize("method", METHODS)
def test_known_pixels_keep_their_bits_and_the_result_runs_again_to_the_same_bytes(photo, sources, method):
    first = run("a", **options(method, sources), grow=2, feather=2, cache=False).paths[0]
    hole = np.zeros(ODD[::-1], bool)
    hole[26:56, 56:95] = True
    assert np.array_equal(pixels(first)[~hole], pixels("photo.png")[~hole])
    assert not np.array_equal(pixels(first)[hole], pixels("photo.png")[hole])
    again = inlay.run(first, out="b", cache=False).paths[0]
    assert again.name == first.name
    assert again.read_bytes() == first.read_bytes()
    other = inlay.run(first, out="c", cache=False, seed=8).paths[0]
    assert not np.array_equal(pixels(other), pixels(first))


@pytest.mark.parametrize("method", METHODS)
def test_a_variation_has_the_same_bits_alone_as_beside_the_others(photo, sources, method):
    several = run("a", **options(method, sources), variations=3, cache=False)
    assert [path.name for path in several.paths] == [
        "photo_00001.png",
        "photo_00002.png",
        "photo_00003.png",
        "photo_sheet_00001.png",
    ]
    single = run("b", **options(method, sources), cache=False).paths[0]
    assert np.array_equal(pixels(several.paths[0]), pixels(single)), "the first is what one run makes"
    for more in ({}, {"variations": 3}):
        alone = run("c", **options(method, sources), pick=3, cache=False, **more).paths
        assert len(alone) == 1
        assert np.array_equal(pixels(several.paths[2]), pixels(alone[0]))
    assert not np.array_equal(pixels(several.paths[1]), pixels(several.paths[2]))


def test_an_object_that_is_not_there_is_named_with_what_was_found_instead(photo, tiny):
    detector = tiny.detector()
    with pytest.raises(inlay.NodeError) as caught:
        inlay.run("inpaint", image="photo.png", object="bird", detector=detector, set={"found.score": 1.0})
    assert "found.image" in str(caught.value)
    assert "bird" in str(caught.value)
    with pytest.raises(inlay.WorkflowError) as refused:
        inlay.run("inpaint", image="photo.png", object="horse", detector=detector)
    assert "sofa" in str(refused.value)


def test_an_object_and_a_mask_are_filled_together(photo, tiny):
    found = inlay.run(
        "inpaint",
        image="photo.png",
        mask="hole.png",
        object="sofa",
        detector=tiny.detector(),
        set={"found.score": 0.0, "fill.fill": "neutral"},
        cache=False,
    )
    grey = (pixels(found.paths[0]) == 128).all(-1)
    assert grey[30:52, 60:91].all()
    assert grey.sum() > 22 * 31


def test_outpainting_adds_room_and_keeps_the_photo(photo, sources):
    result = inlay.run("inpaint", image="photo.png", outpaint="left=20%,top=5", mask="hole.png", cache=False)
    made = pixels(result.paths[0])
    assert made.shape == (99 + 5, 141 + 28, 3)
    hole = pixels("hole.png") > 0
    assert np.array_equal(made[5:, 28:][~hole], pixels("photo.png")[~hole])
    assert not np.array_equal(made[5:, 28:][hole], pixels("photo.png")[hole])
    assert made[:, :28].std() > 1, "something is there"
    again = inlay.run(result.paths[0], out="b", cache=False).paths[0]
    assert again.read_bytes() == result.paths[0].read_bytes()
    with Image.open("photo.png") as image:
        image.convert("RGBA").save("clear.png", dpi=(72, 72))
    wide = inlay.run("inpaint", image="clear.png", outpaint="20%", cache=False, **options("null_space", sources)).paths[
        0
    ]
    with Image.open(wide) as image:
        assert image.mode == "RGBA"
        assert image.size == (141 + 2 * 28, 99 + 2 * 20)
        assert np.array_equal(np.asarray(image)[20:119, 28:169], pixels("clear.png"))


def test_a_colour_and_strokes_are_areas(photo):
    picture = pixels("photo.png").copy()
    picture[70:90, 5:25] = (255, 0, 0)
    Image.fromarray(picture).save("marked.png")
    grey = {"fill.fill": "neutral"}
    result = inlay.run(
        "inpaint", image="marked.png", colour="#ff0000~5", strokes="100,20 120,20~9", set=grey, cache=False
    )
    filled = (pixels(result.paths[0]) == 128).all(-1)
    assert filled[70:90, 5:25].all()
    assert filled[16:25, 100:121].all()
    assert not filled[15, 110]
    assert not filled[26, 110]
    with pytest.raises(inlay.NodeError) as caught:
        inlay.run("inpaint", image="marked.png", colour="#00ff00~1")
    assert "coloured.colour" in str(caught.value)


def test_the_best_quality_keeps_known_pixels_and_runs_again(photo, sources):
    more = options("model", sources) | {"quality": "best", "size": 96, "variations": 2, "cache": False}
    result = run("a", **more)
    hole = pixels("hole.png") > 0
    for path in result.paths[:2]:
        assert np.array_equal(pixels(path)[~hole], pixels("photo.png")[~hole])
    assert inlay.run(result.paths[1], out="b", cache=False).paths[1].read_bytes() == result.paths[1].read_bytes()
    alone = run("c", **more | {"pick": 2})
    assert np.array_equal(pixels(alone.paths[0]), pixels(result.paths[1]))

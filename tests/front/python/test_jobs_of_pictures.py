"""A list of pictures in memory is a job, one run a picture; an array of several is one batch."""

import warnings

import inlay
import numpy as np
import pytest
from inlay.graph_runtime.core.user_paths import home

RNG = np.random.default_rng(7)
IMAGES = [RNG.integers(0, 256, (40 + 8 * number, 48, 3), dtype=np.uint8) for number in range(3)]
MASKS = [np.zeros(image.shape[:2], bool) for image in IMAGES]
for mask in MASKS:
    mask[10:20, 10:20] = True


@pytest.mark.parametrize("out", [None, "out"])
def test_a_list_is_one_run_a_picture(tmp_path, monkeypatch, out):
    monkeypatch.chdir(tmp_path)
    job = inlay.inpaint(IMAGES, MASKS, out=out)
    for result, image, mask in zip(job.results, IMAGES, MASKS, strict=True):
        assert np.array_equal(np.asarray(result.pil())[~mask], image[~mask])
        assert result["image"].shape == (1, *image.shape)
    assert [picture.size for picture in job.pils()] == [(48, 40), (48, 48), (48, 56)]
    assert job.pil(2).size == (48, 56)
    assert job._repr_png_()[:4] == b"\x89PNG"
    assert not list((home() / "held").iterdir())
    assert sorted(path.name for path in tmp_path.rglob("image*")) == (
        [] if out is None else ["image-1.png", "image-2.png", "image-3.png"]
    )
    if out is not None:
        table = (tmp_path / out / "job.csv").read_text("utf-8")
        assert "image-2.png,mask-2.png,image-2.png" in table
        assert str(home()) not in table


def test_a_picture_that_fails_is_a_warning_and_its_own_error():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        job = inlay.inpaint(IMAGES, [MASKS[0], MASKS[0], MASKS[2]])
    assert [str(one.message)[:15] for one in caught] == ["image-2 failed:"]
    assert {one.filename for one in caught} == {__file__}
    assert repr(job) == "<JobResult 2 done, 1 failed of 3>"
    assert len(job.pils()) == 2
    with pytest.raises(inlay.InlayError, match=r"50×40|48×40"):
        job.pil(1)


def test_what_many_pictures_have_in_common_is_said_once():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        job = inlay.run("zero_shot_inpaint", image=IMAGES, mask=MASKS, steps=1, out=None)
    assert len(job.pils()) == 3
    assert len([one for one in caught if "drawn rooms" in str(one.message)]) == 1


def test_an_array_of_several_is_one_run():
    batch = np.stack([IMAGES[0], IMAGES[0][::-1]])
    result = inlay.run("zero_shot_inpaint", image=batch, mask=MASKS[0], steps=1, out=None)
    assert result.numpy().shape == batch.shape
    assert np.array_equal(np.asarray(result.pil(1))[~MASKS[0]], batch[1][~MASKS[0]])


def test_each_wrong_picture_of_a_list_is_named():
    problems = inlay.check("inpaint", image=[IMAGES[0], np.zeros(3), np.zeros((3, 9, 9), np.uint8)], mask=MASKS)
    assert [problem.port for problem in problems] == ["image[1]", "image[2]"]

"""Folders of pictures and masks are paired by order; the check warns where file names contradict it."""

import inlay
import pytest
from inlay.pictures.pairing import crossed
from PIL import Image as Pil


@pytest.mark.parametrize(
    ("pictures", "masks", "found"),
    [
        (["a.png", "b.png"], ["a.png", "b.png"], None),
        (["a.jpg", "b.jpg"], ["a-mask.png", "b_Mask.PNG"], None),
        (["room_001.png", "room_002.png"], ["mask1.png", "mask2.png"], None),
        (["a.png", "b.png"], ["x.png", "y.png"], None),  # called otherwise: nothing contradicts the order
        (["a.png", "b.png"], ["hole.png"], None),
        (["a.png", "b.png", "c.png"], ["a.png", "c.png", "d.png"], ("b.png", "c.png", "c.png")),
        (["IMG_1.JPG", "IMG_2.JPG"], ["2-mask.png", "3-mask.png"], ("IMG_1.JPG", "2-mask.png", "IMG_2.JPG")),
        (["a.png", "a.jpg"], ["a.png", "a-mask.jpg"], None),
    ],
)
def test_a_mask_that_is_named_after_another_picture(pictures, masks, found):
    assert crossed(pictures, masks) == found


@pytest.mark.parametrize("grown", [0, 3])
def test_check_and_run_warn_once(tmp_path, grown):
    for folder, names in (("in", "abc"), ("masks", "acd")):
        (tmp_path / folder).mkdir()
        for name in names:
            picture = Pil.new("RGB" if folder == "in" else "L", (64, 48))
            if folder == "masks":
                picture.paste(255, (10, 10, 30, 30))
            picture.save(tmp_path / folder / f"{name}.png")
    flow = {
        "format": 1,
        "nodes": {
            "photo": {"type": "image.load", "params": {"path": str(tmp_path / "in")}},
            "hole": {"type": "mask.load", "params": {"path": str(tmp_path / "masks")}},
            "area": {"type": "mask.grow", "params": {"pixels": grown}, "inputs": {"mask": "hole.mask"}},
            "fit": {"type": "image.fit", "inputs": {"image": "photo.image", "mask": "area.mask"}},
            "fill": {"type": "image.fill", "inputs": {"image": "photo.image", "mask": "area.mask"}},
        },
        "outputs": {"image": "fill.image", "fitted": "fit.image"},
    }
    report = inlay.check(flow)
    assert report == []
    told = [warning.message for warning in report.warnings if "paired by their order" in warning.message]
    assert len(told) == 1
    assert "b.png gets the mask c.png, which is named after c.png" in told[0]
    (tmp_path / "masks" / "d.png").rename(tmp_path / "masks" / "b.png")
    assert not inlay.check(flow).warnings

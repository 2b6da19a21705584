"""Batches of variations: row i belongs to picture i // k, also when pasted, unfitted or stitched."""

import inlay
import numpy as np
import pytest
import torch
from inlay.graph_runtime import BadInput
from inlay.nodes.image.crop import crop_to_mask, stitch
from inlay.nodes.image.fit import fit, unfit
from inlay.nodes.image.paste import paste_back
from picture_toys import random_image
from PIL import Image as Pil


def picture(count, height=12, width=10, seed=0):
    return random_image(count, height, width, seed)


def hole(count, height=12, width=10):
    """A hole in another place for each mask."""
    masks = torch.zeros(count, height, width)
    for number, mask in enumerate(masks):
        mask[3 + number : 7 + number, 2:5] = 1
    return masks


@pytest.mark.parametrize(
    ("bases", "masks", "patches"), [(3, 1, 6), (3, 3, 6), (1, 2, 4), (1, 1, 2), (2, 1, 2), (2, 2, 6)]
)
def test_a_patch_goes_back_into_its_own_picture(bases, masks, patches):
    base, mask, patch = picture(bases), hole(masks), picture(patches, seed=1)
    out = paste_back(base, patch, mask).image
    assert len(out) == patches
    each = patches // max(bases, masks)
    for row, got in enumerate(out):
        own, plane = base[row // each if bases > 1 else 0], mask[row // each if masks > 1 else 0]
        assert torch.equal(got, torch.where(plane[..., None] > 0, patch[row], own))


def test_a_batch_that_is_no_multiple_is_still_refused():
    with pytest.raises(BadInput, match="base 3"):
        paste_back(picture(3), picture(4), hole(1))


def test_margins_and_windows_are_given_back_to_their_own_picture():
    base, mask = picture(3, 30, 21), hole(3, 30, 21)
    fitted = fit(base, mask, mode="crop", multiple=8)
    changed = fitted.image.repeat_interleave(2, 0) * 0.5
    out = unfit(changed, fitted.fit).image
    assert torch.equal(out[:, 0], base.repeat_interleave(2, 0)[:, 0])  # the margin
    assert torch.equal(unfit(fitted.image.repeat_interleave(2, 0), fitted.fit).image, base.repeat_interleave(2, 0))
    cut = crop_to_mask(base, mask, size=None)
    out = stitch(torch.zeros_like(cut.image).repeat_interleave(2, 0), cut.crop).image
    assert torch.equal(out, (base * (1 - mask[..., None])).repeat_interleave(2, 0))


def test_a_mask_drawn_on_the_unturned_photo_is_explained():
    for sides, hint in (((10, 12), "EXIF"), ((10, 10), "image.fit")):
        with pytest.raises(BadInput, match=hint):
            paste_back(picture(1), picture(1), torch.ones(1, *sides))


@pytest.mark.parametrize(("photos", "masks"), [(3, 1), (1, 2)])
def test_variations_of_a_batch_come_out_pasted_into_their_own_photo(shared_sd, tmp_path, photos, masks):
    for name, batch in (("photos", picture(photos, 24, 40)), ("masks", hole(masks, 24, 40))):
        (tmp_path / name).mkdir()
        for number, one in enumerate(batch):
            Pil.fromarray((one.numpy() * 255).round().astype(np.uint8)).save(tmp_path / name / f"{number}.png")
    done = inlay.run(
        "zero_shot_inpaint",
        set={"photo.path": tmp_path / "photos", "hole.path": tmp_path / "masks"},
        steps=2,
        source=str(shared_sd),
        variations=2,
        out=tmp_path / "out",
        cache=False,
    )
    assert len(done.paths) == 2 * max(photos, masks)
    for row, path in enumerate(done.paths):
        with Pil.open(path) as got, Pil.open(tmp_path / "photos" / f"{row // 2 if photos > 1 else 0}.png") as photo:
            outside = hole(masks, 24, 40)[row // 2 if masks > 1 else 0].numpy() == 0
            assert np.array_equal(np.asarray(got)[outside], np.asarray(photo)[outside])
            assert not np.array_equal(np.asarray(got), np.asarray(photo))

"""Metrics against closed forms."""

import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from inlay.graph_runtime import BadInput, Context
from inlay.graph_runtime.front.docs.reference import describe, render_text
from inlay.models.image_encoder import preprocess_images
from inlay.nodes import load_pack, model_vision
from inlay.nodes.metric import clip_image, clip_score, dino, fid, known_region, psnr, ssim
from inlay.nodes.report import table
from inlay.pictures.metrics import frechet
from PIL import Image


def test_psnr_in_closed_form():
    black = torch.zeros(1, 8, 6, 3)
    assert psnr(black + 0.1, black).value == pytest.approx(20.0)
    assert psnr(black, black).value == math.inf
    half = black.clone()
    half[:, :4] = 0.1
    mask = torch.zeros(1, 8, 6)
    mask[:, :4] = 1
    assert psnr(half, black).value == pytest.approx(20 + 10 * math.log10(2))
    assert psnr(half, black, mask).value == pytest.approx(20.0)
    assert psnr(half, black, 1 - mask).value == math.inf
    soft = torch.full((1, 8, 6), 0.5)
    assert psnr(half, black, soft).value == pytest.approx(psnr(half, black).value)
    assert psnr(torch.cat([half, black]), black).value == pytest.approx(20 + 10 * math.log10(4))


def test_one_picture_under_several_masks_counts_once_for_each():
    base = torch.full((1, 12, 16, 3), 0.25)
    other = base.clone()
    other[:, 0] += 0.5
    masks = torch.zeros(2, 12, 16)
    masks[0, 0] = masks[1] = 1
    masks[1, 0, :8] = 0
    assert known_region(other, base, masks).value == 0.5  # the second leaves eight of the changed pixels
    alone = [known_region(other, base, mask[None]).value for mask in masks]
    assert alone == [0, 0.5]
    errors = [0.25 * 16, 0.25 * 8]
    assert psnr(other, base, masks).value == pytest.approx(-10 * math.log10(sum(errors) / float(masks.sum())), abs=1e-4)
    with pytest.raises(BadInput, match="3 masks for 2 pictures"):
        known_region(base, torch.cat([base, base]), torch.cat([masks, masks[:1]]))


def test_the_known_region_is_everything_that_the_mask_leaves():
    base, mask = torch.rand(1, 8, 6, 3), torch.zeros(1, 8, 6)
    mask[:, 2:4] = 0.01  # a little repainted counts as repainted
    painted = base.clone()
    painted[:, 2:4] = 0
    assert known_region(painted, base, mask).value == 0
    painted[0, 7, 5, 2] += 0.25
    assert known_region(painted, base, mask).value == pytest.approx(0.25)
    assert known_region(painted, base, torch.ones(1, 8, 6)).value == 0


def test_what_cannot_be_compared_is_refused_by_name():
    one = torch.rand(1, 8, 6, 3)
    for call, port in (
        (lambda: psnr(one, torch.rand(1, 6, 8, 3)), "reference"),
        (lambda: psnr(torch.rand(3, 8, 6, 3), torch.rand(2, 8, 6, 3)), "reference"),
        (lambda: psnr(one, one * torch.nan), "reference"),
        (lambda: psnr(one, one, torch.zeros(1, 8, 6)), "mask"),
        (lambda: known_region(one, one, torch.zeros(1, 6, 8)), "mask"),
    ):
        with pytest.raises(BadInput) as caught:
            call()
        assert caught.value.at("x").port == port


def test_ssim_against_its_definition_written_out():
    draws = np.random.default_rng(0)
    a, b = draws.random((14, 13, 3)), draws.random((14, 13, 3))
    axis = np.arange(-5, 6)
    window = np.exp(-(axis[:, None] ** 2 + axis[None] ** 2) / (2 * 1.5**2))
    window /= window.sum()
    values = []
    for channel in range(3):
        for y in range(4):
            for x in range(3):
                p, q = (value[y : y + 11, x : x + 11, channel] for value in (a, b))
                mp, mq = (window * p).sum(), (window * q).sum()
                vp, vq = (window * (p - mp) ** 2).sum(), (window * (q - mq) ** 2).sum()
                cov = (window * (p - mp) * (q - mq)).sum()
                values.append((2 * mp * mq + 1e-4) * (2 * cov + 9e-4) / ((mp**2 + mq**2 + 1e-4) * (vp + vq + 9e-4)))
    first, second = (torch.from_numpy(value)[None] for value in (a, b))
    assert ssim(first, second).value == pytest.approx(np.mean(values), abs=1e-12)
    assert ssim(first, first).value == pytest.approx(1, abs=1e-12)
    mask = torch.zeros(1, 14, 13)
    mask[0, 5, 5] = 1
    assert ssim(first, second, mask).value == pytest.approx(np.mean(values[::12]), abs=1e-12)
    with pytest.raises(BadInput):
        ssim(torch.rand(1, 8, 30, 3), torch.rand(1, 8, 30, 3))
    with pytest.raises(BadInput):
        ssim(first, second, torch.zeros(1, 14, 13))


def test_the_frechet_distance_of_gaussians_in_closed_form():
    from scipy.linalg import sqrtm

    draws = np.random.default_rng(1)
    a, b = draws.normal(size=(60, 5)) @ draws.normal(size=(5, 5)), 1 + draws.normal(size=(40, 5))
    s1, s2 = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    wanted = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(s1 + s2 - 2 * sqrtm(s1 @ s2).real)
    assert frechet(torch.from_numpy(a), torch.from_numpy(b)) == pytest.approx(wanted, rel=1e-9)
    assert frechet(torch.from_numpy(a), torch.from_numpy(a)) == pytest.approx(0, abs=1e-9)
    shift = torch.from_numpy(a)
    assert frechet(shift, shift + 2) == pytest.approx(5 * 4, rel=1e-9)


def rooms(*indices):
    from inlay.dollhouse.world import draw, sample_scene

    return torch.stack(
        [torch.from_numpy(np.array(draw(sample_scene("val", index)))).float() / 255 for index in indices]
    )


@pytest.mark.floor
def test_clip_measures_are_cosines_of_transformers_own_features(tmp_path):
    from inlay.dollhouse import judge
    from moved import CLIPImageProcessorPil
    from transformers import CLIPModel, CLIPTokenizer

    folder = Path(judge.__file__).with_name("clip")
    theirs = CLIPModel.from_pretrained(folder).float().eval()
    processor, tokenizer = (kind.from_pretrained(folder) for kind in (CLIPImageProcessorPil, CLIPTokenizer))
    images, ctx, described = rooms(3, 4), Context(), model_vision.clip()
    text = "a blue dog standing in a room with green walls"
    with torch.no_grad():
        pixels = processor(
            [Image.fromarray((image * 255).round().byte().numpy()) for image in images], return_tensors="pt"
        )
        seen = theirs.get_image_features(**pixels)
        read = theirs.get_text_features(**tokenizer([text], padding="max_length", max_length=32, return_tensors="pt"))
    seen, read = (
        torch.nn.functional.normalize(getattr(value, "pooler_output", value), dim=-1) for value in (seen, read)
    )
    assert clip_image(images[:1], images[1:], described.clip, ctx).value == pytest.approx(
        100 * float(seen[0] @ seen[1]), abs=1e-3
    )
    assert dino(images[:1], images[1:], described.dino, ctx).value == pytest.approx(
        100 * float(seen[0] @ seen[1]), abs=1e-3
    )
    assert clip_score(images, described.clip, ctx, text=text).value == pytest.approx(
        100 * float((seen @ read.T).clamp(min=0).mean()), abs=1e-3
    )
    assert clip_image(images[:1], images[:1], described.clip, ctx).value == pytest.approx(100, abs=1e-6)
    mask = torch.zeros(1, 128, 128)
    mask[:, 30:94, 30:94] = 1
    cut = images[:1, 30:94, 30:94]
    assert clip_image(images[:1], cut, described.clip, ctx, mask).value == pytest.approx(100, abs=1e-6)
    twice = torch.cat([mask, mask])
    assert clip_image(images[:1], cut, described.clip, ctx, twice).value == pytest.approx(100, abs=1e-6)
    for number, image in enumerate(rooms(*range(6))):
        for name in ("a", "b"):
            (tmp_path / name).mkdir(exist_ok=True)
            Image.fromarray((image * 255).round().byte().numpy()).save(tmp_path / name / f"{number}.png")
    assert fid(str(tmp_path / "a"), str(tmp_path / "b"), described.dino, ctx).value == pytest.approx(0, abs=1e-6)
    (tmp_path / "b/0.png").unlink()
    assert fid(str(tmp_path / "a"), str(tmp_path / "b"), described.dino, ctx).value > 1e-3


@pytest.mark.floor
@pytest.mark.parametrize("kind", ["vit", "dinov2"])
def test_dino_is_the_class_token_of_transformers_own_model(tmp_path, kind):
    from transformers import Dinov2Config, Dinov2Model, ViTConfig, ViTModel

    torch.manual_seed(0)
    sizes = {
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "image_size": 32,
        "patch_size": 8,
    }
    theirs = (ViTModel(ViTConfig(**sizes)) if kind == "vit" else Dinov2Model(Dinov2Config(**sizes))).eval()
    theirs.save_pretrained(tmp_path)
    described, images, ctx = model_vision.dino(str(tmp_path)).dino, rooms(1, 2), Context()
    pixels = preprocess_images(images, 32, "crop", described.mean, described.std)
    with torch.no_grad():
        seen = torch.nn.functional.normalize(theirs(pixels).last_hidden_state[:, 0], dim=-1)
    assert dino(images[:1], images[1:], described, ctx).value == pytest.approx(100 * float(seen[0] @ seen[1]), abs=1e-3)
    with pytest.raises(BadInput) as caught:
        clip_score(images, described, ctx, text="a")
    assert "reads text" in caught.value.expected
    with pytest.raises(BadInput):
        dino(images, images, "x", ctx)


def test_a_table_is_written_three_ways(tmp_path):
    ctx = Context(out=tmp_path)
    made = table([1.23456789, math.inf, None, 2.0], ctx, ["one|two", "", "", "last"], title="Numbers", digits=3)
    assert made.table.splitlines() == [
        "**Numbers**",
        "",
        "|  | value |",
        "|---|---|",
        "| one\\|two | 1.23 |",
        "| 2 | ∞ |",
        "| last | 2 |",
    ]
    names = [Path(path).name for path in made.paths]
    assert names == ["table_00001.md", "table_00001.csv", "table_00001.png"]
    assert "1.23456789" in (tmp_path / "table_00001.csv").read_text()
    with Image.open(tmp_path / "table_00001.png") as picture:
        assert picture.size == (made.image.shape[2], made.image.shape[1])
    odd = table([1.0, -2, "-3\n|"], ctx, ["=HYPERLINK(1)", "a\\|b\x00\ud800", "@SUM"], title="two\nlines")
    assert odd.table.splitlines()[0] == "**two lines**"
    assert "| a\\\\\\|b�� |" in odd.table
    told = table([1.0, "<b>"], ctx, ["![x](http://a/b.png)", "<img src=//a>"], title="[t](http://a)").table
    assert not re.search(r"(?<!\\)\[|<", told)
    lines = Path(odd.paths[1]).read_text().splitlines()
    assert lines[1:] == ["'=HYPERLINK(1),1.0", "a\\|b��,-2", "'@SUM,'-3 |"]
    grid = table([1.0, 2.0, 3.0, 4.0], ctx, ["first", "", "second"], heads="a, b").table.splitlines()
    assert grid == ["|  | a | b |", "|---|---|---|", "| first | 1 | 2 |", "| second | 3 | 4 |"]
    for wrong in ({"digits": 0}, {"labels": ["a", "b"]}):
        with pytest.raises(BadInput):
            table([1.0], ctx, **wrong)


def test_every_metric_says_whether_higher_or_lower_is_better():
    ways = {node_id: dict(spec.better) for node_id, spec in load_pack().items() if spec.family == "metric"}
    lower = {"metric.lpips", "metric.known_region", "metric.fid"}
    assert ways == {node_id: {"value": "lower" if node_id in lower else "higher"} for node_id in ways}
    assert len(ways) == 8
    assert "higher is better" in render_text(psnr.spec)
    assert describe(fid.spec)["outputs"][0]["better"] == "lower"

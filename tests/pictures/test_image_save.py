"""image.save: exact numbers, the same bytes, metadata that come back, and nothing half-written."""

import errno
import json
import os

import numpy as np
import pytest
import torch
from inlay.graph_runtime import BadInput, Context
from inlay.graph_runtime.core.events import Warned
from inlay.nodes.image.files import load, save
from inlay.nodes.mask.files import load as load_mask
from PIL import Image as Pil

SUFFIX = {"png": ".png", "jpeg": ".jpg", "webp": ".webp"}


def every_byte():
    values = torch.arange(256, dtype=torch.float32).reshape(1, 16, 16, 1)
    return torch.cat([values, values.flip(1), 255 - values], -1) / 255


@pytest.mark.parametrize("kind", ["png", "webp"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_round_trip_is_exact(ctx, kind, dtype):
    image = every_byte()
    (path,) = save(image.to(dtype), ctx, format=kind).paths
    assert path.endswith("image_00001" + SUFFIX[kind])
    assert torch.equal(load(path, ctx).image, image)
    assert ctx.warnings == []
    assert np.array_equal(np.asarray(Pil.open(path).convert("RGB")), (image[0] * 255).round().numpy().astype(np.uint8))


def test_values_are_clamped_and_rounded_to_nearest(ctx):
    image = torch.tensor([-1.0, 0.0, 0.49 / 255, 0.51 / 255, 254.4 / 255, 254.6 / 255, 1.0, 3.0])
    (path,) = save(image[None, None, :, None].repeat(1, 1, 1, 3), ctx).paths
    assert np.asarray(Pil.open(path))[0, :, 0].tolist() == [0, 0, 0, 1, 254, 255, 255, 255]


def test_a_batch_gives_one_file_each_and_nothing_is_overwritten(ctx):
    image = torch.rand(3, 8, 9, 3)
    first, second = save(image, ctx, prefix="tests/room").paths, save(image, ctx, prefix="tests/room").paths
    names = [os.path.relpath(path, ctx.out) for path in first + second]
    assert names == [f"tests/room_{number:05d}.png" for number in range(1, 7)]
    for number, path in enumerate(first):
        assert np.array_equal(np.asarray(Pil.open(path)), (image[number] * 255).round().numpy().astype(np.uint8))


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp"])
def test_same_bytes(ctx, kind):
    ctx.metadata = {"inlay": "{}", "prompt": "räume"}
    image = torch.rand(1, 21, 33, 3)
    first, second = (save(image, ctx, format=kind).paths[0] for _ in range(2))
    with open(first, "rb") as a, open(second, "rb") as b:
        assert a.read() == b.read()


CHUNKS = {"inlay": json.dumps({"title": "Ein Loch füllen – 部屋", "nodes": {}}), "note": "plain"}


def test_png_metadata_are_text_chunks(ctx):
    ctx.metadata = CHUNKS
    (path,) = save(torch.rand(1, 8, 8, 3), ctx).paths
    with Pil.open(path) as picture:
        assert picture.info["inlay"] == CHUNKS["inlay"]
        assert picture.text == CHUNKS
    ctx.metadata = {"prompt": "部屋 – räume"}  # not Latin-1: an iTXt chunk
    (path,) = save(torch.rand(1, 8, 8, 3), ctx).paths
    with Pil.open(path) as picture:
        assert picture.info["prompt"] == "部屋 – räume"
    (bare,) = save(torch.rand(1, 8, 8, 3), ctx, metadata=False).paths
    with Pil.open(bare) as picture:
        assert picture.text == {}


@pytest.mark.parametrize("kind", ["jpeg", "webp"])
def test_other_metadata_are_exif(ctx, kind):
    ctx.metadata = {**CHUNKS, "prompt": "räume"}
    (path,) = save(torch.rand(1, 8, 8, 3), ctx, format=kind).paths
    with Pil.open(path) as picture:
        exif = picture.getexif()
        assert exif[0x010E] == CHUNKS["inlay"]
        assert json.loads(exif.get_ifd(0x8769)[0x9286][8:]) == {"note": "plain", "prompt": "räume"}
    (bare,) = save(torch.rand(1, 8, 8, 3), ctx, format=kind, metadata=False).paths
    with Pil.open(bare) as picture:
        assert not picture.getexif()


def test_long_workflows(ctx):
    ctx.metadata = {"inlay": "x" * 3_000_000}
    (path,) = save(torch.rand(1, 8, 8, 3), ctx).paths
    assert Pil.open(path).info["inlay"] == ctx.metadata["inlay"]
    (path,) = save(torch.rand(1, 8, 8, 3), ctx, format="jpeg").paths
    assert any("too long for JPEG" in message for message in ctx.warnings)
    assert not Pil.open(path).getexif()


def test_jpeg_says_that_it_is_not_exact(ctx):
    save(torch.rand(1, 8, 8, 3), ctx, format="jpeg")
    assert "JPEG is not exact" in ctx.warnings[0]


def test_nan_is_refused(ctx):
    image = torch.rand(2, 8, 8, 3)
    image[1, 2, 3, 0] = float("nan")
    with pytest.raises(BadInput, match="NaN") as caught:
        save(image, ctx)
    assert caught.value.port == "image"
    assert not ctx.out.exists()


@pytest.mark.parametrize("prefix", ["../x", "/tmp/x", "a/../../x", ""])
def test_files_stay_below_the_output_folder(ctx, prefix):
    with pytest.raises(BadInput, match="below the output folder"):
        save(torch.rand(1, 8, 8, 3), ctx, prefix=prefix)


def test_sides_too_long_for_the_format(ctx):
    with pytest.raises(BadInput, match="16383") as caught:
        save(torch.zeros(1, 1, 16384, 3), ctx, format="webp")
    assert caught.value.port == "format"
    assert "png" in caught.value.fix


def test_a_full_disk_leaves_nothing_half_written(ctx, monkeypatch):
    def full(self, path, **kwargs):
        path.write_bytes(b"half of it")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Pil.Image, "save", full)
    with pytest.raises(BadInput, match="No space left") as caught:
        save(torch.rand(1, 8, 8, 3), ctx)
    assert "--out" in caught.value.fix
    assert list(ctx.out.iterdir()) == []


def test_an_output_folder_that_is_a_file(tmp_path):
    (tmp_path / "out").write_text("in the way")
    with pytest.raises(BadInput, match="cannot be written"):
        save(torch.rand(1, 8, 8, 3), Context(out=tmp_path / "out"))


@pytest.mark.parametrize(
    ("mode", "alpha", "words"),
    [("RGBA", 255, []), ("RGBA", 200, ["transparency"]), ("LA", 0, ["transparency"]), ("I;16", None, ["16 bits"])],
)
def test_what_a_format_does_not_keep_is_noted_when_written(tmp_path, mode, alpha, words):
    made = Pil.new(mode if alpha is None else mode[:-1], (5, 4), 0)
    if alpha is not None:
        made.putalpha(alpha)
    made.save(tmp_path / "a.png")
    said = []
    ctx = Context(out=tmp_path, listeners=(said.append,))
    image, _, profile = load(str(tmp_path / "a.png"), ctx)
    save(image, ctx, profile=profile)
    load_mask(str(tmp_path / "a.png"), ctx, threshold=None)
    assert not any(
        "transparency" in event.message or "16" in event.message for event in said if isinstance(event, Warned)
    )
    said.clear()
    save(image, ctx, format="jpeg", profile=profile)
    warnings = [event.message for event in said if isinstance(event, Warned)][1:]  # the first: JPEG is not exact
    assert len(warnings) == len(words)
    assert all(word in warning for word, warning in zip(words, warnings, strict=True))

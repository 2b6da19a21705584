"""Bad input through the command line: the status, a message that teaches, and nothing half-written.

Every case runs the shipped job, changed in one respect, on a tiny model in the real layout.
"""

import json
import shutil
import types

import numpy as np
import pytest
from PIL import Image
from png_toys import without_pixels


@pytest.fixture
def place(tmp_path, shared_sd):
    """A photo, a mask, and a copy of the shipped workflow that uses the tiny model."""
    folder = tmp_path / "job"
    folder.mkdir()
    Image.radial_gradient("L").resize((40, 24)).convert("RGB").save(folder / "photo.png")
    mask = np.zeros((24, 40), np.uint8)
    mask[6:15, 10:22] = 255
    Image.fromarray(mask).save(folder / "mask.png")
    return folder


@pytest.fixture
def inlay(command, tmp_path, place, shared_sd):
    """`inlay run zero_shot_inpaint` on that photo with three steps, changed by the words given."""

    def call(*words, file="zero_shot_inpaint", usual=True, source=shared_sd):
        usual_words = (
            ["--image", place / "photo.png", "--mask", place / "mask.png", "--source", source, "--steps", 3]
            if usual
            else []
        )
        done = command("run", file, *usual_words, "--out", tmp_path / "out", *words)
        written = sorted(path.name for path in (tmp_path / "out").rglob("*")) if (tmp_path / "out").exists() else []
        return types.SimpleNamespace(status=done.returncode, out=done.stdout, err=done.stderr, written=written)

    return call


def refused(done, status, *words):
    assert done.status == status, done.err
    assert "Traceback" not in done.err
    for part in ("found", "expected", "fix", *words):
        assert part in done.err, done.err
    assert done.written == []


def test_the_job_itself_works(inlay, place):
    done = inlay()
    assert done.status == 0, done.err
    assert done.written == ["image_00001.png"]
    with (
        Image.open(done.out.strip()) as result,
        Image.open(place / "photo.png") as photo,
        Image.open(place / "mask.png") as mask,
    ):
        outside = np.asarray(mask) == 0
        assert np.array_equal(np.asarray(result)[outside], np.asarray(photo)[outside])
        assert not np.array_equal(np.asarray(result), np.asarray(photo))


def test_no_such_file(inlay):
    refused(inlay("--image", "/no/such/photo.png"), 2, "photo.path", "no such file", "--image")


@pytest.mark.parametrize("content", [b"", b"hello", b"\x89PNG\r\n\x1a\n", b"GIF89a" + b"\0" * 30])
def test_not_a_picture(inlay, place, content):
    (place / "bad.png").write_bytes(content)
    refused(inlay("--image", place / "bad.png"), 2, "photo.path", "bad.png")


def test_a_truncated_picture(inlay, place):
    data = (place / "photo.png").read_bytes()
    (place / "bad.png").write_bytes(data[: len(data) * 2 // 3])
    refused(inlay("--image", place / "bad.png"), 1, "photo.path")


@pytest.mark.parametrize(
    ("size", "word"), [((0, 0), ""), ((20_000, 10_000), "megapixels"), ((60_000, 60_000), "megapixels")]
)
def test_a_picture_without_pixels_or_with_too_many(inlay, place, size, word):
    (place / "bad.png").write_bytes(without_pixels(*size))
    refused(inlay("--image", place / "bad.png"), 2, "photo.path", word)


def test_a_mask_of_another_size(inlay, place):
    Image.new("L", (24, 40), 255).save(place / "other.png")
    refused(inlay("--mask", place / "other.png"), 2, "24×40", "40×24")


def test_an_empty_mask(inlay, place):
    Image.new("L", (40, 24), 0).save(place / "empty.png")
    done = inlay("--mask", place / "empty.png")
    refused(done, 2, "cells.mask")
    assert "mask-empty" in done.err


def test_a_full_mask_warns(inlay, place):
    Image.new("L", (40, 24), 255).save(place / "full.png")
    done = inlay("--mask", place / "full.png")
    assert done.status == 0
    assert "mask-full" in done.err


@pytest.mark.parametrize(("hole", "rest"), [(250, 255), (5, 0)])
def test_a_mask_that_is_98_percent_opaque_is_never_silent(inlay, place, hole, rest):
    pixels = np.full((24, 40, 4), 255, np.uint8)
    pixels[..., 3] = rest
    pixels[6:15, 10:22, 3] = hole
    Image.fromarray(pixels).save(place / "faint.png")
    done = inlay("--mask", place / "faint.png")
    assert "warning: hole: faint.png: mask-" in done.err
    assert done.status in (0, 2)


def _spoil(folder, part, change):
    path = folder / part
    config = json.loads(path.read_text())
    change(config)
    path.write_text(json.dumps(config))


@pytest.fixture
def spoilt(tmp_path, shared_sd):
    """A copy of the tiny model that a test may spoil."""
    return shutil.copytree(shared_sd, tmp_path / "spoilt")


def test_nan_from_a_model(inlay, spoilt):
    from safetensors.torch import load_file, save_file

    weights = spoilt / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(weights)
    tensors["conv_out.bias"].fill_(float("nan"))
    save_file(tensors, weights, metadata={"format": "pt"})
    refused(inlay(source=spoilt), 1, "sample", "NaN", "step 1 of 3", "float32")


@pytest.mark.parametrize(
    "missing",
    [
        "unet/diffusion_pytorch_model.safetensors",
        "vae/config.json",
        "unet/config.json",
        "text_encoder/model.safetensors",
        "scheduler/scheduler_config.json",
        "tokenizer/vocab.json",
    ],
)
def test_a_model_folder_that_misses_a_file(inlay, spoilt, missing):
    (spoilt / missing).unlink()
    refused(inlay(source=spoilt), 2, "model.source", missing.split("/")[0])


def test_a_pickle_instead_of_safetensors(inlay, spoilt):
    (spoilt / "unet" / "diffusion_pytorch_model.safetensors").rename(spoilt / "unet" / "diffusion_pytorch_model.bin")
    refused(inlay(source=spoilt), 2, "model.source", "pickle", "safetensors")
    (spoilt / "model.ckpt").write_bytes(b"\x80\x04.")
    refused(inlay(source=spoilt / "model.ckpt"), 2, "model.source", "pickle", "safetensors")


def test_a_damaged_safetensors_file(inlay, spoilt):
    weights = spoilt / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    done = inlay(source=spoilt)
    assert done.status in (1, 2)
    refused(done, done.status, "unet")


def test_a_9_channel_unet_where_4_are_wanted(inlay, tiny):
    folder = tiny.stable_diffusion("nine", unet={"in_channels": 9})
    refused(inlay(source=folder), 2, "9", "4")


def test_a_prediction_type_nobody_knows(inlay, spoilt):
    _spoil(spoilt, "scheduler/scheduler_config.json", lambda config: config.update(prediction_type="guess"))
    refused(inlay(source=spoilt), 2, "guess", "epsilon")


def test_a_text_encoder_of_another_model(inlay, tiny):
    folder = tiny.stable_diffusion("mixed", text={"hidden_size": 32})
    refused(inlay(source=folder), 2, "32", "24")


def test_a_model_nobody_has(inlay, monkeypatch):
    monkeypatch.setenv("INLAY_OFFLINE", "1")
    done = inlay(source="nobody/nothing-of-the-kind")
    assert done.status in (1, 2)
    refused(done, done.status, "model.source", "nobody/nothing-of-the-kind")


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ('{"format": 1, "nodes": {"a": {', "cut off"),
        (" " * (50 * 2**20), "50 MiB"),
        ("[" * 10_000 + "]" * 10_000, "64 levels"),
        ('{"format": 1, "format": 1, "nodes": {}}', "twice"),
        ('{"format": 7, "nodes": {}}', "format 7"),
        ("\x00\x01\x02", ""),
    ],
)
def test_a_file_that_is_no_workflow(inlay, tmp_path, text, word):
    (tmp_path / "bad.json").write_text(text)
    refused(inlay(file=tmp_path / "bad.json", usual=False), 2, word)


@pytest.mark.parametrize("path", ["../secret.png", "link.png", "folder/secret.png", "/etc/passwd"])
def test_a_path_that_climbs_out_or_follows_a_link_out(inlay, place, tmp_path, path):
    Image.new("RGB", (8, 8)).save(tmp_path / "secret.png")
    (place / "link.png").symlink_to(tmp_path / "secret.png")
    (place / "folder").symlink_to(tmp_path)
    (place / "w.json").write_text(
        json.dumps(
            {
                "format": 1,
                "nodes": {"p": {"type": "image.load", "params": {"path": path}}},
                "outputs": {"image": "p.image"},
            }
        )
    )
    refused(inlay(file=place / "w.json", usual=False), 2, "p.path", "--inputs")


def test_a_stranger_cannot_write_outside(inlay, place, tmp_path):
    (place / "w.json").write_text(
        json.dumps(
            {
                "format": 1,
                "nodes": {
                    "p": {"type": "image.load", "params": {"path": "photo.png"}},
                    "s": {"type": "image.save", "params": {"prefix": "../../escaped"}, "inputs": {"image": "p.image"}},
                },
                "outputs": {"image": "p.image"},
            }
        )
    )
    refused(inlay(file=place / "w.json", usual=False), 2, "s.prefix", "below the output folder")
    assert not list(tmp_path.rglob("escaped*"))


def test_an_output_folder_that_cannot_be_made(inlay, place):
    done = inlay("--out", place / "photo.png" / "below")
    refused(done, 2, "--out")


def test_sides_that_are_no_multiple_of_8_are_refused_by_the_strict_form_and_taken_by_the_exact_one(inlay, place):
    Image.new("RGB", (41, 27), (9, 99, 200)).save(place / "odd.png")
    mask = Image.new("1", (41, 27))
    mask.paste(1, (10, 5, 30, 20))
    mask.save(place / "odd-mask.png")
    words = ["--image", place / "odd.png", "--mask", place / "odd-mask.png"]
    strict = inlay(*words, file="zero_shot_inpaint_strict")
    refused(strict, 2, "image.fit")
    done = inlay(*words)
    assert done.status == 0, done.err
    with Image.open(done.out.strip()) as result:
        assert result.size == (41, 27)

"""What `inlay.run` gives back: pictures for Pillow, NumPy, files and notebooks."""

import io
import json
import os
import subprocess
import sys

import inlay
import numpy as np
import pytest
import torch
from PIL import Image

H, W = 20, 30
IMAGE = np.random.default_rng(1).integers(0, 256, (H, W, 3), dtype=np.uint8)
HOLE = np.zeros((H, W), bool)
HOLE[5:9, 4:11] = True
FLOW = {
    "format": 1,
    "inputs": {"image": "photo.path", "mask": "hole.path", "format": "save.format", "bare": "save.metadata"},
    "nodes": {
        "photo": {"type": "image.load", "params": {"path": "none.png"}},
        "hole": {"type": "mask.load", "params": {"path": "none.png"}},
        "grey": {"type": "image.fill", "inputs": {"image": "photo.image", "mask": "hole.mask"}},
        "save": {"type": "image.save", "inputs": {"image": "grey.image"}},
    },
    "outputs": {"image": "grey.image", "mask": "hole.mask", "photo": "photo.image"},
}


@pytest.fixture(scope="module")
def result():
    return inlay.run(FLOW, image=IMAGE, mask=HOLE, out=None)


@pytest.fixture(scope="module")
def several():
    batch = np.stack([IMAGE, IMAGE[::-1], IMAGE[:, ::-1]])
    return inlay.run(FLOW, image=batch, mask=HOLE, out=None)


def test_a_result_is_a_mapping_with_a_short_repr(result, several, tmp_path):
    assert list(result) == ["image", "mask", "photo"]
    assert repr(result) == "<Result image: 1 picture, mask, photo>"
    assert repr(several).startswith("<Result image: 3 pictures,")
    saved = inlay.run(FLOW, image=IMAGE, mask=HOLE, out=tmp_path)
    assert repr(saved) == f"<Result image: 1 picture, mask, photo | saved: {saved.paths[0]}>"
    assert len(repr(saved)) < 300


def test_pictures_by_number_and_by_output(several):
    assert np.array_equal(np.asarray(several.pil(2, output="photo")), IMAGE[:, ::-1])
    assert np.array_equal(np.asarray(several.pil(-1)), np.asarray(several.pils()[2]))
    assert several.numpy().shape == (3, H, W, 3)
    assert several.pil(output="mask").mode == "L"
    assert np.array_equal(np.asarray(several.pil(output="mask")) == 255, HOLE)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda result: result.pil(1), "there is 1"),
        (lambda result: result.pil(output="imagee"), "did you mean 'image'"),
        (lambda result: result.save("a.bmp"), ".png"),
        (lambda result: result.save("folder/"), ".png"),
        (lambda result: result.save("a.png", 3), "there is 1"),
    ],
)
def test_what_is_not_there_is_said(result, call, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(inlay.InlayError) as error:
        call(result)
    assert words in str(error.value)
    assert not list(tmp_path.iterdir())


def test_a_result_without_a_picture_says_what_there_is(toys, graph, tmp_path):
    (tmp_path / "w.txt").write_text("hello")
    flow = graph({"r": ("toy.read", {"path": tmp_path / "w.txt"})}, {"word": "r.word"})
    result = inlay.run(flow, nodes=[toys.module], out=None)
    assert result._repr_png_() is None
    assert repr(result) == "<Result word>"
    with pytest.raises(inlay.InlayError, match="word"):
        result.pil()


@pytest.mark.parametrize("name", ["a.png", "a.webp", "A.PNG", "deep/er/a.png"])
def test_saving_under_a_name_keeps_pixels_and_workflow(result, tmp_path, name):
    (place,) = result.save(tmp_path / name)
    assert place == tmp_path / name
    with Image.open(place) as picture:
        assert np.array_equal(np.asarray(picture), np.asarray(result.pil()))
    again = inlay.run(place, image=IMAGE, mask=HOLE, out=None)
    assert torch.equal(again["image"], result["image"])


def test_a_jpeg_carries_the_workflow_and_its_name_is_replaced_as_a_whole(result, tmp_path, monkeypatch):
    (tmp_path / "a.jpg").write_text("old")
    result.save(tmp_path / "a.jpg")
    with Image.open(tmp_path / "a.jpg") as picture:
        assert picture.size == (W, H)
        assert json.loads(picture.getexif()[0x010E])["workflow"]
    before = (tmp_path / "a.jpg").read_bytes()

    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="space"):
        result.save(tmp_path / "a.jpg")
    assert [path.name for path in tmp_path.iterdir()] == ["a.jpg"]
    assert (tmp_path / "a.jpg").read_bytes() == before


def test_several_pictures_get_numbers(several, tmp_path):
    places = several.save(tmp_path / "a.png")
    assert [place.name for place in places] == ["a-1.png", "a-2.png", "a-3.png"]
    assert several.save(tmp_path / "b.png", 1) == [tmp_path / "b.png"]
    assert (tmp_path / "b.png").read_bytes() == places[1].read_bytes()


def test_an_output_that_was_not_saved_is_written_too(result, tmp_path):
    result.save(tmp_path / "photo.png", output="photo")
    with Image.open(tmp_path / "photo.png") as picture:
        assert np.array_equal(np.asarray(picture), IMAGE)
        assert "workflow" in picture.text["inlay"]


def test_what_was_saved_bare_stays_bare(tmp_path):
    result = inlay.run(FLOW, image=IMAGE, mask=HOLE, bare=False, out=None)
    result.save(tmp_path / "a.png")
    result.save(tmp_path / "a.webp")
    for name in ("a.png", "a.webp"):
        with Image.open(tmp_path / name) as picture:
            assert not getattr(picture, "text", None)
            assert not picture.getexif()


def test_sixteen_bits_and_alpha_survive_saving(tmp_path):
    deep = np.random.default_rng(2).integers(0, 65_536, (H, W, 4), dtype=np.uint16)
    result = inlay.run(FLOW, image=deep, mask=HOLE, out=None)
    result.save(tmp_path / "a.png")
    again = inlay.run(FLOW, image=tmp_path / "a.png", mask=HOLE, out=None)
    assert torch.equal(again["photo"][0][~HOLE], result["photo"][0][~HOLE])
    assert np.array_equal(np.asarray(result.pil())[~HOLE], deep[~HOLE] >> 8)


def test_a_notebook_shows_a_bounded_picture(several):
    wide = np.zeros((400, 5000, 3), np.uint8)
    shown = inlay.run(FLOW, image=wide, mask=wide[..., 0] == 0, out=None)._repr_png_()
    assert max(Image.open(io.BytesIO(shown)).size) <= 1024
    sheet = Image.open(io.BytesIO(several._repr_png_()))
    assert sheet.size == (2 * W, 2 * H)
    assert np.array_equal(np.asarray(sheet.convert("RGB"))[:H, :W], np.asarray(several.pil()))


@pytest.mark.parametrize("image", [IMAGE.astype(np.uint16) * 257, IMAGE[..., 0], np.dstack([IMAGE, IMAGE[..., 0]])])
def test_a_notebook_shows_every_mode(image):
    shown = inlay.run(FLOW, image=image, mask=HOLE, out=None)._repr_png_()
    assert Image.open(io.BytesIO(shown)).size == (W, H)


def test_without_an_output_folder_no_model_is_lost():
    for call in (inlay.check, inlay.run):
        try:
            problems = call("subject_lora_train", out=None)
        except inlay.WorkflowError as error:
            problems = error.problems
        assert [problem.port for problem in problems] == ["--out"]
        assert "train.subject_lora" in problems[0].found


REPEATED = """
import sys, inlay, numpy
from PIL import Image
image = Image.fromarray((numpy.arange({h} * {w} * 3) % 251).astype("uint8").reshape({h}, {w}, 3))
hole = numpy.zeros(({h}, {w}), bool)
hole[5:9, 4:11] = True
result = inlay.run({flow}, image=image, mask=hole, out={out})
print("torch" in sys.modules, result.pil().tobytes().hex()[:64], result.save({name!r}), result.record[:12])
print(numpy.asarray(result["image"]).mean())
"""


@pytest.mark.parametrize("out", [None, "out"])
def test_a_run_that_is_repeated_from_the_store_gives_the_same_without_torch(tmp_path, out):
    environment = {**os.environ, "INLAY_HOME": str(tmp_path / "home"), "OMP_NUM_THREADS": "1"}
    code = REPEATED.format(h=H, w=W, flow=FLOW, out=repr(out), name="named.png")
    said = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
        )
        said.append(done.stdout.split(" ", 1))
        files = (tmp_path / "named.png").read_bytes()
    assert [one[0] for one in said] == ["True", "False"]
    assert said[0][1] == said[1][1]
    assert (tmp_path / "named.png").read_bytes() == files
    assert not list((tmp_path / "home" / "held").iterdir())

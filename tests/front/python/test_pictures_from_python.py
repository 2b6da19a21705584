"""Pictures that go into `inlay.run` as Python has them: every kind and shape, to the bit, and nothing left behind."""

import json
import os
import subprocess
import sys
import warnings

import inlay
import numpy as np
import pytest
import torch
from inlay.graph_runtime.core.user_paths import home
from inlay.graph_runtime.front.installed import shipped_samples
from PIL import Image, ImageCms

SAMPLES = shipped_samples()
RNG = np.random.default_rng(5)
H, W = 11, 13
HOLE = np.zeros((H, W), bool)
HOLE[3:7, 4:9] = True
#: Load a picture and a mask, paint the hole grey, paste it back, save.
FLOW = {
    "format": 1,
    "inputs": {"image": "photo.path", "mask": "hole.path", "note": "save.prefix"},
    "nodes": {
        "photo": {"type": "image.load", "params": {"path": "none.png"}},
        "hole": {"type": "mask.load", "params": {"path": "none.png"}},
        "grey": {"type": "image.fill", "inputs": {"image": "photo.image", "mask": "hole.mask"}},
        "paste": {
            "type": "image.paste_back",
            "inputs": {"base": "photo.image", "patch": "grey.image", "mask": "hole.mask"},
        },
        "save": {"type": "image.save", "inputs": {"image": "paste.image"}},
    },
    "outputs": {"image": "paste.image", "mask": "hole.mask"},
}


def run(image, mask=HOLE, **more):
    return inlay.run(FLOW, **{"image": image, "mask": mask, "out": None, **more})


def integers(*shape, top=255, dtype=np.uint8):
    return RNG.integers(0, top, shape, dtype=dtype, endpoint=True)


def rgb(array):
    """`[h w 3]` of what an array shows, by hand."""
    array = array[..., None] if array.ndim == 2 else array
    colours = array[..., :1] if array.shape[-1] < 3 else array[..., :3]
    return np.broadcast_to(colours, (*array.shape[:2], 3))


EIGHT = {f"[h w {c}]": integers(H, W, c) for c in (1, 2, 3, 4)} | {"[h w]": integers(H, W)}


@pytest.mark.parametrize("shape", EIGHT)
@pytest.mark.parametrize("kind", ["uint8", "uint16", "float32", "float64", "between", "float16", "bool", "strided"])
@pytest.mark.parametrize("as_tensor", [False, True])
def test_every_array_comes_back_to_the_bit_outside_the_mask(shape, kind, as_tensor):
    array = EIGHT[shape]
    if kind == "uint16":
        array = integers(*array.shape, top=65_535, dtype=np.uint16)
    elif kind in ("float32", "float64"):
        array = (array / 255).astype(kind)
    elif kind == "between":
        array = RNG.random(array.shape, np.float32)
    elif kind == "float16":
        array = RNG.random(array.shape).astype(np.float16)
    elif kind == "bool":
        array = array > 99
    elif kind == "strided":
        array = np.asfortranarray(array)[::-1]
    top = {"uint8": 255, "uint16": 65_535}.get(array.dtype.name, 1)
    expected = np.divide(rgb(array), np.float32(top), dtype=np.float32)
    result = run(torch.from_numpy(array.copy()) if as_tensor else array)
    assert result["image"].shape == (1, H, W, 3)
    assert np.array_equal(result.numpy()[0][~HOLE], expected[~HOLE])
    assert (result.numpy()[0][HOLE] == 0.5).all()
    if kind in ("uint8", "strided", "float32", "float64"):
        saved = np.asarray(result.pil())
        assert np.array_equal(rgb(saved)[~HOLE], np.rint(expected[~HOLE] * 255))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16", "I", "F", "PA", "RGBX", "YCbCr", "CMYK"])
def test_every_mode_of_pillow(mode):
    colour = Image.fromarray(integers(H, W, 3))
    if mode in ("I;16", "I"):
        deep = integers(H, W, top=65_535, dtype=np.uint16)
        picture = Image.fromarray(deep) if mode == "I;16" else Image.fromarray(deep.astype(np.int32))
        expected = np.divide(rgb(deep), np.float32(65_535), dtype=np.float32)
    elif mode == "F":
        values = RNG.random((H, W), np.float32)
        picture, expected = Image.fromarray(values), rgb(values)
    else:
        picture = colour.convert("P").convert("PA") if mode == "PA" else colour.convert(mode)
        if mode in ("LA", "RGBA"):
            picture.putalpha(Image.fromarray(integers(H, W)))
        shown = picture.convert("RGBA").convert("RGB") if mode == "PA" else picture.convert("RGB")
        expected = np.divide(np.asarray(shown), np.float32(255), dtype=np.float32)
    assert picture.mode == mode
    before = picture.tobytes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", inlay.InlayWarning)  # that CMYK is converted
        result = run(picture)
    assert np.array_equal(result.numpy()[0][~HOLE], expected[~HOLE])
    assert picture.tobytes() == before
    assert result.pil().size == picture.size
    if mode in ("LA", "RGBA"):
        alpha = np.asarray(result.pil().getchannel("A"))
        assert np.array_equal(alpha[~HOLE], np.asarray(picture.getchannel("A"))[~HOLE])


def test_floats_between_the_steps_are_saved_at_16_bits_and_nearly_8_bit_ones_at_8():
    assert run(RNG.random((H, W, 3))).pil().info is not None
    for values, bits in ((RNG.random((H, W, 3)), 16), (integers(H, W, 3) * np.float32(1 / 255), 8)):
        contents = run(values).files["image"][0].read()
        assert contents[24] == bits  # of a PNG's header


def test_a_profile_exif_and_resolution_go_through(tmp_path):
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x010F] = "a maker"
    Image.fromarray(integers(H, W, 3)).save(tmp_path / "a.jpg", icc_profile=icc, exif=exif, dpi=(300, 300))
    saved = run(Image.open(tmp_path / "a.jpg")).pil()
    assert saved.info["icc_profile"] == icc
    assert saved.getexif()[0x010F] == "a maker"
    assert round(saved.info["dpi"][0]) == 300


def test_pillows_pixels_are_taken_as_they_lie_and_a_picture_on_its_side_is_mentioned(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(integers(H, W, 3)).save(tmp_path / "a.png", exif=exif)
    picture = Image.open(tmp_path / "a.png")
    with pytest.warns(inlay.InlayWarning, match="exif_transpose"):
        result = run(picture)
    assert result.pil().size == picture.size
    assert np.array_equal(np.asarray(result.pil())[~HOLE], np.asarray(picture)[~HOLE])
    assert picture.getexif()[0x0112] == 6


def test_a_batch_goes_in_as_one_tensor():
    batch = RNG.random((3, H, W, 3), np.float32)
    masks = np.stack([HOLE, ~HOLE, HOLE])[..., None]
    result = run(batch, masks)
    for number in range(3):
        known = ~masks[number, ..., 0]
        assert np.array_equal(result.numpy()[number][known], batch[number][known])
    assert [picture.size for picture in result.pils()] == [(W, H)] * 3


def test_what_came_out_goes_in_again():
    first = run(RNG.random((H, W, 3)))
    for given in (first["image"], first.numpy(), first["image"].clone().requires_grad_()):
        assert torch.equal(run(given, first["mask"])["image"], first["image"])


@pytest.mark.parametrize("mask", [HOLE, HOLE.astype(np.float64), HOLE.astype(np.uint8) * 255, torch.from_numpy(HOLE)])
def test_masks_of_every_kind(mask):
    for given in (mask, mask[None], mask[..., None]):
        assert np.array_equal(run(integers(H, W, 3), given)["mask"][0], HOLE)


def test_a_soft_mask_keeps_its_exact_values():
    soft = RNG.random((H, W), np.float32)
    kept = run(integers(H, W, 3), soft, set={"hole.threshold": None})["mask"]
    assert np.array_equal(kept[0], soft)


def test_a_setting_takes_a_picture_too(tmp_path):
    flow = json.loads(json.dumps(FLOW))
    flow["inputs"] = {}
    image = integers(H, W, 3)
    result = inlay.run(flow, set={"photo.path": image, "hole.path": HOLE}, out=None)
    assert np.array_equal(np.asarray(result.pil())[~HOLE], image[~HOLE])


WRONG = {
    "channels first": (np.zeros((3, 8, 8), np.uint8), "permute(1, 2, 0)"),
    "a batch, channels first": (torch.zeros(2, 3, 8, 8), "permute(0, 2, 3, 1)"),
    "five channels": (np.zeros((8, 8, 5), np.uint8), "[8 8 5]"),
    "one axis": (np.zeros(8, np.uint8), "[8]"),
    "five axes": (np.zeros((1, 1, 8, 8, 3), np.uint8), "[1 1 8 8 3]"),
    "empty": (np.zeros((0, 8, 3), np.uint8), "empty"),
    "floats up to 255": (np.full((8, 8, 3), 200.0), "divide by 255"),
    "from -1 to 1": (np.linspace(-1, 1, 64).reshape(8, 8), "(image + 1) / 2"),
    "a million": (np.full((8, 8), 1e6), "1e+06"),
    "NaN": (np.full((8, 8), np.nan), "64 of 64 numbers NaN"),
    "infinity": (np.full((8, 8), np.inf), "infinite"),
    "int64": (np.zeros((8, 8), np.int64), "astype(bool)"),
    "objects": (np.full((8, 8), None), "object"),
    "complex": (np.zeros((8, 8), complex), "complex128"),
    "text": (np.full((8, 8), "x"), "uint8"),
    "sparse": (torch.zeros(8, 8).to_sparse(), "sparse"),
    "on the meta device": (torch.zeros(8, 8, device="meta"), "plain tensor"),
    "a gigapixel": (np.broadcast_to(np.uint8(0), (40_000, 30_000)), "megapixels"),
    "Pillow, large integers": (Image.new("I", (8, 8), 70_000), "70000"),
    "Pillow, floats up to 255": (Image.new("F", (8, 8), 200), "divide by 255"),
}


@pytest.mark.parametrize("case", WRONG)
@pytest.mark.parametrize("argument", ["image", "mask"])
def test_what_is_no_picture_is_refused_by_the_name_of_its_argument(case, argument):
    value, words = WRONG[case]
    given = {"image": integers(8, 8, 3), "mask": HOLE, argument: value}
    (problem,) = inlay.check(FLOW, **given)
    assert problem.port == argument
    assert words in str(problem)
    with pytest.raises(inlay.WorkflowError) as error:
        inlay.run(FLOW, **given, out=None)
    assert error.value.problems == [problem]
    assert not left_over()


def test_all_wrong_pictures_are_listed():
    problems = inlay.check(FLOW, image=np.zeros(3), mask=np.full((8, 8), np.nan))
    assert [problem.port for problem in problems] == ["image", "mask"]


def test_a_picture_for_a_text_is_refused():
    (problem,) = inlay.check(FLOW, image=integers(H, W, 3), mask=HOLE, note=HOLE)
    assert (problem.port, problem.found) == ("note", "a picture, an array or a tensor")


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy, Image.fromarray, lambda mask: mask.astype(np.uint16)])
def test_a_mask_of_the_integers_0_and_1_is_refused_and_a_dark_picture_is_not(kind):
    (problem,) = inlay.check(FLOW, image=integers(H, W, 3), mask=kind(HOLE.astype(np.uint8)))
    assert problem.port == "mask"
    assert "mask.astype(bool)" in problem.fix
    assert np.array_equal(run(kind(HOLE.astype(np.uint8))).numpy()[0][~HOLE], np.zeros((H, W, 3))[~HOLE])


def test_a_picture_that_pillow_has_just_opened_is_its_file(tmp_path):
    Image.fromarray(integers(H, W, 3)).save(tmp_path / "mine.png", dpi=(300, 300))
    result = run(Image.open(tmp_path / "mine.png"), out=tmp_path / "out")
    record = json.loads(result.record)
    assert record["files"]["photo.path"]["name"] == "mine.png"
    again = inlay.run(result.paths[0], mask=HOLE, out=None)  # it is found by its content
    assert torch.equal(again["image"], result["image"])
    (problem,) = inlay.check(result.paths[0], image=Image.open(tmp_path / "mine.png"))
    assert problem.where == "hole.path"


def changed_pixel(picture):
    picture.putpixel((0, 0), (1, 2, 3))


def changed_profile(picture):
    picture.info["icc_profile"] = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def changed_exif(picture):
    picture.getexif()[0x010F] = "another maker"


def changed_file(picture):
    Image.new("RGB", (W, H), "red").save(picture.filename)


@pytest.mark.parametrize("change", [changed_pixel, changed_profile, changed_exif, changed_file])
def test_once_it_is_changed_it_is_a_picture_of_its_own(tmp_path, change):
    Image.fromarray(integers(H, W, 3)).save(tmp_path / "mine.png")
    picture = Image.open(tmp_path / "mine.png")
    picture.load()
    change(picture)
    result = run(picture)
    assert json.loads(result.record)["files"]["photo.path"]["name"] == "image.png"
    assert np.array_equal(np.asarray(result.pil())[~HOLE], np.asarray(picture)[~HOLE])
    if change is changed_profile:
        assert result.pil().info["icc_profile"] == picture.info["icc_profile"]
    if change is changed_exif:
        assert result.pil().getexif()[0x010F] == "another maker"


def test_a_sample_in_memory_is_still_a_sample():
    room, photo = Image.open(SAMPLES["room.png"]), Image.open(SAMPLES["photo.jpg"])
    for picture, warned in ((room, False), (photo, True), (room.rotate(180), True)):
        hole = np.zeros(picture.size[::-1], bool)
        hole[:9, :9] = True
        report = inlay.check("zero_shot_inpaint", image=picture, mask=hole)
        assert any("drawn rooms" in one.message for one in report.warnings) == warned


def test_a_closed_pillow_file_is_refused(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as picture:
        pass
    with pytest.raises(inlay.WorkflowError, match=r"load\(\)"):
        run(picture)


def left_over():
    place = home() / "held"
    return list(place.iterdir()) if place.is_dir() else []


def test_nothing_is_left_of_a_picture_whatever_happens(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run(integers(H, W, 3))
    assert inlay.check(FLOW, image=integers(H, W, 3), mask=np.ones((5, 5), bool))
    for more, error in (({"mask": np.ones((5, 5), bool)}, inlay.WorkflowError), ({"note": "../x"}, inlay.InlayError)):
        with pytest.raises(error):
            run(integers(H, W, 3), **more)

    def stop(event):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(integers(H, W, 3), listeners=[stop])
    assert not left_over()
    assert not list(tmp_path.iterdir())


def test_what_a_killed_process_left_goes_with_the_next_picture(tmp_path):
    code = (
        "import os, numpy\nfrom inlay.graph_runtime.front.python.values import held_pictures\n"
        "with held_pictures() as held:\n    print(held.paths_for({'image': numpy.zeros((9, 9))}), flush=True)\n"
        "    os._exit(1)"
    )
    environment = {**os.environ, "INLAY_HOME": str(tmp_path)}

    def call(code):
        subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=False)
        return list((tmp_path / "held").rglob("*.png"))

    assert len(call(code)) == 1
    assert len(call(code)) == 1  # another one: the first is gone
    assert not call(code.replace("    os._exit(1)", ""))


def test_the_record_names_the_argument_and_no_folder(tmp_path):
    result = run(integers(H, W, 3), out=tmp_path)
    record = json.loads(Image.open(result.paths[0]).text["inlay"])
    assert (
        record["files"]["photo.path"]["name"] == record["workflow"]["nodes"]["photo"]["params"]["path"] == "image.png"
    )
    assert record["files"]["hole.path"]["name"] == "mask.png"
    assert str(home()) not in result.record
    assert result.record == Image.open(result.paths[0]).text["inlay"]


def test_a_record_runs_again_with_the_same_pixels(tmp_path):
    image = integers(H, W, 3)
    first = run(image, out=tmp_path)
    again = inlay.run(first.paths[0], image=image, mask=HOLE, out=None)
    assert again.files["image"][0].read() == first.paths[0].read_bytes()
    with pytest.raises(inlay.WorkflowError, match="--image"):
        inlay.run(first.paths[0], mask=HOLE, out=None)


def test_the_same_pixels_are_the_same_run():
    image = integers(H, W, 3)
    run(image)
    cached = {event.node: event.cached for event in run(image.copy()).events if hasattr(event, "cached")}
    assert cached["paste"]
    other = {event.node: event.cached for event in run(255 - image).events if hasattr(event, "cached")}
    assert not other["paste"]

"""ComfyUI's files at the public doors: `inlay run`, `check`, `draw`, and Python."""

import json

import inlay
import numpy as np
import pytest
from inlay.graph_runtime.core.errors import NodeError, WorkflowError
from inlay.graph_runtime.front.cli.main import main
from PIL import Image, PngImagePlugin

API = {
    "12": {"class_type": "LoadImage", "inputs": {"image": "a.png"}, "_meta": {"title": "My photo"}},
    "3": {"class_type": "LoadImageMask", "inputs": {"image": "sub/m.png [input]", "channel": "red"}},
    "4": {"class_type": "InlayImageFill", "inputs": {"image": ["12", 0], "mask": ["3", 0], "fill": "edge", "seed": 3}},
    "5": {"class_type": "SaveImage", "inputs": {"images": ["4", 0], "filename_prefix": "out"}},
}


@pytest.fixture
def folder(tmp_path):
    drawn = np.random.default_rng(0)
    Image.fromarray(drawn.integers(0, 256, (16, 24, 3), dtype=np.uint8)).save(tmp_path / "a.png")
    mask = np.zeros((16, 24, 3), np.uint8)
    mask[4:9, 5:12, 0] = 255
    (tmp_path / "sub").mkdir()
    Image.fromarray(mask).save(tmp_path / "sub" / "m.png")
    (tmp_path / "api.json").write_text(json.dumps(API))
    return tmp_path


def pixels(path):
    return np.asarray(Image.open(path))


def test_an_api_file_runs_and_keeps_every_pixel_outside_the_mask(folder):
    result = inlay.run(folder / "api.json", out=folder / "o")
    found, photo = pixels(result.paths[0]), pixels(folder / "a.png")
    hole = np.zeros((16, 24), bool)
    hole[4:9, 5:12] = True
    assert result.paths[0].name == "out_00001.png"
    assert np.array_equal(found[~hole], photo[~hole])
    assert not np.array_equal(found[hole], photo[hole])


def test_the_command_offers_image_mask_and_seed_and_sets_by_id_and_title(folder, capsys):
    assert main(["run", str(folder / "api.json"), "--help"]) == 0
    printed = capsys.readouterr().out
    assert all(flag in printed for flag in ("--image", "--mask", "--seed"))
    given = ["--set", "4.fill=neutral", "--set", f"My photo.image={folder}/a.png", "--set", "5.filename_prefix=other"]
    assert main(["run", str(folder / "api.json"), "--out", str(folder / "o"), "--quiet", *given]) == 0
    grey = pixels(folder / "o" / "other_00001.png")[4:9, 5:12]
    assert (grey == grey[0, 0]).all()


def test_messages_name_the_id_and_the_title_of_the_host(folder, capsys):
    (folder / "sub" / "m.png").unlink()
    assert main(["check", str(folder / "api.json"), "--image", "gone.png", "--set", "4.fill=nothing"]) == 2
    printed = capsys.readouterr().err
    assert "12 (My photo).image" in printed
    assert "3 (LoadImageMask).image" in printed, "the widget's name, not the setting's"
    assert "4 (InlayImageFill).fill" in printed


def test_a_node_that_fails_is_named_by_the_host_s_id_and_title(folder):
    (folder / "api.json").write_text(
        json.dumps(API | {"5": API["5"] | {"inputs": {"images": ["4", 0], "filename_prefix": "out"}}})
    )
    bad = json.loads((folder / "api.json").read_text())
    bad["3"] = {"class_type": "SolidMask", "inputs": {"value": 1.0, "width": 5, "height": 5}, "_meta": {"title": "All"}}
    (folder / "api.json").write_text(json.dumps(bad))
    with pytest.raises((WorkflowError, NodeError), match=r"4 \(InlayImageFill\)"):
        inlay.run(folder / "api.json", out=folder / "o")


def test_a_stranger_s_file_reads_only_below_its_folder(folder):
    inside = folder / "deep"
    inside.mkdir()
    for path in ("../a.png", "..\\a.png [input]", str(folder / "a.png"), "~/a.png"):
        raw = {
            "1": {"class_type": "LoadImage", "inputs": {"image": path}},
            "5": API["5"] | {"inputs": {"images": ["1", 0]}},
        }
        (inside / "api.json").write_text(json.dumps(raw))
        assert inlay.check(inside / "api.json")
    (inside / "api.json").write_text(json.dumps(raw | {"1": {"class_type": "LoadImage", "inputs": {"image": "a.png"}}}))
    assert inlay.check(inside / "api.json")
    assert not inlay.check(inside / "api.json", inputs=folder)


def test_a_dict_in_the_host_s_format_runs_from_python(folder, monkeypatch):
    monkeypatch.chdir(folder)
    result = inlay.run(API, out=None, seed=4)
    assert result["image"].shape == (1, 16, 24, 3)
    assert API["4"]["inputs"]["seed"] == 3


def saved(folder, name, texts):
    picture, path = Image.open(folder / "a.png"), folder / name
    if name.endswith(".png"):
        info = PngImagePlugin.PngInfo()
        for key, text in texts.items():
            info.add_text(key, text)
        picture.save(path, pnginfo=info)
    else:
        exif = Image.Exif()
        for tag, (key, text) in zip((0x0110, 0x010F), texts.items(), strict=False):
            exif[tag] = f"{key}:{text}"
        picture.save(path, exif=exif, lossless=True)
    return path


@pytest.mark.parametrize("name", ["host.png", "host.webp"])
def test_a_picture_that_the_host_saved_runs_again(folder, name):
    prompt = json.dumps(API | {"5": API["5"] | {"is_changed": [float("nan")]}})  # as the host itself writes it
    path = saved(folder, name, {"prompt": prompt})
    direct = inlay.run(folder / "api.json", out=folder / "o", cache=False).paths[0]
    again = inlay.run(path, out=folder / "p", cache=False).paths[0]
    assert np.array_equal(pixels(direct), pixels(again))


def test_a_picture_with_a_workflow_of_ours_uses_ours(folder):
    ours = inlay.run(folder / "api.json", out=folder / "o", seed=9).paths[0]
    text = Image.open(ours).info["inlay"]
    path = saved(
        folder, "both.png", {"prompt": json.dumps(API | {"4": {"class_type": "Foreign", "inputs": {}}}), "inlay": text}
    )
    assert not inlay.check(path)


def test_a_damaged_graph_in_a_picture_is_an_error_and_the_other_one_is_used(folder):
    damaged = saved(folder, "bad.png", {"prompt": "{", "workflow": "[]"})
    assert "JSON" in inlay.check(damaged)[0].expected or inlay.check(damaged)
    ui = {"nodes": [{"id": 1, "type": "LoadImage", "widgets_values": ["a.png", "image"]}], "links": []}
    assert not inlay.check(saved(folder, "ui.png", {"prompt": "{", "workflow": json.dumps(ui)}))


def test_partial_runs_the_rest(folder, capsys):
    raw = API | {
        "8": {
            "class_type": "Sharpen",
            "inputs": {"image": ["4", 0]},
            "_meta": {"title": "Crisp", "cnr_id": "some-pack"},
        },
        "9": {"class_type": "SaveImage", "inputs": {"images": ["8", 0], "filename_prefix": "crisp"}},
    }
    (folder / "api.json").write_text(json.dumps(raw))
    assert main(["run", str(folder / "api.json"), "--out", str(folder / "o")]) == 2
    assert "8 (Crisp)" in (printed := capsys.readouterr().err)
    assert "'some-pack'" in printed
    assert main(["run", str(folder / "api.json"), "--out", str(folder / "o"), "--partial"]) == 0
    assert [path.name for path in (folder / "o").glob("*.png")] == ["out_00001.png"]
    assert inlay.run(folder / "api.json", out=None, partial=True).paths == []
    capsys.readouterr()
    assert main(["convert", str(folder / "api.json"), "--to", "native", "--partial"]) == 0
    printed = capsys.readouterr()
    assert "8 (Crisp): left out" in printed.err
    assert "crisp" not in printed.out


def test_a_host_file_is_drawn(folder, capsys):
    assert main(["draw", str(folder / "api.json"), "-o", str(folder / "graph.svg")]) == 0
    assert "my_photo" in (folder / "graph.svg").read_text()

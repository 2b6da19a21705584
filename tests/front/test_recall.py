"""A saved picture runs again, to the same bytes; it is data from a stranger like any workflow."""

import json
import os

import inlay
import pytest
from PIL import Image, PngImagePlugin


@pytest.fixture
def job(tmp_path):
    """A folder with a picture, and a workflow that fills a hole in it with seeded noise and saves it."""
    folder = tmp_path / "job"
    folder.mkdir()
    picture = Image.radial_gradient("L").resize((33, 21)).convert("RGB")
    picture.save(folder / "photo.png")
    (folder / "flow.json").write_text(
        json.dumps(
            {
                "format": 1,
                "title": "noise",
                "inputs": {"image": "photo.path", "seed": "fill.seed", "format": "save.format"},
                "nodes": {
                    "photo": {"type": "image.load", "params": {"path": "photo.png"}},
                    "hole": {
                        "type": "mask.shape",
                        "params": {"kind": "ellipse", "x": 4, "y": 4, "width": 12, "height": 9},
                        "inputs": {"image": "photo.image"},
                    },
                    "fill": {
                        "type": "image.fill",
                        "params": {"fill": "noise"},
                        "inputs": {"image": "photo.image", "mask": "hole.mask"},
                    },
                    "save": {"type": "image.save", "inputs": {"image": "fill.image"}},
                },
                "outputs": {"image": "fill.image"},
            }
        )
    )
    return folder


def run(source, out, **more):
    return inlay.run(source, out=out, cache=False, **more).paths[0]


@pytest.mark.parametrize("format", ["png", "webp", "jpeg"])
def test_the_picture_runs_again_to_the_same_bytes(job, tmp_path, format):
    first = run(job / "flow.json", tmp_path / "a", seed=7, format=format)
    again = run(first, tmp_path / "b")
    assert again.read_bytes() == first.read_bytes()
    assert run(again, tmp_path / "c").read_bytes() == first.read_bytes()


def test_a_picture_made_before_a_setting_was_renamed_runs_again_to_the_same_pixels(job, tmp_path):
    flow = json.loads((job / "flow.json").read_text())
    flow["inputs"]["jitter"] = "drawn.mask_jitter"
    flow["nodes"]["drawn"] = {
        "type": "mask.brush",
        "params": {"mask_jitter": 0.7},
        "inputs": {"mask": "hole.mask"},
    }
    flow["nodes"]["fill"]["inputs"]["mask"] = "drawn.mask"
    (job / "drawn.json").write_text(json.dumps(flow))
    first = run(job / "drawn.json", tmp_path / "a")
    with Image.open(first) as image:
        text = image.info["inlay"]
        old = text.replace("mask_jitter", "amount").replace('"mask.brush","version":2', '"mask.brush"')
        assert old.count("amount") == 2
        assert "version" not in json.loads(old)["workflow"]["nodes"]["drawn"]
        chunk = PngImagePlugin.PngInfo()
        chunk.add_text("inlay", old)
        image.save(job / "old.png", pnginfo=chunk)
        pixels = image.tobytes()
    with Image.open(run(job / "old.png", tmp_path / "b", inputs=job)) as image:
        assert image.tobytes() == pixels
        assert image.info["inlay"] == text
    with Image.open(run(job / "old.png", tmp_path / "c", inputs=job, jitter=0.0)) as image:
        assert image.tobytes() != pixels


def test_pillow_reads_the_workflow(job, tmp_path):
    first = run(job / "flow.json", tmp_path / "a", seed=7)
    with Image.open(first) as image:
        record = json.loads(image.info["inlay"])
    assert record["workflow"]["nodes"]["fill"]["params"]["seed"] == 7
    assert record["files"]["photo.path"]["name"] == "photo.png"
    assert str(tmp_path) not in json.dumps(record)


def test_no_metadata_leaves_it_out(job, tmp_path):
    first = inlay.run(job / "flow.json", out=tmp_path / "a", metadata=False).paths[0]
    with Image.open(first) as image:
        assert "inlay" not in image.info
    with pytest.raises(inlay.WorkflowError, match="without a workflow"):
        inlay.run(first)


def test_inputs_are_found_beside_the_picture_under_any_name(job, tmp_path, monkeypatch):
    first = run(job / "flow.json", tmp_path / "a")
    monkeypatch.setenv("INLAY_HOME", str(tmp_path / "stranger"))
    with pytest.raises(inlay.WorkflowError) as caught:
        inlay.run(first)
    problem = caught.value.problems[0]
    assert problem.where == "photo.path"
    assert "--inputs" in problem.fix
    (job / "photo.png").rename(tmp_path / "a" / "renamed.png")
    assert run(first, tmp_path / "b").read_bytes() == first.read_bytes()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "a" / "renamed.png").rename(tmp_path / "elsewhere" / "x.png")
    monkeypatch.setenv("INLAY_HOME", str(tmp_path / "another"))
    assert run(first, tmp_path / "c", inputs=tmp_path / "elsewhere").read_bytes() == first.read_bytes()
    assert run(first, tmp_path / "d", image=tmp_path / "elsewhere" / "x.png").exists()


def test_another_file_of_the_same_name_is_not_taken(job, tmp_path, monkeypatch):
    first = run(job / "flow.json", tmp_path / "a")
    monkeypatch.setenv("INLAY_HOME", str(tmp_path / "stranger"))
    Image.new("RGB", (33, 21)).save(tmp_path / "a" / "photo.png")
    with pytest.raises(inlay.WorkflowError, match=r"photo\.png"):
        inlay.run(first)


def _forge(path, text):
    info = PngImagePlugin.PngInfo()
    info.add_text("inlay", text)
    Image.new("RGB", (8, 8)).save(path, pnginfo=info)
    return path


@pytest.mark.parametrize(
    "text", ["{", "[]", "{}", '{"workflow": 3}', '{"workflow": {"format": 1}, "files": 3}', '{"a": ' * 9000, "x" * 1000]
)
def test_a_forged_record_is_refused(tmp_path, text):
    with pytest.raises(inlay.WorkflowError):
        inlay.run(_forge(tmp_path / "forged.png", text))


def test_a_forged_record_cannot_read_outside(tmp_path):
    secret = tmp_path / "secret"
    secret.mkdir()
    Image.new("RGB", (8, 8)).save(secret / "s.png")
    (tmp_path / "in").mkdir()
    flow = {
        "format": 1,
        "nodes": {"p": {"type": "image.load", "params": {"path": str(secret / "s.png")}}},
        "outputs": {"image": "p.image"},
    }
    for files in ({}, {"p.path": {"name": "../secret/s.png", "digest": "0" * 64}}):
        forged = _forge(tmp_path / "in" / "forged.png", json.dumps({"workflow": flow, "files": files}))
        with pytest.raises(inlay.WorkflowError):
            inlay.run(forged, out=tmp_path / "out")


@pytest.mark.parametrize("name", ["empty.png", "text.png"])
def test_what_is_no_picture_is_refused(tmp_path, name):
    (tmp_path / name).write_bytes(b"" if name == "empty.png" else b"hello")
    with pytest.raises(inlay.WorkflowError, match="not a readable picture"):
        inlay.run(tmp_path / name)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_a_pipe_with_the_name_of_a_picture_is_called_what_it_is(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(inlay.WorkflowError) as caught:
        inlay.run(tmp_path / "pipe.png")
    assert str(caught.value).count("not an ordinary file") == 1
    assert "Errno" not in str(caught.value)


def test_no_folder_is_named_also_for_nodes_that_do_not_run(job, tmp_path):
    raw = json.loads((job / "flow.json").read_text())
    raw["inputs"]["extra"] = "unused.path"
    raw["nodes"]["unused"] = {"type": "image.load", "params": {"path": "photo.png"}}
    (job / "flow.json").write_text(json.dumps(raw))
    (tmp_path / "private").mkdir()
    (job / "photo.png").rename(tmp_path / "private" / "photo.png")
    photo = tmp_path / "private" / "photo.png"
    saved = inlay.run(job / "flow.json", out=tmp_path / "a", image=photo, extra=photo).paths[0]
    with Image.open(saved) as image:
        assert "private" not in image.info["inlay"]


@pytest.mark.parametrize("name", ["..", ".", "", "a/../..", "x\0y"])
def test_a_forged_name_makes_nothing_be_read(tmp_path, name, monkeypatch):
    from inlay.graph_runtime.front.recipe import find_inputs

    monkeypatch.setattr(find_inputs, "holds", lambda *a, **k: pytest.fail("something was read"))
    flow = {"format": 1, "nodes": {"p": {"type": "image.load", "params": {"path": "x.png"}}}}
    record = {"workflow": flow, "files": {"p.path": {"name": name, "digest": "folder:" + "0" * 64}}}
    with pytest.raises(inlay.WorkflowError):
        inlay.run(_forge(tmp_path / "forged.png", json.dumps(record)))


def test_a_picture_with_too_many_pixels_is_not_decoded(tmp_path):
    Image.new("L", (13_000, 13_000)).save(tmp_path / "big.png")
    with pytest.raises(inlay.WorkflowError, match="169 megapixels"):
        inlay.run(tmp_path / "big.png")

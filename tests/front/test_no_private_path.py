"""No saved file tells the folders of the machine that made it, nor what did not take part."""

import json
import re
import zlib
from pathlib import Path

import inlay
import pytest
from inlay.graph_runtime.front.recipe.private import Private, bare
from PIL import Image

SECRET = "Sentinel-Wombat"


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A user called by the sentinel, at work in a folder of that name, with pictures in another."""
    home = tmp_path / "home" / SECRET
    for folder in ("work", "pictures", "out"):
        (home / f"{folder}-{SECRET}").mkdir(parents=True)
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(home))
    for name in ("USER", "LOGNAME", "USERNAME", "HOSTNAME", "COMPUTERNAME"):
        monkeypatch.setenv(name, SECRET)
    monkeypatch.setenv("INLAY_HOME", str(home / f"inlay-{SECRET}"))
    monkeypatch.chdir(home / f"work-{SECRET}")
    Image.radial_gradient("L").resize((40, 32)).convert("RGB").save(home / f"pictures-{SECRET}" / "photo.png")
    return home


def told(path):
    """Every text in a file: its bytes, and what is compressed in them."""
    data = path.read_bytes()
    for start in re.finditer(rb"\x78[\x01\x5e\x9c\xda]", data):
        try:
            data += zlib.decompressobj().decompress(data[start.start() :], 10**7)
        except zlib.error:
            continue
    return data


def tells(path):
    data = told(path)
    return any(SECRET.encode(code) in data for code in ("utf-8", "utf-16-le", "utf-16-be"))


def workflow(machine, **settings):
    photo = machine / f"pictures-{SECRET}" / "photo.png"
    here = str(photo)
    return {
        "format": 1,
        "title": f"of {here}",
        "description": f"see {machine}/notes/x.txt, {photo.parent} and file://{here}; or ~/{SECRET}/a.png",
        "inputs": {"image": ["photo.path", "other.path"], "model": "idle.source"},
        "nodes": {
            "photo": {"type": "image.load", "params": {"path": here}},
            "other": {"type": "image.load", "params": {"path": here}},
            "idle": {"type": "model.stable_diffusion", "params": {"source": f"{machine}/models/{SECRET}"}},
            "typed": {"type": "model.stable_diffusion", "params": {"source": f"C:\\Users\\{SECRET}\\sd"}},
            "hub": {"type": "model.clip", "params": {"source": f"{SECRET}/of-a-customer"}},
            "fill": {
                "type": "image.fill",
                "params": {"fill": "noise"},
                "inputs": {"image": "photo.image", "mask": "photo.mask"},
            },
            "sheet": {
                "type": "image.grid",
                "params": {"label_1": f"{here}", "label_2": f"a {photo.parent}/b", **settings},
                "inputs": {"image_1": "fill.image", "image_2": "photo.image"},
            },
            "save": {
                "type": "image.save",
                "params": {"prefix": f"{SECRET}/sheet"},
                "inputs": {"image": "sheet.image"},
            },
        },
        "outputs": {"image": "sheet.image"},
        "ui": {
            "photo": {"x": 1, "note": here, "notes": [f"{machine}"], f"{machine}/k.png": 1},
            "idle": {"note": SECRET},
            "comment": SECRET,
        },
    }


@pytest.mark.parametrize("kind", ["png", "webp", "jpeg"])
def test_a_saved_picture_tells_no_folder_in_any_field(machine, kind):
    flow = workflow(machine)
    flow["nodes"]["save"]["params"]["format"] = kind
    for name in ("idle", "typed"):
        del flow["nodes"][name]
    flow["inputs"].pop("model")
    file = machine / f"work-{SECRET}" / "flow.json"
    file.write_text(json.dumps(flow))
    photo = machine / f"pictures-{SECRET}" / "photo.png"
    for source, values in ((file, {"image": photo}), (flow, {})):
        result = inlay.run(source, out=machine / f"out-{SECRET}", cache=False, **values)
        assert result.paths
        assert not any(tells(path) for path in result.paths)


def test_a_node_that_no_output_needs_is_left_out_of_the_picture(machine, shared_sd):
    flow = workflow(machine)
    flow["nodes"]["idle"]["params"]["source"] = str(shared_sd)
    del flow["nodes"]["typed"]
    [path] = inlay.run(flow, out=machine / "out", cache=False).paths
    with Image.open(path) as image:
        found = json.loads(image.info["inlay"])
    assert set(found["workflow"]["nodes"]) == {"photo", "fill", "sheet", "save"}
    assert found["workflow"]["inputs"] == {"image": ["photo.path"]}
    assert set(found["workflow"]["ui"]) == {"photo"}
    assert set(found["files"]) == {"photo.path"}
    assert not tells(path)
    again = inlay.run(path, out=machine / "again", cache=False).paths[0]
    once_more = inlay.run(again, out=machine / "third", cache=False).paths[0]
    assert again.read_bytes() == once_more.read_bytes()


def test_a_model_that_takes_part_is_known_by_its_name_and_content(machine, shared_sd):
    folder = machine / f"models-{SECRET}" / "my-model"
    folder.parent.mkdir()
    folder.symlink_to(shared_sd)
    flow = {
        "format": 1,
        "nodes": {
            "photo": {"type": "image.load", "params": {"path": str(machine / f"pictures-{SECRET}" / "photo.png")}},
            "model": {"type": "model.stable_diffusion", "params": {"source": str(folder)}},
            "fit": {"type": "image.fit", "params": {"multiple": 8}, "inputs": {"image": "photo.image"}},
            "latent": {"type": "latent.encode", "inputs": {"image": "fit.image", "vae": "model.vae"}},
            "keep": {"type": "latent.save", "inputs": {"latent": "latent.latent"}},
            "decode": {"type": "latent.decode", "inputs": {"latent": "latent.latent", "vae": "model.vae"}},
            "save": {"type": "image.save", "inputs": {"image": "decode.image"}},
        },
        "outputs": {"image": "decode.image"},
    }
    paths = inlay.run(flow, out=machine / f"out-{SECRET}", cache=False).paths
    assert {path.suffix for path in paths} == {".png", ".safetensors"}
    assert not any(tells(path) for path in paths)
    with Image.open(next(path for path in paths if path.suffix == ".png")) as image:
        found = json.loads(image.info["inlay"])
    source = found["workflow"]["nodes"]["model"]["params"]["source"]
    assert "/" not in source
    assert source == found["files"]["model.source"]["name"]


@pytest.mark.parametrize(
    ("path", "name"),
    [("a/b.png", "b.png"), ("C:\\Users\\me\\b.png", "b.png"), ("b.png", "b.png"), ("/a/b/", "b"), ("..\\b/c.d", "c.d")],
)
def test_a_path_of_any_system_is_reduced_to_its_name(path, name):
    assert bare(path) == name


def test_a_text_keeps_what_is_no_path_of_this_machine(tmp_path):
    private = Private([tmp_path / "in"], [str(tmp_path / "in" / "album one" / "a.png")])
    for text in (
        "a/b",
        "and/or",
        "1/2",
        "http://example.org/x.png",
        "\\(word\\)",
        "w/o hat",
        "~",
        "24/7 a.m./p.m.",
        "/",
    ):
        assert private.without(text) == text
    assert private.without(f"see {tmp_path}/in/album one/a.png!") == "see a.png!"
    assert private.without([{f"{tmp_path}/in/x.txt": str(tmp_path / "in")}]) == [{"x.txt": "…"}]
    assert private.without({"n": 3, "t": True, "z": None}) == {"n": 3, "t": True, "z": None}
    assert str(Path.home()) not in private.without(f"it is {Path.home()}/deep/folder/b.txt here")

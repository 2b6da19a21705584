"""Samples of the example workflows inside the host: listed and found, copied nowhere, after the user's own files."""

import sys
import types

import pytest
from inlay.graph_runtime import BadInput
from inlay.graph_runtime.core.spec import PathRole
from inlay.graph_runtime.front.comfy.host.folders import input_pictures
from inlay.graph_runtime.front.comfy.host.models import choices
from inlay.graph_runtime.front.comfy.host.paths import limits, resolve_path
from inlay.graph_runtime.front.installed import shipped_samples
from inlay.pictures.files.read import read_pictures
from PIL import Image

FILE, FILES, MODEL = PathRole("file"), PathRole("files"), PathRole("model")


@pytest.fixture
def inputs(tmp_path, monkeypatch):
    host = types.ModuleType("folder_paths")
    for kind in ("input", "output", "temp"):
        (tmp_path / kind).mkdir()
        setattr(host, f"get_{kind}_directory", lambda kind=kind: str(tmp_path / kind))
    host.get_folder_paths = lambda kind: [str(tmp_path / "models")]
    host.models_dir = str(tmp_path / "models")
    monkeypatch.setitem(sys.modules, "folder_paths", host)
    return tmp_path / "input"


def test_loaders_list_the_samples_after_the_users_own_files(inputs):
    Image.new("RGB", (8, 8)).save(inputs / "z.png")
    listed = input_pictures(folders=False)
    assert listed[0] == "z.png"
    assert {"inlay/photo.jpg", "inlay/hole.png", "inlay/room.png", "inlay/dog.png"} <= set(listed)
    assert "inlay/subject/sofa-1.png" in listed
    assert not any(name.endswith((".csv", ".safetensors", "subject")) for name in listed)
    assert choices("model.lora") == ["inlay/subject.safetensors"]
    assert {"inlay/photos", "inlay/subject"} <= set(input_pictures(folders=True))


def test_a_sample_is_read_where_it_lies_and_copied_nowhere(inputs):
    path = resolve_path("path", "inlay/photo.jpg", FILE)
    assert path == str(shipped_samples()["photo.jpg"])
    with limits():
        assert len(read_pictures(path)) == 1
    assert list(inputs.iterdir()) == []


def test_folders_lists_and_models_among_the_samples_are_found(inputs):
    assert resolve_path("photos", "inlay/photos", FILES) == str(shipped_samples()["photos/photo-1.png"].parent)
    assert resolve_path("boxes", "inlay/boxes.csv", FILE) == str(shipped_samples()["boxes.csv"])
    assert resolve_path("source", "inlay/subject.safetensors", MODEL) == str(shipped_samples()["subject.safetensors"])


def test_the_users_own_file_of_that_name_comes_first(inputs):
    (inputs / "inlay").mkdir()
    Image.new("RGB", (8, 8)).save(inputs / "inlay" / "photo.jpg")
    assert resolve_path("path", "inlay/photo.jpg", FILE) == str(inputs / "inlay" / "photo.jpg")


@pytest.mark.parametrize("name", ["inlay/none.png", "inlay/../inlay/photo.jpg/x", "inlay/../../photo.jpg", "photo.jpg"])
def test_nothing_else_of_the_pack_is_found(inputs, name):
    with pytest.raises(BadInput):
        resolve_path("path", name, FILE)


def test_a_sample_named_without_its_folder_is_refused_with_its_name(inputs):
    """Graphs of `inlay convert` name samples as the command line does; the user's own file of that name may be gone."""
    with pytest.raises(BadInput) as refused:
        resolve_path("path", "room.png", FILE)
    assert refused.value.fix == "choose 'inlay/room.png', the sample of that name"

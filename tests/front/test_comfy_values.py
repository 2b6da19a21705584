"""What the host's nodes give ours: transparency, no mask, NaN, text; and the files that its widgets list."""

import asyncio
import inspect
import json
import sys
import types
from pathlib import Path

import pytest
import torch
from hosts import folder_paths
from inlay.graph_runtime import NodeError
from inlay.graph_runtime.front.comfy import node_classes as adapter
from inlay.graph_runtime.front.comfy.choices import Choices
from inlay.graph_runtime.front.comfy.host import folders, seen_samples
from inlay.graph_runtime.front.comfy.host_values import from_host
from inlay.graph_runtime.front.installed import installed_nodes, shipped_samples
from PIL import Image

CLASSES = adapter.mappings(installed_nodes())[0]
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def host(tmp_path, monkeypatch):
    """Folders of a host under tmp_path."""
    module = folder_paths(tmp_path, "input", "output", "temp")
    module.get_folder_paths = lambda kind: []
    monkeypatch.setitem(sys.modules, "folder_paths", module)
    return tmp_path


def fill(**inputs):
    return CLASSES["InlayImageFill"]().execute(**inputs)


def values_of(answer):
    return answer["result"] if isinstance(answer, dict) else answer


def test_no_mask_says_so_and_how_to_paint_one(host):
    with pytest.raises(NodeError, match=r"(?s)this picture has no mask.*32×48 pixels.*MaskEditor"):
        fill(image=torch.rand(1, 48, 32, 3), mask=torch.zeros(1, 64, 64))


@pytest.mark.parametrize("name", ["InlayImagePasteBack", "InlayImageCropToMask", "InlayImageFit", "InlayImageFill"])
def test_every_node_with_a_picture_says_that_it_has_no_mask(host, name):
    spec = CLASSES[name].spec
    inputs = {one.name: torch.rand(1, 48, 32, 3) for one in spec.sockets.values() if one.port.socket == "IMAGE"}
    with pytest.raises(NodeError, match="this picture has no mask"):
        CLASSES[name]().execute(mask=torch.zeros(1, 64, 64), **inputs)


def test_two_masks_of_which_one_is_none(host):
    with pytest.raises(NodeError, match="this picture has no mask"):
        CLASSES["InlayMaskUnion"]().execute(mask_1=torch.ones(1, 32, 32), mask_2=torch.zeros(1, 64, 64))


def test_a_mask_of_64_pixels_that_is_one_is_not_taken_for_none(host):
    with pytest.raises(NodeError, match="64×64") as refused:
        fill(image=torch.rand(1, 48, 32, 3), mask=torch.ones(1, 64, 64))
    assert "has no mask" not in str(refused.value)
    image = torch.rand(1, 64, 64, 3)
    assert torch.equal(values_of(fill(image=image, mask=torch.zeros(1, 64, 64)))[0], image)


def test_a_picture_with_transparency_keeps_its_colours(host, caplog):
    image = torch.rand(2, 16, 16, 4)
    mask = torch.zeros(1, 16, 16)
    with caplog.at_level("WARNING", logger="inlay"):
        (made,) = values_of(fill(image=image, mask=mask))
    assert torch.equal(made, image[..., :3])
    assert "this picture has transparency" in caplog.text
    caplog.clear()
    image[..., 3] = 1
    fill(image=image, mask=mask)
    assert "transparency" not in caplog.text


@pytest.mark.parametrize("shape", [(16, 16, 3), (1, 16, 16, 1), (16, 16, 1), (16, 16, 4)])
def test_pictures_without_batch_axis_or_of_one_channel_are_taken(host, shape):
    image = torch.rand(shape)
    (made,) = values_of(fill(image=image, mask=torch.zeros(16, 16)))
    wanted = image.reshape(1, 16, 16, shape[-1])[..., :3].expand(1, 16, 16, 3)
    assert torch.equal(made, wanted)


@pytest.mark.parametrize("shape", [(16, 16), (1, 1, 16, 16), (1, 16, 16, 1)])
def test_masks_of_every_layout_are_taken(host, shape):
    (made,) = values_of(fill(image=torch.rand(1, 16, 16, 3), mask=torch.ones(shape), fill="neutral"))
    assert made.std() == 0


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("name", ["image", "mask"])
def test_nan_and_infinity_are_named_with_their_number_and_a_way_out(host, wrong, name):
    inputs = {"image": torch.rand(1, 16, 16, 3), "mask": torch.ones(1, 16, 16)}
    inputs[name].view(-1)[3:5] = wrong
    with pytest.raises(NodeError, match=rf"(?s){name}.*2 of {inputs[name].numel()} values.*NaN.*node that made"):
        fill(**inputs)


def test_large_finite_values_are_not_taken_for_infinite():
    values = torch.full((1, 8, 8, 3), 3e38)
    assert torch.equal(from_host("image", "IMAGE", values), values)  # their sum is infinite, none of them is


def test_text_connects_to_a_list_of_files_and_nothing_else_does():
    """As the host compares types: `received != wanted` first."""
    names = Choices(["a.png"])
    assert not (names != "STRING")  # noqa: SIM202 - the host asks just this
    for other in ("INT", "IMAGE", "COMBO", ["b.png"]):
        assert other != names
    assert names == ["a.png"]
    assert json.loads(json.dumps([names])) == [["a.png"]]
    assert isinstance(names, list)


class OldString(str):
    """The type of a text in the host 0.3.64, which is unequal to any list."""

    def __ne__(self, other):
        return not isinstance(other, str) or str(self) != str(other)

    __eq__ = str.__eq__
    __hash__ = str.__hash__


def test_text_connects_in_a_host_that_compares_types_its_own_way(host, monkeypatch):
    nodes = types.ModuleType("nodes")
    nodes.NODE_CLASS_MAPPINGS = {"PrimitiveString": types.SimpleNamespace(RETURN_TYPES=(OldString("STRING"),))}
    plain = adapter.node_class(CLASSES["InlayMaskLoad"].spec)
    assert "input_types" not in inspect.getfullargspec(plain.VALIDATE_INPUTS).args
    monkeypatch.setitem(sys.modules, "nodes", nodes)
    made = adapter.node_class(CLASSES["InlayMaskLoad"].spec)
    assert "input_types" in inspect.getfullargspec(made.VALIDATE_INPUTS).args
    assert made.VALIDATE_INPUTS(input_types={"path": OldString("STRING")}) is True
    assert made.VALIDATE_INPUTS(input_types={"path": "STRING", "image": "IMAGE", "threshold": "*"}) is True
    assert "path: found IMAGE; expected STRING" in made.VALIDATE_INPUTS(input_types={"path": "IMAGE"})
    assert "image: found MASK; expected IMAGE" in made.VALIDATE_INPUTS(input_types={"image": "MASK"})


def test_every_widget_that_lists_files_takes_text(host):
    Image.new("RGB", (4, 4)).save(host / "input" / "a.png")
    seen = 0
    for made in CLASSES.values():
        types_of = made.INPUT_TYPES()
        for kind, options in (entry for group in ("required", "optional") for entry in types_of[group].values()):
            if isinstance(kind, list) and options.get("image_upload"):
                assert not (kind != "STRING")  # noqa: SIM202
                assert options["takes_text"]
                seen += 1
    assert seen >= 3


def test_a_path_from_a_wire_is_always_read_again_and_no_folder_in_its_place(host, monkeypatch):
    """Which file it names is not known when the host asks whether it has changed."""
    monkeypatch.setattr(adapter, "digest", lambda *rest, **more: pytest.fail("read a folder"))
    for name in ("InlayImageLoad", "InlayImageWithMask", "InlayMaskLoad"):
        told = CLASSES[name].IS_CHANGED()
        assert told != told  # NaN is never what it was
    for name in ("InlayImageLoad", "InlayImageWithMask"):
        assert CLASSES[name].VALIDATE_INPUTS() is True
        assert CLASSES[name].IS_CHANGED(**{next(iter(CLASSES[name].spec.path_roles)): ""}) == ""


def seen(subfolder, filename, path="/view"):
    """The host's server asked for a picture, with our part in between: whether the file is there then."""

    class Request:
        query = {"subfolder": subfolder, "filename": filename, "type": "input"}  # noqa: RUF012

    async def handler(request):
        return (folders.host_folder("input") / subfolder / filename).is_file()

    Request.path = path
    return asyncio.run(seen_samples._put_in_place(Request, handler))


@pytest.mark.parametrize("path", ["/view", "/api/view"])
def test_a_sample_that_the_page_shows_is_a_file_of_the_input_folder(host, path):
    assert seen("inlay", "room.png", path)
    assert (host / "input" / "inlay" / "room.png").read_bytes() == shipped_samples()["room.png"].read_bytes()
    assert [item.name for item in (host / "input" / "inlay").iterdir()] == ["room.png"]
    assert seen("inlay/subject", "sofa-1.png", path)
    listed = folders.input_pictures(False)
    assert len(listed) == len(set(listed))


@pytest.mark.parametrize(
    ("subfolder", "filename"),
    [
        ("", "room.png"),
        ("inlay", "none.png"),
        ("inlay", "../room.png"),
        ("inlay/../inlay", "room.png"),
        ("/inlay", "../x"),
        ("inlay", "subject"),
        ("inlay", ""),
        ("", "inlay"),
    ],
)
def test_nothing_else_is_written(host, subfolder, filename):
    assert not seen(subfolder, filename)
    assert not any((host / "input").rglob("*"))


def test_a_sample_is_seen_by_the_page_alone_and_replaces_nothing(host):
    assert not seen("inlay", "room.png", "/prompt")
    (host / "input" / "inlay").mkdir()
    (host / "input" / "inlay" / "room.png").write_bytes(b"mine")
    assert seen("inlay", "room.png")
    assert (host / "input" / "inlay" / "room.png").read_bytes() == b"mine"


def test_no_sample_is_written_through_a_link_out_of_the_input_folder(host):
    (host / "elsewhere").mkdir()
    (host / "input" / "inlay").symlink_to(host / "elsewhere", target_is_directory=True)
    assert not seen_samples.put_in_place("inlay", "room.png")
    assert not any((host / "elsewhere").iterdir())


def test_the_hosts_server_asks_once_and_one_that_listens_already_is_left_alone(host, monkeypatch):
    server = types.ModuleType("server")
    server.PromptServer = types.SimpleNamespace(instance=types.SimpleNamespace(app=None))
    monkeypatch.setitem(sys.modules, "server", server)
    seen_samples.serve_samples()
    server.PromptServer.instance.app = types.SimpleNamespace(middlewares=[])
    seen_samples.serve_samples()
    seen_samples.serve_samples()
    assert server.PromptServer.instance.app.middlewares == [seen_samples._put_in_place]

    class Frozen(list):
        def append(self, item):
            raise RuntimeError("Cannot modify frozen list.")

    server.PromptServer.instance.app.middlewares = Frozen()
    seen_samples.serve_samples()
    assert server.PromptServer.instance.app.middlewares == []


def test_the_page_gets_one_script_and_no_other():
    """The host loads every script below the folder into its page."""
    import inlay

    folder = ROOT / inlay.WEB_DIRECTORY
    assert [path.relative_to(folder).as_posix() for path in folder.rglob("*.js")] == ["inlay.js"]


def test_pictures_in_folders_are_listed_and_read(host, caplog):
    (host / "input" / "pasted" / "deep").mkdir(parents=True)
    (host / "input" / "clipspace").mkdir()
    (host / "elsewhere").mkdir()
    for path in ("input/a.png", "input/pasted/b.png", "input/pasted/deep/c.png", "input/clipspace/d.png"):
        Image.new("RGB", (8, 8), "red").save(host / path)
    Image.new("RGB", (8, 8)).save(host / "elsewhere" / "e.png")
    (host / "input" / "link").symlink_to(host / "elsewhere", target_is_directory=True)
    listed = CLASSES["InlayImageWithMask"].INPUT_TYPES()["required"]["image"][0]
    ours = [name for name in listed if not name.startswith("inlay/")]
    assert ours == ["a.png", "pasted/b.png", "pasted/deep/c.png"]
    for name in (*ours, "clipspace/d.png [input]", "pasted\\b.png"):
        assert CLASSES["InlayImageWithMask"].VALIDATE_INPUTS(image=name) is True
        assert CLASSES["InlayImageWithMask"]().execute(image=name)[0].shape == (1, 8, 8, 3)
    assert CLASSES["InlayImageWithMask"].VALIDATE_INPUTS(image="link/e.png") is not True


def test_a_new_picture_in_a_folder_is_listed(host):
    (host / "input" / "pasted").mkdir()
    assert "pasted/new.png" not in folders.input_pictures(False)
    Image.new("RGB", (8, 8)).save(host / "input" / "pasted" / "new.png")
    assert "pasted/new.png" in folders.input_pictures(False)


def test_thousands_of_folders_are_not_all_looked_into(host):
    for number in range(folders.MOST_FOLDERS + 50):
        (host / "input" / f"{number:04}").mkdir()
        (host / "input" / f"{number:04}" / "a.png").touch()
    assert len(folders.input_pictures(False)) < folders.MOST_FOLDERS + 60

"""The host's newer API (V3) from the same definitions, behind one switch; and its replacements of renamed nodes."""

import asyncio
import importlib
import sys
import types
from typing import Annotated, NamedTuple

import inlay
import pytest
import torch
from inlay.graph_runtime import Context, Port, node
from inlay.graph_runtime.front.comfy import pack_classes
from inlay.graph_runtime.front.comfy.expander_node import expander_class
from inlay.graph_runtime.front.comfy.host import newer_api
from inlay.graph_runtime.front.comfy.node_classes import mappings, node_class
from inlay.graph_runtime.front.installed import installed_nodes
from inlay.nodes.pack import PACK
from PIL import Image

Picture = Annotated[torch.Tensor, Port("IMAGE", "RGB in [0, 1]")]


class Pictures(NamedTuple):
    image: Picture


@node("toy.half", effects=True)
def half(image: Picture, ctx: Context, by: float = 0.5, prefix: str = "toy") -> Pictures:
    """Halve."""
    assert set(ctx.metadata) == {"prompt"}
    return Pictures(image * by)


@pytest.fixture
def api(monkeypatch):
    """The parts of the host's newer API that are used, as plain records."""

    class Record:
        def __init__(self, *args, **fields):
            self.args, self.fields = args, fields

    def kind(name):
        sides = {side: type(side, (Record,), {"kind": name}) for side in ("Input", "Output")}
        return type(name, (), sides)

    io = types.ModuleType("comfy_api.latest.io")
    for name in ("Int", "Float", "String", "Boolean", "Combo"):
        setattr(io, name, kind(name))
    io.Custom, io.Schema, io.NodeReplace = kind, type("Schema", (Record,), {}), type("NodeReplace", (Record,), {})
    io.ComfyNode = type("ComfyNode", (), {})
    io.Hidden = types.SimpleNamespace(prompt="PROMPT", extra_pnginfo="EXTRA_PNGINFO", unique_id="UNIQUE_ID")
    latest = types.ModuleType("comfy_api.latest")
    latest.io, latest.ComfyExtension = io, type("ComfyExtension", (), {})
    monkeypatch.setitem(sys.modules, "comfy_api.latest", latest)
    return latest


def everything():
    classes, names = mappings(installed_nodes())
    return {**classes, "InlayInpaint": expander_class("inpaint", PACK.expanders["inpaint"])}, names


def test_every_node_has_the_same_inputs_and_outputs_in_either_api(api):
    classes, names = everything()
    back = {new: old for old, new in newer_api._OPTIONS.items()}
    for name, older in classes.items():
        schema = newer_api.newer_class(older, names.get(name, name)).define_schema().fields
        groups = older.INPUT_TYPES()
        asked = [(group, *one) for group in ("required", "optional") for one in groups[group].items()]
        expected = {key: (entry, group == "optional") for group, key, entry in asked}
        assert [one.args[0] for one in schema["inputs"]] == list(expected)
        for one in schema["inputs"]:
            (kind, options, *_), optional = expected[one.args[0]]
            given = dict(one.fields)
            assert given.pop("optional") is optional
            extra = given.pop("extra_dict", {})
            said = extra | {back.get(key, key): value for key, value in given.items() if value is not None}
            assert said.pop("options", kind) == kind
            assert said == {key: value for key, value in options.items() if (key, value) != ("tooltip", "")}
            shown = {"INT": "Int", "FLOAT": "Float", "STRING": "String", "BOOLEAN": "Boolean"}
            assert one.kind == ("Combo" if isinstance(kind, list) else shown.get(kind, kind))
        assert [(one.kind, one.fields["display_name"]) for one in schema["outputs"]] == list(
            zip(older.RETURN_TYPES, older.RETURN_NAMES, strict=True)
        )
        assert schema["node_id"] == name
        assert schema["category"] == older.CATEGORY


def test_a_node_runs_in_either_api_to_the_same_values(api):
    older = node_class(half.spec)
    newer = newer_api.newer_class(older, "Half")
    newer.hidden = types.SimpleNamespace(prompt={"1": {}}, extra_pnginfo=None, unique_id="1")
    image = torch.rand(1, 2, 2, 3)
    mine, theirs = older().execute(image=image, prompt={"1": {}}), newer.execute(image=image)
    assert torch.equal(mine["result"][0], theirs["result"][0])


def test_files_are_watched_and_checked_in_either_api(api):
    newer = newer_api.newer_class(node_class(installed_nodes()["image.load"]), "Load")
    assert newer.validate_inputs(path="") is True
    assert isinstance(newer.fingerprint_inputs(path="none.png"), str)


def test_the_switch_exposes_one_api_and_never_both(monkeypatch):
    name = inlay.__name__
    assert set(inlay._FOR_THE_HOST) == {"NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS"}
    monkeypatch.setenv("INLAY_COMFY_SCHEMA", "v3")
    spec = importlib.util.spec_from_file_location("switched", inlay.__file__, submodule_search_locations=inlay.__path__)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "switched", module)
    before = set(sys.modules)
    spec.loader.exec_module(module)
    assert set(module._FOR_THE_HOST) == {"comfy_entrypoint"}
    assert not hasattr(module, "NODE_CLASS_MAPPINGS")
    for new in set(sys.modules) - before:
        del sys.modules[new]
    assert inlay.__name__ == name


def test_the_entry_point_gives_every_class(api):
    extension = pack_classes.comfy_entrypoint()
    assert isinstance(extension, api.ComfyExtension)
    found = {cls.__name__ for cls in asyncio.run(extension.get_node_list())}
    assert found == set(pack_classes.NODE_CLASS_MAPPINGS)


def test_without_the_newer_api_the_switch_is_refused(monkeypatch):
    monkeypatch.delitem(sys.modules, "comfy_api.latest", raising=False)
    with pytest.raises(RuntimeError, match="unset INLAY_COMFY_SCHEMA"):
        newer_api.newer_class(node_class(half.spec), "Half")


def test_the_host_is_told_of_renamed_nodes(api, monkeypatch):
    told = []
    server = types.ModuleType("server")
    manager = types.SimpleNamespace(register=told.append)
    server.PromptServer = types.SimpleNamespace(instance=types.SimpleNamespace(node_replace_manager=manager))
    monkeypatch.setitem(sys.modules, "server", server)
    classes, _ = everything()
    assert newer_api.register_renamed({"InlayImageOpen": "InlayImageWithMask"}, classes) == 1
    assert told[0].fields == {
        "new_node_id": "InlayImageWithMask",
        "old_node_id": "InlayImageOpen",
        "input_mapping": [{"new_id": "image", "old_id": "image"}],
    }
    monkeypatch.delattr(server.PromptServer.instance, "node_replace_manager")  # a host before 0.14
    assert newer_api.register_renamed({"a": "b"}, classes) == 0


def test_renamed_nodes_name_known_ones_and_old_files_run(tmp_path):
    known = installed_nodes()
    assert all(new in known and old not in known for old, new in PACK.renamed.items())
    Image.new("RGB", (6, 4), (1, 2, 3)).save(tmp_path / "room.png")
    graph = {
        "format": 1,
        "nodes": {"photo": {"type": "image.open", "version": 1, "params": {"image": "room.png"}}},
        "inputs": {"image": "photo.image"},
        "outputs": {"image": "photo.image"},
    }
    result = inlay.run(graph, image=tmp_path / "room.png", out=tmp_path / "out")
    assert result["image"].shape == (1, 4, 6, 3)

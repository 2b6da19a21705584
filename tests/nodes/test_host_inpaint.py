"""A whole null-space inpaint through the host's classes gives, bit for bit, what the same workflow gives by itself."""

import importlib.util
import sys
import types
from pathlib import Path

import inlay
import networkx
import pytest
import torch
from hosts import folder_paths
from PIL import Image, ImageDraw

ROOT = Path(__file__).resolve().parents[2]
GRAPH = {
    "format": 1,
    "nodes": {
        "model": {"type": "model.stable_diffusion", "params": {"source": "SOURCE"}},
        "photo": {"type": "image.load", "params": {"path": "room.png"}},
        "hole": {"type": "mask.load", "params": {"path": "hole.png"}},
        "fit": {
            "type": "image.fit",
            "inputs": {"image": "photo.image", "mask": "hole.mask"},
            "params": {"multiple": 16},
        },
        "fill": {"type": "image.fill", "inputs": {"image": "fit.image", "mask": "fit.mask"}},
        "known": {"type": "latent.encode", "inputs": {"image": "fill.image", "vae": "model.vae"}},
        "cells": {
            "type": "mask.to_latent",
            "inputs": {"mask": "fit.mask", "vae": "model.vae"},
            "params": {"dilate": 1},
        },
        "constraint": {
            "type": "constraint.null_space",
            "inputs": {"latent": "known.latent", "latent_mask": "cells.latent_mask"},
        },
        "words": {"type": "condition.text", "inputs": {"text_encoder": "model.text_encoder"}},
        "noise": {"type": "noise.gaussian", "inputs": {"latent": "known.latent"}, "params": {"seed": 7}},
        "schedule": {"type": "schedule.ddim", "inputs": {"scheduler": "model.scheduler"}, "params": {"steps": 3}},
        "sample": {
            "type": "sample.denoise",
            "inputs": {
                "denoiser": "model.denoiser",
                "schedule": "schedule.schedule",
                "noise": "noise.noise",
                "conditioning": "words.conditioning",
                "constraint": "constraint.constraint",
            },
        },
        "picture": {"type": "latent.decode", "inputs": {"latent": "sample.latent", "vae": "model.vae"}},
        "unfit": {"type": "image.unfit", "inputs": {"image": "picture.image", "fit": "fit.fit"}},
        "paste": {
            "type": "image.paste_back",
            "inputs": {"base": "photo.image", "patch": "unfit.image", "mask": "hole.mask"},
        },
    },
    "outputs": {"image": "paste.image"},
}


@pytest.fixture
def host(tmp_path, monkeypatch):
    """The host's folders and memory management, and the pack loaded from a folder with dots and dashes in its name."""
    told = types.SimpleNamespace(loaded=0, steps=[])
    folders = folder_paths(tmp_path, "input", "output")
    (tmp_path / "models").mkdir()
    management, patcher = types.ModuleType("comfy.model_management"), types.ModuleType("comfy.model_patcher")
    utils = types.ModuleType("comfy.utils")

    class ModelPatcher:
        def __init__(self, model, load_device, offload_device):
            model.device = offload_device
            self.model = model

    class ProgressBar:
        def __init__(self, total, node_id=None):
            self.total = total

        def update_absolute(self, value, total=None, preview=None):
            told.steps.append((value, total))

    def load_models_gpu(patchers, force_full_load=False):
        told.loaded += len(patchers)

    management.get_torch_device = lambda: torch.device("cpu")
    management.load_models_gpu = load_models_gpu
    patcher.ModelPatcher, utils.ProgressBar = ModelPatcher, ProgressBar
    for module in (folders, types.ModuleType("comfy"), management, patcher, utils, types.ModuleType("nodes")):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    folder = tmp_path / "custom_nodes" / "inlay-main.v1"
    folder.parent.mkdir()
    folder.symlink_to(ROOT, target_is_directory=True)
    before = set(sys.modules)
    spec = importlib.util.spec_from_file_location(str(folder), folder / "__init__.py")
    told.pack = sys.modules[str(folder)] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(told.pack)
    yield told
    for name in set(sys.modules) - before:
        if name.startswith(str(folder)):
            del sys.modules[name]


def run_in_host(pack, graph):
    """Every node through INPUT_TYPES and FUNCTION, as the host's executor does it; outputs by `node.output`."""
    order = networkx.DiGraph()
    order.add_nodes_from(graph["nodes"])
    order.add_edges_from(
        (link.split(".")[0], name)
        for name, entry in graph["nodes"].items()
        for link in entry.get("inputs", {}).values()
    )
    values = {}
    for name in networkx.topological_sort(order):
        entry = graph["nodes"][name]
        cls = pack.NODE_CLASS_MAPPINGS[
            "Inlay" + "".join(part.capitalize() for part in entry["type"].replace(".", "_").split("_"))
        ]
        groups = cls.INPUT_TYPES()
        widgets = {
            key: options["default"]
            for group in ("required", "optional")
            for key, (_, options) in groups.get(group, {}).items()
            if "default" in options
        }
        wired = {socket: values[link] for socket, link in entry.get("inputs", {}).items()}
        with torch.inference_mode():
            outputs = getattr(cls(), cls.FUNCTION)(**(widgets | entry.get("params", {}) | wired))
        values |= {f"{name}.{output}": value for output, value in zip(cls.RETURN_NAMES, outputs, strict=True)}
    return values


def test_the_host_gives_the_same_bits_as_the_runtime(host, tiny, tmp_path):
    room = Image.radial_gradient("L").resize((93, 61)).convert("RGB")
    hole = Image.new("L", room.size)
    ImageDraw.Draw(hole).rectangle((30, 20, 60, 44), fill=255)
    room.save(tmp_path / "input" / "room.png")
    hole.save(tmp_path / "input" / "hole.png")
    (tmp_path / "models" / "diffusers").mkdir()
    (tmp_path / "models" / "diffusers" / "tiny").symlink_to(tiny.stable_diffusion("host_sd"))

    nodes = GRAPH["nodes"] | {"model": {"type": "model.stable_diffusion", "params": {"source": "diffusers/tiny"}}}
    values = run_in_host(host.pack, GRAPH | {"nodes": nodes})
    image = values["paste.image"]
    base, mask = values["photo.image"], values["hole.mask"]
    assert image.shape == (1, 61, 93, 3)
    assert image.dtype == torch.float32
    assert torch.equal(image[mask == 0], base[mask == 0])
    assert not torch.equal(image[mask == 1], base[mask == 1])
    assert host.loaded >= 3  # encoder, text encoder, UNet, decoder: each lease went through the host
    assert [step for step in host.steps if step[1] == 3] == [(1, 3), (2, 3), (3, 3)]

    absolute = {name: {**entry, "params": dict(entry.get("params", {}))} for name, entry in GRAPH["nodes"].items()}
    absolute["model"]["params"]["source"] = str(tmp_path / "models" / "diffusers" / "tiny")
    for name in ("photo", "hole"):
        absolute[name]["params"]["path"] = str(tmp_path / "input" / absolute[name]["params"]["path"])
    alone = inlay.run(GRAPH | {"nodes": absolute}, out=tmp_path / "out")
    assert torch.equal(alone["image"], image)


def test_a_wrong_pairing_is_said_before_anything_loads(host, tiny, tmp_path):
    for name, unet, text in (("one", {}, {}), ("two", {"cross_attention_dim": 16}, {"hidden_size": 16})):
        (tmp_path / "models" / name).symlink_to(tiny.stable_diffusion(f"host_{name}", unet=unet, text=text))
    load = host.pack.NODE_CLASS_MAPPINGS["InlayModelStableDiffusion"]
    words = host.pack.NODE_CLASS_MAPPINGS["InlayConditionText"]
    one, two = (load().execute(source=name) for name in ("one", "two"))
    told = words().execute(text_encoder=one[2])[0]
    schedule = host.pack.NODE_CLASS_MAPPINGS["InlayScheduleDdim"]().execute(scheduler=two[3], steps=2)[0]
    noise = host.pack.NODE_CLASS_MAPPINGS["InlayNoiseGaussian"]().execute(latent=torch.zeros(1, 4, 8, 8))[0]
    with pytest.raises(Exception, match=r"Sample denoise \(inlay\)\.conditioning[\s\S]*width 24[\s\S]*fix"):
        host.pack.NODE_CLASS_MAPPINGS["InlaySampleDenoise"]().execute(
            denoiser=two[0], schedule=schedule, noise=noise, conditioning=told
        )

"""The files that a model is made from are in its fingerprint, byte by byte, and no other files are.

Each file of a folder is changed in one byte, at the same size and modification time.
"""

import os
import shutil
from functools import cache

import pytest
import torch
from inlay.graph_runtime import ModelError
from inlay.graph_runtime.core.memory.manager import ModelManager
from inlay.graph_runtime.front.python import api
from inlay.models.folder import ModelFolder
from inlay.nodes.model import stable_diffusion
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from ways_to_load import MAKERS, WAYS

CLIP_WORDS = {"tokenizer_config.json", "vocab.json", "merges.txt"}
#: Way of loading -> the files that count, by their names in the folder.
COUNT = {
    "unet": {"unet/config.json", "unet/diffusion_pytorch_model.safetensors"},
    "vae": {"vae/config.json", "vae/diffusion_pytorch_model.safetensors"},
    "text": {
        "text_encoder/config.json",
        "text_encoder/model.safetensors",
        *(f"tokenizer/{name}" for name in CLIP_WORDS),
    },
    "pixel": {"unet/config.json", "unet/diffusion_pytorch_model.safetensors"},
    "exemplar": {
        "image_encoder/config.json",
        "image_encoder/model.safetensors",
        "feature_extractor/preprocessor_config.json",
    },
    "new_exemplar": {"config.json", "model.safetensors"},
    "one_file_unet": {"model.safetensors"},
    "one_file_vae": {"model.safetensors"},
    "one_file_text": {"model.safetensors", *(f"tokenizer/{name}" for name in CLIP_WORDS)},
    "detector": {"config.json", "model.safetensors", "preprocessor_config.json"},
    "clip": {"config.json", "model.safetensors", *CLIP_WORDS},
    "dino": {"config.json", "model.safetensors"},
    "captioner": {"config.json", "model.safetensors", "tokenizer_config.json", "tokenizer.json"},
}
#: What lies beside the files of a model and must not count: (name, contents).
STRAY = (
    ("adapter_config.json", b'{"peft_type": "LORA", "r": 1000000000, "target_modules": "(a+)+$"}'),
    ("adapter_model.safetensors", b"rubbish"),
    ("x.bin", b"\x80\x02"),
    ("pytorch_model.bin", b"\x80\x02"),
    ("diffusion_pytorch_model.bin", b"\x80\x02"),
    ("modeling.py", b"raise SystemExit"),
    ("model.safetensors.index.fp16.json", b"{"),
    ("diffusion_pytorch_model.safetensors.index.fp16.json", b"{"),
    ("quantization_config.json", b"{}"),
    ("generation_config.json", b'{"max_length": 1000000000}'),
)


@pytest.fixture(scope="module")
def made(tmp_path_factory, tiny_at):
    """A model's folder by maker, made once; tests copy it."""
    return cache(lambda maker: MAKERS[maker](tiny_at(tmp_path_factory.mktemp(maker))))


@pytest.fixture
def folder(made, tmp_path, request):
    return shutil.copytree(made(WAYS[request.param][0]), tmp_path / "model")


def fingerprint(way, folder):
    try:
        return WAYS[way][1](folder).fingerprint
    except ModelError as error:
        return repr(error)


def change_a_byte(path):
    """Another byte in one place that leaves JSON valid, at the same size and modification time."""
    status, raw = path.stat(), path.read_bytes()
    valid = b" " if path.suffix == ".json" else b"0.2" if path.name == "merges.txt" else raw[-1:]
    place = raw.index(valid) if valid in raw[:-1] else len(raw) - 1
    with path.open("r+b") as file:
        file.seek(place)
        file.write(b"\t" if raw[place : place + 1] == b" " else bytes([raw[place] ^ 1]))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (status.st_size, status.st_mtime_ns)


@pytest.mark.parametrize(("way", "folder"), [(way, way) for way in WAYS], indirect=["folder"])
def test_a_byte_of_a_file_that_counts_changes_the_fingerprint_and_no_other_byte_does(way, folder):
    before, files = fingerprint(way, folder), sorted(path for path in folder.rglob("*") if path.is_file())
    changed = set()
    for path in files:
        raw, times = path.read_bytes(), (path.stat().st_atime_ns, path.stat().st_mtime_ns)
        change_a_byte(path)
        if fingerprint(way, folder) != before:
            changed.add(path.relative_to(folder).as_posix())
        path.write_bytes(raw)
        os.utime(path, ns=times)
        assert fingerprint(way, folder) == before, path
    assert changed == COUNT[way]


@pytest.mark.parametrize(("way", "folder"), [(way, way) for way in WAYS], indirect=["folder"])
def test_a_stray_file_changes_neither_the_fingerprint_nor_what_is_loaded(way, folder):
    _, describe, _ = WAYS[way]
    before, state = describe(folder).fingerprint, describe(folder).load("cpu").state_dict()
    for inner in [folder, *(path for path in folder.iterdir() if path.is_dir())]:
        for name, contents in STRAY:
            (inner / name).write_bytes(contents)
    assert describe(folder).fingerprint == before
    again = describe(folder).load("cpu").state_dict()
    assert state.keys() == again.keys()
    assert all(torch.equal(value, again[key]) for key, value in state.items())


def weights_of(way, folder):
    name = next(name for name in COUNT[way] if name.endswith(".safetensors"))
    return folder / name


def change_the_weights(path):
    """Other weights at the same size and modification time."""
    status, stored = path.stat(), load_file(path)
    with safe_open(path, framework="pt") as file:
        about = file.metadata()
    save_file({k: v + 0.25 if v.is_floating_point() else v for k, v in stored.items()}, path, about)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (status.st_size, status.st_mtime_ns)


def values(module):
    return {key: value.clone() for key, value in module.state_dict().items() if value.is_floating_point()}


@pytest.mark.parametrize(("way", "folder"), [(way, way) for way in WAYS], indirect=["folder"])
def test_resident_weights_of_a_former_file_are_not_used(way, folder):
    _, describe, _ = WAYS[way]
    manager, former = ModelManager(), describe(folder)
    with manager.lease(former) as module:
        before = values(module)
    change_the_weights(weights_of(way, folder))
    with manager.lease(describe(folder)) as module:
        after = values(module)
    assert before.keys() == after.keys()
    assert any(not torch.equal(value, after[key]) for key, value in before.items())
    with manager.lease(former) as module:  # still resident, under its own fingerprint
        assert all(torch.equal(value, module.state_dict()[key]) for key, value in before.items())


@pytest.mark.parametrize(("way", "folder"), [(way, way) for way in WAYS], indirect=["folder"])
def test_weights_that_changed_after_the_check_are_refused_not_used(way, folder):
    described = WAYS[way][1](folder)
    change_the_weights(weights_of(way, folder))
    with pytest.raises(ModelError, match="changed after they were checked"):
        described.load("cpu")


@pytest.mark.parametrize("folder", ["unet"], indirect=True)
def test_an_index_of_shards_is_in_the_fingerprint(folder):
    from diffusers import UNet2DConditionModel

    unet = UNet2DConditionModel.from_pretrained(folder / "unet")
    (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    unet.save_pretrained(folder / "unet", max_shard_size="100KB")
    seen = {fingerprint("unet", folder)}
    for path in sorted((folder / "unet").iterdir()):
        change_a_byte(path)
        seen.add(fingerprint("unet", folder))
    assert len(list((folder / "unet").iterdir())) > 3
    assert len(seen) == 1 + len(list((folder / "unet").iterdir()))


@pytest.mark.parametrize("folder", ["unet"], indirect=True)
def test_a_scheduler_is_known_by_its_one_file(folder):
    before = stable_diffusion(str(folder)).scheduler.fingerprint
    (folder / "scheduler" / "notes.txt").write_text("of no effect")
    assert stable_diffusion(str(folder)).scheduler.fingerprint == before
    change_a_byte(folder / "scheduler" / "scheduler_config.json")
    assert stable_diffusion(str(folder)).scheduler.fingerprint != before


@pytest.mark.parametrize("folder", ["text"], indirect=True)
@pytest.mark.parametrize("kept", [True, False])
def test_a_run_in_one_process_follows_changed_weights(folder, tmp_path, kept):
    raw = {
        "format": 1,
        "nodes": {
            "model": {"type": "model.stable_diffusion", "params": {"source": str(folder)}},
            "words": {
                "type": "condition.text",
                "inputs": {"text_encoder": "model.text_encoder"},
                "params": {"prompt": "a"},
            },
        },
        "outputs": {"words": "words.conditioning"},
    }
    seen = []
    for change in (lambda path: None, change_the_weights):
        change(folder / "text_encoder" / "model.safetensors")
        result = api.run(raw, inputs=folder.parent, out=tmp_path / "out", cache=kept)
        seen.append(result.outputs["words"].cond)
    assert not torch.equal(*seen)


@pytest.mark.parametrize("folder", ["unet"], indirect=True)
def test_weights_are_found_and_counted_once_per_state_of_the_files(folder, monkeypatch):
    asked = []
    find = ModelFolder.weights
    monkeypatch.setattr(ModelFolder, "weights", lambda self, part: asked.append(part) or find(self, part))
    first = stable_diffusion(str(folder)).denoiser
    numbers = first.nbytes_on("cpu")
    asked.clear()
    assert [first.nbytes_on("cpu") for _ in range(5)] == [numbers] * 5
    assert len({first.label for _ in range(5)}) == 1
    assert not asked

    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    save_file({**load_file(path), "more": torch.zeros(1000)}, path)
    assert stable_diffusion(str(folder)).denoiser.nbytes_on("cpu") == numbers + 4 * 1000

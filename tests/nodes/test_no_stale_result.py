"""Whatever a run reads counts: any change of any byte gives another key, in this process and in the next."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import inlay
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from inlay.graph_runtime.core import file_digests
from inlay.graph_runtime.core.errors import WorkflowError
from inlay.graph_runtime.core.events import NodeStarted, Warned
from inlay.graph_runtime.core.reading import file_state
from inlay.graph_runtime.front import kept_between_runs
from inlay.graph_runtime.front.python.load_workflow import load
from inlay.models import config
from inlay.models.files import json_objects, safetensors_header, stamps
from PIL import Image
from safetensors.torch import load_file, save_file
from tiny_models import Tiny

FLOW = {
    "format": 1,
    "nodes": {
        "photo": {"type": "image.load", "version": 1, "params": {"path": "photo.png"}},
        "many": {"type": "image.load", "version": 1, "params": {"path": "many"}},
        "matched": {"type": "image.load", "version": 1, "params": {"path": "*/x*.png"}},
        "hole": {"type": "mask.load", "version": 1, "params": {"path": "hole.png"}},
        "z": {"type": "latent.load", "version": 1, "params": {"path": "latent.safetensors"}},
        "sd": {"type": "model.stable_diffusion", "version": 1, "params": {"source": "./sd"}},
        "adapted": {
            "type": "model.lora",
            "version": 1,
            "params": {"source": "./lora"},
            "inputs": {"denoiser": "sd.denoiser"},
        },
        "encoded": {
            "type": "latent.encode",
            "version": 1,
            "inputs": {"image": "photo.image", "vae": "sd.vae"},
        },
        "words": {
            "type": "condition.text",
            "version": 2,
            "params": {"prompt": "abc"},
            "inputs": {"text_encoder": "sd.text_encoder"},
        },
        "steps": {
            "type": "schedule.ddim",
            "version": 1,
            "params": {"steps": 2, "eta": 0.0},
            "inputs": {"scheduler": "sd.scheduler"},
        },
        "way": {
            "type": "invert.ddim",
            "version": 1,
            "inputs": {
                "denoiser": "adapted.denoiser",
                "conditioning": "words.conditioning",
                "schedule": "steps.schedule",
                "latent": "z.latent",
            },
        },
    },
    "outputs": {
        "photo": "photo.image",
        "many": "many.image",
        "matched": "matched.image",
        "hole": "hole.mask",
        "encoded": "encoded.latent",
        "way": "way.trajectory",
    },
}


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    """A folder in which every kind of file is read: pictures, masks, latents, a model in shards, a LoRA of peft."""
    folder = tmp_path_factory.mktemp("stale")
    for name in ("photo.png", "hole.png", "many/1.png", "many/2.png", "here/x1.png", "there/x2.png"):
        (folder / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (32, 32), (len(name), 7, 200)).save(folder / name)
    save_file({"latent": torch.zeros(1, 4, 8, 8)}, folder / "latent.safetensors")
    model = Tiny(folder).stable_diffusion()
    weights = model / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(weights)
    names = sorted(tensors)
    shards = {"-00001-of-00002": names[::2], "-00002-of-00002": names[1::2]}
    for end, chosen in shards.items():
        save_file({name: tensors[name] for name in chosen}, weights.with_name(f"{weights.stem}{end}.safetensors"))
    listed = {name: f"{weights.stem}{end}.safetensors" for end, chosen in shards.items() for name in chosen}
    index = {"metadata": {"total_size": 1}, "weight_map": listed}
    weights.with_name(f"{weights.name}.index.json").write_text(json.dumps(index))
    weights.unlink()
    layer = next(name for name in names if name.endswith("attn1.to_q.weight"))
    rows, columns = tensors[layer].shape
    pair = {
        f"base_model.model.{layer.removesuffix('.weight')}.lora_A.weight": torch.ones(2, columns),
        f"base_model.model.{layer.removesuffix('.weight')}.lora_B.weight": torch.ones(rows, 2),
    }
    (folder / "lora").mkdir()
    save_file(pair, folder / "lora" / "adapter_model.safetensors")
    (folder / "lora" / "adapter_config.json").write_text(json.dumps({"r": 2, "lora_alpha": 2, "peft_type": "LORA"}))
    (folder / "flow.json").write_text(json.dumps(FLOW))
    return folder


def keys_now(folder):
    """The key of each output, and every file that was read."""
    plan = load(folder / "flow.json").plan()
    keys = {name: plan.keys[plan.owner[slot]] for name, slot in plan.outputs.items()}
    return keys, plan.reads.files


def files_below(folder, paths):
    return sorted(path for path in paths if Path(path).is_relative_to(os.path.realpath(folder)))


def forget():
    """Forget all that this process knows of files, as a new process does."""
    file_digests._known.clear()
    for known in (json_objects._kept, safetensors_header.read_header, stamps._sample, config._kept_config):
        getattr(known, "cache_clear", lambda: None)()


def rewrite(path, contents):
    """Write other contents of the same size, and set the times back."""
    before = os.stat(path)
    path.write_bytes(contents)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (os.stat(path).st_size, os.stat(path).st_mtime_ns) == (before.st_size, before.st_mtime_ns)


KINDS = {
    *("photo.png", "hole.png", "1.png", "x1.png", "x2.png", "latent.safetensors", "config.json"),
    *("diffusion_pytorch_model-00001-of-00002.safetensors", "diffusion_pytorch_model.safetensors.index.json"),
    *("diffusion_pytorch_model-00002-of-00002.safetensors", "diffusion_pytorch_model.safetensors"),
    *("model.safetensors", "vocab.json", "merges.txt", "tokenizer_config.json", "scheduler_config.json"),
    *("adapter_model.safetensors", "adapter_config.json", "2.png"),
}


def test_every_kind_of_file_is_among_those_that_were_read(room):
    keys, read = keys_now(room)
    assert {Path(path).name for path in read} >= KINDS
    assert None not in keys.values()
    assert len(set(keys.values())) == len(keys)


@pytest.mark.parametrize("how", ["at once", "times settled", "next process"])
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_any_changed_byte_gives_another_key(room, how, data):
    with pytest.MonkeyPatch.context() as patch:
        if how != "at once":  # files count as old enough to be known by their times alone
            patch.setattr(file_state, "SETTLED_NS", -1)
        if how == "next process":
            patch.setattr(file_digests, "_LARGE", 0)
        forget()
        before, read = keys_now(room)
        path = Path(data.draw(st.sampled_from(files_below(room, read))))
        old = path.read_bytes()
        place = data.draw(st.integers(0, len(old) - 1))
        new = bytearray(old)
        new[place] ^= data.draw(st.integers(1, 255))
        try:
            _tick(how)
            rewrite(path, bytes(new))
            if how == "next process":
                forget()
            try:
                after = keys_now(room)[0]
            except WorkflowError:
                after = {}  # the file is damaged now, and that is said
            assert after != before, f"byte {place} of {path.name}"
        finally:
            _tick(how)
            rewrite(path, old)
        assert keys_now(room)[0] == before


def _tick(how):
    if how != "at once":
        time.sleep(0.01)  # clocks of file systems are coarse


@pytest.mark.parametrize("name", ["many/3.png", "new/x3.png", "here/x0.png"])
def test_a_new_file_in_a_folder_or_pattern_gives_another_key(room, name):
    before, _ = keys_now(room)
    path = room / name
    path.parent.mkdir(exist_ok=True)
    try:
        Image.new("RGB", (32, 32), (1, 2, 3)).save(path)
        after, _ = keys_now(room)
        assert {output for output in after if after[output] != before[output]} == {
            "many" if name.startswith("many") else "matched"
        }
    finally:
        path.unlink()


OPENED = """
import os, sys
opened = set()
def note(event, arguments):
    if event == "open" and isinstance(arguments[0], (str, bytes)):
        opened.add(os.path.realpath(os.fsdecode(arguments[0])))
sys.addaudithook(note)
from inlay.graph_runtime.front.python.load_workflow import load
from inlay.graph_runtime.core.context import Context
from inlay.graph_runtime.core.run.execute import execute
plan = load(sys.argv[1]).plan()
execute(plan, Context())
folder = os.path.dirname(os.path.realpath(sys.argv[1])) + os.sep
read = {os.path.realpath(path) for path in plan.reads.files}
print(sorted(path for path in opened - read if path.startswith(folder) and os.path.isfile(path)))
"""


def test_every_file_that_a_run_opens_counts(room):
    """Python's own audit events are the witness: what was opened below the folder, and is part of no key."""
    done = subprocess.run(
        [sys.executable, "-c", OPENED, str(room / "flow.json")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str([str(Path(os.path.realpath(room / "flow.json")))])


ENCODE = {
    "format": 1,
    "nodes": {name: FLOW["nodes"][name] for name in ("photo", "sd", "encoded")},
    "outputs": {"latent": "encoded.latent"},
}


@pytest.fixture
def encode(tmp_path, monkeypatch):
    """A folder with a picture and a model, and a function that encodes the one with the other."""
    Image.new("RGB", (32, 32), (90, 7, 200)).save(tmp_path / "photo.png")
    Tiny(tmp_path).stable_diffusion()
    (tmp_path / "flow.json").write_text(json.dumps(ENCODE))

    def run(**more):
        result = inlay.run(tmp_path / "flow.json", out=tmp_path / "out", **more)
        return result["latent"], [event.message for event in result.events if isinstance(event, Warned)]

    return run


def change_weights(folder):
    """Other numbers in the VAE's weights, in a file of the same size and time; returns the old contents."""
    path = folder / "sd" / "vae" / "diffusion_pytorch_model.safetensors"
    old = path.read_bytes()
    tensors = load_file(path)
    changed = save_bytes({name: value * 1.5 for name, value in tensors.items()}, path)
    rewrite(path, changed)
    return path, old


def save_bytes(tensors, path):
    from safetensors import safe_open
    from safetensors.torch import save

    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    return save(tensors, metadata)


@pytest.mark.parametrize("cache", [True, False])
def test_changed_weights_in_a_folder_give_another_result_in_the_same_process(encode, tmp_path, monkeypatch, cache):
    first, _ = encode(cache=cache)
    path, old = change_weights(tmp_path)
    second, _ = encode(cache=cache)
    assert not torch.equal(first, second)
    monkeypatch.setattr(kept_between_runs, "_kept", {})
    assert torch.equal(encode(cache=False)[0], second)
    rewrite(path, old)
    assert torch.equal(encode(cache=cache)[0], first)


def test_weights_that_change_during_a_run_are_never_used_under_the_old_key(encode, tmp_path, monkeypatch):
    """Between the check and the loading: that is an error, and the old weights give the old result afterwards."""
    truth, _ = encode(cache=False)
    monkeypatch.setattr(kept_between_runs, "_kept", {})
    changed = []

    def change(event):
        if isinstance(event, NodeStarted) and event.node == "encoded" and not changed:
            changed.append(change_weights(tmp_path))

    with pytest.raises(inlay.NodeError, match="changed after they were checked"):
        encode(listeners=[change])
    rewrite(*changed[0])
    assert torch.equal(encode()[0], truth)


@pytest.mark.parametrize("event_of", ["photo", "encoded"])
def test_a_picture_that_changes_during_a_run_is_kept_under_no_key(encode, tmp_path, monkeypatch, event_of):
    """Before it is read, or after: what comes of it is not kept, and a warning says so."""
    truth, _ = encode(cache=False)
    path = tmp_path / "photo.png"
    old = path.read_bytes()

    def change(event):
        if isinstance(event, NodeStarted) and event.node == event_of:
            Image.new("RGB", (32, 32), (1, 2, 3)).save(path)

    _, warned = encode(listeners=[change])
    assert any("changed meanwhile" in message for message in warned)
    path.write_bytes(old)
    for memory in (True, False):
        if not memory:
            monkeypatch.setattr(kept_between_runs, "_kept", {})
        again, warned = encode()
        assert torch.equal(again, truth)
        assert not warned

"""A result depends on the weights, never on where their file put them: every way of loading, at several offsets."""

import gc
import json
import struct
import sys
from functools import cache
from pathlib import Path

import pytest
import torch
from inlay.graph_runtime.core.store.disk import DiskStore
from inlay.graph_runtime.core.tensors import own_weights, owned
from inlay.models.files.tensors import read_tensors
from inlay.nodes.model import stable_diffusion
from inlay.nodes.model_lora import lora
from safetensors.torch import load_file, save_file
from torch import nn
from ways_to_load import MAKERS, WAYS, denoised

OFFSETS = (4, 36)


def shift(path, offset):
    """Write the file again, its header padded with spaces so that the first tensor begins at `offset` mod 64."""
    raw = path.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    header = raw[8 : 8 + length].rstrip(b" ")
    header += b" " * ((offset - 8 - len(header)) % 64)
    path.write_bytes(struct.pack("<Q", len(header)) + header + raw[8 + length :])
    assert (8 + len(header)) % 64 == offset


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory, tiny_at):
    """A model's folder by maker, made once."""
    return cache(lambda maker: MAKERS[maker](tiny_at(tmp_path_factory.mktemp(maker))))


def mapped_files():
    gc.collect()
    return Path("/proc/self/maps").read_text() if sys.platform == "linux" else ""


def require_owned(tensors):
    for name, value in tensors:
        assert value.data_ptr() % 64 == 0, name
        assert value.untyped_storage().resizable(), f"{name} lies in memory that torch did not allocate"


@pytest.mark.floor
@pytest.mark.parametrize("way", WAYS)
def test_weights_lie_alike_wherever_their_file_put_them(folder_of, way):
    maker, describe, use = WAYS[way]
    folder, seen = folder_of(maker), []
    for offset in OFFSETS:
        for path in folder.rglob("*.safetensors"):
            shift(path, offset)
        module = describe(folder).load("cpu")
        require_owned([*module.named_parameters(), *module.named_buffers()])
        assert str(folder) not in mapped_files()
        with torch.no_grad():
            seen.append((use(module), module.state_dict()))
    for output, state in seen[1:]:
        assert torch.equal(output, seen[0][0])
        assert state.keys() == seen[0][1].keys()
        assert all(torch.equal(value, seen[0][1][name]) for name, value in state.items())


@pytest.mark.floor
def test_a_lora_lies_alike_wherever_its_file_put_it(folder_of, tmp_path):
    base = stable_diffusion(str(folder_of("sd"))).denoiser
    layer, rank = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q", 3
    torch.manual_seed(0)
    path = tmp_path / "a.safetensors"
    save_file(
        {f"unet.{layer}.lora_A.weight": torch.randn(rank, 16), f"unet.{layer}.lora_B.weight": torch.randn(16, rank)},
        path,
    )
    seen = []
    for offset in OFFSETS:
        shift(path, offset)
        module = lora(base, source=str(path)).denoiser.load("cpu")
        require_owned([*module.named_parameters(), *module.named_buffers()])
        assert str(path) not in mapped_files()
        with torch.no_grad():
            seen.append(denoised(module))
    assert not torch.equal(seen[0], denoised(base.load("cpu")))
    assert all(torch.equal(value, seen[0]) for value in seen)


@pytest.mark.parametrize("offset", range(0, 64, 4))
def test_tensors_read_from_a_file_are_torchs_own(tmp_path, offset):
    path = tmp_path / "latent.safetensors"
    values = {"latent": torch.randn(1, 4, 5, 3), "noises": torch.randn(2, 1, 4, 5, 3)}
    save_file(values, path)
    shift(path, offset)
    found = read_tensors(path, list(values), "path")
    require_owned(found.items())
    assert all(torch.equal(found[name], value) for name, value in values.items())
    assert str(path) not in mapped_files()


def test_results_kept_on_disk_are_torchs_own(tmp_path):
    store = DiskStore(tmp_path, "here")
    values = tuple(torch.randn(size) for size in (1, 3, 17, 50))
    store.put(b"key", values, 1.0)
    found = store.get(b"key")
    assert found is not None
    require_owned(zip("abcd", found, strict=True))
    assert all(torch.equal(one, other) for one, other in zip(found, values, strict=True))


def test_what_lies_well_is_not_copied_and_what_is_one_stays_one():
    mine = torch.randn(8, 8).t()
    assert owned(mine) is mine
    strange = torch.frombuffer(bytearray(4 * 65), dtype=torch.float32)[1:].view(8, 8).t()
    assert owned(strange).stride() == strange.stride()
    module = nn.Sequential(nn.Linear(8, 8, bias=False), nn.Linear(8, 8, bias=False))
    for layer in module:
        layer.weight.data = strange
    module[0].to(torch.float32)
    own_weights(module)
    assert module[0].weight.data_ptr() == module[1].weight.data_ptr() != strange.data_ptr()


def test_padding_a_header_changes_nothing_else(tmp_path):
    path = tmp_path / "a.safetensors"
    save_file({"a": torch.arange(6.0)}, path, {"about": json.dumps({"x": 1})})
    for offset in range(64):
        shift(path, offset)
    assert torch.equal(owned(load_file(path)["a"]), torch.arange(6.0))

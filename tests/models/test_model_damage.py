"""Model folders whose files are damaged: each is refused by name, at once, before a library sees them."""

import json
import os
import struct
from pathlib import Path

import pytest
from inlay.graph_runtime import ModelError
from inlay.models.files.json_objects import read_json, read_shards
from inlay.models.files.safetensors_header import read_header
from inlay.models.files.stamps import stamp_of
from inlay.nodes.model import pixel_diffusion, stable_diffusion
from inlay.nodes.schedule import ddim

CONFIGS = {
    "unet/config.json": {
        "_class_name": "UNet2DConditionModel",
        "in_channels": 4,
        "out_channels": 4,
        "cross_attention_dim": 24,
        "sample_size": 8,
        "block_out_channels": [16, 32],
    },
    "vae/config.json": {
        "_class_name": "AutoencoderKL",
        "latent_channels": 4,
        "block_out_channels": [8, 8],
        "scaling_factor": 0.5,
    },
    "text_encoder/config.json": {
        "architectures": ["CLIPTextModel"],
        "hidden_size": 24,
        "vocab_size": 64,
        "max_position_embeddings": 12,
    },
    "scheduler/scheduler_config.json": {
        "_class_name": "DDIMScheduler",
        "num_train_timesteps": 1000,
        "beta_end": 0.012,
        "beta_start": 0.00085,
        "beta_schedule": "scaled_linear",
        "steps_offset": 1,
    },
    "tokenizer/vocab.json": {"<|startoftext|>": 0, "<|endoftext|>": 1},
    "tokenizer/tokenizer_config.json": {},
}
UNET, VAE, TEXT, SCHEDULER = list(CONFIGS)[:4]
WEIGHTS = "unet/diffusion_pytorch_model.safetensors"


def weights(path, header=None, data=b"\0\0\0\0"):
    header = header or {"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, len(data)]}}
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "sd"
    for name, config in CONFIGS.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(json.dumps(config))
    (root / "tokenizer" / "merges.txt").write_text("#version: 0.2\n")
    for name in (WEIGHTS, "vae/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors"):
        weights(root / name)
    return root


def test_the_folder_is_whole(folder):
    model = stable_diffusion(str(folder))
    assert (model.vae.factor, model.vae.scaling_factor, model.denoiser.cross_attention_dim) == (2, 0.5, 24)
    assert len(ddim(model.scheduler, steps=4).schedule) == 4


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        (VAE, "latent_channels", None),
        (VAE, "latent_channels", 0),
        (VAE, "scaling_factor", "x"),
        (VAE, "scaling_factor", float("nan")),
        (VAE, "scaling_factor", 0),
        (VAE, "block_out_channels", 5),
        (VAE, "block_out_channels", []),
        (VAE, "block_out_channels", [8] * 5000),
        (VAE, "shift_factor", "x"),
        (VAE, "_class_name", 5),
        (UNET, "out_channels", None),
        (UNET, "cross_attention_dim", None),
        (UNET, "in_channels", "four"),
        (UNET, "in_channels", True),
        (UNET, "in_channels", 5000),
        (UNET, "sample_size", "x"),
        (UNET, "sample_size", []),
        (UNET, "block_out_channels", None),
        (UNET, "_class_name", ["UNet2DModel"]),
        (TEXT, "hidden_size", "x"),
        (TEXT, "architectures", 5),
        (TEXT, "architectures", [5]),
        (TEXT, "vocab_size", None),
        (SCHEDULER, "beta_start", "x"),
        (SCHEDULER, "beta_start", -1),
        (SCHEDULER, "beta_end", float("inf")),
        (SCHEDULER, "num_train_timesteps", None),
        (SCHEDULER, "num_train_timesteps", -5),
        (SCHEDULER, "num_train_timesteps", 0),
        (SCHEDULER, "num_train_timesteps", 10**13),
        (SCHEDULER, "trained_betas", "abc"),
        (SCHEDULER, "trained_betas", [0.1, "x"]),
        (SCHEDULER, "_class_name", 5),
        (SCHEDULER, "steps_offset", "x"),
        (SCHEDULER, "steps_offset", -5),
        (SCHEDULER, "beta_start", 10**400),
    ],
)
def test_a_damaged_value_is_refused_with_file_key_found_and_expected(folder, name, key, value):
    (folder / name).write_text(json.dumps({**CONFIGS[name], key: value}))
    with pytest.raises(ModelError) as caught:
        stable_diffusion(str(folder))
    assert key in caught.value.found
    assert Path(name).name in caught.value.found
    assert caught.value.expected.startswith(("a ", "an "))
    assert len(str(caught.value)) < 500


def test_a_damaged_pixel_model(tmp_path):
    weights(tmp_path / "diffusion_pytorch_model.safetensors")
    (tmp_path / "scheduler_config.json").write_text("{}")
    for damage in ({"in_channels": None}, {"block_out_channels": "x"}, {"out_channels": [3]}):
        (tmp_path / "config.json").write_text(json.dumps({"_class_name": "UNet2DModel", **damage}))
        with pytest.raises(ModelError, match=next(iter(damage))):
            pixel_diffusion(str(tmp_path))


@pytest.mark.parametrize("shards", [[], ["a"], {}, {"a": 5}, {"a": None}, None, "x"])
def test_a_damaged_index(tmp_path, shards):
    (tmp_path / "index.json").write_text(json.dumps({"weight_map": shards}))
    with pytest.raises(ModelError, match="weight_map"):
        read_shards(tmp_path / "index.json")


@pytest.mark.parametrize(
    "header",
    [
        b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, Infinity]}}',
        {"a": {"data_offsets": [0, 4]}},
        {"a": {"dtype": "F32", "shape": 1, "data_offsets": [0, 4]}},
        {"a": {"dtype": "F32", "shape": ["x"], "data_offsets": [0, 4]}},
        {"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4.0]}},
        {"a": {"dtype": "F32", "shape": [1], "data_offsets": 4}},
        {"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}},
        {"a": []},
        {"__metadata__": 5},
        b"[[]]",
        b"[" * 100_000,
        b"\xff\xfe",
    ],
)
def test_a_damaged_header(tmp_path, header):
    with pytest.raises(ModelError, match="header that cannot be read"):
        read_header(weights(tmp_path / "a.safetensors", header))


def spoil(path, kind):
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.symlink_to(path if kind == "loop" else path.with_name("nowhere"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes on this system")
@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "loop", "dangling"])
@pytest.mark.parametrize("name", [UNET, WEIGHTS, SCHEDULER, "tokenizer/vocab.json", "tokenizer/tokenizer_config.json"])
def test_what_is_no_ordinary_file_is_refused_without_opening_it(folder, name, kind):
    spoil(folder / name, kind)
    with pytest.raises(ModelError) as caught:
        stable_diffusion(str(folder))
    assert Path(name).name in caught.value.found


def test_an_ordinary_link_is_followed(folder, tmp_path):
    (folder / UNET).rename(tmp_path / "elsewhere.json")
    (folder / UNET).symlink_to(tmp_path / "elsewhere.json")
    assert stable_diffusion(str(folder)).denoiser.in_channels == 4


@pytest.mark.parametrize("size", [4, 2**21])
def test_weights_exchanged_under_one_name_size_and_time_are_other_weights(tmp_path, size):
    file = weights(tmp_path / "a.safetensors", data=b"\1" * size)
    times = file.stat().st_atime_ns, file.stat().st_mtime_ns
    before = stamp_of([file])
    assert stamp_of([file]) == before
    weights(tmp_path / "b", data=b"\2" * size).rename(file)
    os.utime(file, ns=times)
    assert stamp_of([file]) != before


def test_a_header_and_a_configuration_are_read_anew(tmp_path):
    file, config = tmp_path / "a.safetensors", tmp_path / "a.json"
    seen = []
    for letter in "ab":
        weights(file, {letter: {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}})
        config.write_text(json.dumps({"key": letter}))
        os.utime(file, ns=(1, 1))
        os.utime(config, ns=(1, 1))
        seen += [*read_header(file).tensors, read_json(config)["key"]]
    assert seen == ["a", "a", "b", "b"]


@pytest.mark.parametrize("shard", ["x" * 300 + ".safetensors", "é" * 200, "a/" * 3000])
def test_an_index_that_names_what_no_file_can_be_called_is_refused(tmp_path, shard):
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": shard}}), encoding="utf-8")
    with pytest.raises(ModelError, match="expected a weight_map from weights to file names"):
        read_shards(index)

"""Checkpoints in the original layout: a diffusers model is written out under the original names and must come back
bit for bit. The renaming here is the inverse of diffusers' own, written down independently."""

import json
import struct
from dataclasses import replace

import pytest
import torch
from inlay.graph_runtime import Context, ModelError
from inlay.models.checkpoint import layouts
from inlay.nodes.condition import text as condition_text
from inlay.nodes.latent import encode
from inlay.nodes.model import stable_diffusion
from inlay.nodes.noise import gaussian
from inlay.nodes.sample import denoise
from inlay.nodes.schedule import ddim
from safetensors.torch import load_file, save_file
from single_files import original_open_clip, original_unet, original_vae


@pytest.fixture(params=["one", "two", "inpaint"])
def checkpoint(request, tiny):
    """(family, diffusers folder, the same as one file)."""
    second = request.param == "two"
    unet = {
        "block_out_channels": (32, 64, 64),
        "norm_num_groups": 32,
        "cross_attention_dim": 64,
        "layers_per_block": 2,
        "attention_head_dim": (1, 1, 1) if second else 8,
        "use_linear_projection": second,
        "down_block_types": ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        "in_channels": 9 if request.param == "inpaint" else 4,
    }
    if second:
        unet["attention_head_dim"] = (1, 1, 1)
        unet["block_out_channels"] = (64, 64, 64)
    folder = tiny.stable_diffusion(
        unet=unet,
        vae={"levels": 3, "block_out_channels": (32, 32, 64), "norm_num_groups": 32, "scaling_factor": 0.18215},
        text={"hidden_size": 64, "num_attention_heads": 1, "hidden_act": "gelu" if second else "quick_gelu"},
        scheduler={"prediction_type": "v_prediction" if second else "epsilon"},
    )
    text = load_file(folder / "text_encoder" / "model.safetensors")
    text = {f"text_model.{key.removeprefix('text_model.')}": value for key, value in text.items()}
    state = original_unet(load_file(folder / "unet" / "diffusion_pytorch_model.safetensors"), 2, (True, True, False))
    state |= original_vae(load_file(folder / "vae" / "diffusion_pytorch_model.safetensors"), 3)
    state |= original_open_clip(text) if second else {f"cond_stage_model.transformer.{k}": v for k, v in text.items()}
    state["cond_stage_model.transformer.text_model.embeddings.position_ids"] = torch.arange(12)[None]
    if second:
        del state["cond_stage_model.transformer.text_model.embeddings.position_ids"]
    state |= {"alphas_cumprod": torch.zeros(1000), "model_ema.decay": torch.tensor(0.9)}
    file = folder / "model.safetensors"  # beside tokenizer/
    save_file({key: value.contiguous().clone() for key, value in state.items()}, file)
    return request.param, folder, file


@pytest.mark.floor
def test_every_part_comes_back_bit_for_bit(checkpoint, monkeypatch):
    monkeypatch.setenv("INLAY_OFFLINE", "1")
    family, folder, file = checkpoint
    single = stable_diffusion(str(file), prediction="v_prediction" if family == "two" else None)
    whole = stable_diffusion(str(folder))
    assert single.vae.factor == 4
    assert single.denoiser.in_channels == (9 if family == "inpaint" else 4)
    for name in ("denoiser", "vae", "text_encoder"):
        ours, theirs = (getattr(model, name).load("cpu") for model in (single, whole))
        ours, theirs = ours.state_dict(), theirs.state_dict()
        assert set(ours) == set(theirs)
        assert all(torch.equal(ours[key], theirs[key]) for key in ours), name
        assert getattr(single, name).nbytes() <= getattr(whole, name).nbytes() * 2 + 2**20
    assert dict(ddim(single.scheduler).schedule.__dict__) == dict(ddim(whole.scheduler).schedule.__dict__)
    assert single.text_encoder.fingerprint != whole.text_encoder.fingerprint


def test_a_single_file_samples_what_the_folder_samples(checkpoint, tmp_path):
    family, folder, file = checkpoint
    results = []
    for source in (file, folder):
        ctx = Context(out=tmp_path)
        model = stable_diffusion(str(source), prediction="v_prediction" if family == "two" else None)
        known = encode(torch.rand(1, 20, 24, 3, generator=torch.Generator().manual_seed(0)), model.vae, ctx).latent
        told = condition_text(model.text_encoder, ctx, prompt="abc" if family != "two" else "").conditioning
        if family == "inpaint":  # the mask, then the masked picture
            told = replace(told, extra=torch.ones(1, 5, 5, 6))
        results.append(
            denoise(
                model.denoiser,
                ddim(model.scheduler, steps=3).schedule,
                gaussian(known).noise,
                ctx,
                told,
                guidance_scale=1,
            ).latent
        )
    if family == "two":  # OpenCLIP pads with another token than this folder's tokenizer
        assert results[0].shape == results[1].shape
    else:
        assert torch.equal(*results)


@pytest.mark.parametrize("checkpoint", ["two"], indirect=True)
def test_a_file_made_of_a_diffusers_folder_keeps_every_text_layer(checkpoint):
    """diffusers' own Stable Diffusion 2 holds neither the last layer of OpenCLIP nor what comes behind it."""
    _, folder, file = checkpoint
    left_out = ("resblocks.2.", "logit_scale", "text_projection", "attn_mask")
    save_file({key: value for key, value in load_file(file).items() if not any(mark in key for mark in left_out)}, file)
    ours = stable_diffusion(str(file), prediction="v_prediction").text_encoder.load("cpu").state_dict()
    theirs = stable_diffusion(str(folder)).text_encoder.load("cpu").state_dict()
    assert set(ours) == set(theirs)
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)


@pytest.mark.parametrize(("layers", "more", "used"), [(24, True, 23), (24, False, 23), (23, True, 23), (23, False, 23)])
def test_stable_diffusion_2_reads_23_layers_of_openclip(layers, more, used):
    shapes = {"token_embedding.weight": [49408, 1024], "positional_embedding": [77, 1024]}
    shapes |= {f"transformer.resblocks.{layer}.mlp.c_fc.weight": [4096, 1024] for layer in range(layers)}
    shapes |= {"text_projection": [1024, 1024], "logit_scale": []} if more else {}
    assert layouts._open_clip(shapes)["num_hidden_layers"] == used


def test_what_shapes_cannot_tell_must_be_said(checkpoint):
    family, _, file = checkpoint
    if family != "two":
        assert stable_diffusion(str(file)).scheduler.prediction_type == "epsilon"
        return
    with pytest.raises(ModelError) as caught:
        stable_diffusion(str(file))
    assert "v_prediction" in caught.value.expected
    assert caught.value.port == "prediction"
    save_file(load_file(file), file, metadata={"modelspec.prediction_type": "v"})
    assert stable_diffusion(str(file)).scheduler.prediction_type == "v_prediction"


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (["conditioner.embedders.0.x"], "SDXL"),
        (["lora_unet_down.lora_up.weight"], "a LoRA"),
        (["model.diffusion_model.joint_blocks.0.x"], "transformer"),
        (["down_blocks.0.x"], "one part of a diffusers model"),
        (["model.diffusion_model.input_blocks.0.0.weight"], "no VAE"),
        (["x"], "no UNet"),
    ],
)
def test_other_kinds_of_file_are_named(tmp_path, keys, message):
    file = tmp_path / "file.safetensors"
    save_file({key: torch.zeros(1) for key in keys}, file)
    with pytest.raises(ModelError, match=message):
        stable_diffusion(str(file))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not safetensors"),
        (b"PK\x03\x04" + b"\0" * 100, "not safetensors"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "LFS pointer"),
        (struct.pack("<Q", 20) + b"{" * 20, "cannot be read"),
        (
            struct.pack("<Q", 90)
            + json.dumps({"a": {"dtype": "F32", "shape": [9], "data_offsets": [0, 36]}}).encode().ljust(90)
            + b"123",
            "cut off",
        ),
    ],
)
def test_damaged_files_are_named_without_reading_weights(tmp_path, content, message):
    file = tmp_path / "file.safetensors"
    file.write_bytes(content)
    with pytest.raises(ModelError, match=message):
        stable_diffusion(str(file))


def test_pickles_are_refused_by_name(tmp_path):
    file = tmp_path / "v1-5.ckpt"
    file.write_bytes(b"\x80\x02")
    with pytest.raises(ModelError) as caught:
        stable_diffusion(str(file))
    assert "pickle" in caught.value.found
    assert "save_file" in caught.value.fix

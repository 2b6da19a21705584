import argparse

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from inlay.dollhouse import train
from inlay.dollhouse._draw_stage import pictures, training_scene
from inlay.dollhouse._latent_stage import centre_latents
from inlay.dollhouse._loop import Plan, fit, learning_rate
from inlay.dollhouse._text_stage import caption_ids, text_encoder, token_ids
from inlay.dollhouse._unet_stage import UNET_CONFIG, Denoiser, train_unet
from inlay.dollhouse._vae_stage import VAE_CONFIG, averaged_vae, train_vae
from inlay.dollhouse._words import write_tokenizer
from inlay.dollhouse.world import PHRASES, draw
from torch import nn

CPU = torch.device("cpu")
TINY_VAE = VAE_CONFIG | {"block_out_channels": (8, 8, 8, 8)}
TINY_UNET = UNET_CONFIG | {"block_out_channels": (16, 16, 16), "cross_attention_dim": 32, "attention_head_dim": 1}


def same(left, right):
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def test_a_resumed_autoencoder_equals_an_uninterrupted_one(tmp_path):
    drawn = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)
    run = {"steps": 4, "batch": 4, "config": TINY_VAE}
    whole = train_vae(tmp_path / "whole", drawn, CPU, **run)
    train_vae(tmp_path / "parts", drawn, CPU, stop_at=2, **run)
    assert same(whole, train_vae(tmp_path / "parts", drawn, CPU, **run))
    loaded = averaged_vae(tmp_path / "parts", TINY_VAE)
    assert same(loaded.state_dict(), {name.removeprefix("vae."): value for name, value in whole.items()})


def test_a_resumed_denoiser_equals_an_uninterrupted_one(tmp_path):
    tokenizer = write_tokenizer(tmp_path / "tokenizer")
    captions = caption_ids(tokenizer, 6)
    latents = torch.randn(6, 4, 8, 8, generator=torch.Generator().manual_seed(0))

    def run(folder, **stop):
        torch.manual_seed(0)
        model = Denoiser(text_encoder(tokenizer, 32), UNet2DConditionModel(**TINY_UNET))
        none = token_ids(tokenizer, [""])[0]
        train_unet(tmp_path / folder, model, latents, captions, none, CPU, steps=4, batch=4, **stop)
        return torch.load(tmp_path / folder / "unet" / "checkpoint.pt", weights_only=True)

    whole = run("whole")
    assert run("parts", stop_at=2)["step"] == 2
    parts = run("parts")
    assert parts["step"] == 4
    assert same(whole["model"], parts["model"])
    assert same(whole["average"], parts["average"])


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path):
    def loss_of(module, step, generator):
        return module(torch.full((1, 3), torch.nan)).mean()

    with pytest.raises(FloatingPointError, match="broken: the loss is nan at step 0"):
        fit(Plan("broken", 2, 0.1), tmp_path, nn.Linear(3, 1), loss_of, device=CPU)


def test_the_rate_does_not_depend_on_the_total_before_the_decay():
    short, long = Plan("a", 1000, 1e-3), Plan("a", 2000, 1e-3)
    assert [learning_rate(short, step) for step in range(600)] == [learning_rate(long, step) for step in range(600)]
    assert learning_rate(short, 999) < 1e-7
    assert learning_rate(short, 0) == pytest.approx(1e-3 / 200)


def test_pictures_are_drawn_once_and_mirrored_in_pairs(tmp_path):
    some = pictures(tmp_path, 4)
    assert some.shape == (4, 128, 128, 3)
    assert all(np.array_equal(some[i], draw(training_scene(i))) for i in range(4))
    first, twin = training_scene(0), training_scene(1)
    assert (first.kind, first.colour, first.wall) == (twin.kind, twin.colour, twin.wall)
    assert first.facing != twin.facing
    assert first.x + twin.x == pytest.approx(1)
    assert [path.name for path in tmp_path.iterdir()] == ["pictures-4.npy"]


def test_centring_latents_changes_no_picture():
    torch.manual_seed(0)
    vae = AutoencoderKL(**TINY_VAE).eval()
    images = torch.rand(3, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        means, before = vae.encode(images).latent_dist.mode(), vae(images).sample
        std = vae.encode(images).latent_dist.std
        latents = centre_latents(vae, means)
        after = vae.encode(images).latent_dist
        torch.testing.assert_close(vae(images).sample, before, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(after.mode() * vae.config.scaling_factor, latents, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(latents.mean(dim=(0, 2, 3)), torch.zeros(4), rtol=0, atol=1e-4)
    torch.testing.assert_close(latents.std(dim=(0, 2, 3)), torch.ones(4), rtol=0, atol=1e-3)
    torch.testing.assert_close(after.std / std, (after.std / std)[:1, :, :1, :1].expand_as(std), rtol=1e-3, atol=0)


def test_every_word_of_every_caption_is_one_token(tmp_path):
    tokenizer = write_tokenizer(tmp_path)
    ids = caption_ids(tokenizer, 200)
    assert ids.shape == (200, PHRASES, tokenizer.model_max_length)
    words = "a striped blue and yellow sofa facing left on a wooden floor, in a room with green walls"
    assert len(tokenizer(words).input_ids) == len(words.replace(",", " ,").split()) + 2
    assert len(tokenizer("zebra").input_ids) > 3
    assert tokenizer.decode(tokenizer("a zebra").input_ids, skip_special_tokens=True).strip() == "a zebra"


def test_command_line():
    job, stages = train.parse(["--work", "there", "--steps", "vae=5", "--steps", "unet=7", "--device", "cpu"])
    assert (job.steps["vae"], job.steps["unet"], job.steps["judge"]) == (5, 7, train.STEPS["judge"])
    assert stages == list(train.STAGES)
    assert train.parse(["--work", "there", "--stage", "draw"])[1] == ["draw"]
    with pytest.raises(argparse.ArgumentTypeError, match="STAGE=COUNT"):
        train._step_override("vea=5")

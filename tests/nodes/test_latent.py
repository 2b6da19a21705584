"""Latents: what the VAE's own formulas say, sizes, tiling, and files."""

import pytest
import torch
from inlay.graph_runtime import BadInput, Context
from inlay.nodes.latent import decode, encode, load, save
from inlay.nodes.model import pixel_diffusion, stable_diffusion
from picture_toys import random_image
from safetensors.torch import load_file, save_file


def picture(batch=1, height=48, width=40, dtype=torch.float32):
    return random_image(batch, height, width, dtype=dtype)


@pytest.fixture
def vae(shared_sd):
    return stable_diffusion(str(shared_sd)).vae


def reference(folder):
    from diffusers import AutoencoderKL

    return AutoencoderKL.from_pretrained(folder / "vae").eval()


@torch.no_grad()
def test_mode_is_the_scaled_mean(shared_sd, vae, ctx):
    image = picture(3)
    got = encode(image, vae, ctx).latent
    want = reference(shared_sd).encode(image.permute(0, 3, 1, 2) * 2 - 1).latent_dist.mean * 0.6
    assert got.shape == (3, 4, 6, 5)
    assert torch.allclose(got, want, atol=1e-5)
    assert torch.equal(got[1:2], encode(image[1:2], vae, ctx).latent)  # neighbours in a batch change no bit


@torch.no_grad()
def test_posterior_draws_from_a_cpu_generator(shared_sd, vae, ctx):
    image = picture(2)
    got = encode(image, vae, ctx, sample="posterior", seed=4).latent
    posterior = reference(shared_sd).encode(image.permute(0, 3, 1, 2) * 2 - 1).latent_dist
    generator = torch.Generator().manual_seed(4)
    noise = torch.cat([torch.randn(1, 4, 6, 5, generator=generator) for _ in range(2)])
    assert torch.allclose(got, (posterior.mean + posterior.std * noise) * 0.6, atol=1e-5)
    assert not torch.equal(got, encode(image, vae, ctx, sample="posterior", seed=5).latent)


@torch.no_grad()
def test_decode_is_clamped_to_the_picture(shared_sd, vae, ctx):
    latent = torch.randn(2, 4, 3, 5) * 40
    image = decode(latent, vae, ctx).image
    want = (reference(shared_sd).decode(latent / 0.6).sample / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1)
    assert torch.allclose(image, want, atol=1e-5)
    assert image.is_contiguous()
    assert image.dtype == torch.float32


@torch.no_grad()
def test_a_shift_is_taken_off_before_scaling(tiny, ctx):
    folder = tiny.stable_diffusion(vae={"shift_factor": 0.3})
    vae, image = stable_diffusion(str(folder), dtype="float64").vae, picture(dtype=torch.float64)
    assert vae.shift_factor == 0.3
    latent = encode(image, vae, ctx).latent
    theirs = reference(folder).double()
    assert torch.allclose(latent, (theirs.encode(image.permute(0, 3, 1, 2) * 2 - 1).latent_dist.mean - 0.3) * 0.6)
    back = (theirs.decode(latent / 0.6 + 0.3).sample / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1)
    got = decode(latent, vae, ctx).image
    assert got.dtype == torch.float64
    assert torch.allclose(got, back)


@pytest.mark.parametrize(("height", "width"), [(48, 41), (99, 141), (4, 8)])
def test_a_side_that_is_no_multiple_points_to_image_fit(vae, ctx, height, width):
    with pytest.raises(BadInput) as caught:
        encode(picture(1, height, width), vae, ctx)
    assert f"{width}×{height}" in caught.value.found
    assert "image.fit" in caught.value.fix
    assert "multiple=8" in caught.value.fix


def test_the_identity_vae_of_pixel_models(shared_pixel, ctx):
    vae, image = pixel_diffusion(str(shared_pixel)).vae, picture(2, 5, 7)
    latent = encode(image, vae, ctx, sample="posterior").latent
    assert latent.shape == (2, 3, 5, 7)
    assert latent.min() < 0
    assert torch.allclose(decode(latent, vae, ctx).image, image, atol=1e-7)


def test_tiling_is_given_back_even_when_it_fails(vae, tmp_path):
    ctx = Context(out=tmp_path)
    image = picture(1, 96, 96)
    with ctx.lease(vae) as module:
        plain = encode(image, vae, ctx, tiling="off").latent
        assert torch.equal(plain, encode(image, vae, ctx).latent)  # auto: too small to tile
        assert not torch.equal(plain, encode(image, vae, ctx, tiling="on").latent)
        assert module.use_tiling is False
        decode(plain, vae, ctx, tiling="on")
        assert module.use_tiling is False
        hook = module.decoder.register_forward_hook(lambda *args: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            decode(plain, vae, ctx, tiling="on")
        hook.remove()
        assert module.use_tiling is False
        module.use_tiling = True
        assert torch.equal(plain, encode(image, vae, ctx, tiling="off").latent)
        assert module.use_tiling is True


def test_nan_is_refused_with_what_to_do(vae, ctx):
    with pytest.raises(BadInput, match="NaN") as caught:
        decode(torch.full((1, 4, 2, 2), float("nan")), vae, ctx)
    assert "float32" in caught.value.fix


@pytest.mark.parametrize(
    ("call", "port"),
    [
        (lambda vae, ctx: encode(torch.zeros(1, 3, 8, 8), vae, ctx), "image"),
        (lambda vae, ctx: encode(picture(), "vae", ctx), "vae"),
        (lambda vae, ctx: decode(torch.zeros(1, 3, 8, 8), vae, ctx), "latent"),
        (lambda vae, ctx: decode(torch.zeros(4, 8, 8), vae, ctx), "latent"),
    ],
)
def test_wrong_inputs_name_their_port(vae, ctx, call, port):
    with pytest.raises(BadInput) as caught:
        call(vae, ctx)
    assert caught.value.port == port


def test_inside_a_hosts_inference_mode(vae, tmp_path):
    want = encode(picture(), vae, Context(out=tmp_path)).latent
    with torch.inference_mode():
        ctx = Context(out=tmp_path)
        latent = encode(picture(), vae, ctx).latent
        image = decode(latent, vae, ctx).image
    assert torch.equal(latent, want)
    assert not latent.is_inference()
    assert not image.is_inference()


def test_saved_and_loaded_to_the_bit(ctx):
    for dtype in (torch.float32, torch.float64):
        latent = torch.randn(2, 4, 3, 5, dtype=dtype).transpose(2, 3)
        saved = save(latent, ctx)
        assert torch.equal(saved.latent, latent)
        assert len(saved.paths) == 1
        assert set(load_file(saved.paths[0])) == {"latent"}
        assert torch.equal(load(saved.paths[0]).latent, latent)


def test_files_that_hold_no_latent(tmp_path):
    file = tmp_path / "x.safetensors"
    save_file({"a": torch.zeros(3), "b": torch.full((1, 4, 2, 2), float("inf"))}, file)
    for key, message in (("latent", "no 'latent'"), ("a", "tensor of shape"), ("b", "infinite")):
        with pytest.raises(BadInput, match=message):
            load(str(file), key=key)
    with pytest.raises(BadInput) as caught:
        load(str(file))
    assert caught.value.expected == "one of a, b"

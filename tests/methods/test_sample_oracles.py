"""The loop against closed forms, DDNM's published loop and diffusers' own classes."""

import math
from itertools import pairwise

import pytest
import torch
from inlay.graph_runtime import Context
from inlay.methods.sampling.guidance import Guidance
from inlay.methods.sampling.loop import run_denoising
from inlay.methods.sampling.noise import GaussianNoise, GivenNoise
from inlay.nodes.condition import text as condition_text
from inlay.nodes.constraint import blended, null_space
from inlay.nodes.latent import decode, encode
from inlay.nodes.model import pixel_diffusion, stable_diffusion
from inlay.nodes.noise import gaussian
from inlay.nodes.sample import denoise
from inlay.nodes.schedule import ddim
from schedules import ddim_from_config

SD = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


def gaussian_model(schedule, mean, spread, parametrisation="epsilon"):
    """The exact denoiser for data N(mean, spread²): no network, so any error is the sampler's."""
    alpha = dict(zip(schedule.timesteps, schedule.alpha_bars, strict=True))

    def model(z, t, embeddings):
        a = alpha[int(t)]
        e = math.sqrt(1 - a) * (z - math.sqrt(a) * mean) / (a * spread**2 + 1 - a)
        x0 = (z - math.sqrt(1 - a) * e) / math.sqrt(a)
        return {"epsilon": e, "sample": x0, "v_prediction": math.sqrt(a) * e - math.sqrt(1 - a) * x0}[parametrisation]

    return model


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_ddim_converges_with_order_one_to_the_exact_solution(prediction):
    mean, spread = 0.7, 0.4
    z = torch.linspace(-2, 2, 9, dtype=torch.float64).reshape(9, 1, 1, 1)
    errors = []
    # levels evenly spaced in σ = √((1−a)/a); Stable Diffusion's own spacing gives h·log(1/h) instead of h
    bars = [1 / (1 + (14 * k / 8000) ** 2) for k in range(8001)]
    fine = {"trained_betas": [1 - bars[k + 1] / bars[k] for k in range(8000)]}
    for steps in (250, 500, 1000, 2000):
        schedule = ddim_from_config({**fine, "prediction_type": prediction}, steps=steps, eta=0, spacing="trailing")
        a = schedule.alpha_bars[0]
        exact = mean + spread * (z - math.sqrt(a) * mean) / math.sqrt(a * spread**2 + 1 - a)
        got = run_denoising(
            gaussian_model(schedule, mean, spread, prediction),
            schedule,
            z,
            GaussianNoise((1, 1, 1, 1), 0).stream(),
            Guidance(),
        )
        errors.append((got - exact).abs().max().item())
    orders = [math.log2(errors[i] / errors[i + 1]) for i in range(3)]
    assert all(0.97 < order < 1.03 for order in orders), (errors, orders)
    assert errors[-1] < 0.02


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_any_eta_gives_the_right_marginal(eta):
    mean, spread = -0.5, 0.6
    schedule = ddim_from_config(SD, steps=200, eta=eta, spacing="trailing")
    stream = GaussianNoise((20000, 1, 1, 1), 1).stream()
    got = run_denoising(gaussian_model(schedule, mean, spread), schedule, stream.start().double(), stream, Guidance())
    assert abs(got.mean().item() - mean) < 0.02
    assert abs(got.std().item() / spread - 1) < 0.03


def ddnm_times(steps, length, repeat):
    """The order in which DDNM visits its noise levels, from its description: each stretch of `length` levels is walked
    down `repeat` times, the first one of the run excepted."""
    left = dict.fromkeys(range(0, steps - length, length), repeat - 1)
    order, level = [], steps
    while level > 0:
        level -= 1
        order.append(level)
        if left.get(level):
            left[level] -= 1
            order += range(level + 1, level + length + 1)
            level += length
    return [*order, -1]


def ddnm(unet, bars, x, keep, z, draw, steps, eta, length, repeat):
    """DDNM for inpainting as published: A = A† = multiplication with `keep`; ᾱ before the first level is 1."""
    stride = len(bars) // steps

    def bar(level):
        return bars[level * stride] if level >= 0 else torch.ones((), dtype=torch.float64)

    x0 = None
    times = ddnm_times(steps, length, repeat)
    for here, there in pairwise(times):
        at, after = bar(here), bar(there)
        if there < here:
            e = unet(z, here * stride).sample
            x0 = (z - e * (1 - at).sqrt()) / at.sqrt()
            hat = x0 - keep * (keep * x0 - keep * x)
            z = after.sqrt() * hat + (1 - after).sqrt() * eta * draw() + (1 - after).sqrt() * (1 - eta**2) ** 0.5 * e
        else:
            z = after.sqrt() * x0 + draw() * (1 - after).sqrt()
    return z


@pytest.mark.parametrize(("steps", "length", "repeat"), [(10, 1, 1), (10, 3, 2), (9, 2, 3), (5, 1, 4)])
@torch.no_grad()
def test_pixel_model_with_identity_vae_is_ddnm(shared_pixel, ctx, steps, length, repeat):
    from diffusers import UNet2DModel

    model = pixel_diffusion(str(shared_pixel), dtype="float64")
    image = torch.rand(1, 8, 12, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    hole = torch.zeros(1, 1, 8, 12, dtype=torch.float64)
    hole[..., 2:6, 3:9] = 1
    known = encode(image, model.vae, ctx).latent
    assert torch.equal(known, image.permute(0, 3, 1, 2) * 2 - 1)
    schedule = ddim(
        model.scheduler, steps=steps, eta=0.85, variance="ddnm", travel_length=length, travel_repeat=repeat
    ).schedule
    got = denoise(
        model.denoiser, schedule, gaussian(known, seed=9).noise, ctx, constraint=null_space(known, hole).constraint
    ).latent

    generator = torch.Generator().manual_seed(9)

    def draw():
        return torch.randn(1, 3, 8, 12, generator=generator).double()

    unet = UNet2DModel.from_pretrained(shared_pixel / "unet").double().eval()
    bars = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float32), 0).double()
    want = ddnm(unet, bars, known, 1 - hole, draw(), draw, steps, 0.85, length, repeat)
    assert (got - want).abs().max() < 1e-10 * want.abs().max()
    keep = (hole == 0).expand_as(got)
    assert torch.equal(got[keep], known[keep])
    assert (decode(got, model.vae, ctx).image - image).permute(0, 3, 1, 2)[keep].abs().max() < 1e-15


class _Stride(int):
    """Makes diffusers' `t - N // steps` land on the next timestep of the list, whatever the spacing."""

    def __new__(cls, value):
        made = super().__new__(cls, 1)
        made.value = value
        return made

    def __rfloordiv__(self, other):
        return self.value


@pytest.mark.parametrize("eta", [0.0, 0.85])
@pytest.mark.parametrize("spacing", ["leading", "linspace", "trailing"])
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize("final", [True, False])
def test_every_step_is_that_of_diffusers(eta, spacing, prediction, final):
    from diffusers import DDIMScheduler

    config = {**SD, "prediction_type": prediction, "set_alpha_to_one": final, "steps_offset": 1}
    theirs = DDIMScheduler(**config, timestep_spacing=spacing, clip_sample=False)
    theirs.alphas_cumprod = theirs.alphas_cumprod.double()
    theirs.final_alpha_cumprod = theirs.final_alpha_cumprod.double()
    theirs.set_timesteps(13)
    ours = ddim_from_config(config, steps=13, eta=eta, spacing=spacing, final_alpha="config")
    times = theirs.timesteps.tolist()
    assert list(ours.timesteps) == times
    generator = torch.Generator().manual_seed(0)
    for step, t in zip(ours.denoising_steps(), times, strict=True):
        z, output, noise = (torch.randn(1, 4, 3, 5, generator=generator, dtype=torch.float64) for _ in range(3))
        after = times[step.index + 1] if not step.last else -1
        theirs.num_inference_steps = _Stride(t - after)
        want = theirs.step(output, t, z, eta=eta, variance_noise=noise if eta else None)
        x0, e = ours.predict(output, z, step.alpha_bar)
        assert (x0 - want.pred_original_sample).abs().max() < 1e-11 * (1 + x0.abs().max())
        got = ours.advance(step, x0, e, noise)
        assert (got - want.prev_sample).abs().max() < 1e-11 * (1 + got.abs().max())


@pytest.mark.parametrize("spacing", ["leading", "trailing"])
def test_whole_loop_is_that_of_diffusers_where_the_spacing_is_even(spacing):
    from diffusers import DDIMScheduler

    theirs = DDIMScheduler(**SD, steps_offset=1, set_alpha_to_one=False, clip_sample=False, timestep_spacing=spacing)
    theirs.set_timesteps(20)
    ours = ddim_from_config(dict(theirs.config), steps=20, eta=0, spacing=spacing, final_alpha="config")
    model = gaussian_model(ours, 0.3, 0.5)
    stream = GaussianNoise((2, 4, 3, 3), 5).stream()
    z = stream.start()
    got = run_denoising(model, ours, z, stream, Guidance())
    for t in theirs.timesteps:
        z = theirs.step(model(z, t, None), t, z, eta=0.0).prev_sample
    assert (got - z).abs().max() < 2e-5


@torch.no_grad()
def test_text_guidance_is_that_of_diffusers_pipeline(shared_sd, ctx):
    from diffusers import StableDiffusionPipeline

    pipe = StableDiffusionPipeline.from_pretrained(
        shared_sd,
        unet=_part("UNet2DConditionModel", shared_sd, "unet"),
        vae=_part("AutoencoderKL", shared_sd, "vae"),
        scheduler=_part("DDIMScheduler", shared_sd, "scheduler"),
        text_encoder=_text(shared_sd)[1],
        tokenizer=_text(shared_sd)[0],
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipe.set_progress_bar_config(disable=True)
    noise = torch.randn(2, 4, 6, 5, generator=torch.Generator().manual_seed(4))
    want = pipe(
        "abc ab d",
        negative_prompt="l k",
        latents=noise.clone(),
        num_images_per_prompt=2,
        guidance_scale=7.5,
        num_inference_steps=10,
        eta=0.0,
        height=48,
        width=40,
        output_type="latent",
    ).images
    model = stable_diffusion(str(shared_sd))
    conditioning = condition_text(model.text_encoder, ctx, prompt="abc ab d", negative="l k").conditioning
    schedule = ddim(model.scheduler, steps=10, eta=0, final_alpha="config").schedule
    got = denoise(model.denoiser, schedule, GivenNoise(noise, torch.zeros(10, 2, 4, 6, 5)), ctx, conditioning).latent
    assert (got - want).abs().max() < 2e-4 * want.abs().max()


def _part(name, folder, part):
    import diffusers

    return getattr(diffusers, name).from_pretrained(folder / part)


def _text(folder):
    from transformers import CLIPTextModel, CLIPTokenizer

    return CLIPTokenizer.from_pretrained(folder / "tokenizer"), CLIPTextModel.from_pretrained(folder / "text_encoder")


def test_blended_ends_at_the_known_latent_and_follows_its_noise_levels():
    """A transcription of diffusers' inpainting for 4-channel models: noise the known part to the level just reached."""
    schedule = ddim_from_config(SD | {"steps_offset": 1}, steps=8, eta=0)
    model = gaussian_model(schedule, 0.2, 0.7)
    known = torch.randn(1, 4, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    hole = torch.zeros(1, 1, 6, 6, dtype=torch.float64)
    hole[..., 2:4, 2:5] = 1
    stream = GaussianNoise((1, 4, 6, 6), 6).stream()
    start = stream.start().double()
    got = run_denoising(
        model, schedule, start, stream, Guidance(), constraint=blended(known, hole).constraint.begin(start)
    )
    z = start
    levels = [*schedule.alpha_bars[1:], 1.0]
    for t, a, ap in zip(schedule.timesteps, schedule.alpha_bars, levels, strict=True):
        e = model(z, t, None)
        z = math.sqrt(ap) * (z - math.sqrt(1 - a) * e) / math.sqrt(a) + math.sqrt(1 - ap) * e
        z = (math.sqrt(ap) * known + math.sqrt(1 - ap) * start) * (1 - hole) + z * hole
    assert (got - z).abs().max() < 1e-12
    keep = (hole == 0).expand_as(got)
    assert torch.equal(got[keep], known[keep])


@pytest.mark.parametrize("levels", [3, 5])
def test_other_vae_factors_and_odd_latent_grids(tiny, levels):
    factor = 2 ** (levels - 1)
    folder = tiny.stable_diffusion(vae={"levels": levels})
    model = stable_diffusion(str(folder))
    assert model.vae.factor == factor
    ctx = Context()
    image = torch.rand(2, 5 * factor, 7 * factor, 3)
    known = encode(image, model.vae, ctx).latent
    assert known.shape == (2, 4, 5, 7)
    hole = torch.zeros(1, 1, 5, 7)
    hole[..., 2, 3] = 1
    conditioning = condition_text(model.text_encoder, ctx).conditioning
    got = denoise(
        model.denoiser,
        ddim(model.scheduler, steps=3).schedule,
        gaussian(known, batch=2).noise,
        ctx,
        conditioning,
        null_space(known, hole).constraint,
    ).latent
    assert got.shape == (4, 4, 5, 7)
    keep = hole[0, 0] == 0
    for row in range(4):
        assert torch.equal(got[row][:, keep], known[row // 2][:, keep])
    assert decode(got, model.vae, ctx).image.shape == (4, 5 * factor, 7 * factor, 3)

"""Solvers: diffusers' own schedulers stepped by a plain loop, its pipelines on the same weights, and refusals."""

import inlay
import pytest
import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline
from inlay.graph_runtime import BadInput, Context
from inlay.methods.sampling.guidance import Guidance
from inlay.methods.sampling.loop import run_denoising
from inlay.methods.sampling.noise import GivenNoise
from inlay.methods.sampling.solver import KINDS, SolverSchedule
from inlay.nodes import condition, model, noise, sample, schedule
from pbe_oracle import ours, theirs
from schedules import solver_from_config
from transformers import CLIPTextModel, CLIPTokenizer

SD = {
    "_class_name": "DDIMScheduler",
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "steps_offset": 1,
    "clip_sample": False,
    "set_alpha_to_one": False,
}


def make(kind, steps, **config):
    """The library's own scheduler, as our solver is meant to make it."""
    import diffusers

    name, changes = KINDS[kind]
    made = getattr(diffusers, name).from_config({**SD, **config}, **changes)
    made.set_timesteps(steps)
    return made


def toy(z, t, embeddings=None):
    """A smooth model that depends on everything it is given."""
    shift = 0 if embeddings is None else embeddings.mean(dim=(1, 2))[:, None, None, None]
    return torch.tanh(0.7 * z + 0.001 * t + shift) * 0.9


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("kind", list(KINDS))
def test_every_solver_is_the_librarys_own_stepped_by_a_plain_loop(kind, prediction):
    draws = torch.Generator().manual_seed(0)
    start = torch.randn(1, 4, 6, 5, generator=draws, dtype=torch.float64)
    embeddings = torch.randn(2, 1, 3, generator=draws, dtype=torch.float64)
    steps = torch.randn(60, 1, 4, 6, 5, generator=draws, dtype=torch.float64)
    theirs_ = make(kind, 9, prediction_type=prediction)
    z = start * theirs_.init_noise_sigma
    for number, t in enumerate(theirs_.timesteps):
        shown = theirs_.scale_model_input(z, t)
        uncond, cond = toy(shown, t, embeddings[:1]), toy(shown, t, embeddings[1:])
        extra = {"variance_noise": steps[number]} if kind == "dpmpp_2m_sde" else {}
        z = theirs_.step(uncond + 5 * (cond - uncond), t, z, **extra).prev_sample
    mine = solver_from_config({**SD, "prediction_type": prediction}, kind=kind, steps=9)
    stream = GivenNoise(start, steps).stream()
    found = run_denoising(
        toy, mine, mine.started(stream.start()), stream, Guidance(embeddings[1:], embeddings[:1], 5.0, True)
    )
    torch.testing.assert_close(found, z, rtol=0, atol=1e-9)


@pytest.mark.parametrize("kind", ["pndm", "dpmpp_2m", "euler", "heun", "unipc"])
def test_a_run_from_a_picture_begins_where_the_librarys_does(kind):
    """As diffusers' image-to-image pipelines: the first timesteps are left out, and noise is added for the rest."""
    draws = torch.Generator().manual_seed(0)
    clean, start = (torch.randn(1, 4, 6, 5, generator=draws, dtype=torch.float64) for _ in range(2))
    theirs_ = make(kind, 10)
    first = 6 * theirs_.order  # strength 0.4
    if hasattr(theirs_, "set_begin_index"):
        theirs_.set_begin_index(first)
    times = theirs_.timesteps[first:]
    z = theirs_.add_noise(clean, start, times[:1])
    for t in times:
        z = theirs_.step(toy(theirs_.scale_model_input(z, t), t), t, z).prev_sample
    mine = solver_from_config(SD, kind=kind, steps=10)
    stream = GivenNoise(start, torch.zeros(40, 1, 4, 6, 5).double()).stream()
    z0 = mine.renoised(clean, stream.start(), 6)
    found = run_denoising(lambda z, t, embeddings: toy(z, t), mine, z0, stream, Guidance(), start=6)
    torch.testing.assert_close(found, z, rtol=0, atol=1e-9)


def test_fifty_steps_of_pndm_are_fifty_one_evaluations():
    asked = []

    def counting(z, t, embeddings=None):
        asked.append(int(t))
        return toy(z, t)

    mine = solver_from_config(SD, kind="pndm", steps=50)
    run_denoising(
        counting, mine, torch.randn(1, 4, 4, 4), noise.gaussian(torch.zeros(1, 4, 4, 4)).noise.stream(), Guidance()
    )
    assert len(asked) == 51
    assert asked[:4] == [981, 961, 961, 941]
    assert len(mine) == 50


def test_two_runs_of_one_schedule_do_not_share_a_memory():
    mine = solver_from_config(SD, kind="dpmpp_2m", steps=6)
    z = torch.randn(1, 4, 4, 4)

    def run():
        return run_denoising(lambda z, t, embeddings: toy(z, t), mine, z, noise.gaussian(z).noise.stream(), Guidance())

    assert torch.equal(run(), run())


@pytest.mark.parametrize(("kind", "name"), [("pndm", "PNDMScheduler"), ("dpmpp_2m", "DPMSolverMultistepScheduler")])
def test_latents_are_those_of_stable_diffusions_pipeline(shared_sd, kind, name):
    import diffusers

    parts = {
        part: getattr(diffusers, cls).from_pretrained(shared_sd / part)
        for part, cls in (("unet", "UNet2DConditionModel"), ("vae", "AutoencoderKL"))
    }
    pipe = StableDiffusionPipeline(
        **parts,
        text_encoder=CLIPTextModel.from_pretrained(shared_sd / "text_encoder"),
        tokenizer=CLIPTokenizer.from_pretrained(shared_sd / "tokenizer"),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
        scheduler=getattr(diffusers, name).from_config(
            DDIMScheduler.load_config(shared_sd / "scheduler"), **KINDS[kind][1]
        ),
    )
    pipe.set_progress_bar_config(disable=True)
    wanted = pipe(
        "abc",
        negative_prompt="fed",
        num_inference_steps=8,
        guidance_scale=6.0,
        height=64,
        width=96,
        generator=torch.Generator().manual_seed(3),
        output_type="latent",
    ).images
    parts, ctx = model.stable_diffusion(str(shared_sd)), Context()
    conditioning = condition.text(parts.text_encoder, ctx, prompt="abc", negative="fed").conditioning
    found = sample.denoise(
        parts.denoiser,
        schedule.solver(parts.scheduler, kind, 8).schedule,
        noise.gaussian(torch.zeros(1, 4, 8, 12), seed=3).noise,
        ctx,
        conditioning,
        guidance_scale=6.0,
    ).latent
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-4)


@pytest.mark.parametrize("size", [(64, 64), (160, 96)])
@pytest.mark.parametrize("guidance", [5.0, 1.0])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.float64, 1e-9)])
def test_paint_by_example_as_published_with_pndm(shared_pbe, size, guidance, dtype, tolerance):
    wanted, stream = theirs(shared_pbe, kind="pndm", size=size, guidance=guidance, dtype=dtype)
    found = ours(
        shared_pbe, as_published(dtype), stream, size=size, guidance=guidance, dtype=str(dtype).removeprefix("torch.")
    )
    torch.testing.assert_close(found, wanted, rtol=0, atol=tolerance)


def as_published(dtype):
    """PNDM in ten steps; the oracle's tables are in the precision of the run, so ours are made so too."""

    class Exact(SolverSchedule):
        def begin(self):
            run = super().begin()
            run.scheduler.alphas_cumprod = run.scheduler.alphas_cumprod.to(dtype)
            run.scheduler.final_alpha_cumprod = run.scheduler.final_alpha_cumprod.to(dtype)
            return run

    return lambda scheduler: Exact(scheduler.config, "pndm", 10)


def test_with_a_constraint_it_is_refused_by_name_while_checking(shared_sd, tmp_path):
    torch.manual_seed(0)
    nodes = {
        "model": {"type": "model.stable_diffusion", "params": {"source": str(shared_sd)}},
        "known": {"type": "latent.load", "params": {"path": str(tmp_path / "a.safetensors")}},
        "text": {"type": "condition.text", "inputs": {"text_encoder": "model.text_encoder"}},
        "shape": {
            "type": "mask.shape",
            "params": {"kind": "center", "width": 8, "height": 8},
            "inputs": {"image": "picture.image"},
        },
        "picture": {"type": "latent.decode", "inputs": {"latent": "known.latent", "vae": "model.vae"}},
        "cells": {"type": "mask.to_latent", "inputs": {"mask": "shape.mask", "vae": "model.vae"}},
        "keep": {
            "type": "constraint.null_space",
            "inputs": {"latent": "known.latent", "latent_mask": "cells.latent_mask"},
        },
        "noise": {"type": "noise.gaussian", "inputs": {"latent": "known.latent"}},
        "steps": {
            "type": "schedule.solver",
            "params": {"kind": "unipc", "steps": 4},
            "inputs": {"scheduler": "model.scheduler"},
        },
        "sample": {
            "type": "sample.denoise",
            "inputs": {
                "denoiser": "model.denoiser",
                "schedule": "steps.schedule",
                "noise": "noise.noise",
                "conditioning": "text.conditioning",
                "constraint": "keep.constraint",
            },
        },
    }
    from safetensors.torch import save_file

    save_file({"latent": torch.zeros(1, 4, 8, 8)}, str(tmp_path / "a.safetensors"))
    flow = {
        "format": 1,
        "nodes": {name: {"version": 1, **entry} for name, entry in nodes.items()},
        "outputs": {"latent": "sample.latent"},
    }
    with pytest.raises((inlay.WorkflowError, inlay.NodeError)) as caught:
        inlay.run(flow, out=str(tmp_path / "out"))
    assert "schedule.ddim" in str(caught.value)
    assert "constraint" in str(caught.value)


@pytest.mark.parametrize("wired", ["constraint", "attention", "tuning"])
def test_inputs_that_need_ddim_are_refused_with_a_solver(wired):
    with pytest.raises(BadInput) as caught:
        sample.require_ddim(solver_from_config(SD, kind="unipc", steps=4), **{wired: object()})
    assert caught.value.port == wired
    assert "schedule.ddim" in caught.value.expected


def test_bad_numbers_and_configurations_are_refused_by_name():
    with pytest.raises(BadInput, match="steps"):
        solver_from_config(SD, kind="pndm", steps=1001)
    with pytest.raises(BadInput, match="steps"):
        solver_from_config(SD, kind="pndm", steps=0)
    with pytest.raises(BadInput) as caught:
        solver_from_config({**SD, "_class_name": "FlowMatchEulerDiscreteScheduler"}, kind="euler", steps=4)
    assert "FlowMatch" in caught.value.found
    with pytest.raises(BadInput) as caught:
        solver_from_config({**SD, "algorithm_type": "guess", "solver_type": "guess"}, kind="deis", steps=4)
    assert "deis" in caught.value.found
    assert caught.value.port == "kind"


def test_a_solver_needs_the_description_of_a_scheduler():
    with pytest.raises(BadInput, match="scheduler"):
        schedule.solver("pndm")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"steps": 10}, True),
        ({"steps": 24}, True),
        ({"steps": 25}, False),
        ({}, False),
        ({"steps": 10, "solver": "ddim"}, False),
    ],
)
def test_few_steps_of_pndm_warn_while_checking(options, said):
    report = inlay.check("paint_by_example", **options)
    messages = [warning.message for warning in report.warnings if "is inaccurate" in warning.message]
    assert len(messages) == said
    assert not said or (
        f"pndm is inaccurate with {options['steps']} steps" in messages[0] and "52 dB with 25" in messages[0]
    )

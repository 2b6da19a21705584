"""Every shipped workflow on a simulated GPU, in its default precision and in three others.

No device mixes, no NaN, a picture is saved, and the host waits for the device once a step, or once an update of an
inversion. Steps are few and pictures small: what is rehearsed is where things are, not how good they look.
"""

from itertools import pairwise

import pytest
import torch
from inlay.graph_runtime.front.installed import shipped_samples, shipped_workflows
from inlay.methods.blended_diffusion import Blended
from inlay.methods.null_space import NullSpace
from inlay.methods.sampling.guidance import Guidance
from inlay.methods.sampling.loop import run_denoising
from inlay.methods.sampling.noise import GaussianNoise
from inlay.methods.sampling.solver import KINDS
from rehearsal import assert_sound, rehearse
from schedules import ddim_from_config, solver_from_config
from simulated_gpu import SimulatedGpu, where

SAMPLES = shipped_samples()
SMALL = {
    "zero_shot_inpaint": {"steps": 4, "size": 64, "prompt": "a room"},
    "zero_shot_inpaint_strict": {"steps": 3},
    "inpaint": {
        "image": str(SAMPLES["room.png"]),
        "mask": str(SAMPLES["room-mask.png"]),
        "source": "dollhouse",
        "steps": 4,
        "size": 64,
    },
    "paint_by_example": {"steps": 4, "size": 64},
    "subject_lora_inpaint": {"steps": 4, "size": 64},
    "baret_edit": {"steps": 4, "size": 64, "iterations": 2},
    "baret_rigid": {"steps": 4, "size": 64, "iterations": 2},
    "null_text_edit": {"steps": 4, "size": 64, "iterations": 2},
    "compare_editors": {
        "steps": 4,
        "size": 64,
        "settings": {"tune.iterations": 2, "null.iterations": 2, "mutual.start_step": 1},
    },
}
TRAININGS = ("train_exemplar", "subject_lora_train")  # tests/training/test_train_devices.py, with sheets and resumed
FAST = {("zero_shot_inpaint", "auto"), ("null_text_edit", "float16"), ("paint_by_example", "bfloat16")}
EVERY = [
    pytest.param(name, dtype, marks=() if (name, dtype) in FAST else pytest.mark.slow)
    for name in SMALL
    for dtype in ("auto", "float32", "float16", "bfloat16")
]


def test_no_workflow_is_left_out():
    assert set(shipped_workflows()) == {*SMALL, *TRAININGS}


@pytest.mark.parametrize(("name", "dtype"), EVERY)
def test_a_workflow_runs_on_a_simulated_gpu(name, dtype, tmp_path):
    run = rehearse(name, dtype, tmp_path, **SMALL[name])
    assert run.result.paths
    assert run.waits
    assert_sound(run, updates=2, projections=name in ("inpaint", "zero_shot_inpaint"))


@pytest.mark.parametrize("constraint", [NullSpace, Blended])
def test_constraints_and_time_travel_wait_once_a_step(constraint):
    config = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}
    known, hole, marks = torch.ones(1, 4, 8, 8), torch.zeros(1, 1, 8, 8), []
    hole[..., 4:] = 1
    with SimulatedGpu() as gpu, torch.no_grad():
        stream = GaussianNoise((2, 4, 8, 8), 0).stream()
        z = stream.start().cuda()
        found = run_denoising(
            lambda z, t, told: z.half().float() * 0.1,
            ddim_from_config(config, steps=6, travel_length=2, travel_repeat=2),
            z,
            stream,
            Guidance(),
            constraint=constraint(known, hole).begin(z),
            progress=lambda step, total, x0: marks.append(len(gpu.syncs)),
        )
        assert not gpu.mixes
        assert torch.equal(found[..., :4].cpu(), known.expand(2, -1, -1, -1)[..., :4])
    assert len(marks) > 6
    assert max(after - before for before, after in pairwise(marks)) <= 1, where(gpu.syncs)


@pytest.mark.parametrize("kind", KINDS)
def test_a_solver_waits_once_a_step(kind):
    """UniPC's own step, in diffusers, copies its coefficients to the device: small, and not ours."""
    config = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}
    marks = []
    with SimulatedGpu() as gpu, torch.no_grad():
        schedule = solver_from_config(config, kind=kind, steps=6)
        stream = GaussianNoise((1, 4, 8, 8), 0).stream()
        found = run_denoising(
            lambda z, t, told: z.half().float() * 0.1,
            schedule,
            schedule.started(stream.start().cuda()),
            stream,
            Guidance(),
            progress=lambda step, total, x0: marks.append(len(gpu.syncs)),
        )
        assert found.is_cuda
    assert not gpu.mixes
    assert max(after - before for before, after in pairwise(marks)) <= (7 if kind == "unipc" else 1), where(gpu.syncs)

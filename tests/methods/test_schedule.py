"""The DDIM schedule against diffusers' own tables, and its refusals."""

import math

import pytest
import torch
from inlay.graph_runtime import BadInput
from inlay.methods.sampling.ddim import coefficients, timesteps, travel_levels
from inlay.models.noise_levels import alphas_cumprod
from inlay.nodes.model import stable_diffusion
from inlay.nodes.schedule import ddim
from schedules import ddim_from_config

BETAS = [
    {},
    {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"},
    {"beta_schedule": "squaredcos_cap_v2"},
    {"rescale_betas_zero_snr": True},
    {"beta_schedule": "scaled_linear", "rescale_betas_zero_snr": True, "num_train_timesteps": 997},
    {"trained_betas": torch.linspace(0.001, 0.03, 77).tolist(), "num_train_timesteps": 77},
]


@pytest.mark.parametrize("config", BETAS)
def test_alphas_are_those_of_diffusers_to_the_bit(config):
    from diffusers import DDIMScheduler

    assert torch.equal(alphas_cumprod(config), DDIMScheduler(**config).alphas_cumprod.double())


def test_every_scheduler_of_diffusers_has_its_own_alphas_or_is_refused():
    """A class whose noise does not follow from betas must not be taken for one with DDIM's default betas."""
    from diffusers import schedulers

    made, refused = set(), set()
    for name in (name for name in dir(schedulers) if name.endswith("Scheduler")):
        try:
            theirs = getattr(schedulers, name)()
            config = dict(theirs.config)
        except (ImportError, TypeError):  # an optional package, or arguments that no model folder leaves out
            config, theirs = {}, None
        try:
            ours = alphas_cumprod({**config, "_class_name": name})
        except BadInput:
            refused.add(name)
            continue
        made.add(name)
        assert theirs is None or torch.equal(ours, torch.as_tensor(theirs.alphas_cumprod).double()), name
    assert made >= {"DDIMScheduler", "PNDMScheduler", "EulerAncestralDiscreteScheduler", "UniPCMultistepScheduler"}
    assert refused >= {
        "IPNDMScheduler",
        "ScoreSdeVpScheduler",
        "CosineDPMSolverMultistepScheduler",
        "CMStochasticIterativeScheduler",
        "DDPMWuerstchenScheduler",
        "AmusedScheduler",
    }


@pytest.mark.parametrize("spacing", ["leading", "linspace", "trailing"])
@pytest.mark.parametrize("offset", [0, 1])
def test_timesteps_are_those_of_diffusers(spacing, offset):
    from diffusers import DDIMScheduler

    for count in (1000, 997, 50):
        theirs = DDIMScheduler(num_train_timesteps=count, steps_offset=offset, timestep_spacing=spacing)
        for steps in {*range(1, 62), 103, 250, 333, 500, 501, 999, 1000} & set(range(1, count + 1)):
            theirs.set_timesteps(steps)
            want = theirs.timesteps.tolist()[:steps]  # trailing sometimes runs on to −1 there
            if want[0] >= count:  # diffusers fails later, with an index error
                with pytest.raises(BadInput, match="first timestep"):
                    timesteps(count, steps, spacing, offset)
            else:
                assert list(timesteps(count, steps, spacing, offset)) == want


def test_stable_diffusion_at_thirty_steps(shared_sd):
    schedule = ddim(stable_diffusion(str(shared_sd)).scheduler).schedule
    assert schedule.timesteps[:2] == (958, 925)
    assert schedule.timesteps[-2:] == (34, 1)
    assert len(schedule) == 30
    assert (schedule.eta, schedule.variance, schedule.final_alpha_bar) == (0.85, "ddim", 1.0)
    last = schedule.denoising_steps()[-1]
    assert (last.alpha_bar_next, last.sigma, last.epsilon_scale) == (1.0, 0.0, 0.0)
    assert ddim(
        stable_diffusion(str(shared_sd)).scheduler, final_alpha="config"
    ).schedule.final_alpha_bar == pytest.approx(0.99915, abs=1e-6)


@pytest.mark.parametrize("eta", [0.0, 0.3, 0.85, 1.0])
def test_coefficients_keep_the_marginal(eta):
    """σ² + direction² is the noise that the next level should have, 1 − ap, in both forms."""
    schedule = ddim_from_config({}, steps=30, eta=eta)
    for variance in ("ddim", "ddnm"):
        for a, ap in zip(schedule.alpha_bars, [*schedule.alpha_bars[1:], 1.0], strict=True):
            sigma, direction = coefficients(a, ap, eta, variance)
            assert sigma**2 + direction**2 == pytest.approx(1 - ap, abs=1e-12)
    posterior = [
        math.sqrt((1 - ap) / (1 - a) * (1 - a / ap))
        for a, ap in zip(schedule.alpha_bars, schedule.alpha_bars[1:], strict=False)
    ]
    assert [step.sigma for step in schedule.denoising_steps()[:-1]] == pytest.approx(
        [eta * value for value in posterior]
    )


@pytest.mark.parametrize(
    ("count", "length", "repeat", "want"),
    [
        (4, 1, 1, [3, 2, 1, 0, -1]),
        (4, 1, 2, [3, 2, 3, 2, 1, 2, 1, 0, 1, 0, -1]),
        (5, 2, 2, [4, 3, 2, 3, 4, 3, 2, 1, 0, 1, 2, 1, 0, -1]),
        (3, 5, 9, [2, 1, 0, -1]),
        (1, 1, 3, [0, -1]),
    ],
)
def test_time_travel_lists(count, length, repeat, want):
    assert travel_levels(count, length, repeat) == want


def test_steps_of_a_time_travel():
    schedule = ddim_from_config({}, steps=4, travel_repeat=2)
    steps = schedule.denoising_steps()
    assert [step.up for step in steps] == [False, True, False, False, True, False, False, True, False, False]
    assert [step.reverse_step for step in steps if not step.up] == list(range(7))
    assert [step.last for step in steps] == [False] * 9 + [True]
    up = steps[1]
    assert (up.alpha_bar, up.alpha_bar_next) == (schedule.alpha_bars[1], schedule.alpha_bars[0])
    assert up.sigma == pytest.approx(math.sqrt(1 - up.alpha_bar_next))


def test_zero_terminal_snr():
    config = {"rescale_betas_zero_snr": True}
    with pytest.raises(BadInput, match="zero terminal SNR"):
        ddim_from_config(config, steps=10, spacing="trailing")
    schedule = ddim_from_config(config | {"prediction_type": "v_prediction"}, steps=10, spacing="trailing")
    assert schedule.alpha_bars[0] == 0
    x0, e = schedule.predict(torch.tensor(2.0), torch.tensor(3.0), 0.0)
    assert (x0.item(), e.item()) == (-2, 3)


@pytest.mark.parametrize(
    ("config", "change", "port", "found"),
    [
        ({}, {"steps": 1001}, "steps", "1001"),
        ({}, {"steps": 0}, "steps", "0"),
        ({}, {"eta": 1.5}, "eta", "1.5"),
        ({}, {"travel_repeat": 0}, "travel_repeat", "0"),
        ({"steps_offset": 1}, {"steps": 1000}, "steps", "1000 steps"),
        ({"prediction_type": "flow"}, {}, "scheduler", "'flow'"),
        ({"beta_schedule": "sigmoid"}, {}, "scheduler", "'sigmoid'"),
        ({"_class_name": "FlowMatchEulerDiscreteScheduler"}, {}, "scheduler", "FlowMatch"),
        ({"use_flow_sigmas": True}, {}, "scheduler", "use_flow_sigmas = True"),
        ({"rescale_betas_zero_snr": "false"}, {}, "scheduler", "rescale_betas_zero_snr = 'false'"),
        ({"set_alpha_to_one": "false"}, {"final_alpha": "config"}, "scheduler", "set_alpha_to_one = 'false'"),
        ({"trained_betas": [0.1, 2.0]}, {"steps": 1}, "scheduler", "betas"),
    ],
)
def test_what_makes_no_schedule_is_named(config, change, port, found):
    with pytest.raises(BadInput) as caught:
        ddim_from_config(config, **{"steps": 10, **change})
    assert caught.value.port == port
    assert found in caught.value.found
    assert caught.value.fix


def test_the_check_finds_it_before_anything_runs(shared_sd):
    scheduler = stable_diffusion(str(shared_sd)).scheduler
    settings = {name: field.default for name, field in ddim.spec.params.model_fields.items()}
    assert len(ddim.spec.check({"scheduler": scheduler}, settings)["schedule"]) == 30
    assert ddim.spec.check({}, settings) == {}
    with pytest.raises(BadInput, match="at most 1000"):
        ddim.spec.check({"scheduler": scheduler}, settings | {"steps": 2000})
    with pytest.raises(BadInput, match="a str"):
        ddim("scheduler")

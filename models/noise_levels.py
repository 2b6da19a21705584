"""The noise levels that a model was trained on, from `scheduler_config.json`: prediction type, betas, and their ᾱ."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..graph_runtime import BadInput
from ..graph_runtime.core.errors import shorten
from .config import Architecture, Config, read_config
from .known_keys.scheduler import SCHEDULER
from .known_keys.table import NOTHING
from .scheduler_config import PORT, WHERE, SchedulerConfig

PREDICTIONS = ("epsilon", "v_prediction", "sample")
#: Beginnings of the names of diffusers' schedulers whose noise levels follow from the betas of their configuration.
OF_BETAS = (
    "DDIM",
    "DDPMScheduler",
    "DDPMParallel",
    "PNDM",
    "DEIS",
    "DPMSolver",
    "Euler",
    "Heun",
    "KDPM2",
    "LCM",
    "LMS",
    "RePaint",
    "SASolver",
    "TCD",
    "UniPC",
)
#: Schedulers that compute them in another way, whatever the betas.
OWN_NOISE = ("CMStochastic", "CogVideoX", "Consistency", "IPNDM", "KarrasVe", "ScoreSde")


@dataclass(frozen=True, eq=False)
class NoiseLevels:
    """The noise levels that a model was trained on.

    Attributes:
        alpha_bars: ᾱ of every training timestep, float64 `[N]`.
        prediction: what the model predicts: `epsilon`, `v_prediction` or `sample`.
        offset: what diffusers adds to evenly spaced timesteps.
        ends_clean: False if the last step ends at ᾱ of timestep 0 instead of 1 (`set_alpha_to_one`).
    """

    alpha_bars: Tensor
    prediction: str = "epsilon"
    offset: int = 0
    ends_clean: bool = True


def noise_levels(config: Config) -> NoiseLevels:
    """The noise levels that a diffusers scheduler's configuration describes.

    Raises:
        BadInput: the configuration does not use betas, or is damaged.
    """
    prediction = check_prediction_type(str(config.get("prediction_type", "epsilon")))
    alpha_bars, settings = alphas_cumprod(config), _settings(config)
    return NoiseLevels(alpha_bars, prediction, settings.steps_offset, settings.set_alpha_to_one is not False)


def check_prediction_type(prediction: str) -> str:
    """`prediction` if its formulas are known; raises BadInput that names it otherwise."""
    if prediction not in PREDICTIONS:
        raise BadInput(
            "scheduler",
            found=f"the prediction type {prediction!r}",
            expected=f"one of {', '.join(PREDICTIONS)}",
            fix="correct prediction_type in scheduler_config.json, or use another model",
        )
    return prediction


def alphas_cumprod(config: Config) -> Tensor:
    """ᾱ of every training timestep, float64 `[N]`, bit for bit as diffusers' DDIMScheduler computes it in float32.

    Raises:
        BadInput: the configuration does not use betas (flow matching, EDM), or names an unknown beta schedule.
    """
    kind = read_config(Architecture, config, WHERE, PORT).class_name or "DDIMScheduler"
    has_betas = any(config.get(key) is not None for key in ("beta_start", "beta_end", "beta_schedule", "trained_betas"))
    if kind.startswith(OWN_NOISE) or not (has_betas or kind.startswith(OF_BETAS)) or "Flow" in kind or "EDM" in kind:
        raise BadInput(
            "scheduler",
            found=f"a {kind}",
            expected="a scheduler with betas (DDIM, PNDM, Euler, DPM …)",
            fix="flow-matching and EDM models are not supported: use Stable Diffusion 1.x or 2.x",
        )
    for key, value in config.items():
        if (entry := SCHEDULER.get(key)) is not None and entry.use == "refused" and value not in NOTHING:
            raise BadInput(
                "scheduler",
                found=f"{key} = {shorten(value)} in scheduler_config.json",
                expected=f"a scheduler without it: {entry.what}",
                fix="use Stable Diffusion 1.x or 2.x",
            )
    settings = _settings(config)
    count, start, end = settings.num_train_timesteps, settings.beta_start, settings.beta_end
    schedule = settings.beta_schedule
    if settings.trained_betas is not None:
        betas = torch.tensor(settings.trained_betas, dtype=torch.float32)
    elif schedule == "linear":
        betas = torch.linspace(start, end, count, dtype=torch.float32)
    elif schedule == "scaled_linear":
        betas = torch.linspace(start**0.5, end**0.5, count, dtype=torch.float32) ** 2
    elif schedule == "squaredcos_cap_v2":
        bar = [math.cos((i / count + 0.008) / 1.008 * math.pi / 2) ** 2 for i in range(count + 1)]
        betas = torch.tensor([min(1 - bar[i + 1] / bar[i], 0.999) for i in range(count)], dtype=torch.float32)
    else:
        raise BadInput(
            "scheduler",
            found=f"the beta schedule {schedule!r}",
            expected="linear, scaled_linear, squaredcos_cap_v2 or trained_betas",
            fix="use another model",
        )
    if settings.rescale_betas_zero_snr:
        betas = _zero_terminal_snr(betas)
    table = torch.cumprod(1.0 - betas, dim=0).double()
    if table.numel() == 0 or not ((table >= 0) & (table < 1)).all():
        raise BadInput(
            "scheduler",
            found="betas outside 0 … 1",
            expected="a schedule that adds noise",
            fix="correct beta_start and beta_end in scheduler_config.json",
        )
    return table


def _settings(config: Config) -> SchedulerConfig:
    return read_config(SchedulerConfig, config, WHERE, PORT)


def _zero_terminal_snr(betas: Tensor) -> Tensor:
    """Lin et al. 2023, algorithm 1: shift and scale √ᾱ so that the last one is 0."""
    root = torch.cumprod(1.0 - betas, dim=0).sqrt()
    first, last = root[0].clone(), root[-1].clone()
    root -= last
    root *= first / (first - last)
    bar = root**2
    alphas = torch.cat([bar[0:1], bar[1:] / bar[:-1]])
    return 1 - alphas

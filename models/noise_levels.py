"""The noise levels that a model was trained on, from `scheduler_config.json`: prediction type, betas, and their ᾱ.

A check computes them with NumPy, which gives the same to a rounding error, enough to judge them; a run with torch, bit
for bit as diffusers does.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from ..graph_runtime import BadInput
from ..graph_runtime.core.errors import shorten
from ..graph_runtime.core.light.later import Tensor, torch
from ..graph_runtime.core.light.sketch import Sketch
from .config import Architecture, Config, read_config
from .known_keys.scheduler import SCHEDULER
from .known_keys.table import NOTHING
from .scheduler_config import PORT, WHERE, SchedulerConfig

COSINE = "squaredcos_cap_v2"
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
        alpha_bars: ᾱ of every training timestep, float64 `[N]`; a sketch where they were estimated.
        prediction: what the model predicts: `epsilon`, `v_prediction` or `sample`.
        offset: what diffusers adds to evenly spaced timesteps.
        ends_clean: False if the last step ends at ᾱ of timestep 0 instead of 1 (`set_alpha_to_one`).
    """

    alpha_bars: Tensor
    prediction: str = "epsilon"
    offset: int = 0
    ends_clean: bool = True


def noise_levels(config: Config, *, estimated: bool = False) -> NoiseLevels:
    """The noise levels that a diffusers scheduler's configuration describes.

    Args:
        config: of the scheduler.
        estimated: with NumPy, for a check.

    Raises:
        BadInput: the configuration does not use betas, or is damaged.
    """
    prediction = check_prediction_type(str(config.get("prediction_type", "epsilon")))
    alpha_bars = estimated_alphas_cumprod(config) if estimated else alphas_cumprod(config)
    settings = _settings(config)
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
    settings = _with_betas(config)
    count, start, end = settings.num_train_timesteps, settings.beta_start, settings.beta_end
    if (listed := _listed(settings)) is not None:
        betas = torch.tensor(listed, dtype=torch.float32)
    elif settings.beta_schedule == "linear":
        betas = torch.linspace(start, end, count, dtype=torch.float32)
    else:
        betas = torch.linspace(start**0.5, end**0.5, count, dtype=torch.float32) ** 2
    if settings.rescale_betas_zero_snr:
        betas = _zero_terminal_snr(betas)
    table = torch.cumprod(1.0 - betas, dim=0).double()
    _require_noise(table.numel() > 0 and bool(((table >= 0) & (table < 1)).all()))
    return table


def estimated_alphas_cumprod(config: Config) -> Tensor:
    """The same to a rounding error, without torch.

    Raises:
        BadInput: as `alphas_cumprod`.
    """
    settings = _with_betas(config)
    count, start, end = settings.num_train_timesteps, settings.beta_start, settings.beta_end
    if (listed := _listed(settings)) is not None:
        betas = np.array(listed, np.float32)
    elif settings.beta_schedule == "linear":
        betas = np.linspace(start, end, count, dtype=np.float32)
    else:
        betas = np.linspace(start**0.5, end**0.5, count, dtype=np.float32) ** 2
    with np.errstate(all="ignore"):
        if settings.rescale_betas_zero_snr:
            root = np.sqrt(np.cumprod(np.float32(1) - betas))
            bar = ((root - root[-1]) * (root[0] / (root[0] - root[-1]))) ** 2
            betas = np.float32(1) - np.concatenate([bar[:1], bar[1:] / bar[:-1]])
        table = np.cumprod(np.float32(1) - betas).astype(np.float64)
        _require_noise(table.size > 0 and bool(((table >= 0) & (table < 1)).all()))
    return cast(Tensor, Sketch.of(table))


def _with_betas(config: Config) -> SchedulerConfig:
    """The settings of a scheduler whose noise levels follow from betas; raises BadInput for any other."""
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
    if settings.trained_betas is None and settings.beta_schedule not in ("linear", "scaled_linear", COSINE):
        raise BadInput(
            "scheduler",
            found=f"the beta schedule {settings.beta_schedule!r}",
            expected="linear, scaled_linear, squaredcos_cap_v2 or trained_betas",
            fix="use another model",
        )
    return settings


def _listed(settings: SchedulerConfig) -> Sequence[float] | None:
    """The betas of the file, or those of the cosine schedule, which are computed one by one; None for the others."""
    if settings.trained_betas is not None or settings.beta_schedule != COSINE:
        return settings.trained_betas
    count = settings.num_train_timesteps
    bar = [math.cos((i / count + 0.008) / 1.008 * math.pi / 2) ** 2 for i in range(count + 1)]
    return [min(1 - bar[i + 1] / bar[i], 0.999) for i in range(count)]


def _require_noise(adds: bool) -> None:
    if not adds:
        raise BadInput(
            "scheduler",
            found="betas outside 0 … 1",
            expected="a schedule that adds noise",
            fix="correct beta_start and beta_end in scheduler_config.json",
        )


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

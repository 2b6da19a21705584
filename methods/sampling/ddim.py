"""The DDIM schedule: timesteps, ᾱ and the coefficients of every update, time travel included.

Song, Meng & Ermon, "Denoising Diffusion Implicit Models", ICLR 2021. Equation numbers without a name are those of
Kakinuma et al. 2024 (../null_space.py).

In formulas `a` is ᾱ_t and `ap` the ᾱ of the next, less noisy level; both are float64, from the float32 values that
diffusers computes. The next level is always the next one of the schedule, so the model is evaluated at the noise level
that the latent has. (diffusers' DDIMScheduler steps by N // T instead, which differs for other spacings.)
"""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

from ...graph_runtime import BadInput
from ...graph_runtime.core.light.later import Tensor
from .schedule import DenoisingStep, TrainedNoise, add_noise

Spacing = Literal["leading", "linspace", "trailing"]
Variance = Literal["ddim", "ddnm"]


@dataclass(frozen=True)
class DdimSchedule:
    """The DDIM update (Song et al. 2021, eq. 12; Kakinuma et al. 2024, eq. 6), or DDNM's form of it.

    Attributes:
        timesteps: descending.
        alpha_bars: ᾱ at those timesteps.
        final_alpha_bar: ᾱ after the last step.
        prediction: what the model predicts: `epsilon`, `v_prediction` or `sample`.
        eta: 0 is deterministic, 1 adds as much noise as DDPM.
        variance: `ddim` is the paper's σ, `ddnm` that of DDNM's code.
        travel_length: how many levels a time travel goes back up.
        travel_repeat: how often each stretch is sampled; 1 is no time travel.
    """

    timesteps: tuple[int, ...]
    alpha_bars: tuple[float, ...]
    final_alpha_bar: float
    prediction: str = "epsilon"
    eta: float = 0.85
    variance: Variance = "ddim"
    travel_length: int = 1
    travel_repeat: int = 1

    takes_constraint = True

    def __len__(self) -> int:
        return len(self.timesteps)

    def begin(self) -> "DdimSchedule":
        """This schedule: the update needs no memory of earlier steps."""
        return self

    def denoising_steps(self, start: int = 0) -> tuple[DenoisingStep, ...]:
        """Every step from the timestep at position `start` down to the clean latent."""
        count = len(self.timesteps) - start
        levels = travel_levels(count, self.travel_length, self.travel_repeat)
        steps: list[DenoisingStep] = []
        reverse_step = 0
        for index, (here, there) in enumerate(pairwise(levels)):
            a, ap, up = self._alpha_bar(here), self._alpha_bar(there), there > here
            sigma, epsilon_scale = (math.sqrt(1 - ap), 0.0) if up else coefficients(a, ap, self.eta, self.variance)
            steps.append(
                DenoisingStep(
                    index=index,
                    reverse_step=reverse_step,
                    level=here,
                    timestep=self.timesteps[-1 - here],
                    alpha_bar=a,
                    alpha_bar_next=ap,
                    sigma=sigma,
                    epsilon_scale=epsilon_scale,
                    up=up,
                    last=index == len(levels) - 2,
                )
            )
            reverse_step += not up
        return tuple(steps)

    def _alpha_bar(self, level: int) -> float:
        return self.final_alpha_bar if level < 0 else self.alpha_bars[-1 - level]

    def started(self, noise: Tensor) -> Tensor:
        """Pure noise at the level of the first step: the noise itself."""
        return noise

    def renoised(self, clean: Tensor, noise: Tensor, position: int) -> Tensor:
        """A clean latent at the noise level of the timestep at `position` (SDEdit)."""
        return add_noise(clean, noise, self.alpha_bars[position])

    def scaled(self, z: Tensor, step: DenoisingStep) -> Tensor:
        """The latent as the model takes it: unchanged."""
        return z

    def predict(self, output: Tensor, z: Tensor, alpha_bar: float) -> tuple[Tensor, Tensor]:
        """x₀ and ε of a model's output, all `[b c lh lw]`.

        x₀ = (z − √(1−ᾱ)·ε)/√ᾱ (DDIM, eq. 12; Kakinuma et al., eq. 3); for v: Salimans & Ho 2022.
        """
        root, rest = math.sqrt(alpha_bar), math.sqrt(1 - alpha_bar)
        if self.prediction == "epsilon":
            return (z - rest * output) / root, output
        if self.prediction == "v_prediction":
            return root * z - rest * output, root * output + rest * z
        return output, (z - root * output) / rest

    @staticmethod
    def advance(step: DenoisingStep, x0: Tensor, e: Tensor, noise: Tensor) -> Tensor:
        """√ᾱ′·x₀ + √(1−ᾱ′−σ²)·ε + σ·n (eq. 6), with the model's own ε, not recomputed from a constrained x₀."""
        z = math.sqrt(step.alpha_bar_next) * x0 + step.epsilon_scale * e
        return z + step.sigma * noise if step.sigma else z


def ddim_schedule(
    trained: TrainedNoise,
    *,
    steps: int,
    eta: float = 0.85,
    spacing: Spacing = "leading",
    variance: Variance = "ddim",
    final_alpha: Literal["one", "config"] = "one",
    travel_length: int = 1,
    travel_repeat: int = 1,
) -> DdimSchedule:
    """The schedule of `steps` timesteps over the noise levels that a model was trained on.

    Raises:
        BadInput: no schedule is possible with these settings.
    """
    table = trained.alpha_bars
    for name, value in (("steps", steps), ("travel_length", travel_length), ("travel_repeat", travel_repeat)):
        if value < 1:
            raise BadInput(name, found=str(value), expected="1 or more", fix=f"raise {name}")
    if not 0 <= eta <= 1:
        raise BadInput(
            "eta", found=str(eta), expected="0 (deterministic) to 1 (as much noise as DDPM)", fix="the paper uses 0.85"
        )
    times = timesteps(len(table), steps, spacing, trained.offset)
    final = 1.0 if final_alpha == "one" or trained.ends_clean else float(table[0])
    alpha_bars = tuple(float(table[t]) for t in times)
    if trained.prediction == "epsilon" and alpha_bars[0] == 0:
        raise BadInput(
            "scheduler",
            found="a schedule that begins at pure noise (zero terminal SNR) with a model that predicts epsilon",
            expected="a v_prediction or sample model there",
            fix="such models predict v_prediction: correct prediction_type in scheduler_config.json; or use "
            "spacing 'leading'",
        )
    return DdimSchedule(times, alpha_bars, final, trained.prediction, eta, variance, travel_length, travel_repeat)


def timesteps(count: int, steps: int, spacing: Spacing, offset: int = 0) -> tuple[int, ...]:
    """The descending timesteps of diffusers' DDIMScheduler (Lin et al. 2023, table 2).

    Raises:
        BadInput: more steps than the model was trained on, or an offset that runs past the end.
    """
    if steps > count:
        raise BadInput(
            "steps",
            found=str(steps),
            expected=f"at most {count}, as the model was trained",
            fix=f"use {count} or fewer; {min(count, 50)} are usual",
        )
    if spacing == "leading":
        times = [i * (count // steps) + offset for i in range(steps)][::-1]
    elif spacing == "linspace":
        times = np.linspace(0, count - 1, steps).round()[::-1].astype(int).tolist()
    else:  # arange with a fractional step may include one value too many
        times = (np.round(np.arange(count, 0, -count / steps)).astype(int) - 1).tolist()[:steps]
    if times[0] >= count:
        raise BadInput(
            "steps",
            found=f"{steps} steps from offset {offset}: the first timestep would be {times[0]}",
            expected=f"timesteps below {count}",
            fix="use fewer steps, or spacing 'trailing'",
        )
    return tuple(times)


def coefficients(a: float, ap: float, eta: float, variance: Variance) -> tuple[float, float]:
    """σ and the coefficient of ε in eq. (6), for ᾱ_t = `a` and the next ᾱ = `ap`.

    The printed (1−ᾱ_t)/ᾱ_{t−1} is a misprint of 1 − ᾱ_t/ᾱ_{t−1} (DDIM, eq. 16); `ddnm` is the form in DDNM's code.
    """
    if variance == "ddnm":
        return eta * math.sqrt(1 - ap), math.sqrt(1 - eta**2) * math.sqrt(1 - ap)
    sigma = eta * math.sqrt(max((1 - ap) / (1 - a) * (1 - a / ap), 0.0))
    return sigma, math.sqrt(max(1 - ap - sigma**2, 0.0))


def travel_levels(count: int, length: int, repeat: int) -> list[int]:
    """Noise levels in the order they are visited, from `count − 1` to −1 (clean): RePaint's and DDNM's jump list."""
    jumps = dict.fromkeys(range(0, count - length, length), repeat - 1)
    level, levels = count, []
    while level >= 1:
        level -= 1
        levels.append(level)
        if jumps.get(level, 0) > 0:
            jumps[level] -= 1
            for _ in range(length):
                level += 1
                levels.append(level)
    return [*levels, -1]

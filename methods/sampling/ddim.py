"""The DDIM schedule: timesteps, ᾱ and the coefficients of every update, time travel included.

`a` is ᾱ_t and `ap` the ᾱ of the next, less noisy level, both float64 from the float32 values that diffusers computes.
The next level is always the next one *in the list*, so that the denoiser is asked about the noise level the latent has.
(diffusers' DDIMScheduler steps by N // T instead, which differs where the spacing is not exactly that.)
"""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from torch import Tensor

from ...graph_runtime import BadInput
from .schedule import Move, TrainedNoise

Spacing = Literal["leading", "linspace", "trailing"]
Variance = Literal["ddim", "ddnm"]


@dataclass(frozen=True)
class DdimSchedule:
    """The DDIM update (Song et al. 2021, eq. 12; Kakinuma et al. 2024, eq. 6), or DDNM's form of it.

    Attributes:
        timesteps: descending.
        alphas: ᾱ at those timesteps.
        final: ᾱ after the last step.
    """

    timesteps: tuple[int, ...]
    alphas: tuple[float, ...]
    final: float
    prediction: str = "epsilon"
    eta: float = 0.85
    variance: Variance = "ddim"
    travel_length: int = 1
    travel_repeat: int = 1

    takes_constraint = True

    def __len__(self) -> int:
        return len(self.timesteps)

    def begin(self) -> "DdimSchedule":
        """The schedule for one run; a solver with a memory of earlier steps gives a fresh one here."""
        return self

    def moves(self, start: int = 0) -> tuple[Move, ...]:
        """Every move from the timestep at position `start` down to the clean latent."""
        count = len(self.timesteps) - start
        levels = travel_levels(count, self.travel_length, self.travel_repeat)
        moves: list[Move] = []
        step = 0
        for index, (here, there) in enumerate(pairwise(levels)):
            a, ap, up = self._alpha(here), self._alpha(there), there > here
            sigma, direction = (math.sqrt(1 - ap), 0.0) if up else coefficients(a, ap, self.eta, self.variance)
            moves.append(
                Move(
                    index,
                    step,
                    here,
                    self.timesteps[-1 - here],
                    a,
                    ap,
                    sigma,
                    direction,
                    up,
                    last=index == len(levels) - 2,
                )
            )
            step += not up
        return tuple(moves)

    def _alpha(self, level: int) -> float:
        return self.final if level < 0 else self.alphas[-1 - level]

    def started(self, noise: Tensor) -> Tensor:
        """Pure noise at the level a run begins from: itself."""
        return noise

    def renoised(self, clean: Tensor, noise: Tensor, position: int) -> Tensor:
        """A clean latent at the noise level of the timestep at `position` (SDEdit)."""
        return self.noised(clean, noise, self.alphas[position])

    def scaled(self, z: Tensor, move: Move) -> Tensor:
        """The latent as the model wants to see it: as it is."""
        return z

    def predict(self, output: Tensor, z: Tensor, a: float) -> tuple[Tensor, Tensor]:
        """The clean latent x₀ and ε that a model output means at ᾱ = `a` (eq. 3; Salimans & Ho 2022 for v)."""
        root, rest = math.sqrt(a), math.sqrt(1 - a)
        if self.prediction == "epsilon":
            return (z - rest * output) / root, output
        if self.prediction == "v_prediction":
            return root * z - rest * output, root * output + rest * z
        return output, (z - root * output) / rest

    @staticmethod
    def advance(move: Move, x0: Tensor, e: Tensor, noise: Tensor) -> Tensor:
        """√ap·x0 + direction·e + σ·n (eq. 6); `e` is the model's, never re-derived from a constrained x0."""
        z = math.sqrt(move.ap) * x0 + move.direction * e
        return z + move.sigma * noise if move.sigma else z

    @staticmethod
    def noised(clean: Tensor, noise: Tensor, a: float) -> Tensor:
        """√a·clean + √(1−a)·noise: a clean latent at the noise level of ᾱ = `a`."""
        return math.sqrt(a) * clean + math.sqrt(1 - a) * noise


def ddim(
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
        BadInput: the numbers do not make a schedule.
    """
    table = trained.alphas
    for name, value in (("steps", steps), ("travel_length", travel_length), ("travel_repeat", travel_repeat)):
        if value < 1:
            raise BadInput(name, found=str(value), expected="1 or more", fix=f"raise {name}")
    if not 0 <= eta <= 1:
        raise BadInput(
            "eta", found=str(eta), expected="0 (deterministic) to 1 (as much noise as DDPM)", fix="the paper uses 0.85"
        )
    times = timesteps(len(table), steps, spacing, trained.offset)
    final = 1.0 if final_alpha == "one" or trained.ends_clean else float(table[0])
    alphas = tuple(float(table[t]) for t in times)
    if trained.prediction == "epsilon" and alphas[0] == 0:
        raise BadInput(
            "scheduler",
            found="a schedule that begins at pure noise (zero terminal SNR) with a model that predicts epsilon",
            expected="a v_prediction or sample model there",
            fix="such models predict v_prediction: correct prediction_type in scheduler_config.json; or use "
            "spacing 'leading'",
        )
    return DdimSchedule(times, alphas, final, trained.prediction, eta, variance, travel_length, travel_repeat)


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
    else:  # arange by a fraction may run one past its end
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
    """σ and the coefficient of ε in eq. (6).

    The printed (1−ᾱ_t)/ᾱ_{t−1} is a misprint of 1 − ᾱ_t/ᾱ_{t−1} (DDIM, eq. 16); `ddnm` is the form in DDNM's code.
    """
    if variance == "ddnm":
        return eta * math.sqrt(1 - ap), math.sqrt(1 - eta**2) * math.sqrt(1 - ap)
    sigma = eta * math.sqrt(max((1 - ap) / (1 - a) * (1 - a / ap), 0.0))
    return sigma, math.sqrt(max(1 - ap - sigma**2, 0.0))


def travel_levels(count: int, length: int, repeat: int) -> list[int]:
    """Noise levels in the order they are visited, from `count − 1` to −1 (clean): RePaint's and DDNM's jump list."""
    jumps = {level: repeat - 1 for level in range(0, count - length, length)}
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

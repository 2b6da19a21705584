"""The interface of schedules to the loop: the steps of a run, and the update rule between them.

ᾱ is `alpha_bar`: a latent at that level is √ᾱ·x₀ + √(1−ᾱ)·ε.
"""

import math
from dataclasses import dataclass
from typing import Protocol

from ...graph_runtime.core.light.later import Tensor


@dataclass(frozen=True, slots=True)
class DenoisingStep:
    """One step of a run: a reverse step (down), or time travel's way back (up).

    Attributes:
        index: position among all steps of the run, from 0.
        reverse_step: number of reverse steps before this one; the index of per-step embeddings and windows.
        level: noise level it starts from, 0 is the least noisy of the schedule.
        timestep: the timestep given to the model; some solvers use fractions.
        alpha_bar: ᾱ of the level it starts from.
        alpha_bar_next: ᾱ of the level it goes to.
        sigma: standard deviation of the noise that is added.
        epsilon_scale: factor of ε in the update.
        up: True if it adds noise, on time travel's way back.
        last: True for the last step of the run.
    """

    index: int
    reverse_step: int
    level: int
    timestep: int | float
    alpha_bar: float
    alpha_bar_next: float
    sigma: float
    epsilon_scale: float
    up: bool = False
    last: bool = False


class TrainedNoise(Protocol):
    """The noise levels that a model was trained on."""

    @property
    def alpha_bars(self) -> Tensor:
        """ᾱ of every training timestep, float64 `[N]`."""

    @property
    def prediction(self) -> str:
        """What the model predicts: `epsilon`, `v_prediction` or `sample`."""

    @property
    def offset(self) -> int:
        """Added to evenly spaced timesteps."""

    @property
    def ends_clean(self) -> bool:
        """False if the last step ends at ᾱ of timestep 0 instead of 1."""


class ScheduleRun(Protocol):
    """A schedule at work on one branch of one run; a solver remembers earlier steps here."""

    def denoising_steps(self, start: int = 0) -> tuple[DenoisingStep, ...]:
        """Every step from the timestep at position `start` down to the clean latent."""

    def scaled(self, z: Tensor, step: DenoisingStep) -> Tensor:
        """The latent `[b c lh lw]` as the model takes it."""

    def predict(self, output: Tensor, z: Tensor, alpha_bar: float) -> tuple[Tensor, Tensor]:
        """The clean latent x₀ of a model's output, and the second argument of `advance`."""

    def advance(self, step: DenoisingStep, x0: Tensor, e: Tensor, noise: Tensor) -> Tensor:
        """The latent after the step."""


class Schedule(Protocol):
    """Timesteps and update rule: a DdimSchedule, or a SolverSchedule around a scheduler of diffusers."""

    @property
    def takes_constraint(self) -> bool:
        """True if constraints, attention controls and tunings are defined for the update."""

    def __len__(self) -> int:
        """Reverse steps from pure noise."""

    def begin(self) -> ScheduleRun:
        """The schedule for one branch of one run."""

    def started(self, noise: Tensor) -> Tensor:
        """Pure noise at the level of the first step."""

    def renoised(self, clean: Tensor, noise: Tensor, position: int) -> Tensor:
        """A clean latent with the noise of the timestep at `position` (SDEdit, Meng et al. 2022)."""


def add_noise(clean: Tensor, noise: Tensor, alpha_bar: float) -> Tensor:
    """√ᾱ·clean + √(1−ᾱ)·noise: a clean latent at a noise level."""
    return math.sqrt(alpha_bar) * clean + math.sqrt(1 - alpha_bar) * noise

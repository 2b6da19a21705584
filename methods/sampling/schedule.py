"""What the loop takes as a schedule, and one step of it."""

from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor


class Schedule(Protocol):
    """Timesteps and update rule: a DdimSchedule, or a solver of diffusers."""

    def begin(self) -> Any:
        """The schedule for one chain of one run: moves, scaled, predict, advance, noised."""


class TrainedNoise(Protocol):
    """What a schedule asks about the noise that a model was trained on."""

    @property
    def alphas(self) -> Tensor:
        """ᾱ of every training timestep, float64 `[N]`."""

    @property
    def prediction(self) -> str:
        """What the model predicts: `epsilon`, `v_prediction` or `sample`."""

    @property
    def offset(self) -> int:
        """What is added to evenly spaced timesteps."""

    @property
    def ends_clean(self) -> bool:
        """False where the last step ends at ᾱ of timestep 0 instead of 1."""


@dataclass(frozen=True, slots=True)
class Move:
    """One move of a run: a reverse step (down), or time travel's way back (up).

    Attributes:
        index: position among the moves of the run, from 0.
        step: reverse steps taken before this one, from 0.
        level: noise level it starts from, 0 the least noisy of the list.
        t: the timestep that the denoiser is asked about; some solvers ask between two.
        a: ᾱ of the level it starts from.
        ap: ᾱ of the level it goes to.
        sigma: standard deviation of the noise that is added (eq. 6).
        direction: what multiplies ε (eq. 6).
        up: True on the way back up.
        last: True for the last move of the run.
    """

    index: int
    step: int
    level: int
    t: int | float
    a: float
    ap: float
    sigma: float
    direction: float
    up: bool = False
    last: bool = False

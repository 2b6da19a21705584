"""Solvers: diffusers' own schedulers, stepped by our loop.

A solver remembers earlier steps, so each chain of a run has one of its own. Its steps are the library's, to the bit;
what is added here is the choice by name, noise from the run's own stream, and refusals that name the reason.
"""

import importlib
import inspect
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal

import torch
from torch import Tensor

from ...graph_runtime import BadInput
from ...graph_runtime.core.errors import first_line
from ...graph_runtime.core.quiet import quiet
from .ddim import DdimSchedule
from .schedule import Move, TrainedNoise

Kind = Literal[
    "pndm",
    "dpmpp_2m",
    "dpmpp_2m_karras",
    "dpmpp_2m_sde",
    "unipc",
    "euler",
    "euler_karras",
    "heun",
    "deis",
    "lms",
    "dpm2",
    "ddim",
]
#: Name -> the class of diffusers, and what its configuration is told besides the model's own.
KINDS: Mapping[str, tuple[str, Mapping[str, Any]]] = MappingProxyType(
    {
        "pndm": ("PNDMScheduler", {"skip_prk_steps": True}),
        "dpmpp_2m": ("DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver++", "use_karras_sigmas": False}),
        "dpmpp_2m_karras": (
            "DPMSolverMultistepScheduler",
            {"algorithm_type": "dpmsolver++", "use_karras_sigmas": True},
        ),
        "dpmpp_2m_sde": (
            "DPMSolverMultistepScheduler",
            {"algorithm_type": "sde-dpmsolver++", "use_karras_sigmas": False},
        ),
        "unipc": ("UniPCMultistepScheduler", {}),
        "euler": ("EulerDiscreteScheduler", {"use_karras_sigmas": False}),
        "euler_karras": ("EulerDiscreteScheduler", {"use_karras_sigmas": True}),
        "heun": ("HeunDiscreteScheduler", {}),
        "deis": ("DEISMultistepScheduler", {}),
        "lms": ("LMSDiscreteScheduler", {}),
        "dpm2": ("KDPM2DiscreteScheduler", {}),
        "ddim": ("DDIMScheduler", {"clip_sample": False}),
    }
)
NOISY = ("dpmpp_2m_sde",)  # take their noise from the run's stream


@contextmanager
def _no_numpy_news() -> Iterator[None]:
    """Keep the library's use of old NumPy interfaces from filling the screen: hundreds of lines a run."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning, message="__array_")
        yield


@dataclass(frozen=True, eq=False)
class SolverSchedule:
    """A scheduler of diffusers by name, for a number of steps.

    Attributes:
        config: the model's scheduler configuration.
        kind: which solver.
        steps: how many steps; some solvers evaluate the model more often.
        prediction: what the model predicts.
        told: what the library's solver made of that configuration.
    """

    config: Mapping[str, Any]
    kind: Kind
    steps: int
    prediction: str = "epsilon"
    told: Mapping[str, Any] = field(default_factory=dict)

    takes_constraint = False

    def __len__(self) -> int:
        return self.steps

    def begin(self) -> "SolverRun":
        """A solver with no memory yet.

        Raises:
            BadInput: the library cannot make it of this configuration.
        """
        name, changes = KINDS[self.kind]
        try:
            with quiet(), _no_numpy_news():
                made = getattr(importlib.import_module("diffusers"), name).from_config(dict(self.config), **changes)
                made.set_timesteps(self.steps)
        except (ValueError, TypeError, NotImplementedError, ImportError, IndexError) as error:
            raise BadInput(
                "kind",
                found=f"{self.kind} with this model's scheduler: {first_line(error)}",
                expected="a solver that can be made of it",
                fix="use schedule.ddim, or another kind, or other steps",
            ) from error
        return SolverRun(made, self.prediction, self.kind in NOISY)

    def started(self, noise: Tensor) -> Tensor:
        """Pure noise at the level the solver begins from."""
        return noise * float(self.begin().scheduler.init_noise_sigma)

    def renoised(self, clean: Tensor, noise: Tensor, position: int) -> Tensor:
        """A clean latent at the noise level of the step at `position`, as diffusers' image-to-image adds it."""
        scheduler = self.begin().scheduler
        first = position * scheduler.order
        if hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(first)
        noised: Tensor = scheduler.add_noise(clean, noise, scheduler.timesteps[first : first + 1])
        return noised


@dataclass(eq=False)
class SolverRun:
    """One solver at work on one chain."""

    scheduler: Any
    prediction: str
    noisy: bool
    _z: Tensor | None = field(default=None, repr=False)

    def moves(self, start: int = 0) -> tuple[Move, ...]:
        """One move for each evaluation of the model, from the step at position `start`."""
        first = start * self.scheduler.order
        times = self.scheduler.timesteps[first:]
        if first and hasattr(self.scheduler, "set_begin_index"):
            self.scheduler.set_begin_index(first)
        levels = [self._alpha(first + index, float(t)) for index, t in enumerate(times)] + [1.0]
        asked = times.tolist()  # floats where the solver asks between two timesteps
        last = len(asked) - 1
        return tuple(
            Move(index, index, last - index, t, levels[index], levels[index + 1], 0.0, 0.0, last=index == last)
            for index, t in enumerate(asked)
        )

    def _alpha(self, index: int, t: float) -> float:
        """ᾱ where the model is asked: of the noise level σ = √((1 − ᾱ)/ᾱ), or of the timestep."""
        if float(self.scheduler.init_noise_sigma) != 1.0:
            sigma = float(self.scheduler.sigmas[index])
            return 1 / (1 + sigma**2)
        return float(self.scheduler.alphas_cumprod[int(t)])

    def scaled(self, z: Tensor, move: Move) -> Tensor:
        """The latent as the model wants to see it."""
        self._z = z
        shown: Tensor = self.scheduler.scale_model_input(z, self.scheduler.timesteps[self._index(move)])
        return shown

    def _index(self, move: Move) -> int:
        return len(self.scheduler.timesteps) - 1 - move.level

    def predict(self, output: Tensor, z: Tensor, a: float) -> tuple[Tensor, Tensor]:
        """The clean latent that a model output means (for previews and checks), and the output itself."""
        return DdimSchedule((), (), 1.0, self.prediction).predict(output, z, a)[0], output

    def advance(self, move: Move, x0: Tensor, output: Tensor, noise: Tensor) -> Tensor:
        """The library's own step."""
        extra = {"variance_noise": noise} if self.noisy else {}
        with _no_numpy_news():
            stepped: Tensor = self.scheduler.step(
                output, self.scheduler.timesteps[self._index(move)], self._z, return_dict=False, **extra
            )[0]
        return stepped


def solver(config: Mapping[str, Any], trained: TrainedNoise, *, kind: Kind, steps: int) -> SolverSchedule:
    """The schedule of that name over a model's scheduler configuration.

    Raises:
        BadInput: more steps than the model was trained on, or a configuration that the solver cannot take.
    """
    table = trained.alphas
    if not 1 <= steps <= len(table):
        raise BadInput(
            "steps",
            found=str(steps),
            expected=f"1 to {len(table)}, as the model was trained",
            fix=f"use {len(table)} or fewer; {min(len(table), 50)} are usual",
        )
    made = SolverSchedule(MappingProxyType(dict(config)), kind, steps, trained.prediction)
    with torch.inference_mode(False):
        scheduler = made.begin().scheduler
    known = inspect.signature(type(scheduler).__init__).parameters  # its .config keeps what it does not know as well
    return replace(made, told=MappingProxyType({key: value for key, value in scheduler.config.items() if key in known}))

"""Solvers: diffusers' own schedulers, stepped by our loop.

A solver remembers earlier steps, so each branch of a run has its own. Its steps equal the library's, bit for bit.
This module adds the choice by name, noise from the run's own stream, and errors that name the cause.
"""

import inspect
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Literal, Protocol

from ...graph_runtime import BadInput
from ...graph_runtime.core.bounded.effort import imported
from ...graph_runtime.core.errors import first_line
from ...graph_runtime.core.light.later import Tensor, torch
from ...graph_runtime.core.quiet import quiet
from .ddim import DdimSchedule
from .schedule import DenoisingStep, TrainedNoise

SolverKind = Literal[
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
#: Name -> the class of diffusers, and the settings that replace those of the model's configuration.
KINDS: Mapping[str, tuple[str, Mapping[str, object]]] = MappingProxyType(
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
NOISY = ("dpmpp_2m_sde",)  # these take their noise from the run's stream


@contextmanager
def _numpy_warnings_hidden() -> Iterator[None]:
    """Hide warnings about the library's use of old NumPy interfaces, which would fill hundreds of lines per run."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning, message="__array_")
        yield


class DiffusersScheduler(Protocol):
    """The interface of a diffusers scheduler that a run uses; some have more."""

    order: int
    timesteps: Tensor
    init_noise_sigma: float | Tensor
    sigmas: Tensor
    alphas_cumprod: Tensor
    config: Mapping[str, object]

    def set_timesteps(self, num_inference_steps: int) -> None:
        """Make the timesteps."""

    def scale_model_input(self, sample: Tensor, timestep: Tensor) -> Tensor:
        """The latent as the model takes it."""

    def add_noise(self, original_samples: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """A clean latent at a timestep's noise level."""

    def step(
        self, model_output: Tensor, timestep: Tensor, sample: Tensor | None, *, return_dict: bool, **noise: Tensor
    ) -> tuple[Tensor, ...]:
        """The latent after a step, and more."""


@dataclass(frozen=True, eq=False)
class SolverSchedule:
    """A scheduler of diffusers by name, for a number of steps.

    Attributes:
        config: the model's scheduler configuration.
        kind: which solver.
        steps: how many steps; some solvers evaluate the model more often.
        prediction: what the model predicts.
        solver_config: the resulting configuration of the library's solver.
    """

    config: Mapping[str, object]
    kind: SolverKind
    steps: int
    prediction: str = "epsilon"
    solver_config: Mapping[str, object] = field(default_factory=dict)

    takes_constraint = False

    def __len__(self) -> int:
        return self.steps

    def begin(self) -> "SolverRun":
        """A fresh solver.

        Raises:
            BadInput: the library cannot make it from this configuration.
        """
        name, changes = KINDS[self.kind]
        try:
            with quiet("diffusers", "transformers"), _numpy_warnings_hidden():
                kind = getattr(imported("diffusers"), name)
                known = inspect.signature(kind.__init__).parameters
                made = kind.from_config({key: self.config[key] for key in known if key in self.config}, **changes)
                made.set_timesteps(self.steps)
        except (
            ArithmeticError,
            AttributeError,
            ImportError,
            LookupError,
            NotImplementedError,
            TypeError,
            ValueError,
        ) as error:
            raise BadInput(
                "kind",
                found=f"{self.kind} with this model's scheduler: {first_line(error)}",
                expected="a configuration that this solver accepts",
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
        return scheduler.add_noise(clean, noise, scheduler.timesteps[first : first + 1])


@dataclass(eq=False)
class SolverRun:
    """One solver at work on one branch."""

    scheduler: DiffusersScheduler
    prediction: str
    noisy: bool
    _z: Tensor | None = field(default=None, repr=False)

    def denoising_steps(self, start: int = 0) -> tuple[DenoisingStep, ...]:
        """One step for each evaluation of the model, from the step at position `start`."""
        first = start * self.scheduler.order
        times = self.scheduler.timesteps[first:]
        if first and hasattr(self.scheduler, "set_begin_index"):
            self.scheduler.set_begin_index(first)
        levels = [self._alpha_bar(first + index, float(t)) for index, t in enumerate(times)] + [1.0]
        listed = times.tolist()  # floats where the solver evaluates between two timesteps
        last = len(listed) - 1
        return tuple(
            DenoisingStep(index, index, last - index, t, levels[index], levels[index + 1], 0.0, 0.0, last=index == last)
            for index, t in enumerate(listed)
        )

    def _alpha_bar(self, index: int, t: float) -> float:
        """ᾱ at which the model is evaluated: of the noise level σ = √((1 − ᾱ)/ᾱ), or of the timestep."""
        if float(self.scheduler.init_noise_sigma) != 1.0:
            sigma = float(self.scheduler.sigmas[index])
            return 1 / (1 + sigma**2)
        return float(self.scheduler.alphas_cumprod[int(t)])

    def scaled(self, z: Tensor, step: DenoisingStep) -> Tensor:
        """The latent as the model takes it."""
        self._z = z
        return self.scheduler.scale_model_input(z, self.scheduler.timesteps[self._index(step)])

    def _index(self, step: DenoisingStep) -> int:
        return len(self.scheduler.timesteps) - 1 - step.level

    def predict(self, output: Tensor, z: Tensor, alpha_bar: float) -> tuple[Tensor, Tensor]:
        """The clean latent of a model's output (for previews and checks), and the output itself."""
        return DdimSchedule((), (), 1.0, self.prediction).predict(output, z, alpha_bar)[0], output

    def advance(self, step: DenoisingStep, x0: Tensor, e: Tensor, noise: Tensor) -> Tensor:
        """The library's own step."""
        extra = {"variance_noise": noise} if self.noisy else {}
        with _numpy_warnings_hidden():
            return self.scheduler.step(
                e, self.scheduler.timesteps[self._index(step)], self._z, return_dict=False, **extra
            )[0]


def solver_schedule(
    config: Mapping[str, object], trained: TrainedNoise, *, kind: SolverKind, steps: int
) -> SolverSchedule:
    """The schedule of that name, with a model's scheduler configuration.

    Raises:
        BadInput: more steps than the model was trained on, or a configuration that the solver does not accept.
    """
    table = trained.alpha_bars
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
    known = inspect.signature(type(scheduler).__init__).parameters  # its .config also keeps unknown keys
    return replace(
        made, solver_config=MappingProxyType({key: value for key, value in scheduler.config.items() if key in known})
    )

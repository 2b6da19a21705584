"""Schedules: which timesteps a run uses, and the update rule between them."""

from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from ..graph_runtime import node
from ..graph_runtime.core.notices import notice
from ..methods.sampling.ddim import DdimSchedule, Spacing, Variance, ddim_schedule
from ..methods.sampling.solver import SolverKind, SolverSchedule, solver_schedule
from ..models.noise_levels import NoiseLevels, noise_levels
from ..models.protocols import SchedulerDescription
from ..models.scheduler_config import solver_arguments
from .checks.before_run import Facts, Known, Params, described
from .checks.schedule import name_beside_ddim, name_beside_solver, own_spacing
from .ports import SchedulePort, Scheduler

FEW_PNDM = 25  # steps below which its fourth-order formula is inaccurate
AnySpacing = Literal["leading", "linspace", "trailing", "model"]
FinalAlpha = Literal["one", "config"]


class Scheduled(NamedTuple):
    """A schedule."""

    schedule: SchedulePort


def _check_ddim(known: Known, params: Params) -> Facts:
    scheduler = known.get("scheduler")
    if described(scheduler):
        return {"schedule": _ddim(scheduler, noise_levels(scheduler.config, estimated=True), **params)}
    return {}


def _ddim(
    scheduler: SchedulerDescription,
    levels: NoiseLevels,
    steps: int,
    eta: float,
    spacing: AnySpacing,
    variance: Variance,
    final_alpha: FinalAlpha,
    travel_length: int,
    travel_repeat: int,
) -> DdimSchedule:
    """The schedule; a warning names what it does other than the model's configuration says."""
    config = scheduler.config
    used: Spacing = own_spacing(config) if spacing == "model" else spacing
    made = ddim_schedule(
        levels,
        steps=steps,
        eta=eta,
        spacing=used,
        variance=variance,
        final_alpha=final_alpha,
        travel_length=travel_length,
        travel_repeat=travel_repeat,
    )
    name_beside_ddim(config, scheduler.label, used, made.timesteps[0])
    return made


@node("schedule.ddim", version=1, check=_check_ddim)
def ddim(
    scheduler: Scheduler,
    steps: Annotated[int, Field(ge=1, le=10_000)] = 30,
    eta: Annotated[float, Field(ge=0, le=1)] = 0.85,
    spacing: AnySpacing = "leading",
    variance: Variance = "ddim",
    final_alpha: FinalAlpha = "one",
    travel_length: Annotated[int, Field(ge=1, le=1000)] = 1,
    travel_repeat: Annotated[int, Field(ge=1, le=1000)] = 1,
) -> Scheduled:
    """Make a DDIM schedule from the betas of a scheduler's configuration.

    Clipping and thresholding of the configuration are never applied; a warning names what it asks for and this
    schedule does differently (docs/files.md). Song et al. 2021, eq. 12 and 16; Kakinuma et al. 2024, eq. 6; time
    travel: Wang et al. 2023 (DDNM), algorithm 2, and RePaint.

    Args:
        scheduler: the configuration to take betas, offset and prediction type from.
        steps: reverse steps, at most as many as the model was trained on.
        eta: 0 is deterministic DDIM, 1 adds as much noise as DDPM; the paper uses 0.85.
        spacing: which timesteps are used (Lin et al. 2023, table 2); leading adds the scheduler's offset, model is
            what the model's configuration says.
        variance: ddim is the paper's σ; ddnm that of DDNM's code, σ = eta·√(1−ᾱ).
        final_alpha: ᾱ after the last step; one keeps known cells exact, config follows set_alpha_to_one.
        travel_length: how many levels a time travel goes back up.
        travel_repeat: how often each stretch is sampled; 1 means no time travel.

    Raises:
        BadInput: more steps than timesteps; an unknown prediction type or beta schedule.
    """
    levels = noise_levels(scheduler.config)
    return Scheduled(_ddim(scheduler, levels, steps, eta, spacing, variance, final_alpha, travel_length, travel_repeat))


def _check_solver(known: Known, params: Params) -> Facts:
    scheduler = known.get("scheduler")
    if described(scheduler):
        return {"schedule": _solver(scheduler, **params)}
    return {}


def _solver(scheduler: SchedulerDescription, kind: SolverKind, steps: int) -> SolverSchedule:
    """The schedule; a warning names what it does other than the model's configuration says."""
    trained = noise_levels(scheduler.config)
    made = solver_schedule(solver_arguments(scheduler.config), trained, kind=kind, steps=steps)
    if kind == "pndm" and steps < FEW_PNDM:
        notice(
            f"pndm is inaccurate with {steps} steps: compared with 250 steps of ddim, the embedded Paint by Example "
            f"reaches 11 dB with 10 steps of pndm, 22 dB with 20 and 52 dB with 25, but 44 dB with 10 of ddim; use "
            f"{FEW_PNDM} steps or more, or kind=ddim"
        )
    name_beside_solver(scheduler.config, scheduler.label, kind, made.solver_config)
    return made


@node("schedule.solver", version=1, check=_check_solver)
def solver(
    scheduler: Scheduler, kind: SolverKind = "pndm", steps: Annotated[int, Field(ge=1, le=10_000)] = 50
) -> Scheduled:
    """Make a solver of diffusers, by name, from the model's own scheduler configuration.

    Fewer steps for the same picture; PNDM is what Paint by Example is published with (51 evaluations for 50 steps).
    Constraints, attention controls and tunings need schedule.ddim. Solvers that cannot draw their noise from the run's
    own stream (ancestral ones) are not offered.

    Args:
        scheduler: the configuration to take betas, offset and prediction type from.
        kind: pndm, dpmpp_2m (DPM-Solver++, second order; also with Karras' spacing, or sde with noise), unipc, euler,
            heun, deis, lms, dpm2, ddim.
        steps: number of steps; heun and dpm2 evaluate the model nearly twice for each, and pndm needs 25 or more.

    Raises:
        BadInput: more steps than timesteps, or a configuration that this solver cannot take.
    """
    return Scheduled(_solver(scheduler, kind=kind, steps=steps))

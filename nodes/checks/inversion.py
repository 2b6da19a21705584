"""What an inversion needs: a deterministic schedule, a plain conditioning, a trajectory of the same model."""

from ...graph_runtime import BadInput
from ...methods.conditioning import ConditioningSummary
from ...methods.inversion.ddim import Trajectory, trajectory_key
from ...methods.sampling.ddim import DdimSchedule
from ...methods.sampling.schedule import Schedule
from ...models.protocols import DenoiserDescription


def require_own_trajectory(trajectory: Trajectory, denoiser: DenoiserDescription, schedule: DdimSchedule) -> str:
    """What the trajectory belongs to; raises BadInput where that is another model, schedule or size."""
    key = trajectory_key(denoiser, schedule, trajectory.start.shape)
    if trajectory.inversion_key != key:
        raise BadInput(
            "trajectory",
            found="one that was made with another model or schedule",
            expected=f"one of the {denoiser.label}, {len(schedule)} steps",
            fix="connect the same denoiser and schedule to invert.ddim and here",
        )
    return key


def require_plain(conditioning: ConditioningSummary) -> None:
    """Raise BadInput where an inversion is asked of an inpainting model."""
    if conditioning.extra:
        raise BadInput(
            "conditioning",
            found=f"{conditioning.extra} extra channels, of an inpainting model",
            expected="a conditioning of embeddings alone: only plain models can be inverted",
            fix="use a 4-channel model, and condition.text without condition.inpaint",
        )


def require_deterministic(schedule: Schedule) -> DdimSchedule:
    """`schedule` if it can be inverted: DDIM with eta 0 and no time travel; raises BadInput otherwise."""
    if not isinstance(schedule, DdimSchedule):
        raise BadInput(
            "schedule",
            found="a schedule.solver",
            expected="schedule.ddim with eta 0",
            fix="inversion runs the DDIM update backwards: use schedule.ddim",
        )
    if schedule.eta != 0:
        raise BadInput(
            "schedule",
            found=f"eta {schedule.eta:g}",
            expected="eta 0: random noise cannot be inverted",
            fix="set eta to 0 in schedule.ddim",
        )
    if schedule.travel_repeat > 1:
        raise BadInput("schedule", found="time travel", expected="every step once", fix="set travel_repeat to 1")
    if schedule.prediction == "sample":
        raise BadInput(
            "schedule",
            found="a model that predicts the clean latent",
            expected="epsilon or v_prediction",
            fix="use Stable Diffusion 1.x or 2.x",
        )
    return schedule

"""Whether the inputs of a run fit together, as far as shapes and steps show before a weight is read."""

from ...graph_runtime import BadInput
from ...graph_runtime.core.light.later import Tensor
from ...graph_runtime.core.values import same_values
from ...methods.attention.control import AttentionControl
from ...methods.conditioning import Conditioning
from ...methods.inversion.ddim import trajectory_key
from ...methods.sampling.constraints import Constraint
from ...methods.sampling.ddim import DdimSchedule
from ...methods.sampling.noise import GaussianNoise, GivenNoise, Noise
from ...methods.sampling.rows import expand_rows
from ...methods.sampling.schedule import Schedule
from ...models.protocols import DenoiserDescription
from .before_run import Known


def first_step(steps: int, strength: float) -> int:
    """Position in the timesteps at which a run of this strength begins.

    Raises:
        BadInput: strength is so small that no step is left.
    """
    count = int(steps * strength + 1e-9)
    if count == 0:
        raise BadInput(
            "strength",
            found=f"{strength:g} of {steps} steps, which is none",
            expected="at least one step",
            fix=f"use {1 / steps:.3g} or more",
        )
    return steps - count


def require_ddim(schedule: Schedule, **connected: object) -> None:
    """Raise BadInput unless the schedule's update is the one that constraints and edits are defined for."""
    if schedule.takes_constraint:
        return
    reasons = {
        "constraint": "Algorithm 1 is defined for the DDIM update",
        "attention": "attention controls count its steps",
        "tuning": "inversions are made for its steps",
    }
    for name, value in connected.items():
        if value is not None:
            raise BadInput(
                name,
                found=f"{'an' if name == 'attention' else 'a'} {name} with a schedule.solver",
                expected=f"schedule.ddim: {reasons[name]}",
                fix=f"use schedule.ddim, or remove the {name}",
            )


def require_inversion(
    denoiser: DenoiserDescription, schedule: Schedule, z_t: Tensor, first: int, **connected: object
) -> None:
    """Raise BadInput unless what comes from an inversion was made for this model, schedule and size."""
    keys = {port: getattr(value, "inversion_key", "") for port, value in connected.items()}
    made = {port: key for port, key in keys.items() if key}
    if not made:
        return
    port = next(iter(made))
    if first:
        raise BadInput(
            "strength",
            found=f"a part of the schedule with a {port} from an inversion",
            expected="1: the steps of an inversion are counted from its noisiest",
            fix="set strength to 1 and remove the latent",
        )
    if not isinstance(schedule, DdimSchedule):
        raise BadInput(
            "schedule",
            found=f"a schedule.solver with a {port} from an inversion",
            expected="the schedule.ddim that was inverted",
            fix="use schedule.ddim with eta 0",
        )
    if schedule.eta:
        raise BadInput(
            "schedule",
            found=f"eta {schedule.eta:g} with a {port} from an inversion",
            expected="eta 0, as it was inverted",
            fix="connect the schedule of the invert node",
        )
    wanted = trajectory_key(denoiser, schedule, z_t.shape)
    for port, found in made.items():
        if found != wanted:
            raise BadInput(
                port,
                found="one from an inversion with another model, schedule or picture size",
                expected=f"one of the {denoiser.label}, {len(schedule)} steps, {z_t.shape[3]}×{z_t.shape[2]} cells",
                fix="connect the same denoiser and schedule to the invert node and here",
            )
    for port, value in connected.items():
        start = getattr(value, "start", None)
        if port != "noise" and isinstance(start, Tensor) and not same_values(start.float(), z_t.float()):
            raise other_start(port)


def other_start(port: str) -> BadInput:
    """The error for noise that does not start where the inversion behind a port ended."""
    return BadInput(
        "noise",
        found=f"a start that the inversion behind {port} did not end at",
        expected="the noise of that inversion: edits begin where it ended",
        fix="connect noise.from_trajectory, with the trajectory that was tuned",
    )


def require_shapes(denoiser: DenoiserDescription, conditioning: Conditioning | None, z_t: Tensor) -> None:
    """Raise BadInput unless latents have the channels and sides that the UNet takes, and the extra channels' grid."""
    if z_t.ndim != 4 or z_t.shape[1] != denoiser.latent_channels:
        raise BadInput(
            "noise",
            found=f"noise of shape {list(z_t.shape)}",
            expected=f"[b, {denoiser.latent_channels}, lh, lw], as the {denoiser.label} denoises",
            fix="make the noise from a latent of the same model",
        )
    multiple = denoiser.multiple
    if z_t.shape[2] % multiple or z_t.shape[3] % multiple:
        raise BadInput(
            "noise",
            found=f"latents of {z_t.shape[3]}×{z_t.shape[2]}",
            expected=f"sides that are multiples of {multiple} for the {denoiser.label}",
            fix=f"put image.fit with multiple={multiple} before",
        )
    extra = conditioning.extra if isinstance(conditioning, Conditioning) else None
    if extra is not None and extra.shape[2:] != z_t.shape[2:]:
        raise BadInput(
            "conditioning",
            found=f"extra channels of {list(extra.shape)}",
            expected=f"the noise's own grid, {list(z_t.shape)}",
            fix="make both from one picture size",
        )


def require_start(strength: float, latent: bool) -> None:
    """Raise BadInput where a part of the schedule is to run with no latent to begin from."""
    if strength < 1 and not latent:
        raise BadInput(
            "strength",
            found=f"{strength:g} with no latent connected",
            expected="a latent to start from",
            fix="connect the output of latent.encode to latent, or set strength to 1",
        )


def _tensors(conditioning: object) -> tuple[Tensor | None, ...]:
    if not isinstance(conditioning, Conditioning):
        return ()
    return conditioning.cond, conditioning.uncond, conditioning.extra


def require_rows(start: Tensor, known: Known) -> None:
    """Raise BadInput unless what is known of the run's parts divides its rows."""
    conditioning, constraint, latent = (known.get(name) for name in ("conditioning", "constraint", "latent"))
    for value in _tensors(conditioning):
        if value is not None:
            expand_rows(value, start, "conditioning")
    if latent is not None:
        if latent.shape[1:] != start.shape[1:]:
            raise BadInput(
                "latent",
                found=f"a latent of shape {list(latent.shape)}",
                expected=f"the noise's own shape, {list(start.shape)}",
                fix="make the noise from this latent",
            )
        expand_rows(latent, start, "latent")
    if isinstance(constraint, Constraint):
        constraint.begin(start)


def require_noise(noise: Noise, steps: int, posterior: bool) -> None:
    """Raise BadInput where a file of noise lacks what a run of so many steps will ask for."""
    if isinstance(noise, GivenNoise):
        for which, tensor in enumerate((noise.start, noise.steps, noise.posterior)):
            if tensor is None and (which < 2 or posterior):
                raise noise.lacks(which)
        assert noise.steps is not None
        if len(noise.steps) < steps:
            raise noise.ends()


def require_beginning(noise: Noise, **connected: object) -> None:
    """Raise BadInput where fresh noise begins an edit, which begins where its inversion ended."""
    for port, value in connected.items():
        if isinstance(noise, GaussianNoise) and isinstance(getattr(value, "start", None), Tensor):
            raise other_start(port)


def require_control(
    denoiser: DenoiserDescription, attention: AttentionControl | None, steps: int, start: Tensor
) -> None:
    """Raise BadInput where an attention control asks for steps or embeddings that the run does not have."""
    if attention is None:
        return
    for name, conditioning in attention.conditionings.items():
        if conditioning.cond.shape[-1] != denoiser.cross_attention_dim:
            raise BadInput(
                "attention",
                found=f"a {name} of width {conditioning.cond.shape[-1]} from the {conditioning.name}",
                expected=f"{denoiser.cross_attention_dim}, which the {denoiser.label} expects",
                fix=f"connect a conditioning of this model to {name} of the attention control",
            )
        expand_rows(conditioning.cond, start, "attention")
    attention.require_steps(steps)

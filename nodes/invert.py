"""Inversions: back from a picture to noise, and embeddings that lead forward to it again."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, NamedTuple

from pydantic import Field

from ..graph_runtime import Context, code_digest, node
from ..graph_runtime.core.light.later import Tensor, nn, torch
from ..graph_runtime.core.out_of_memory import retried
from ..graph_runtime.core.tensor_store import Unfinished, content_key, stored
from ..graph_runtime.core.values import plain, plain_mode, to_host
from ..methods.baret.target_text import target_text_recipe
from ..methods.conditioning import Conditioning
from ..methods.inversion.ddim import Trajectory, invert_ddim, trajectory_key
from ..methods.inversion.tuning import Tuned, TunedStep, TuningRecipe, tune
from ..methods.null_text import null_text_recipe
from ..methods.sampling.ddim import DdimSchedule
from ..methods.sampling.rows import expand_rows
from ..methods.sampling.schedule import Schedule
from ..methods.sampling.unet import UNetModel, as_model, not_finite
from ..models.protocols import DenoiserDescription
from .checks.before_run import Facts, Known, Params, described, shaped
from .checks.denoiser import require_pair
from .checks.inversion import require_deterministic, require_own_trajectory, require_plain
from .checks.sampling import require_shapes
from .evaluation import evaluation_of
from .ports import ConditioningPort, Denoiser, Latent, SchedulePort, Text, TrajectoryPort, TunedPort

if TYPE_CHECKING:
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

Scale = Annotated[float, Field(ge=0, le=100)]
Rate = Annotated[float, Field(gt=0, le=10)]
Count = Annotated[int, Field(ge=0, le=10_000)]
Loss = Annotated[float, Field(ge=0)]
FAR = 0.05  # share of the latent's variance by which a reconstruction may miss it without a warning


class Inverted(NamedTuple):
    """The way from the picture to noise."""

    trajectory: TrajectoryPort


class Tunings(NamedTuple):
    """Embeddings that lead back to the picture, the latent they lead to, and a report."""

    tuning: TunedPort
    latent: Latent
    report: Text


def _check(known: Known, params: Params) -> Facts:
    denoiser, conditioning, schedule = (known.get(name) for name in ("denoiser", "conditioning", "schedule"))
    if schedule is not None:
        require_deterministic(schedule)
    if described(denoiser):
        if conditioning is not None:
            require_pair(denoiser, conditioning.summary)
            require_plain(conditioning.summary)
        if schedule is not None and isinstance(conditioning, Conditioning):
            return _known_inversion(denoiser, conditioning, schedule, known, params)
    return {}


def _known_inversion(
    denoiser: DenoiserDescription,
    conditioning: Conditioning,
    schedule: DdimSchedule,
    known: Known,
    params: Params,
) -> Facts:
    """What comes out, where shapes are known: values are not."""
    z, trajectory, steps = known.get("latent"), known.get("trajectory"), len(schedule)
    if z is not None:
        require_shapes(denoiser, None, z)
        expand_rows(conditioning.cond, z, "conditioning")
        return {
            "trajectory": Trajectory(
                shaped(steps + 1, *z.shape), schedule.timesteps, trajectory_key(denoiser, schedule, z.shape)
            )
        }
    if not isinstance(trajectory, Trajectory):
        return {}
    key = require_own_trajectory(trajectory, denoiser, schedule)
    start = trajectory.start
    embeddings = expand_rows(conditioning.cond, start, "conditioning")
    tuned = Tuned(
        shaped(steps, *embeddings.shape),
        "uncond",
        shaped(steps + 1, *start.shape),
        timesteps=schedule.timesteps,
        inversion_key=key,
        guidance_scale=params["guidance_scale"],
    )
    return {"tuning": tuned, "latent": shaped(*start.shape)}


def _check_target(known: Known, params: Params) -> Facts:
    found = _check(known, params)
    return found if "tuning" not in found else {**found, "tuning": replace(found["tuning"], half="cond")}


@node("invert.ddim", version=1, check=_check)
def ddim(
    denoiser: Denoiser, conditioning: ConditioningPort, schedule: SchedulePort, latent: Latent, ctx: Context
) -> Inverted:
    """Run deterministic DDIM backwards, from a picture's latent to the noise it would come from.

    Guidance 1, with the conditional embedding; one model evaluation a step (Song et al. 2021; BARET, 2023, step 1).

    Args:
        denoiser: the UNet.
        conditioning: the text to invert with; for BARET the target text.
        schedule: schedule.ddim with eta 0.
        latent: the picture's, from latent.encode.

    Raises:
        BadInput: eta is not 0, a solver or time travel is used, or the inputs do not fit together.
    """
    schedule = require_deterministic(schedule)
    require_pair(denoiser, conditioning.summary)
    require_plain(conditioning.summary)
    z = plain(latent)
    require_shapes(denoiser, None, z)

    def make() -> tuple[Tensor, ...]:
        with plain_mode(), ctx.lease(denoiser) as unet:
            state, cond = _placed(unet, z, conditioning.cond)
            model = as_model(unet, denoiser, evaluation_of(ctx, unet, denoiser, steps_alike=False))
            done = [latent for (latent,) in begun.steps(state.device)]
            _tell_of(done, schedule, ctx)
            latents = invert_ddim(
                model,
                schedule,
                state,
                cond,
                lambda step, total: ctx.progress(step, total),
                done=done,
                keep=begun.add,
            )
            _require_finite(model, latents)
        return (to_host(latents),)

    key = content_key("invert.ddim", _code(denoiser, schedule), denoiser.fingerprint, schedule, z, conditioning.cond)
    begun = Unfinished(ctx, key, "invert.ddim", width=1)
    (latents,) = stored(ctx, key, "invert.ddim", make)
    begun.finished()
    return Inverted(
        Trajectory(
            latents,
            schedule.timesteps,
            trajectory_key(denoiser, schedule, z.shape),
            content_key(conditioning.cond).hex(),
        )
    )


@node("invert.target_text", version=1, check=_check_target)
def target_text(
    denoiser: Denoiser,
    conditioning: ConditioningPort,
    schedule: SchedulePort,
    trajectory: TrajectoryPort,
    ctx: Context,
    guidance_scale: Scale = 7.5,
    iterations: Count = 5,
    learning_rate: Rate = 1e-3,
    stop_start: Loss = 1e-5,
    stop_step: Loss = 2e-5,
    carry: bool = True,
) -> Tunings:
    """Tune the target text's embedding at every step until guidance retraces the trajectory (BARET, TTIS).

    The unconditional prediction is made once a step; gradients reach the embedding alone.

    Args:
        denoiser: the UNet that the trajectory was made with.
        conditioning: the target text.
        schedule: the trajectory's.
        trajectory: from invert.ddim with the same conditioning.
        guidance_scale: guidance scale of the inversion and of the edit that follows.
        iterations: largest number of gradient steps at each step; 0 leaves the embedding as it is, which is plain DDIM.
        learning_rate: learning rate of Adam, which starts anew at each step.
        stop_start: loss below which the first step is good enough.
        stop_step: how much that grows with each step.
        carry: begin each step with the embedding that the one before ended with.

    Raises:
        BadInput: the trajectory belongs to another model, schedule or size; the loss diverges (the step is named).
    """
    recipe = target_text_recipe(guidance_scale, iterations, learning_rate, stop_start, stop_step, carry)
    return _tune(denoiser, conditioning, schedule, trajectory, ctx, recipe)


@node("invert.null_text", version=1, check=_check)
def null_text(
    denoiser: Denoiser,
    conditioning: ConditioningPort,
    schedule: SchedulePort,
    trajectory: TrajectoryPort,
    ctx: Context,
    guidance_scale: Scale = 7.5,
    iterations: Count = 10,
    learning_rate: Rate = 1e-2,
    stop_start: Loss = 1e-5,
    stop_step: Loss = 2e-5,
    carry: bool = True,
) -> Tunings:
    """Tune the empty prompt at every step until guidance retraces the trajectory (Mokady et al. 2023, a baseline).

    The rate falls as published, by a hundredth of itself each step.

    Args:
        denoiser: the UNet that the trajectory was made with.
        conditioning: the source text, and the empty one to begin from.
        schedule: the trajectory's.
        trajectory: from invert.ddim with the same conditioning.
        guidance_scale: guidance scale of the inversion and of the edit that follows.
        iterations: largest number of gradient steps at each step; 0 leaves the embedding as it is.
        learning_rate: learning rate of Adam at the first step; Adam starts anew at each step.
        stop_start: loss below which the first step is good enough.
        stop_step: how much that grows with each step.
        carry: begin each step with the embedding that the one before ended with.

    Raises:
        BadInput: the trajectory belongs to another model, schedule or size; the loss diverges (the step is named).
    """
    recipe = null_text_recipe(guidance_scale, iterations, learning_rate, stop_start, stop_step, carry)
    return _tune(denoiser, conditioning, schedule, trajectory, ctx, recipe)


def _tune(
    denoiser: DenoiserDescription,
    conditioning: Conditioning,
    schedule: Schedule,
    trajectory: Trajectory,
    ctx: Context,
    recipe: TuningRecipe,
) -> Tunings:
    schedule = require_deterministic(schedule)
    require_pair(denoiser, conditioning.summary)
    require_plain(conditioning.summary)
    key, text_hash = require_own_trajectory(trajectory, denoiser, schedule), content_key(conditioning.cond).hex()
    if trajectory.text_hash not in ("", text_hash):
        ctx.warn(
            "the trajectory was inverted with another text than the one that is connected here: connect one "
            "condition.text to both"
        )

    def make() -> tuple[Tensor, ...]:
        with plain_mode(), ctx.lease(denoiser) as unet:
            state, cond = _placed(unet, trajectory.latents, conditioning.cond, trajectory.start)
            _, uncond = _placed(unet, trajectory.start, conditioning.uncond)
            model = as_model(unet, denoiser, evaluation_of(ctx, unet, denoiser, why_plain="the tuning of embeddings"))
            done = _tuned_before(begun, model, state.device)
            _tell_of(done, schedule, ctx)

            def keep(step: TunedStep) -> None:
                done.append(step)  # also for a second try, where memory does not suffice
                begun.add(
                    step.embeddings,
                    step.latent,
                    torch.tensor(step.loss, dtype=torch.float64),
                    torch.tensor([step.updates, model.peak]),
                )

            made = _retry_with_checkpointing(
                ctx,
                unet,
                lambda: tune(
                    model,
                    schedule,
                    state,
                    cond,
                    uncond,
                    recipe,
                    lambda step, total, loss, used: ctx.progress(step, total, note=f"loss {loss:.2e}, {used} updates"),
                    done=list(done),
                    keep=keep,
                ),
            )
            _require_finite(model, made.achieved)
        return (
            to_host(made.embeddings),
            to_host(made.achieved),
            torch.tensor(made.losses, dtype=torch.float64),
            torch.tensor(made.updates),
        )

    steps = range(len(schedule))
    rates = [(recipe.rate(step), recipe.stop(step)) for step in steps]
    content = content_key(
        "tuning",
        _code(denoiser, schedule),
        denoiser.fingerprint,
        schedule,
        trajectory.latents,
        conditioning.cond,
        conditioning.uncond,
        recipe.half,
        recipe.guidance_scale,
        recipe.iterations,
        recipe.carry,
        rates,
    )
    begun = Unfinished(ctx, content, "inversion", width=4)
    embeddings, achieved, losses, updates = stored(ctx, content, "inversion", make)
    begun.finished()
    found, wanted = achieved[-1], trajectory.latents[0]
    missed = float((found - wanted).square().mean() / wanted.var().clamp(min=1e-12))
    if missed > FAR:
        ctx.warn(
            f"the reconstruction misses the picture's latent by {missed:.0%} of its variance: edits will differ "
            "from it; try more iterations, another learning_rate, or a lower guidance_scale"
        )
    tuned = Tuned(
        embeddings,
        recipe.half,
        achieved,
        tuple(losses.tolist()),
        tuple(updates.tolist()),
        schedule.timesteps,
        key,
        text_hash,
        recipe.guidance_scale,
    )
    return Tunings(tuned, found, _report(tuned, missed))


def _tuned_before(begun: Unfinished, model: UNetModel, device: torch.device) -> list[TunedStep]:
    """The steps that earlier starts have tuned; the model scales gradients as it did after the last of them."""
    done = []
    for embeddings, latent, loss, counts in begun.steps(device):
        updates, model.peak = counts.tolist()
        done.append(TunedStep(embeddings, latent, float(loss), updates))
    return done


def _tell_of(done: Sequence[object], schedule: Schedule, ctx: Context) -> None:
    if done:
        ctx.progress(len(done), len(schedule), note="kept from an earlier start")


def _code(denoiser: object, schedule: object) -> str:
    """Of the code that makes an inversion, that loads the model, and that steps: stored results depend on all three."""
    return code_digest(_tune, type(denoiser), type(schedule))


def _retry_with_checkpointing(ctx: Context, unet: "UNet2DConditionModel", work: Callable[[], Tuned]) -> Tuned:
    """Run `work`; where memory does not suffice, make room and run it again with gradient checkpointing."""
    if not getattr(unet, "_supports_gradient_checkpointing", False):
        return work()

    def make_room() -> bool:
        ctx.models.evict_idle("an inversion ran out of memory")
        ctx.warn("memory is short: activations are computed twice instead of kept, which takes about a third longer")
        unet.enable_gradient_checkpointing()
        return True

    try:
        return retried(work, make_room)
    finally:
        unet.disable_gradient_checkpointing()


def _report(tuned: Tuned, missed: float) -> str:
    rows = "\n".join(
        f"| {step + 1} | {t} | {loss:.3e} | {used} |"
        for step, (t, loss, used) in enumerate(zip(tuned.timesteps, tuned.losses, tuned.updates, strict=True))
    )
    return (
        f"{sum(tuned.updates)} updates; the reconstruction misses the latent by {missed:.2%} of its variance\n\n"
        f"| step | timestep | loss | updates |\n|---|---|---|---|\n{rows}\n"
    )


def _placed(unet: nn.Module, z: Tensor, embeddings: Tensor, like: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Latents and embeddings on the UNet's device, in float32, or float64 as the UNet: half would lose updates."""
    parameter = next(unet.parameters())
    precision = torch.float64 if parameter.dtype == torch.float64 else torch.float32
    state = z.to(parameter.device, precision)
    return state, expand_rows(embeddings, state if like is None else like.to(state), "conditioning")


def _require_finite(model: object, latents: Tensor) -> None:
    if not torch.isfinite(latents).all():
        raise not_finite(model)

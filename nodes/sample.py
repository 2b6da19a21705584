"""Sampling: one denoising loop for every method."""

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Annotated, NamedTuple, cast

from pydantic import Field

from ..graph_runtime import Context, node
from ..graph_runtime.core.light.later import Tensor, nn, torch
from ..graph_runtime.core.tensor_store import content_key
from ..graph_runtime.core.values import plain, plain_mode, to_host
from ..methods.attention.control import AttentionControl
from ..methods.attention.gather import require_known_blocks
from ..methods.attention.single_token import collapsed
from ..methods.conditioning import Conditioning
from ..methods.latents import Pictures
from ..methods.sampling.constraints import Constraint, PictureSpace, RunFacts
from ..methods.sampling.guidance import Guidance, Tuning
from ..methods.sampling.loop import run_denoising
from ..methods.sampling.noise import GivenNoise
from ..methods.sampling.rows import expand_rows
from ..methods.sampling.schedule import Schedule
from ..methods.sampling.unet import as_model
from ..models.lora.component import layer_sizes
from ..models.protocols import VaeDescription
from .checks.before_run import Facts, Known, Params, described, shaped
from .checks.denoiser import require_pair
from .checks.sampling import (
    first_step,
    require_beginning,
    require_control,
    require_ddim,
    require_inversion,
    require_noise,
    require_rows,
    require_shapes,
    require_start,
)
from .evaluation import evaluation_of
from .ports import Attention, ConditioningPort, ConstraintPort, Denoiser, Latent, NoisePort, SchedulePort, TuningPort
from .sample_previews import previews_for

SELF_ATTENTION = re.compile(r"(?<!\.attn2)\.to_q$")  # by the name of its layer, as self_attentions counts modules


class Denoised(NamedTuple):
    """The clean latent."""

    latent: Latent


def _check_denoise(known: Known, params: Params) -> Facts:
    """Inputs that do not fit together, as far as configurations show it, before anything runs."""
    denoiser, conditioning, schedule, noise = (
        known.get(name) for name in ("denoiser", "conditioning", "schedule", "noise")
    )
    require_start(
        params["strength"], known.get("latent", ...) is not None
    )  # absent: connected, and nothing is known of it
    if schedule is not None:
        first = first_step(len(schedule), params["strength"])
        require_ddim(schedule, **{name: known.get(name, ...) for name in ("constraint", "attention", "tuning")})
    if not described(denoiser):
        return {}
    if conditioning is not None or "conditioning" in known:
        require_pair(denoiser, None if conditioning is None else conditioning.summary)
    attention, tuning = known.get("attention"), known.get("tuning")
    if known.get("attention", ...) is not None:
        require_known_blocks(denoiser)
        if attention is not None and hasattr(attention, "require_layers"):
            attention.require_layers(sum(bool(SELF_ATTENTION.search(name)) for name in layer_sizes(denoiser.base())))
    if noise is None:
        return {}
    start = shaped(*noise.shape)
    require_shapes(denoiser, conditioning, start)
    if schedule is not None:
        posterior = isinstance(conditioning, Conditioning) and conditioning.drew_posterior
        if isinstance(noise, GivenNoise):
            require_noise(noise, len(schedule.begin().denoising_steps(first)), posterior)
        require_inversion(denoiser, schedule, start, first, noise=noise, tuning=tuning, attention=attention)
        require_control(denoiser, attention, len(schedule) - first, start)
    require_beginning(noise, tuning=tuning, attention=attention)
    require_rows(start, known)
    return {"latent": start}


@node("sample.denoise", version=1, check=_check_denoise)
def denoise(
    denoiser: Denoiser,
    schedule: SchedulePort,
    noise: NoisePort,
    ctx: Context,
    conditioning: ConditioningPort | None = None,
    constraint: ConstraintPort | None = None,
    attention: Attention | None = None,
    tuning: TuningPort | None = None,
    latent: Latent | None = None,
    guidance_scale: Annotated[float, Field(ge=0, le=100)] = 7.5,
    strength: Annotated[float, Field(gt=0, le=1)] = 1.0,
) -> Denoised:
    """Turn noise into a clean latent, step by step.

    With a null-space constraint this is zero-shot inpainting (Kakinuma et al. 2024, algorithm 1). One model evaluation
    a step where both halves of the conditioning agree or the scale is 1; else both halves in one call.

    Args:
        denoiser: the UNet.
        schedule: timesteps and update rule.
        noise: z_T and the noise of every step.
        conditioning: embeddings for the UNet; leave it out for unconditional models.
        constraint: what is known about the result.
        attention: an attention control, installed for the length of the run.
        tuning: per-step embeddings that an inversion made.
        latent: a picture's latent to start from (SDEdit), with strength below 1.
        guidance_scale: how strongly the prompt is followed; 1 switches guidance off.
        strength: how much of the schedule is run from the latent; 1 starts from pure noise.

    Raises:
        BadInput: the inputs do not fit together, or the model gives NaN.
    """
    require_pair(denoiser, None if conditioning is None else conditioning.summary)
    require_ddim(schedule, constraint=constraint, attention=attention, tuning=tuning)
    if attention is not None:
        require_known_blocks(denoiser)
    stream = noise.stream()
    z_t = stream.start()
    require_shapes(denoiser, conditioning, z_t)
    if conditioning is not None and conditioning.drew_posterior:
        stream.posterior()
    require_start(strength, latent is not None)
    first = first_step(len(schedule), strength)
    require_inversion(denoiser, schedule, z_t, first, noise=noise, tuning=tuning, attention=attention)
    require_control(denoiser, attention, len(schedule) - first, z_t)
    require_rows(z_t, {"conditioning": conditioning, "constraint": constraint, "latent": latent})
    _warn_of_contradictions(ctx, conditioning, guidance_scale, tuning, attention)
    if latent is not None and strength == 1:
        ctx.warn("strength is 1: the run starts from pure noise and the connected latent has no effect")
    previews = previews_for(ctx, denoiser)
    with plain_mode(), ctx.lease(denoiser) as unet:
        start, guidance = _prepare(unet, z_t, conditioning, guidance_scale, tuning)
        if latent is None or first == 0:
            z = schedule.started(start)
        else:
            z = schedule.renoised(expand_rows(plain(latent), start, "latent"), start, first)
        control = (attention or AttentionControl()).begin()

        def told(step: int, total: int, clean: Tensor) -> None:
            ctx.progress(step, total, None if previews is None else previews.of(clean))

        evaluate = evaluation_of(ctx, unet, denoiser, why_plain="an attention control" if attention else "")
        with (
            collapsed(unet) if one_token(guidance) and evaluate is None else nullcontext(),
            control.installed(unet),
            _begun(ctx, constraint, start, schedule, first) as imposed,
        ):
            clean = run_denoising(
                as_model(unet, denoiser, evaluate),
                schedule,
                z,
                stream,
                guidance,
                start=first,
                constraint=imposed,
                attention=control,
                progress=told,
            )
        return Denoised(to_host(clean))


@contextmanager
def _begun(
    ctx: Context, constraint: Constraint | None, start: Tensor, schedule: Schedule, first: int
) -> Iterator[Constraint | None]:
    """The constraint for this run; the VAEs that it asks for are leased for the length of the block."""
    if constraint is None:
        yield None
        return
    steps = sum(not step.up for step in schedule.begin().denoising_steps(first))
    with ExitStack() as stack:
        pictures: dict[str, PictureSpace] = {}
        for vae in cast(tuple[VaeDescription, ...], constraint.models):
            module = stack.enter_context(ctx.lease(vae))
            pictures[vae.fingerprint] = Pictures(
                module, vae.factor, vae.scaling_factor, vae.shift_factor, ctx.check_cancelled
            )
        yield constraint.begin(start).within(RunFacts(steps, pictures))


def _prepare(
    unet: nn.Module, z_t: Tensor, conditioning: Conditioning | None, scale: float, tuning: Tuning | None
) -> tuple[Tensor, Guidance]:
    """z_T and the guidance on the UNet's device; the state is float32, or float64 where the UNet is."""
    parameter = next(unet.parameters())
    start = z_t.to(parameter.device, torch.float64 if parameter.dtype == torch.float64 else torch.float32)
    if conditioning is None:
        return start, Guidance(tuning=tuning)

    def embeddings(value: Tensor) -> Tensor:
        return expand_rows(value, start, "conditioning").to(parameter.dtype)

    if tuning is not None and hasattr(tuning, "to"):
        tuning = tuning.to(parameter.device, parameter.dtype)
    extra = None if conditioning.extra is None else expand_rows(conditioning.extra, start, "conditioning")
    return start, Guidance(
        embeddings(conditioning.cond), embeddings(conditioning.uncond), scale, conditioning.differs, extra, tuning
    )


def _warn_of_contradictions(
    ctx: Context,
    conditioning: Conditioning | None,
    scale: float,
    tuning: Tuning | None,
    attention: AttentionControl | None,
) -> None:
    """Warn of inputs that contradict each other: the edit would not be the one that was asked for."""
    expects = None if attention is None else attention.expects
    text_hash = "" if conditioning is None else content_key(conditioning.cond).hex()
    if expects is not None and text_hash and expects.text_hash not in ("", text_hash):
        ctx.warn(
            "the attention control was made for another text than the one at conditioning: connect one "
            "condition.text to both"
        )
    if expects is not None and expects.paired and (expects.tuning is None) != (tuning is None):
        ctx.warn(
            "a tuning of the empty text is connected to only one of this node and attention.prompt_to_prompt: the "
            "picture is kept only where both have it"
        )
    made_for = getattr(tuning, "guidance_scale", 0.0) or (0.0 if expects is None else expects.guidance_scale)
    if made_for and made_for != scale:
        ctx.warn(f"guidance_scale is {scale:g}, but the inversion was tuned for {made_for:g}: set both to one value")


def one_token(guidance: Guidance) -> bool:
    """True where the UNet is given a single token, as Paint by Example is."""
    return guidance.cond is not None and guidance.cond.shape[1] == 1

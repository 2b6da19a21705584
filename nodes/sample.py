"""Sampling: one denoising loop for every method."""

from collections.abc import Mapping
from contextlib import nullcontext
from typing import Annotated, Any, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from ..graph_runtime import BadInput, Context, node
from ._attention import require_known_blocks
from ._collapse import collapsed
from ._condition import Conditioning as Told
from ._condition import to_host
from ._constraints import spread
from ._inversion import trajectory_key
from ._kept import content_key
from ._pairing import require_pair
from ._ports import (
    Attention,
    Conditioning,
    Constraint,
    Denoiser,
    Latent,
    Noise,
    Schedule,
    Tuning,
)
from ._sampling import AttentionControl, Guidance
from ._sampling import denoise as run_loop
from ._tensors import plain_mode, require_denoiser, require_latent
from ._unet import as_model


class Denoised(NamedTuple):
    """The clean latent."""

    latent: Latent


def _check_denoise(known: Mapping[str, Any], params: Mapping[str, Any]) -> None:
    """Wrong pairings that configurations alone give away, before anything runs."""
    denoiser, conditioning, schedule = (known.get(name) for name in ("denoiser", "conditioning", "schedule"))
    if schedule is not None:
        first_step(len(schedule), params["strength"])
        require_ddim(schedule, **{name: known.get(name) for name in ("constraint", "attention", "tuning")})
    if denoiser is None or not getattr(denoiser, "known", False):
        return
    require_denoiser(denoiser)
    if conditioning is not None:
        require_pair(denoiser, conditioning.facts)
    elif "conditioning" in known:  # nothing is wired to it; where the key is absent, nothing is known of what is
        require_pair(denoiser, None)


@node("sample.denoise", version=1, persist=True, check=_check_denoise)
def denoise(denoiser: Denoiser, schedule: Schedule, noise: Noise, ctx: Context,
            conditioning: Conditioning | None = None, constraint: Constraint | None = None,
            attention: Attention | None = None, tuning: Tuning | None = None, latent: Latent | None = None,
            guidance_scale: Annotated[float, Field(ge=0, le=100)] = 7.5,
            strength: Annotated[float, Field(gt=0, le=1)] = 1.0) -> Denoised:
    """Turn noise into a clean latent, step by step.

    With a null-space constraint this is zero-shot inpainting (Kakinuma et al. 2024, algorithm 1). One model evaluation
    a step where both halves of the conditioning agree or the scale is 1; else both halves in one call.

    Args:
        denoiser: the UNet.
        schedule: timesteps and update rule.
        noise: z_T and the noise of every step.
        conditioning: what the UNet is told; leave it out for unconditional models.
        constraint: what is known about the answer.
        attention: an attention control, installed for the length of the run and then taken off.
        tuning: per-step embeddings that an inversion made.
        latent: a picture's latent to start from (SDEdit), with strength below 1.
        guidance_scale: how strongly the prompt is followed; 1 switches guidance off.
        strength: how much of the schedule is run from the latent; 1 starts from pure noise.

    Raises:
        BadInput: the parts do not fit together, or the model gives NaN.
    """
    require_denoiser(denoiser)
    require_pair(denoiser, None if conditioning is None else conditioning.facts)
    require_ddim(schedule, constraint=constraint, attention=attention, tuning=tuning)
    if attention is not None:
        require_known_blocks(denoiser)
    stream = noise.stream()
    z_t = stream.start()
    _require_shapes(denoiser, conditioning, z_t)
    if conditioning is not None and conditioning.drew_posterior:
        stream.posterior()
    if strength < 1 and latent is None:
        raise BadInput("strength", found=f"{strength:g} with no latent wired", expected="a latent to start from",
                       fix="wire the output of latent.encode to latent, or set strength to 1")
    first = first_step(len(schedule), strength)
    _require_inversion(denoiser, schedule, z_t, first, noise=noise, tuning=tuning, attention=attention)
    _doubt(ctx, conditioning, guidance_scale, tuning, attention)
    if latent is not None and strength == 1:
        ctx.warn("strength is 1: the run starts from pure noise and the latent that is wired has no effect")
    with plain_mode(), ctx.lease(denoiser) as unet:
        start, guidance = _prepare(unet, z_t, conditioning, guidance_scale, tuning)
        z = schedule.started(start) if first == 0 else schedule.renoised(
            spread(require_latent(latent), start, "latent"), start, first)
        control = (attention or AttentionControl()).begin()
        with collapsed(unet) if one_token(guidance) else nullcontext(), control.installed(unet):
            clean = run_loop(
                as_model(unet, denoiser), schedule, z, stream, guidance, start=first,
                constraint=None if constraint is None else constraint.begin(start), attention=control,
                progress=lambda step, total, x0: ctx.progress(step, total))
        return Denoised(to_host(clean))


def first_step(steps: int, strength: float) -> int:
    """Position in the timesteps at which a run of this strength begins.

    Raises:
        BadInput: strength is so small that no step is left.
    """
    count = int(steps * strength + 1e-9)
    if count == 0:
        raise BadInput("strength", found=f"{strength:g} of {steps} steps, which is none", expected="at least one step",
                       fix=f"use {1 / steps:.3g} or more")
    return steps - count


def _prepare(unet: Any, z_t: Tensor, conditioning: Told | None, scale: float, tuning: Any) -> tuple[Tensor, Guidance]:
    """z_T and the guidance on the UNet's device; the state is float32, or float64 where the UNet is."""
    parameter = next(unet.parameters())
    start = z_t.to(parameter.device, torch.float64 if parameter.dtype == torch.float64 else torch.float32)
    if conditioning is None:
        return start, Guidance(tuning=tuning)

    def embeddings(value: Tensor) -> Tensor:
        return spread(value, start, "conditioning").to(parameter.dtype)

    if tuning is not None and hasattr(tuning, "on"):
        tuning = tuning.on(parameter.device, parameter.dtype)
    extra = None if conditioning.extra is None else spread(conditioning.extra, start, "conditioning")
    return start, Guidance(embeddings(conditioning.cond), embeddings(conditioning.uncond), scale, conditioning.differs,
                           extra, tuning)


def require_ddim(schedule: Any, **wired: Any) -> None:
    """Raise BadInput unless the schedule's update is the one that constraints and edits are defined for."""
    if schedule.takes_constraint:
        return
    reasons = {"constraint": "Algorithm 1 is defined for the DDIM update",
               "attention": "attention controls count its steps", "tuning": "inversions are made for its steps"}
    for name, value in wired.items():
        if value is not None:
            raise BadInput(name, found=f"{'an' if name == 'attention' else 'a'} {name} with a schedule.solver",
                           expected=f"schedule.ddim: {reasons[name]}",
                           fix=f"use schedule.ddim, or take the {name} away")


def _require_inversion(denoiser: Any, schedule: Any, z_t: Tensor, first: int, **wired: Any) -> None:
    """Raise BadInput unless what comes from an inversion was made for this model, schedule and size."""
    made = {port: value.belongs for port, value in wired.items() if getattr(value, "belongs", "")}
    if not made:
        return
    port = next(iter(made))
    if first:
        raise BadInput("strength", found=f"a part of the schedule with a {port} from an inversion",
                       expected="1: the steps of an inversion are counted from its noisiest",
                       fix="set strength to 1 and take the latent away")
    if not schedule.takes_constraint:
        raise BadInput("schedule", found=f"a schedule.solver with a {port} from an inversion",
                       expected="the schedule.ddim that was inverted", fix="use schedule.ddim with eta 0")
    if schedule.eta:
        raise BadInput("schedule", found=f"eta {schedule.eta:g} with a {port} from an inversion",
                       expected="eta 0, as it was inverted", fix="wire the schedule of the invert node")
    wanted = trajectory_key(denoiser, schedule, z_t.shape)
    for port, found in made.items():
        if found != wanted:
            raise BadInput(port, found="one from an inversion with another model, schedule or picture size",
                           expected=f"one of the {denoiser.label}, {len(schedule)} steps, "
                           f"{z_t.shape[3]}×{z_t.shape[2]} cells",
                           fix="wire the same denoiser and schedule into the invert node and here")
    for port, value in wired.items():
        start = getattr(value, "start", None)
        if port != "noise" and isinstance(start, Tensor) and not torch.equal(start.float(), z_t.float()):
            raise BadInput("noise", found=f"a start that the inversion behind {port} did not end at",
                           expected="the noise of that inversion: edits begin where it ended",
                           fix="wire noise.from_trajectory, with the trajectory that was tuned")


def _doubt(ctx: Context, conditioning: Told | None, scale: float, tuning: Any, attention: Any) -> None:
    """Warn of wires that contradict each other: the edit would be another one than was asked for."""
    wanted = getattr(attention, "wanted", None)
    told = "" if conditioning is None else content_key(conditioning.cond).hex()
    if wanted is not None and told and wanted.told not in ("", told):
        ctx.warn("the attention control was made for another text than the one at conditioning: wire one "
                 "condition.text into both")
    if wanted is not None and wanted.paired and (wanted.tuning is None) != (tuning is None):
        ctx.warn("a tuning of the empty text is wired into only one of this node and attention.prompt_to_prompt: the "
                 "picture is kept only where both have it")
    made_for = getattr(tuning, "scale", 0.0) or (0.0 if wanted is None else wanted.scale)
    if made_for and made_for != scale:
        ctx.warn(f"guidance_scale is {scale:g}, but the inversion was tuned for {made_for:g}: set both to one value")


def one_token(guidance: Guidance) -> bool:
    """True where the UNet is told a single token, as Paint by Example is."""
    return guidance.cond is not None and guidance.cond.shape[1] == 1


def _require_shapes(denoiser: Any, conditioning: Told | None, z_t: Tensor) -> None:
    if z_t.ndim != 4 or z_t.shape[1] != denoiser.latent_channels:
        raise BadInput("noise", found=f"noise of shape {list(z_t.shape)}",
                       expected=f"[b, {denoiser.latent_channels}, lh, lw], as the {denoiser.label} denoises",
                       fix="make the noise from a latent of the same model")
    multiple = denoiser.multiple
    if z_t.shape[2] % multiple or z_t.shape[3] % multiple:
        raise BadInput("noise", found=f"latents of {z_t.shape[3]}×{z_t.shape[2]}",
                       expected=f"sides that are multiples of {multiple} for the {denoiser.label}",
                       fix=f"put image.fit with multiple={multiple} before")
    if conditioning is not None and conditioning.extra is not None and conditioning.extra.shape[2:] != z_t.shape[2:]:
        raise BadInput("conditioning", found=f"extra channels of {list(conditioning.extra.shape)}",
                       expected=f"the noise's own grid, {list(z_t.shape)}", fix="make both from one picture size")

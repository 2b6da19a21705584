"""Embeddings tuned step by step, so that guidance leads back along an inversion's trajectory.

Shared by null-text inversion (../null_text.py, unconditional half) and BARET (../baret/, conditional half).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from ...graph_runtime import BadInput
from ...graph_runtime.core.light.later import Tensor, torch
from ..sampling.ddim import DdimSchedule
from ..sampling.guidance import Half
from ..sampling.schedule import DenoisingStep
from ..sampling.unet import Model, not_finite

DIVERGED = 10.0  # relative to the latents' own mean square


class TunedStep(NamedTuple):
    """One step of a tuning.

    Attributes:
        embeddings: that were tuned `[b n d]`.
        latent: that they lead to `[b c lh lw]`.
        loss: the last one.
        updates: gradient steps taken.
    """

    embeddings: Tensor
    latent: Tensor
    loss: float
    updates: int


@dataclass(frozen=True, eq=False)
class Tuned:
    """Per-step embeddings that an inversion made, and the latents that they lead to.

    Attributes:
        embeddings: noisiest first `[T b n d]`.
        half: which half of guidance they replace.
        achieved: the latents of the reconstruction, z̄_T … z̄_0 `[T+1 b c lh lw]`; z̄_T alone if they are unknown.
        losses: last loss of each step.
        updates: gradient steps taken at each step.
        timesteps: of the schedule, noisiest first.
        inversion_key: identifies the inversion, see `trajectory_key`.
        text_hash: hash of the embeddings of the conditional text they were tuned under.
        guidance_scale: that they were tuned for.
    """

    embeddings: Tensor
    half: Half
    achieved: Tensor
    losses: tuple[float, ...] = ()
    updates: tuple[int, ...] = ()
    timesteps: tuple[int, ...] = ()
    inversion_key: str = ""
    text_hash: str = ""
    guidance_scale: float = 0.0

    @property
    def start(self) -> Tensor:
        """z*_T `[b c lh lw]`, the end of the inversion, from which edits begin."""
        return self.achieved[0]

    @property
    def blended(self) -> bool:
        """True if the embeddings were changed after tuning, so that the latents they lead to are unknown."""
        return len(self.achieved) != len(self.embeddings) + 1

    @property
    def nbytes(self) -> int:
        """Bytes of its tensors."""
        return self.embeddings.nbytes + self.achieved.nbytes

    def to(self, device: torch.device, dtype: torch.dtype) -> "Tuned":
        """A copy with its embeddings on a device, in a precision."""
        return replace(self, embeddings=self.embeddings.to(device, dtype))

    def with_embeddings(self, embeddings: Tensor) -> "Tuned":
        """A copy with other embeddings `[T b n d]` for the same steps; the latents they lead to are unknown."""
        return replace(self, embeddings=embeddings, achieved=self.achieved[:1], losses=(), updates=())

    def at(self, reverse_step: int) -> tuple[Tensor | None, Tensor | None]:
        """(conditional, unconditional) embeddings of a reverse step; None keeps the conditioning's own."""
        own = self.embeddings[reverse_step]
        return (own, None) if self.half == "cond" else (None, own)


@dataclass(frozen=True)
class TuningRecipe:
    """How embeddings are tuned.

    Attributes:
        guidance_scale: of the steps that follow the trajectory.
        iterations: gradient steps at most, at each step; 0 leaves plain guidance.
        rate: learning rate of Adam at step i, from 0.
        stop: loss below which step i ends.
        carry: start each step from the embeddings of the step before.
        half: which embedding is tuned.
    """

    guidance_scale: float
    iterations: int
    rate: Callable[[int], float]
    stop: Callable[[int], float]
    carry: bool = True
    half: Half = "cond"


def guided_step(
    schedule: DdimSchedule, step: DenoisingStep, z: Tensor, uncond: Tensor, cond: Tensor, scale: float
) -> Tensor:
    """One deterministic DDIM step with guidance of the two outputs, all `[b c lh lw]`."""
    x0, e = schedule.predict(uncond + scale * (cond - uncond), z, step.alpha_bar)
    return schedule.advance(step, x0, e, z)


def tune(
    model: Model,
    schedule: DdimSchedule,
    trajectory: Tensor,
    cond: Tensor,
    uncond: Tensor,
    recipe: TuningRecipe,
    on_step: Callable[[int, int, float, int], None] = lambda step, total, loss, updates: None,
    *,
    done: Sequence[TunedStep] = (),
    keep: Callable[[TunedStep], None] = lambda step: None,
) -> Tuned:
    """Embeddings with which guidance follows a trajectory back (BARET, TTIS; Mokady et al. 2023, algorithm 1).

    Args:
        model: frozen; gradients reach its embeddings, which are in the trajectory's precision.
        schedule: deterministic (eta 0).
        trajectory: z*_0 … z*_T `[T+1 b c lh lw]`.
        cond: the text's embeddings `[b n d]`.
        uncond: the empty text's `[b n d]`.
        recipe: what to tune, and for how long.
        on_step: called with (steps done, of how many, last loss, gradient steps taken).
        done: the first steps, if an earlier start has tuned them.
        keep: called with each step that is done.

    Raises:
        BadInput: the loss is not finite, or has diverged; step and cause are named.
    """
    steps = schedule.denoising_steps()
    total = len(steps)
    z, embeddings = trajectory[-1], {"cond": cond, "uncond": uncond}[recipe.half]
    untuned = embeddings
    kept, achieved = [one.embeddings for one in done], [z, *(one.latent for one in done)]
    losses, counts = [one.loss for one in done], [one.updates for one in done]
    if done:
        embeddings, z = kept[-1], achieved[-1]
    timesteps = torch.tensor([step.timestep for step in steps], device=z.device)
    for number, step in enumerate(steps[len(done) :], len(done)):
        t, target = timesteps[number], trajectory[total - 1 - number]
        with torch.no_grad():  # the half that is not tuned: once a step
            fixed = model(z, t, uncond if recipe.half == "cond" else cond)

        def after(
            value: Tensor, t: Tensor = t, z: Tensor = z, fixed: Tensor = fixed, step: DenoisingStep = step
        ) -> Tensor:
            output = model(z, t, value)
            halves = (fixed, output) if recipe.half == "cond" else (output, fixed)
            return guided_step(schedule, step, z, *halves, recipe.guidance_scale)

        embeddings, loss, updates = _tune_step(
            after, target, embeddings if recipe.carry else untuned, untuned, recipe, number, total, model
        )
        with torch.no_grad():
            z = after(embeddings)
        kept.append(embeddings)
        achieved.append(z)
        losses.append(loss)
        counts.append(updates)
        keep(TunedStep(embeddings, z, loss, updates))
        on_step(number + 1, total, loss, updates)
    return Tuned(
        torch.stack(kept),
        recipe.half,
        torch.stack(achieved),
        tuple(losses),
        tuple(counts),
        tuple(int(step.timestep) for step in steps),
    )


def _tune_step(
    after: Callable[[Tensor], Tensor],
    target: Tensor,
    embeddings: Tensor,
    untuned: Tensor,
    recipe: TuningRecipe,
    number: int,
    total: int,
    model: Model,
) -> tuple[Tensor, float, int]:
    """The tuned embeddings of one step, its last loss (mean over the rows), and the number of gradient steps.

    Rows are tuned independently: the losses are summed, and a row below the stop loss is no longer changed.
    """

    def losses(value: Tensor) -> Tensor:
        return (after(value) - target).square().flatten(1).mean(1)

    if recipe.iterations == 0:
        with torch.no_grad():
            return embeddings, float(losses(embeddings).mean()), 0
    value = embeddings.detach().clone().requires_grad_(True)
    adam = torch.optim.Adam([value], lr=recipe.rate(number))
    kept, last = value.detach().clone(), torch.full((len(target),), float("nan"), dtype=target.dtype)
    active = torch.ones(len(target), dtype=torch.bool, device=target.device)
    going = torch.ones(len(target), dtype=torch.bool)  # the same on the host
    size = target.square().mean()[None]
    updates = 0
    while updates < recipe.iterations and bool(going.any()):
        updates += 1
        with torch.enable_grad():
            each = losses(value)
            adam.zero_grad(set_to_none=True)
            each.sum().backward()
        assert value.grad is not None
        # one transfer for everything that the host needs of an iteration: it waits once
        numbers = torch.cat([each.detach(), size, value.grad.abs().amax()[None].to(size.dtype)]).cpu()
        found = numbers[:-2]
        # guidance alone may be far off, so the first loss has no limit
        bound = DIVERGED * (1 + float(numbers[-2])) if updates > 1 else float("inf")
        plausible = bool((torch.isfinite(found) & (found <= bound)).all())
        if plausible and not torch.isfinite(numbers[-1]):  # a gradient overflowed on its way through the model
            lower = getattr(model, "lower_peak", None)
            if lower is None or not lower():
                raise not_finite(model, f"in a gradient at step {number + 1} of {total}")
            updates -= 1
            continue
        if not plausible:
            with torch.no_grad():
                plain = losses(untuned)
            raise _diverged(model, found, plain, f"at step {number + 1} of {total}")
        adam.step()
        kept = torch.where(active[:, None, None], value.detach(), kept)
        last = torch.where(going, found, last)
        active = active & (each.detach() >= recipe.stop(number))
        going = going & (found >= recipe.stop(number))
    return kept, float(last.mean()), updates


def _diverged(model: Model, found: Tensor, untuned: Tensor, where: str) -> BadInput:
    """Why a loss is too large: the model itself gives NaN or infinity, or the updates were too large."""
    if not torch.isfinite(untuned).all():
        return not_finite(model, where)
    return BadInput(
        "learning_rate",
        found=f"a loss of {float(found.max()):.3g} {where}, {float(untuned.max()):.3g} with the untuned embedding",
        expected="a loss that falls, but it diverges",
        fix="lower learning_rate or guidance_scale",
    )

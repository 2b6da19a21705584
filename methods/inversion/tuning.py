"""Embeddings tuned step by step, so that guidance leads back along an inversion's trajectory.

What null-text inversion (../null_text.py, unconditional half) and BARET (../baret.py, conditional
half) have in common.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from ...graph_runtime import BadInput
from ..sampling.ddim import DdimSchedule
from ..sampling.schedule import Move
from ..sampling.unet import Model, not_finite

ABSURD = 10.0  # times the latents' own mean square, from which a loss has diverged


@dataclass(frozen=True, eq=False)
class Tuned:
    """Per-step embeddings that an inversion made, and where they lead.

    Attributes:
        embeddings: `[T, b, n, d]`, noisiest first.
        half: which half of guidance they replace.
        achieved: the latents that the tuned steps arrive at, z̄_T … z̄_0, `[T + 1, b, c, lh, lw]`.
        losses: last loss of each step.
        updates: gradient steps taken at each step.
        timesteps: of the schedule, noisiest first.
        key: what it was made with.
        told: the conditional text it was tuned under, as a hash of its embedding.
        scale: the guidance it was tuned for.
    """

    embeddings: Tensor
    half: Literal["cond", "uncond"]
    achieved: Tensor
    losses: tuple[float, ...] = ()
    updates: tuple[int, ...] = ()
    timesteps: tuple[int, ...] = ()
    key: str = ""
    told: str = ""
    scale: float = 0.0

    @property
    def start(self) -> Tensor:
        """z*_T, where its inversion ended and edits begin."""
        return self.achieved[0]

    @property
    def walked(self) -> bool:
        """True where it is known where the embeddings lead: as an inversion made them, not blended."""
        return len(self.achieved) == len(self.embeddings) + 1

    @property
    def belongs(self) -> str:
        """Model, schedule and size that it was made for."""
        return self.key

    @property
    def nbytes(self) -> int:
        """Bytes of its tensors."""
        return self.embeddings.nbytes + self.achieved.nbytes

    def on(self, device: torch.device, dtype: torch.dtype) -> "Tuned":
        """The same, ready for a model."""
        return replace(self, embeddings=self.embeddings.to(device, dtype))

    def with_embeddings(self, embeddings: Tensor) -> "Tuned":
        """Other embeddings for the same steps; where they lead is not known."""
        return replace(self, embeddings=embeddings, achieved=self.achieved[:1], losses=(), updates=())

    def at(self, step: int) -> tuple[Tensor | None, Tensor | None]:
        """(conditional, unconditional) embeddings of a reverse step; None keeps the conditioning's own."""
        own = self.embeddings[step]
        return (own, None) if self.half == "cond" else (None, own)


@dataclass(frozen=True)
class TuningRecipe:
    """How embeddings are tuned.

    Attributes:
        scale: guidance.
        iterations: gradient steps at most, at each step; 0 leaves plain guidance.
        rate: learning rate of Adam at a step's number.
        stop: loss below which a step is good enough, by its number.
        carry: begin each step with what the one before ended with.
        half: which embedding is tuned.
    """

    scale: float
    iterations: int
    rate: Callable[[int], float]
    stop: Callable[[int], float]
    carry: bool = True
    half: Literal["cond", "uncond"] = "cond"


def guided_step(schedule: DdimSchedule, move: Move, z: Tensor, uncond: Tensor, cond: Tensor, scale: float) -> Tensor:
    """One deterministic DDIM step of the guided output."""
    x0, e = schedule.predict(uncond + scale * (cond - uncond), z, move.a)
    return schedule.advance(move, x0, e, z)


def tune(
    model: Model,
    schedule: DdimSchedule,
    trajectory: Tensor,
    cond: Tensor,
    uncond: Tensor,
    recipe: TuningRecipe,
    on_step: Callable[[int, int, float, int], None] = lambda step, total, loss, used: None,
) -> Tuned:
    """Embeddings with which guidance walks a trajectory back (BARET, TTIS; Mokady et al. 2023, algorithm 1).

    Args:
        model: frozen; gradients reach its embeddings, which are in the trajectory's precision.
        schedule: deterministic (eta 0).
        trajectory: z*_0 … z*_T, `[T + 1, b, c, lh, lw]`.
        cond: the target text's embedding `[b n d]`.
        uncond: the empty text's.
        recipe: what is tuned, and how long.
        on_step: called with (step, of how many, last loss, gradient steps taken).

    Raises:
        BadInput: the loss is not finite, or absurd; the step and the cause are named.
    """
    moves = schedule.moves()
    total = len(moves)
    z, told = trajectory[-1], {"cond": cond, "uncond": uncond}[recipe.half]
    fresh = told
    kept, achieved, losses, counts = [], [z], [], []
    times = torch.tensor([move.t for move in moves], device=z.device)
    for number, move in enumerate(moves):
        t, wanted = times[number], trajectory[total - 1 - number]
        with torch.no_grad():  # the half that is not tuned: once a step
            fixed = model(z, t, uncond if recipe.half == "cond" else cond)

        def after(embedding: Tensor, t: Tensor = t, z: Tensor = z, fixed: Tensor = fixed, move: Move = move) -> Tensor:
            free = model(z, t, embedding)
            halves = (fixed, free) if recipe.half == "cond" else (free, fixed)
            return guided_step(schedule, move, z, *halves, recipe.scale)

        told, loss, used = _tune_step(
            after, wanted, told if recipe.carry else fresh, fresh, recipe, number, total, model
        )
        with torch.no_grad():
            z = after(told)
        kept.append(told)
        achieved.append(z)
        losses.append(loss)
        counts.append(used)
        on_step(number + 1, total, loss, used)
    return Tuned(
        torch.stack(kept),
        recipe.half,
        torch.stack(achieved),
        tuple(losses),
        tuple(counts),
        tuple(int(move.t) for move in moves),
    )


def _tune_step(
    after: Callable[[Tensor], Tensor],
    wanted: Tensor,
    told: Tensor,
    fresh: Tensor,
    recipe: TuningRecipe,
    number: int,
    total: int,
    model: Model,
) -> tuple[Tensor, float, int]:
    """The tuned embedding of one step, its last loss (mean over the rows), and how many gradient steps it took.

    Rows are tuned as each alone: the losses are summed, and one that is good enough takes no further part.
    """

    def losses(value: Tensor) -> Tensor:
        return (after(value) - wanted).square().flatten(1).mean(1)

    if recipe.iterations == 0:
        with torch.no_grad():
            return told, float(losses(told).mean()), 0
    value = told.detach().clone().requires_grad_(True)
    adam = torch.optim.Adam([value], lr=recipe.rate(number))
    kept, last = value.detach().clone(), torch.full((len(wanted),), float("nan"), dtype=wanted.dtype)
    active = torch.ones(len(wanted), dtype=torch.bool, device=wanted.device)
    going = torch.ones(len(wanted), dtype=torch.bool)  # the same on the host
    size = wanted.square().mean()[None]
    used = 0
    while used < recipe.iterations and bool(going.any()):
        used += 1
        with torch.enable_grad():
            each = losses(value)
            adam.zero_grad(set_to_none=True)
            each.sum().backward()
        assert value.grad is not None
        # what the host has to know of an iteration comes in one piece: it waits once
        seen = torch.cat([each.detach(), size, value.grad.abs().amax()[None].to(size.dtype)]).cpu()
        found, bound = seen[:-2], ABSURD * (1 + float(seen[-2])) if used > 1 else float("inf")  # at first: guidance
        sane = bool((torch.isfinite(found) & (found <= bound)).all())
        if sane and not torch.isfinite(seen[-1]):  # a gradient overflowed on its way through the model
            lower = getattr(model, "lower_peak", None)
            if lower is None or not lower():
                raise not_finite(model, f"in a gradient at step {number + 1} of {total}")
            used -= 1
            continue
        if not sane:
            with torch.no_grad():
                plain = losses(fresh)
            raise _failed(model, found, plain, f"at step {number + 1} of {total}")
        adam.step()
        kept = torch.where(active[:, None, None], value.detach(), kept)
        last = torch.where(going, found, last)
        active = active & (each.detach() >= recipe.stop(number))
        going = going & (found >= recipe.stop(number))
    return kept, float(last.mean()), used


def _failed(model: Model, found: Tensor, untuned: Tensor, where: str) -> BadInput:
    """Why a loss is absurd: the model itself gives no numbers, or the updates have led astray what it is told."""
    if not torch.isfinite(untuned).all():
        return not_finite(model, where)
    return BadInput(
        "learning_rate",
        found=f"a loss of {float(found.max()):.3g} {where}, {float(untuned.max()):.3g} with the untuned embedding",
        expected="a loss that falls: it diverges",
        fix="lower learning_rate or guidance_scale",
    )

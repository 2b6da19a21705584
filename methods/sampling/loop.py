"""THE denoising loop. It is written once; what varies arrives as objects.

    schedule     timesteps and the update rule                        (ddim.py)
    guidance     what the denoiser is told, and how strongly          (here)
    constraint   applied to the predicted clean latent at every step  (constraints.py)
    attention    installed on the denoiser for the length of a run; may bring companion rows  (here: the interface)
    tuning       per-step embeddings that an inversion made           (here: the interface)
    noise        a stream                                             (noise.py)

The model itself is a function `(z, t, embeddings) -> output`: the loop knows no file, device or library.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from .constraints import Constraint
from .ddim import Move
from .noise import NoiseStream
from .unet import not_finite, to_device

Model = Callable[[Tensor, Tensor, Tensor | None], Tensor]
Progress = Callable[[int, int, Tensor], None]


class Tuning(Protocol):
    """Per-step embeddings."""

    def at(self, step: int) -> tuple[Tensor | None, Tensor | None]:
        """(conditional, unconditional) `[b n d]` for a reverse step; None keeps the conditioning's own."""


@dataclass(frozen=True, eq=False)
class Guidance:
    """What the denoiser is told, on its device, and how strongly: ε_u + scale·(ε_c − ε_u) (Ho & Salimans 2022).

    Attributes:
        cond: `[b n d]`, or None for an unconditional model.
        uncond: `[b n d]`, or None.
        scale: 1 is the conditional prediction alone, 0 the unconditional one.
        differs: the halves differ; where they do not, one evaluation a step is enough.
        extra: channels joined to the latents `[b c lh lw]`.
        tuning: per-step embeddings that replace cond or uncond.
    """

    cond: Tensor | None = None
    uncond: Tensor | None = None
    scale: float = 1.0
    differs: bool = False
    extra: Tensor | None = None
    tuning: Tuning | None = None

    def halves(self, step: int) -> list[tuple[str, Tensor | None]]:
        """The embeddings to evaluate at a step: both halves, unconditional first, or the only one that counts."""
        cond, uncond, differs = self.cond, self.uncond, self.differs
        if self.tuning is not None:
            tuned_cond, tuned_uncond = self.tuning.at(step)
            cond = cond if tuned_cond is None else tuned_cond
            uncond = uncond if tuned_uncond is None else tuned_uncond
            differs = True
        if not differs or self.scale == 1:
            return [("cond", cond)]
        return [("uncond", uncond)] if self.scale == 0 else [("uncond", uncond), ("cond", cond)]

    def combine(self, outputs: Sequence[Tensor]) -> Tensor:
        """The guided output of one or both halves."""
        if len(outputs) == 1:
            return outputs[0]
        return outputs[0] + self.scale * (outputs[1] - outputs[0])


@dataclass(eq=False)
class Chain:
    """Rows that are denoised together. The first chain is the picture; an attention control may bring others.

    Attributes:
        name: e.g. `edit`, `transition`.
        z: its latents `[b c lh lw]`.
        guidance: what its rows are told.
        given: its latents before each step, where they are known already and need no update; None: its own.
        until: reverse steps it takes part in; None: all.
    """

    name: str
    z: Tensor
    guidance: Guidance
    given: Callable[[int], Tensor] | None = None
    until: int | None = None
    x0: Tensor | None = None
    run: Any = None  # its own schedule: solvers remember earlier steps
    shown: Tensor | None = None  # its latents as the model saw them last


class AttentionRun:
    """One run of an attention control; this one changes nothing."""

    @contextmanager
    def installed(self, denoiser: Any) -> Iterator[None]:
        """Put processors on the denoiser, and take them off again whatever happens."""
        yield

    def companions(self, picture: Chain, steps: int) -> list[Chain]:
        """Chains that run along with the picture's, for a run of so many reverse steps."""
        return []

    def before_step(self, move: Move, layout: Sequence[tuple[str, str]]) -> None:
        """Called before each evaluation with the (chain, half) of every group of rows in the batch, in order."""


class AttentionControl:
    """Base of attention controls: what travels between nodes, and holds no state of a run."""

    def begin(self) -> AttentionRun:
        """The control for one run."""
        return AttentionRun()


class Schedule(Protocol):
    """Timesteps and update rule: a DdimSchedule, or a solver of diffusers."""

    def begin(self) -> Any:
        """The schedule for one chain of one run: moves, scaled, predict, advance, noised."""


def denoise(
    model: Model,
    schedule: Schedule,
    z: Tensor,
    stream: NoiseStream,
    guidance: Guidance,
    *,
    start: int = 0,
    constraint: Constraint | None = None,
    attention: AttentionRun | None = None,
    progress: Progress | None = None,
) -> Tensor:
    """The clean latent `[b c lh lw]` that the reverse process makes of `z` (Kakinuma et al. 2024, algorithm 1).

    Args:
        model: `(z, t, embeddings) -> output` of z's shape.
        schedule: the update rule.
        z: the latent at the schedule's timestep number `start`; its device and dtype are the run's.
        stream: one tensor is drawn from it for every move.
        guidance: what the picture's rows are told.
        start: position in the timesteps to begin at (SDEdit), 0 for pure noise.
        constraint: begun already; sees every predicted clean latent.
        attention: begun and installed already; its companions run along.
        progress: called after each reverse step with (steps done, of how many, the predicted clean latent).

    Raises:
        BadInput: the model's output is NaN or infinite.
    """
    picture = Chain("edit", z, guidance)
    picture.run = schedule.begin()
    moves = picture.run.moves(start)
    total = sum(not move.up for move in moves)
    chains = [picture]
    for chain in attention.companions(picture, total) if attention else []:
        chain.run = schedule.begin()
        chain.run.moves(start)
        chains.append(chain)
    times = torch.tensor([move.t for move in moves], device=z.device)
    told = _Told()
    for move in moves:
        noise = to_device(stream.step(), z.device, z.dtype)
        active = [chain for chain in chains if chain.until is None or move.step < chain.until]
        if move.up:
            for chain in active:
                assert chain.x0 is not None
                chain.z = chain.run.noised(chain.x0, noise, move.ap)
            continue
        outputs = _evaluate(model, active, move, times[move.index], attention, told)
        for chain, output in zip(active, outputs, strict=True):
            assert chain.shown is not None
            chain.x0, e = chain.run.predict(output, chain.shown, move.a)
            clean = chain.x0
            if chain is picture and constraint is not None:
                clean = constraint.apply(clean, move)
            chain.z = chain.run.advance(move, clean, e, noise)
            if chain is picture and constraint is not None:
                chain.z = constraint.after_step(chain.z, move)
        _refuse_nan(model, [chain.x0 for chain in active if chain.x0 is not None], move, total)
        if progress is not None and picture.x0 is not None:
            progress(move.step + 1, total, picture.x0)
    return picture.z


class _Told:
    """The embeddings of a step, joined: the same tensor for as long as its parts are the same."""

    def __init__(self) -> None:
        self._parts: list[Tensor] = []
        self._joined: Tensor | None = None

    def joined(self, parts: list[Tensor]) -> Tensor:
        """All rows in one tensor `[rows n d]`."""
        same = len(parts) == len(self._parts) and all(a is b for a, b in zip(parts, self._parts, strict=True))
        if self._joined is None or not same:
            self._parts, self._joined = parts, torch.cat(parts)
        return self._joined


def _evaluate(
    model: Model, chains: list[Chain], move: Move, t: Tensor, attention: AttentionRun | None, known: _Told
) -> list[Tensor]:
    """One call of the model for all rows of all chains; the guided output of each chain."""
    rows, told, layout = [], [], []
    for chain in chains:
        if chain.given is not None:
            chain.z = chain.given(move.step)
        extra = chain.guidance.extra
        chain.shown = chain.run.scaled(chain.z, move)
        joined = chain.shown if extra is None else torch.cat([chain.shown, extra], dim=1)
        for half, embeddings in chain.guidance.halves(move.step):
            rows.append(joined)
            told.append(embeddings)
            layout.append((chain.name, half))
    if attention is not None:
        attention.before_step(move, layout)
    if len(rows) == 1:
        outputs = [model(rows[0], t, told[0])]
    else:
        embeddings = known.joined([item for item in told if item is not None])
        outputs = list(model(torch.cat(rows), t, embeddings).split([row.shape[0] for row in rows]))
    guided, position = [], 0
    for chain in chains:
        count = sum(name == chain.name for name, _ in layout)
        guided.append(chain.guidance.combine(outputs[position : position + count]))
        position += count
    return guided


def _refuse_nan(model: Model, clean: list[Tensor], move: Move, total: int) -> None:
    """Raise BadInput where a predicted clean latent is not finite: the one time in a step that the host waits."""
    sums = [x0.sum() for x0 in clean]
    if not math.isfinite(float(sums[0] if len(sums) == 1 else torch.stack(sums).sum())) and not all(
        bool(torch.isfinite(x0).all()) for x0 in clean
    ):  # the sum alone is half the price
        raise not_finite(model, f"at step {move.step + 1} of {total} (timestep {move.t})")

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
from collections.abc import Callable

import torch
from torch import Tensor

from ..attention.control import AttentionRun
from .branch import Chain
from .constraints import Constraint
from .guidance import Guidance
from .noise import NoiseStream
from .schedule import Move, Schedule
from .unet import Model, not_finite, to_device

Progress = Callable[[int, int, Tensor], None]


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

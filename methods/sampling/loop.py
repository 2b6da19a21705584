"""The denoising loop, written once; everything that varies is passed in as an object.

    schedule     timesteps and the update rule                                  schedule.py: ddim.py, solver.py
    guidance     the conditioning, and its strength                   guidance.py constraint   changes the predicted
    clean latent, or the latent, of a step   constraints.py attention    processors on the UNet, and branches beside
    the edit           ../attention/control.py noise        a stream of tensors
    noise.py

The model is a function `(z, t, embeddings) -> output`: the loop knows nothing about files, devices or libraries.
"""

import math
from collections.abc import Callable

from ...graph_runtime.core.light.later import Tensor, torch
from ..attention.control import AttentionRun, RowGroup
from .branch import Branch
from .constraints import Constraint
from .guidance import Guidance
from .noise import NoiseStream
from .schedule import DenoisingStep, Schedule, add_noise
from .unet import Model, not_finite, to_device

Progress = Callable[[int, int, Tensor], None]


def run_denoising(
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
    """Run the reverse process from `z` to the clean latent `[b c lh lw]` (Kakinuma et al. 2024, algorithm 1).

    Args:
        model: `(z, t, embeddings) -> output` of z's shape.
        schedule: the update rule.
        z: the latent at the schedule's timestep number `start` `[b c lh lw]`; its device and dtype are the run's.
        stream: one tensor is drawn from it for every step.
        guidance: of the edit.
        start: position in the timesteps to begin at (SDEdit), 0 for pure noise.
        constraint: begun already; sees every predicted clean latent of the edit.
        attention: begun and installed already; its companions run beside the edit.
        progress: called after each reverse step with (steps done, of how many, the predicted clean latent).

    Raises:
        BadInput: the model's output is NaN or infinite.
    """
    edit = Branch("edit", z, guidance, schedule=schedule.begin())
    assert edit.schedule is not None
    steps = edit.schedule.denoising_steps(start)
    total = sum(not step.up for step in steps)
    branches = [edit]
    for branch in attention.companions(edit, total) if attention else []:
        branch.schedule = schedule.begin()
        branch.schedule.denoising_steps(start)
        branches.append(branch)
    timesteps = torch.tensor([step.timestep for step in steps], device=z.device)
    embeddings = _JoinedEmbeddings()
    for step in steps:
        noise = to_device(stream.step(), z.device, z.dtype)
        active = [branch for branch in branches if branch.until is None or step.reverse_step < branch.until]
        if step.up:
            for branch in active:
                assert branch.x0 is not None
                branch.z = add_noise(branch.x0, noise, step.alpha_bar_next)
            continue
        outputs = _evaluate(model, active, step, timesteps[step.index], attention, embeddings)
        for branch, output in zip(active, outputs, strict=True):
            _advance(branch, output, step, noise, constraint if branch is edit else None)
        _refuse_nan(model, [branch.x0 for branch in active if branch.x0 is not None], step, total)
        if progress is not None and edit.x0 is not None:
            progress(step.reverse_step + 1, total, edit.x0)
    return edit.z


def _advance(branch: Branch, output: Tensor, step: DenoisingStep, noise: Tensor, constraint: Constraint | None) -> None:
    """One update of a branch with the guided output."""
    assert branch.schedule is not None
    assert branch.model_input is not None
    branch.x0, e = branch.schedule.predict(output, branch.model_input, step.alpha_bar)
    clean = branch.x0 if constraint is None else constraint.apply(branch.x0, step)
    branch.z = branch.schedule.advance(step, clean, e, noise)
    if constraint is not None:
        branch.z = constraint.after_step(branch.z, step)


class _JoinedEmbeddings:
    """The embeddings of all rows of a step; the tensor is reused while its parts stay the same."""

    def __init__(self) -> None:
        self._parts: list[Tensor] = []
        self._joined: Tensor | None = None

    def of(self, parts: list[Tensor]) -> Tensor:
        """All rows in one tensor `[rows n d]`."""
        same = len(parts) == len(self._parts) and all(a is b for a, b in zip(parts, self._parts, strict=True))
        if self._joined is None or not same:
            self._parts, self._joined = parts, torch.cat(parts)
        return self._joined


def _evaluate(
    model: Model,
    branches: list[Branch],
    step: DenoisingStep,
    t: Tensor,
    attention: AttentionRun | None,
    joined_embeddings: _JoinedEmbeddings,
) -> list[Tensor]:
    """One call of the model for all rows of all branches; the guided output of each branch."""
    rows: list[Tensor] = []
    embeddings: list[Tensor | None] = []
    layout: list[RowGroup] = []
    for branch in branches:
        assert branch.schedule is not None
        if branch.known_latents is not None:
            branch.z = branch.known_latents(step.reverse_step)
        extra = branch.guidance.extra
        branch.model_input = branch.schedule.scaled(branch.z, step)
        joined = branch.model_input if extra is None else torch.cat([branch.model_input, extra], dim=1)
        for half, value in branch.guidance.halves(step.reverse_step):
            rows.append(joined)
            embeddings.append(value)
            layout.append((branch.name, half))
    if attention is not None:
        attention.before_step(step, layout)
    if len(rows) == 1:
        outputs = [model(rows[0], t, embeddings[0])]
    else:
        together = joined_embeddings.of([value for value in embeddings if value is not None])
        outputs = list(model(torch.cat(rows), t, together).split([row.shape[0] for row in rows]))
    guided, position = [], 0
    for branch in branches:
        count = sum(name == branch.name for name, _ in layout)
        guided.append(branch.guidance.combine(outputs[position : position + count]))
        position += count
    return guided


def _refuse_nan(model: Model, clean: list[Tensor], step: DenoisingStep, total: int) -> None:
    """Raise BadInput if a predicted clean latent is not finite. The host waits for the device only here."""
    sums = [x0.sum() for x0 in clean]
    if not math.isfinite(float(sums[0] if len(sums) == 1 else torch.stack(sums).sum())) and not all(
        bool(torch.isfinite(x0).all()) for x0 in clean
    ):  # the sum alone costs half as much
        raise not_finite(model, f"at step {step.reverse_step + 1} of {total} (timestep {step.timestep})")

"""One training loop for every stage: warm-up, plateau, decay; moving average; resumable checkpoints."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor, nn

from ._workers import place, share_gradients

LossFn = Callable[[nn.Module, int, torch.Generator], Tensor]


@dataclass(frozen=True)
class Plan:
    """Steps and learning rate of a stage."""

    name: str
    steps: int
    learning_rate: float
    warmup: int = 200
    decay: float = 0.4  # last share of the steps, over which the rate falls to zero
    ema: float = 0.999
    weight_decay: float = 0.01
    save_every: int = 250


def learning_rate(plan: Plan, step: int) -> float:
    """Rate at a step: linear warm-up, plateau, cosine to zero.

    On the plateau the rate does not depend on the total, so a run may be resumed with another number of steps.
    """
    rate = plan.learning_rate * min(1.0, (step + 1) / max(1, plan.warmup))
    begin = plan.steps * (1 - plan.decay)
    if step > begin:
        rate *= 0.5 + 0.5 * math.cos(math.pi * (step - begin) / (plan.steps - begin))
    return rate


def step_generator(name: str, step: int) -> torch.Generator:
    """All randomness of one step, from stage and step alone. This makes a resumed run exact."""
    seed = int.from_bytes(name.encode()[:4].ljust(4, b"."), "big")
    return torch.Generator().manual_seed(seed * 2**31 + step)


def save_beside(write: Callable[[Path], object], path: Path) -> None:
    """Write a file under a temporary name, then rename it, so that half of it is never visible."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    write(beside)
    os.replace(beside, path)


class Average:
    """Exponential moving average of the parameters, with a warm-up so that early steps fade soon."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.values = {name: value.detach().clone() for name, value in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Move towards the model's current values."""
        keep = min(self.decay, (1 + step) / (10 + step))
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                self.values[name].lerp_(value, 1 - keep)
            else:
                self.values[name].copy_(value)


def averaged(work: Path, name: str) -> dict[str, Tensor]:
    """The averaged weights of a stage's last checkpoint; FileNotFoundError when the stage has not started."""
    return torch.load(work / name / "checkpoint.pt", map_location="cpu", weights_only=True)["average"]


def fit(
    plan: Plan,
    work: Path,
    model: nn.Module,
    loss_of: LossFn,
    *,
    device: torch.device,
    stop_at: int | None = None,
    on_save: Callable[[int, dict[str, Tensor]], None] | None = None,
) -> dict[str, Tensor]:
    """Train `model` to `plan.steps`, or to `stop_at`, resuming from the checkpoint in `work` if there is one.

    `loss_of(model, step, generator)` gives a scalar. Inside `in_workers` each worker draws its own batch and the
    gradients are averaged. Returns the averaged weights; FloatingPointError when the loss is not finite.
    """
    rank, workers = place()
    path = work / plan.name / "checkpoint.pt"
    path.parent.mkdir(parents=True, exist_ok=True)
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=plan.learning_rate,
        betas=(0.9, 0.99),
        weight_decay=plan.weight_decay,
        fused=True,
    )
    average, start = Average(model, plan.ema), 0
    if path.exists():
        saved = torch.load(path, map_location=device, weights_only=True)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        average.values, start = saved["average"], saved["step"]

    def save(step: int) -> None:
        state = {
            "step": step,
            "model": model.state_dict(),
            "average": average.values,
            "optimizer": optimizer.state_dict(),
        }
        save_beside(lambda beside: torch.save(state, beside), path)

    end = plan.steps if stop_at is None else min(stop_at, plan.steps)
    model.train()
    recent, begun, step = 0.0, time.time(), start
    with _progress(disable=rank > 0) as progress, open(path.parent / "log.jsonl", "a", encoding="utf-8") as log:
        bar = progress.add_task(plan.name, total=plan.steps, completed=start, loss="")
        for step in range(start, end):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(plan, step)
            loss = loss_of(model, step, step_generator(plan.name, step * workers + rank))
            loss.backward()
            share_gradients(model)
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            value = loss.item()
            if not math.isfinite(value):
                raise FloatingPointError(f"{plan.name}: the loss is {value} at step {step}")
            if rank:
                continue
            average.update(model, step)
            recent = value if step == start else 0.98 * recent + 0.02 * value
            progress.update(bar, completed=step + 1, loss=f"loss {recent:.5f}")
            if (step + 1) % 50 == 0:
                rate = (step + 1 - start) / (time.time() - begun)
                log.write(json.dumps({"step": step + 1, "loss": recent, "per_second": round(rate, 3)}) + "\n")
                log.flush()
            if (step + 1) % plan.save_every == 0 and step + 1 < end:
                save(step + 1)
                if on_save:
                    on_save(step + 1, average.values)
    if end > start and not rank:
        save(end)
        if on_save:
            on_save(end, average.values)
    return average.values


def _progress(disable: bool) -> Progress:
    return Progress(
        TextColumn("{task.description:8}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[loss]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        refresh_per_second=2,
        disable=disable,
    )

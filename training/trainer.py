"""One training loop for every node that trains: exact resuming, moving average, accumulation, several devices.

What makes a resumed run equal to one that was never stopped: everything random comes from (seed, step, place in the
batch), never from a generator's state; a checkpoint holds weights, average and optimizer to the bit; and it is written
beside, flushed, then renamed. Checkpoints are safetensors: loading one runs no code.
"""

import json
import math
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..graph_runtime import BadInput, ModelError
from ..graph_runtime.core.digests import sha256
from ..graph_runtime.core.errors import Cancelled
from ..graph_runtime.core.files import replacing
from ..graph_runtime.core.memory import forget, is_out_of_memory
from .processes import Workers
from .settings import Precision

LossOf = Callable[[nn.Module, int, range], Tensor]
CHECKPOINT = "checkpoint.safetensors"


class TrainingFailed(BadInput):
    """Training cannot go on; the last checkpoint is whole."""


@dataclass(frozen=True)
class Recipe:
    """How long and how fast to learn.

    Attributes:
        steps: optimizer steps in all.
        batch_size: pictures a step, over all devices.
        learning_rate: AdamW's, on the plateau.
        weight_decay: AdamW's.
        warmup: steps over which the rate rises from zero.
        decay: last share of the steps, over which the rate falls to zero along a cosine; 0 keeps it constant.
        ema: decay of the moving average; 0 keeps none.
        seed: of everything random.
        micro_batch: pictures that go through at once; gradients of the others are accumulated. 0: all of them.
        precision: what the forward pass computes in; weights stay in full precision.
        max_norm: gradients are scaled down to this norm.
        save_every: steps between checkpoints.
    """

    steps: int
    batch_size: int
    learning_rate: float
    weight_decay: float = 0.01
    warmup: int = 0
    decay: float = 0.0
    ema: float = 0.9999
    seed: int = 0
    micro_batch: int = 0
    precision: Precision = "auto"
    max_norm: float = 1.0
    save_every: int = 250


@dataclass(frozen=True)
class Progress:
    """Where training is: the step just taken, its loss, a running mean of the loss, and pictures a second."""

    step: int
    loss: float
    mean: float
    per_second: float


def learning_rate(recipe: Recipe, step: int) -> float:
    """The rate of step number `step`, from 0: linear warm-up, plateau, cosine to zero."""
    rate = recipe.learning_rate * min(1.0, (step + 1) / max(1, recipe.warmup))
    begin = recipe.steps * (1 - recipe.decay)
    if recipe.decay and step > begin:
        rate *= 0.5 + 0.5 * math.cos(math.pi * (step - begin) / (recipe.steps - begin))
    return rate


def generator_of(*place: int | str) -> torch.Generator:
    """A CPU generator seeded by a place such as (seed, step, row): the same wherever and whenever it is asked."""
    return torch.Generator("cpu").manual_seed(int(sha256(repr(place))[:16], 16) >> 1)


def write_tensors(tensors: Mapping[str, Tensor], path: Path, about: Mapping[str, Any] | None = None) -> None:
    """Write a safetensors file beside, flush it to the disk, then rename it: a reader never sees half of it.

    `about` goes into the header as one JSON text: of several entries the library changes the order each time.

    Raises:
        TrainingFailed: the disk is full or not writable; what was there before is still there.
    """
    from safetensors.torch import save_file

    try:
        with replacing(path, parents=True, flush=True) as beside:
            save_file(
                {name: value.detach().cpu().contiguous() for name, value in tensors.items()},
                str(beside),
                None if about is None else {"inlay": json.dumps(about)},
            )
    except Exception as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        kept = path.with_name(CHECKPOINT).is_file()
        raise TrainingFailed(
            None,
            found=f"{path} could not be written: {why}",
            expected="room for it on the disk, and nothing else of that name",
            fix=f"make room in {path.parent}, then run again"
            + (": training goes on from the checkpoint before, which is whole" if kept else ""),
        ) from error


class Trainer:
    """Trains the parameters of a module that ask for gradients.

    Args:
        folder: where the checkpoint lies.
        key: what is being trained, on what, and how; a checkpoint of another key is refused.
        module: called by the loss; in training precision, on its device.
        names: names of the parameters to train; every other is frozen.
        recipe: how long and how fast.
        workers: the processes that train together.
    """

    def __init__(self, folder: Path, key: str, module: nn.Module, names: list[str], recipe: Recipe, workers: Workers):
        self.folder, self.key, self.recipe, self.workers = folder, key, recipe, workers
        if recipe.batch_size % workers.count:
            raise BadInput(
                "batch_size",
                found=f"{recipe.batch_size} pictures a step for {workers.count} processes",
                expected="a multiple of the number of processes",
                fix=f"use {math.ceil(recipe.batch_size / workers.count) * workers.count}",
            )
        wanted = set(names)
        for name, value in module.named_parameters():
            value.requires_grad_(name in wanted)
        self.values: dict[str, Tensor] = {n: p for n, p in module.named_parameters() if n in wanted}
        self.average = {name: value.detach().clone() for name, value in self.values.items()} if recipe.ema else {}
        self.optimizer = torch.optim.AdamW(
            list(self.values.values()), lr=recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True
        )
        self.module = module
        self.step = 0
        self.mean = 0.0
        self._whole = True  # False while an update is half done
        self.micro = recipe.micro_batch or recipe.batch_size // workers.count
        half = precision_of(recipe.precision, workers.device)
        self._half = half
        self._scaler = torch.amp.GradScaler(workers.device.type) if half == torch.float16 else None

    def resume(self) -> bool:
        """Go on from the checkpoint; False where there is none.

        Raises:
            ModelError: the checkpoint is damaged, or belongs to another training.
        """
        path = self.folder / CHECKPOINT
        if not path.exists():
            return False
        from safetensors import SafetensorError, safe_open

        from ..models.files.safetensors_header import read_header

        try:
            about = _about(read_header(path))
        except ModelError as error:
            raise _unusable(error.found) from error
        if about.get("key") != self.key:
            raise ModelError(
                "prefix",
                found=f"a checkpoint of another training in {self.folder}",
                expected="one of this training",
                fix="use another prefix, or set resume to false",
            )
        try:
            with safe_open(str(path), framework="pt") as file, torch.no_grad():
                step, mean, updates = int(about["step"]), float(about["mean"]), float(about["updates"])
                if step < 0 or not math.isfinite(mean + updates):
                    raise ValueError(f"step {step}, mean {mean}, updates {updates}")
                for name, value in self.values.items():
                    value.copy_(_like(value, file.get_tensor(f"value.{name}")))
                    if self.average:
                        self.average[name].copy_(_like(value, file.get_tensor(f"average.{name}")))
                    self.optimizer.state[value] = {
                        "step": torch.tensor(updates, device=value.device),  # the fused update counts on the device
                        "exp_avg": _like(value, file.get_tensor(f"first.{name}")),
                        "exp_avg_sq": _like(value, file.get_tensor(f"second.{name}")),
                    }
            self.step, self.mean = step, mean
            if self._scaler is not None:
                self._scaler.load_state_dict(about["scaler"])
        except (KeyError, TypeError, ValueError, OverflowError, RuntimeError, SafetensorError) as error:
            raise _unusable(f"a checkpoint that does not fit: {error}") from error
        return True

    def save(self) -> None:
        """Write the checkpoint, in the main process."""
        if not self.workers.main:
            return
        tensors: dict[str, Tensor] = {}
        updates = float(self.optimizer.state[next(iter(self.values.values()))]["step"])  # all were updated together
        for name, value in self.values.items():
            state = self.optimizer.state[value]
            tensors |= {
                f"value.{name}": value,
                f"first.{name}": state["exp_avg"],
                f"second.{name}": state["exp_avg_sq"],
            }
            if self.average:
                tensors[f"average.{name}"] = self.average[name]
        about: dict[str, Any] = {"key": self.key, "step": self.step, "mean": self.mean, "updates": updates}
        if self._scaler is not None:
            about["scaler"] = self._scaler.state_dict()
        write_tensors(tensors, self.folder / CHECKPOINT, about)

    def fit(self, loss_of: LossOf, on_step: Callable[[Progress], None], warn: Callable[[str], None]) -> None:
        """Take the steps that are left.

        Args:
            loss_of: `(module, step, rows) -> scalar`, the mean loss over these rows of the step's batch.
            on_step: called after each step; what it raises ends the training, with a checkpoint first.
            warn: said when a batch does not fit and is split.

        Raises:
            TrainingFailed: the loss is not finite, or one picture alone does not fit into memory.
        """
        wrapped = self.workers.wrap(self.module)
        began, first = time.monotonic(), self.step
        self.module.train()
        try:
            while self.step < self.recipe.steps:
                loss = self._step(wrapped, loss_of, warn)
                self.mean = loss if self.step == 0 else 0.98 * self.mean + 0.02 * loss
                self.step += 1
                rate = (self.step - first) * self.recipe.batch_size / (time.monotonic() - began)
                if self.step % self.recipe.save_every == 0 and self.step < self.recipe.steps:
                    self.save()
                on_step(Progress(self.step, loss, self.mean, rate))
        except TrainingFailed:
            raise
        except BaseException as error:  # cancelled, interrupted, a full disk: nothing that was learned is lost
            if self.step > first and self._whole:
                self.save()
                if isinstance(error, Cancelled | KeyboardInterrupt):
                    warn(f"stopped after step {self.step} of {self.recipe.steps}: the same command goes on from there")
            raise
        finally:
            self.module.eval()
        if self.step > first:
            self.save()
        self.workers.wait()  # the checkpoint is there for all; and none ends while a sum of another is under way

    def _step(self, wrapped: nn.Module, loss_of: LossOf, warn: Callable[[str], None]) -> float:
        while True:
            try:
                parts = self._gradients(wrapped, loss_of)
                break
            except Exception as error:
                if not is_out_of_memory(error) or self.micro == 1 or self.workers.count > 1:
                    if is_out_of_memory(error):
                        raise TrainingFailed(
                            "batch_size",
                            found="one picture alone does not fit into memory"
                            if self.micro == 1
                            else "a batch that does not fit into memory",
                            expected="room for it",
                            fix="set checkpointing to true, use a smaller size or micro_batch",
                        ) from error
                    raise
                forget(error)  # its frames hold what the failed try made
                self.optimizer.zero_grad(set_to_none=True)
                self.micro = max(1, self.micro // 2)
                warn(f"the batch does not fit into memory: from now on {self.micro} pictures at a time")
        loss = self.workers.mean(parts)
        if not math.isfinite(loss):
            kept = self.step // self.recipe.save_every * self.recipe.save_every
            raise TrainingFailed(
                "learning_rate",
                found=f"a loss of {loss} at step {self.step + 1}",
                expected="a finite loss",
                fix=f"lower learning_rate ({self.recipe.learning_rate:g}), or set precision to float32"
                + (f"; the checkpoint of step {kept} is whole" if kept else ""),
            )
        self._whole = False
        self._update()
        self._whole = True
        return loss

    def rows(self) -> list[range]:
        """The rows of each step's batch that go through at once in this process, in order."""
        share = self.recipe.batch_size // self.workers.count
        begin = self.workers.rank * share
        return [
            range(start, min(start + self.micro, begin + share)) for start in range(begin, begin + share, self.micro)
        ]

    def _gradients(self, wrapped: nn.Module, loss_of: LossOf) -> list[Tensor]:
        """Add up the gradients of this process' rows; the parts of their mean loss, left on the device."""
        share = self.recipe.batch_size // self.workers.count
        parts, all_rows = [], self.rows()
        for rows in all_rows:
            alone = rows != all_rows[-1] and hasattr(wrapped, "no_sync")
            with wrapped.no_sync() if alone else nullcontext():  # type: ignore[operator]
                with self._casting():
                    loss = loss_of(wrapped, self.step, rows)
                part = loss * (len(rows) / share)
                (part if self._scaler is None else self._scaler.scale(part)).backward()
            parts.append(part.detach())
        return parts

    def _casting(self) -> Any:
        return nullcontext() if self._half is None else torch.autocast(self.workers.device.type, self._half)

    def _update(self) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.recipe, self.step)
        if self._scaler is not None:
            self._scaler.unscale_(self.optimizer)
        nn.utils.clip_grad_norm_(self.values.values(), self.recipe.max_norm)
        if self._scaler is None:
            self.optimizer.step()
        else:
            self._scaler.step(self.optimizer)
            self._scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        if self.average:
            keep = min(self.recipe.ema, (1 + self.step) / (10 + self.step))
            with torch.no_grad():
                torch._foreach_lerp_(list(self.average.values()), list(self.values.values()), 1 - keep)

    def result(self) -> dict[str, Tensor]:
        """The averaged weights, or the last ones where no average is kept."""
        return self.average or {name: value.detach() for name, value in self.values.items()}


def _like(value: Tensor, stored: Tensor) -> Tensor:
    """A stored tensor in the memory layout of a parameter: the fused optimizer pairs them place by place.

    Raises:
        ValueError: it has another shape, or holds NaN or infinity.
    """
    if stored.shape != value.shape or not torch.isfinite(stored).all():
        raise ValueError(
            f"{list(stored.shape)} numbers, not all of them finite"
            if stored.shape == value.shape
            else f"{list(stored.shape)} numbers where {list(value.shape)} are learned"
        )
    return torch.empty_like(value).copy_(stored)


def _unusable(found: str) -> ModelError:
    return ModelError(
        "resume",
        found=found,
        expected="a checkpoint of this training",
        fix="set resume to false: it is set aside, and training begins anew",
    )


def _about(header: Mapping[str, Any]) -> dict[str, Any]:
    """What a header says of its file; nothing where it says nothing that can be read."""
    try:
        about = json.loads(header.get("__metadata__", {})["inlay"])
    except (KeyError, TypeError, ValueError):
        return {}
    return about if isinstance(about, dict) else {}


def precision_of(precision: Precision, device: torch.device) -> torch.dtype | None:
    """What autocast computes in, or None for full precision; auto is bfloat16 on a GPU that has it."""
    if precision == "auto":
        return torch.bfloat16 if device.type == "cuda" and _has_bfloat16() else None
    return {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}[precision]


def _has_bfloat16() -> bool:
    """True for a GPU that computes in bfloat16 itself: emulation is slower than float32."""
    try:
        return torch.cuda.is_bf16_supported(including_emulation=False)
    except TypeError:  # torch before 2.5 does not count emulation
        return torch.cuda.is_bf16_supported()

"""One training loop for every node that trains: exact resuming, moving average, accumulation, several devices.

A resumed run equals one that was never stopped, because all randomness comes from (seed, step, place in the batch),
never from a generator's state, and a checkpoint holds weights, average and optimizer bit for bit.
"""

import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from ..graph_runtime import BadInput
from ..graph_runtime.core.errors import Cancelled
from ..graph_runtime.core.light.later import Tensor, nn, torch
from ..graph_runtime.core.out_of_memory import forget, is_out_of_memory
from .checkpoint import TrainingState, read_checkpoint, write_checkpoint
from .errors import TrainingFailed
from .learning_rate import learning_rate
from .moving_average import update_average
from .precision import Precision, autocast_dtype
from .processes import Workers

LossOf = Callable[[nn.Module, int, range], Tensor]


@dataclass(frozen=True)
class TrainerOptions:
    """How long and how fast to learn.

    Attributes:
        steps: optimizer steps in all.
        batch_size: examples a step, over all devices.
        learning_rate: AdamW's, on the plateau.
        weight_decay: AdamW's.
        warmup: steps over which the rate rises from zero.
        decay: last share of the steps, over which the rate falls to zero along a cosine; 0 keeps it constant.
        ema: decay of the moving average; 0 keeps none.
        micro_batch: examples that go through at once; gradients accumulate. 0: all of them.
        precision: of the forward pass; weights stay in full precision.
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
    micro_batch: int = 0
    precision: Precision = "auto"
    max_norm: float = 1.0
    save_every: int = 250


@dataclass(frozen=True)
class Progress:
    """The progress of training: the last step, its loss, a running mean of the loss, and examples per second."""

    step: int
    loss: float
    mean: float
    per_second: float


class Trainer:
    """Trains the parameters of a module that require gradients.

    Args:
        folder: of the checkpoint.
        key: identifies models, photos and settings; a checkpoint with another key is refused.
        module: called by the loss; in training precision, on its device.
        names: names of the parameters to train; all others are frozen.
        options: how long and how fast.
        workers: the processes that train together.
        spare: called when memory ran out; makes do with less, for the same bits. False: it cannot.
    """

    def __init__(
        self,
        folder: Path,
        key: str,
        module: nn.Module,
        names: list[str],
        options: TrainerOptions,
        workers: Workers,
        spare: Callable[[], bool] = lambda: False,
    ) -> None:
        self.folder, self.key, self.options, self.workers, self._spare = folder, key, options, workers, spare
        if options.batch_size % workers.count:
            raise BadInput(
                "batch_size",
                found=f"{options.batch_size} examples a step for {workers.count} processes",
                expected="a multiple of the number of processes",
                fix=f"use {math.ceil(options.batch_size / workers.count) * workers.count}",
            )
        trained = set(names)
        for name, value in module.named_parameters():
            value.requires_grad_(name in trained)
        values: dict[str, Tensor] = {n: p for n, p in module.named_parameters() if n in trained}
        average = {name: value.detach().clone() for name, value in values.items()} if options.ema else {}
        optimizer = torch.optim.AdamW(
            list(values.values()), lr=options.learning_rate, weight_decay=options.weight_decay, fused=True
        )
        self.module = module
        self.micro = options.micro_batch or options.batch_size // workers.count
        self._dtype = autocast_dtype(options.precision, workers.device)
        self._scaler = torch.amp.GradScaler(workers.device.type) if self._dtype == torch.float16 else None
        self.state = TrainingState(values, average, optimizer, self._scaler)
        self._updating = False  # True while an update is half done

    @property
    def step(self) -> int:
        """Steps taken."""
        return self.state.step

    @property
    def values(self) -> dict[str, Tensor]:
        """The weights that are trained, by name."""
        return self.state.values

    def resume(self) -> bool:
        """Continue from the checkpoint; False if there is none.

        Raises:
            ModelError: the checkpoint is damaged, or belongs to another training.
        """
        return read_checkpoint(self.folder, self.key, self.state)

    def save(self) -> None:
        """Write the checkpoint, in the main process."""
        if self.workers.main:
            write_checkpoint(self.folder, self.key, self.state)

    def fit(self, loss_of: LossOf, on_step: Callable[[Progress], None], warn: Callable[[str], None]) -> None:
        """Take the remaining steps.

        Args:
            loss_of: `(module, step, rows) -> scalar`, the mean loss over these rows of the step's batch.
            on_step: called after each step; an exception in it ends the training, after a checkpoint.
            warn: called with a message when a batch does not fit and is split.

        Raises:
            TrainingFailed: the loss is not finite, or one example alone does not fit into memory.
        """
        wrapped = self.workers.wrap(self.module)
        began, first = time.monotonic(), self.step
        self.module.train()
        try:
            while self.step < self.options.steps:
                loss = self._step(wrapped, loss_of, warn)
                state = self.state
                state.mean = loss if state.step == 0 else 0.98 * state.mean + 0.02 * loss
                state.step += 1
                rate = (state.step - first) * self.options.batch_size / (time.monotonic() - began)
                if state.step % self.options.save_every == 0 and state.step < self.options.steps:
                    self.save()
                on_step(Progress(state.step, loss, state.mean, rate))
        except TrainingFailed:
            raise
        except BaseException as error:  # cancelled, interrupted, disk full: no progress is lost
            if self.step > first and not self._updating:
                self.save()
                if isinstance(error, Cancelled | KeyboardInterrupt):
                    warn(f"stopped after step {self.step} of {self.options.steps}: run the same command to continue")
            if self.workers.lost(error):
                raise TrainingFailed(
                    None,
                    found=f"another of the {self.workers.count} processes of this training, which has ended",
                    expected="all of them until the end",
                    fix=f"see what it printed; the same command goes on after step {self.step}, in fewer processes too",
                ) from error
            raise
        finally:
            self.module.eval()
        if self.step > first:
            self.save()
        self.workers.wait()  # so that all find the checkpoint, and none ends while another is still summing

    def rehearse(self, loss_of: LossOf) -> None:
        """Take a step that has moments, on tensors without values: nobody can read its loss, and nothing is learned."""
        self._scaler = None  # it reads whether gradients are finite
        self.module.train()
        if not self.state.optimizer.state:
            for value in self.values.values():
                value.grad = torch.empty_like(value)
            self._update()
        self._gradients(self.module, loss_of)
        self._update()

    def _step(self, wrapped: nn.Module, loss_of: LossOf, warn: Callable[[str], None]) -> float:
        losses = None
        while losses is None:
            try:
                losses = self._gradients(wrapped, loss_of)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                self._make_smaller(error, warn)
        loss = self.workers.mean(losses)
        if not math.isfinite(loss):
            kept = self.step // self.options.save_every * self.options.save_every
            raise TrainingFailed(
                "learning_rate",
                found=f"a loss of {loss} at step {self.step + 1}",
                expected="a finite loss",
                fix=f"lower learning_rate ({self.options.learning_rate:g}), or set precision to float32"
                + (f"; the checkpoint of step {kept} is intact" if kept else ""),
            )
        self._updating = True
        self._update()
        self._updating = False
        return loss

    def _make_smaller(self, error: Exception, warn: Callable[[str], None]) -> None:
        """After memory ran out: make do with less for the same bits, or else halve the micro-batch.

        Raises:
            TrainingFailed: it is a single example already, or there are other processes, which would not know.
        """
        forget(error)  # its frames hold the tensors of the failed try
        self.state.optimizer.zero_grad(set_to_none=True)
        if self._spare():
            warn("the batch does not fit into memory: going on with less of it, more slowly, to the same result")
            return
        if self.micro == 1 or self.workers.count > 1:
            what = "one example alone" if self.micro == 1 else "a batch"
            raise TrainingFailed(
                "batch_size",
                found=f"{what} that does not fit into memory",
                expected="room for it",
                fix="set checkpointing to true, use a smaller size or micro_batch",
            ) from error
        self.micro = max(1, self.micro // 2)
        warn(f"the batch does not fit into memory: from now on {self.micro} examples at a time")

    def rows(self) -> list[range]:
        """The rows of each micro-batch of this process, in order."""
        share = self.options.batch_size // self.workers.count
        begin = self.workers.rank * share
        return [
            range(start, min(start + self.micro, begin + share)) for start in range(begin, begin + share, self.micro)
        ]

    def _gradients(self, wrapped: nn.Module, loss_of: LossOf) -> list[Tensor]:
        """Add up the gradients of this process's rows; returns the terms of their mean loss, on the device."""
        share = self.options.batch_size // self.workers.count
        terms, all_rows = [], self.rows()
        for rows in all_rows:
            last = rows == all_rows[-1]
            with self.workers.unsynchronised(wrapped) if not last else nullcontext():
                with self._autocast():
                    loss = loss_of(wrapped, self.step, rows)
                term = loss * (len(rows) / share)
                scaled = term if self._scaler is None else self._scaler.scale(term)
                scaled.backward()
            terms.append(term.detach())
        return terms

    def _autocast(self) -> AbstractContextManager[object]:
        return nullcontext() if self._dtype is None else torch.autocast(self.workers.device.type, self._dtype)

    def _update(self) -> None:
        options, optimizer = self.options, self.state.optimizer
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(
                options.learning_rate, self.step, steps=options.steps, warmup=options.warmup, decay=options.decay
            )
        if self._scaler is not None:
            self._scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(self.values.values(), options.max_norm)
        if self._scaler is None:
            optimizer.step()
        else:
            self._scaler.step(optimizer)
            self._scaler.update()
        optimizer.zero_grad(set_to_none=True)
        update_average(self.state.average, self.values, options.ema, self.step)

    def result(self) -> dict[str, Tensor]:
        """The averaged weights, or the last ones if no average is kept."""
        return self.state.average or {name: value.detach() for name, value in self.values.items()}

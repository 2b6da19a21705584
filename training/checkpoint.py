"""The checkpoint of a training: weights, average and optimizer to the bit, in one safetensors file.

Loading one runs no code. It is written to a new file, flushed, then renamed, so there is always a complete one.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from ..graph_runtime import ModelError
from ..graph_runtime.core.files import replacing
from ..graph_runtime.core.light.later import Tensor, torch
from ..graph_runtime.core.values import without_gradients
from .errors import TrainingFailed

CHECKPOINT = "checkpoint.safetensors"


@dataclass
class TrainingState:
    """Everything that changes from step to step.

    Attributes:
        values: the weights that are trained, by name.
        average: their moving average by the same names; empty if none is kept.
        optimizer: AdamW, fused.
        scaler: of the loss in float16.
        step: steps taken.
        mean: running mean of the loss.
    """

    values: dict[str, Tensor]
    average: dict[str, Tensor]
    optimizer: torch.optim.Optimizer
    scaler: "torch.amp.GradScaler | None" = None
    step: int = 0
    mean: float = 0.0


def write_checkpoint(folder: Path, key: str, state: TrainingState) -> None:
    """Write the checkpoint of a training that has taken at least one step.

    Raises:
        TrainingFailed: the disk is full or not writable; the previous checkpoint is intact.
    """
    tensors: dict[str, Tensor] = {}
    updates = float(state.optimizer.state[next(iter(state.values.values()))]["step"])  # all were updated together
    for name, value in state.values.items():
        moments = state.optimizer.state[value]
        tensors |= {
            f"value.{name}": value,
            f"first.{name}": moments["exp_avg"],
            f"second.{name}": moments["exp_avg_sq"],
        }
        if state.average:
            tensors[f"average.{name}"] = state.average[name]
    about: dict[str, JsonValue] = {"key": key, "step": state.step, "mean": state.mean, "updates": updates}
    if state.scaler is not None:
        about["scaler"] = state.scaler.state_dict()
    write_tensors(tensors, folder / CHECKPOINT, about)


def read_checkpoint(folder: Path, key: str, state: TrainingState) -> bool:
    """Restore a training from its checkpoint, in place; False if there is none.

    Raises:
        ModelError: the checkpoint is damaged, or belongs to another training.
    """
    path = folder / CHECKPOINT
    if not path.exists():
        return False
    from safetensors import SafetensorError

    from ..models.files.safetensors_header import read_header

    try:
        about = _about(read_header(path).metadata)
    except ModelError as error:
        raise _unusable(error.found) from error
    if about.get("key") != key:
        raise ModelError(
            "prefix",
            found=f"a checkpoint of another training in {folder}",
            expected="one of this training",
            fix="use another prefix, or set resume to false",
        )
    try:
        _restore(path, about, state)
    except (KeyError, TypeError, ValueError, OverflowError, RuntimeError, SafetensorError) as error:
        raise _unusable(f"a checkpoint that does not fit: {error}") from error
    return True


@without_gradients
def _restore(path: Path, about: Mapping[str, JsonValue], state: TrainingState) -> None:
    from safetensors import safe_open

    step, mean, updates = int(_number(about["step"])), _number(about["mean"]), _number(about["updates"])
    if step < 0 or not math.isfinite(mean + updates):
        raise ValueError(f"step {step}, mean {mean}, updates {updates}")
    with safe_open(str(path), framework="pt") as file:
        for name, value in state.values.items():
            value.copy_(_like(value, file.get_tensor(f"value.{name}")))
            if state.average:
                state.average[name].copy_(_like(value, file.get_tensor(f"average.{name}")))
            state.optimizer.state[value] = {
                "step": torch.tensor(updates, device=value.device),  # the fused update counts on the device
                "exp_avg": _like(value, file.get_tensor(f"first.{name}")),
                "exp_avg_sq": _like(value, file.get_tensor(f"second.{name}")),
            }
    state.step, state.mean = step, mean
    if state.scaler is not None:
        scaler = about["scaler"]
        if not isinstance(scaler, dict):
            raise TypeError(f"a scaler of type {type(scaler).__name__}")
        state.scaler.load_state_dict(scaler)


def _number(value: JsonValue) -> float:
    if not isinstance(value, int | float):
        raise TypeError(f"a {type(value).__name__} where a number is needed")
    return value


def _like(value: Tensor, stored: Tensor) -> Tensor:
    """A stored tensor in the memory layout of a parameter, because the fused optimizer pairs elements by position in
    memory.

    Raises:
        ValueError: it has another shape, or holds NaN or infinity.
    """
    if stored.shape != value.shape:
        raise ValueError(f"a tensor of shape {list(stored.shape)} where {list(value.shape)} are trained")
    if not torch.isfinite(stored).all():
        raise ValueError(f"NaN or infinity in a tensor of shape {list(stored.shape)}")
    return torch.empty_like(value).copy_(stored)


def _unusable(found: str) -> ModelError:
    return ModelError(
        "resume",
        found=found,
        expected="a checkpoint of this training",
        fix="set resume to false: the checkpoint is set aside, and training starts again",
    )


def _about(metadata: Mapping[str, str]) -> dict[str, JsonValue]:
    """The JSON object in a header's metadata; empty if there is none."""
    try:
        about = json.loads(metadata.get("inlay", "{}"))
    except ValueError:
        return {}
    return about if isinstance(about, dict) else {}


def write_tensors(tensors: Mapping[str, Tensor], path: Path, about: Mapping[str, JsonValue] | None = None) -> None:
    """Write a safetensors file atomically; `about` goes into its header as one JSON text.

    It is a single entry, because the library does not keep the order of several.

    Raises:
        TrainingFailed: the disk is full or not writable; the old file is intact.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    try:
        with replacing(path, parents=True, flush=True) as beside:
            save_file(
                {name: value.detach().cpu().contiguous() for name, value in tensors.items()},
                str(beside),
                None if about is None else {"inlay": json.dumps(about)},
            )
    except (OSError, SafetensorError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        resumes = path.with_name(CHECKPOINT).is_file()
        raise TrainingFailed(
            None,
            found=f"{path} could not be written: {why}",
            expected="room for it on the disk, and nothing else of that name",
            fix=f"make room in {path.parent}, then run again"
            + (": training continues from the previous checkpoint, which is intact" if resumes else ""),
        ) from error

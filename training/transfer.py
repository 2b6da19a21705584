"""Moving NamedTuples of tensors to the device, without waiting where the memory allows it."""

from collections.abc import Callable
from typing import TypeVar

from ..graph_runtime.core.light.later import Tensor, torch

Tensors = TypeVar("Tensors", bound=tuple[object, ...])  # a NamedTuple of tensors, or of such NamedTuples


def pinned(value: Tensors, device: torch.device) -> Tensors:
    """The same on the CPU; where `device` is a GPU, in memory that it can copy from on its own."""
    if device.type != "cuda":
        return value
    return _each(value, Tensor.pin_memory)


def to_device(value: Tensors, device: torch.device) -> Tensors:
    """The same on a device; from pinned memory the copy runs while the CPU continues."""
    return _each(value, lambda tensor: tensor.to(device, non_blocking=device.type == "cuda"))


def _each(value: Tensors, change: Callable[[Tensor], Tensor]) -> Tensors:
    changed = [
        change(item) if isinstance(item, Tensor) else _each(item, change) if isinstance(item, tuple) else item
        for item in value
    ]
    same: Callable[..., Tensors] = type(value)  # a NamedTuple takes its fields one by one
    return same(*changed)

"""A tensor's numbers and its layout in memory, so that a stored tensor comes back laid out as it was.

Kernels are picked by strides and alignment: the same numbers in another layout may give other last bits downstream.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..tensors import ALIGNMENT, owned
from .types import NotStorable

Layout = list[list[int]] | None  # size, stride, [elements before an aligned address]; None: contiguous and aligned


def take_apart(tensor: Tensor) -> tuple[Tensor, Layout]:
    """The numbers of a tensor, contiguous, and its layout.

    Raises:
        NotStorable: on another device than the CPU, of a subclass, with gradients, sparse, complex or overlapping.
    """
    plain = (
        type(tensor) is torch.Tensor and tensor.layout == torch.strided and not tensor.requires_grad and _real(tensor)
    )
    if not plain or tensor.device.type != "cpu":
        raise NotStorable(f"a tensor of {tensor.dtype} on {tensor.device} that is not plain numbers")
    once = tensor
    for axis, stride in enumerate(tensor.stride()):
        if stride == 0 and tensor.shape[axis] > 1:  # expanded: the numbers are there once
            once = once.narrow(axis, 0, 1)
    if _overlaps(once.shape, once.stride()):
        raise NotStorable("a tensor that holds some numbers twice")
    bytes_past = tensor.data_ptr() % ALIGNMENT
    if tensor.is_contiguous() and not bytes_past:
        return tensor, None
    lead = bytes_past // tensor.element_size()
    return once.contiguous(), [list(tensor.shape), list(tensor.stride()), [lead]]


def put_together(numbers: Tensor, layout: Layout) -> Tensor:
    """The tensor of these numbers in that layout, in torch's own memory.

    Raises:
        ValueError: the layout does not fit the numbers.
    """
    if layout is None:
        return owned(numbers)
    size, stride, (lead,) = layout
    narrowed = [1 if step == 0 else length for length, step in zip(size, stride, strict=True)]
    if list(numbers.shape) != narrowed or lead < 0 or min(stride, default=0) < 0:
        raise ValueError("the layout does not fit the numbers")
    if not numbers.numel():
        return torch.empty_strided(size, stride, dtype=numbers.dtype)
    extent = 1 + sum((length - 1) * step for length, step in zip(narrowed, stride, strict=True))
    room = torch.empty(lead + extent, dtype=numbers.dtype)
    room.as_strided(narrowed, stride, lead).copy_(numbers)
    return room.as_strided(size, stride, lead)


def _real(tensor: Tensor) -> bool:
    return not (tensor.is_complex() or tensor.is_quantized or tensor.is_neg())


def _overlaps(shape: Sequence[int], stride: Sequence[int]) -> bool:
    """True if two places of a tensor may share memory; of some odd layouts that do not, also true."""
    reach = 1
    for step, length in sorted((step, length) for step, length in zip(stride, shape, strict=True) if length > 1):
        if step < reach:
            return True
        reach += step * (length - 1)
    return False

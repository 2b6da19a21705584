"""Tensors that are made of others, such as quantised weights: what they hold, and the same made of other parts.

torch calls them traceable wrapper subclasses. They have no memory of their own: their size, and where they are, is that
of their parts.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from torch import Tensor


def is_compound(tensor: "Tensor") -> bool:
    """True for a tensor that is made of others."""
    return hasattr(type(tensor), "__tensor_flatten__") and hasattr(type(tensor), "__tensor_unflatten__")


def inner_tensors(tensor: "Tensor") -> "list[Tensor]":
    """The plain tensors that hold its numbers: itself, or its parts."""
    if not is_compound(tensor):
        return [tensor]
    names = tensor.__tensor_flatten__()[0]  # type: ignore[attr-defined]  # of such tensors
    return [plain for name in names for plain in inner_tensors(getattr(tensor, name))]


def rebuilt(tensor: "Tensor", change: "Callable[[Tensor], Tensor]") -> "Tensor":
    """The same tensor with what `change` gives in the place of each plain one, in the order of `inner_tensors`."""
    if not is_compound(tensor):
        return change(tensor)
    names, context = tensor.__tensor_flatten__()  # type: ignore[attr-defined]  # of such tensors
    parts = {name: rebuilt(getattr(tensor, name), change) for name in names}
    made = type(tensor).__tensor_unflatten__(parts, context, tensor.shape, tensor.stride())  # type: ignore[attr-defined]
    return cast("Tensor", made)


def laid_out(tensor: "Tensor", memory: "Tensor", begins: Sequence[int]) -> "Tensor":
    """A tensor like it in a memory of bytes, its plain ones at `begins`; the numbers are those that are there."""
    coming = iter(begins)

    def view(plain: "Tensor") -> "Tensor":
        begin = next(coming)
        part = memory[begin : begin + tensor_bytes(plain)].view(plain.dtype)
        return part.as_strided(plain.shape, plain.stride())

    return rebuilt(tensor, view)


def tensor_bytes(tensor: "Tensor") -> int:
    """Bytes of its numbers as they are held: a quantised weight says that it has others."""
    return sum(plain.numel() * plain.element_size() for plain in inner_tensors(tensor))

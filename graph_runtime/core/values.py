"""Helpers for values between nodes: short descriptions, comparison, and copies outside a host's inference mode.

A tensor made in inference mode may never be saved for backward or changed in place outside it.
"""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeGuard, TypeVar

from .. import BadInput
from .light.later import Tensor, torch
from .light.sketch import Sketch

P = ParamSpec("P")  # of a function
R = TypeVar("R")  # what it returns

_AT_ONCE = 2**22  # values


def describe(value: object) -> str:
    """A value in a few words, for error messages: type, dtype and shape rather than contents."""
    if isinstance(value, Tensor):
        return f"a {str(value.dtype).removeprefix('torch.')} tensor of shape {list(value.shape)}"
    return f"a {type(value).__name__}"


def require_finite(value: Tensor, port: str, *, what: str, fix: str) -> Tensor:
    """`value` unless it holds NaN or infinity; what has a shape and no values yet passes."""
    if value.is_meta:
        return value
    parts = value.view(-1).split(_AT_ONCE) if value.is_contiguous() else [value]
    if not all(bool(torch.isfinite(part).all()) for part in parts):  # of a large photo, this takes gigabytes at once
        bad = int((~torch.isfinite(value)).sum())
        raise BadInput(
            port,
            found=f"{bad} of {value.numel()} values of {what} are NaN or infinite",
            expected="finite numbers",
            fix=fix,
        )
    return value


def only_shape(value: object) -> TypeGuard[Tensor]:
    """True for a tensor that has a shape but no values yet."""
    return isinstance(value, Tensor) and value.is_meta


def same_values(one: Tensor, other: Tensor) -> bool:
    """True for equal tensors; if one has no values yet, for equal shapes."""
    if only_shape(one) or only_shape(other):
        return tuple(one.shape) == tuple(other.shape)
    if isinstance(one, Sketch) and isinstance(other, Sketch):
        return tuple(one.shape) == tuple(other.shape) and bool((one == other).all())
    return torch.equal(one, other)


@contextmanager
def plain_mode() -> Iterator[None]:
    """No gradients, and no inference mode: what is made here can be used anywhere."""
    with torch.inference_mode(False), torch.no_grad():
        yield


def without_gradients(function: Callable[P, R]) -> Callable[P, R]:
    """A function that computes no gradients, as under `torch.no_grad()`."""

    @functools.wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> R:
        with torch.no_grad():
            return function(*args, **kwargs)

    return called


def plain(value: Tensor) -> Tensor:
    """A tensor outside inference mode: a copy if it was inside."""
    return value.clone() if value.is_inference() else value


def to_host(value: Tensor) -> Tensor:
    """A value as it travels between nodes: on the CPU, float64 if it is, else float32."""
    precision = torch.float64 if value.dtype == torch.float64 else torch.float32
    return value.detach().to("cpu", precision).contiguous()

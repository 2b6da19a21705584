"""The tensors inside a value: in lists, tuples, dicts and frozen dataclasses, as sockets carry them.

A kept value must not change when whoever received it writes into a tensor of it.
"""

import copy
import dataclasses
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from .types import is_named_tuple

if TYPE_CHECKING:
    from torch import Tensor

_DEPTH = 6


def tensors_in(value: object, depth: int = 0) -> "Iterator[Tensor]":
    """Every tensor in a value."""
    torch = sys.modules.get("torch")
    if torch is None or value is None or depth > _DEPTH or isinstance(value, (str, bytes, int, float)):
        return
    if isinstance(value, torch.Tensor):
        yield value
    for part in parts_of(value).values():
        yield from tensors_in(part, depth + 1)


def copied(value: object) -> object:
    """A value whose tensors are copies; one that stands in several places stays one tensor."""
    return _copied(value, {}, 0)


def _copied(value: object, known: "dict[int, Tensor]", depth: int) -> object:
    torch = sys.modules.get("torch")
    if torch is None or depth > _DEPTH:
        return value
    if isinstance(value, torch.Tensor):
        return known.setdefault(id(value), value if id(value) in known else value.clone())
    return with_parts(value, lambda part: _copied(part, known, depth + 1))


def with_parts(value: object, change: Callable[[object], object]) -> object:
    """A value of the same kind with each of its parts changed; the value itself if none is."""
    parts = parts_of(value)
    new = {name: change(part) for name, part in parts.items()}
    if all(new[name] is part for name, part in parts.items()):
        return value
    if isinstance(value, list):
        return list(new.values())
    if isinstance(value, tuple):
        return value._make(new.values()) if hasattr(value, "_make") else tuple(new.values())
    if isinstance(value, dict):
        return new
    twin = copy.copy(value)
    for name, part in new.items():
        object.__setattr__(twin, str(name), part)
    return twin


def parts_of(value: object) -> dict[object, object]:
    """What a value holds, by index, key or field; nothing for a tensor and the like."""
    if isinstance(value, dict):
        return dict(value)
    if isinstance(value, list) or type(value) is tuple or is_named_tuple(type(value)):
        return dict(enumerate(value))  # type: ignore[arg-type]  # a tuple, as its type says
    settings = getattr(type(value), "__dataclass_params__", None)
    if settings is None or not settings.frozen:
        return {}
    return {one.name: getattr(value, one.name, None) for one in dataclasses.fields(value)}  # type: ignore[arg-type]

"""What is known of a value before it exists, while a workflow is checked.

A picture, mask or latent that does not exist yet is a tensor on the `meta` device: it has a shape and no values. A mask
whose values are cheap to know (a small file, a drawn shape) is the mask itself. So the same `require_…` functions judge
what is there and what will be; those that look at values let a meta tensor pass.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, TypeGuard

import torch
from torch import Tensor

from ...graph_runtime.core.notices import notice
from ...graph_runtime.core.port_types import PartlyKnown

Known = Mapping[str, Any]  # Any: what is known of each input, of whatever type its socket has
Params = Mapping[str, Any]  # Any: the settings, of the types that the node declares
Facts = Mapping[str, Any]  # Any: what is known of each output
CHEAP = 2_000_000  # values up to which a mask is followed through the nodes that change it


@dataclass(frozen=True)
class Counted(PartlyKnown):
    """All that is known of what a batch of files says before they are read: how many there are."""

    count: int


def shaped(*shape: int) -> Tensor:
    """A tensor of which only the shape is known."""
    return torch.empty(shape, device="meta")


def cheap(value: Any) -> TypeGuard[Tensor]:
    """True for a tensor whose values are known, and few enough to work with while checking."""
    return isinstance(value, Tensor) and not value.is_meta and value.numel() <= CHEAP


def sketch(value: Tensor) -> Tensor:
    """The tensor itself where it is cheap, else its shape alone."""
    return value if cheap(value) else torch.empty(value.shape, dtype=value.dtype, device="meta")


def described(*values: Any) -> bool:
    """True where each of these descriptions of models is there, and can be read without a network."""
    return all(value is not None and getattr(value, "known", False) for value in values)


def rehearse(function: Callable[..., Any], known: Known, params: Params) -> Facts:
    """Facts of a node's outputs from the node itself, run on shapes; nothing where an input is not known.

    For nodes that only look at shapes, or whose work is small where values are known. What they warn of is said while
    checking, in the words in which the run would say it.
    """
    spec = function.spec  # type: ignore[attr-defined]
    values = {name: known[name] for name in spec.sockets if name in known}
    if len(values) < len(spec.sockets):
        return {}
    if any(isinstance(value, PartlyKnown) or not getattr(value, "known", True) for value in values.values()):
        return {}
    if spec.context is not None:
        values[spec.context] = SimpleNamespace(warn=notice, listeners=(), progress=lambda *_, **__: None)
    made: dict[str, Any] = spec.run(**values, **params)._asdict()
    return made

"""What is known of a value before it exists, while a workflow is checked.

A picture, mask or latent that does not exist yet is a `Sketch`: it has a shape and no values. A mask whose values are
cheap to know (a small file, a drawn shape) is a sketch with values. So the same `require_…` functions judge what is
there and what will be; those that look at values let a sketch without them pass. None of this imports torch.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeGuard, TypeVar, cast

import numpy as np

from ...graph_runtime.core.bounded.effort import affords
from ...graph_runtime.core.context import Context
from ...graph_runtime.core.light.later import Tensor
from ...graph_runtime.core.light.sketch import Sketch, Values
from ...graph_runtime.core.notices import notice
from ...graph_runtime.core.port_types import PartlyKnown
from ...graph_runtime.core.spec import NodeFunction

if TYPE_CHECKING:
    from PIL.Image import Image

Known = Mapping[str, Any]  # Any: what is known of each input, of whatever type its socket has
Params = Mapping[str, Any]  # Any: the settings, of the types that the node declares
Facts = Mapping[str, Any]  # Any: what is known of each output
D = TypeVar("D")
CHEAP = 2_000_000  # values up to which a mask is followed through the nodes that change it


@dataclass(frozen=True)
class Counted(PartlyKnown):
    """All that is known of a batch of files before they are read: how many there are."""

    count: int


class CheckContext(Context):
    """What a node gets as its run while it is only checked: its warnings are those of the check."""

    def warn(self, message: str) -> None:
        """Warn the user; the check adds the node's name."""
        notice(message)

    def progress(self, step: int, total: int, preview: "Image | None" = None, note: str = "") -> None:
        """Nothing: a check shows no progress."""


def shaped(*shape: int) -> Tensor:
    """A tensor of which only the shape is known."""
    return cast(Tensor, Sketch(shape))


def empty(*shape: int) -> Tensor:
    """A mask of zeros, which takes no memory."""
    return with_values(np.broadcast_to(np.zeros(1, np.float32), shape))


def with_values(values: Values) -> Tensor:
    """A tensor of these numbers where they are cheap, else their shape alone."""
    found = Sketch.of(values)
    return cast(Tensor, found if worth(found.numel()) else Sketch(found.shape, found.kind))


def cheap(value: object) -> TypeGuard[Tensor]:
    """True for a tensor whose values are known, and few enough to work with while checking."""
    return isinstance(value, Tensor) and not value.is_meta and worth(value.numel())


def worth(values: int) -> bool:
    """True if so many values are few enough to work with while checking."""
    return values <= CHEAP and affords(values)


def described(value: D | None) -> TypeGuard[D]:
    """True where the description of a model is there, and can be read without a network."""
    return value is not None and bool(getattr(value, "known", False))


def rehearse(function: NodeFunction[..., NamedTuple], known: Known, params: Params) -> Facts:
    """Facts of a node's outputs from the node itself, run on shapes; nothing where an input is not known.

    For nodes that only look at shapes, or whose work is small where values are known. Their warnings appear while
    checking, in the words of the run.
    """
    spec = function.spec
    values = {name: known[name] for name in spec.sockets if name in known}
    if len(values) < len(spec.sockets):
        return {}
    if any(isinstance(value, PartlyKnown) or not getattr(value, "known", True) for value in values.values()):
        return {}
    if spec.context is not None:
        values[spec.context] = CheckContext()
    return dict(zip(spec.outputs, spec.run(**values, **params), strict=True))

"""Attention processors on a UNet for the length of a run: wrapped in layers, always restored.

Several runs, in several threads, may share one UNet. Each kind of layer is installed once, however many runs ask for
it, and removed with the last of them; the original processors return with the last layer.
"""

import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, cast

from .light.later import Tensor, nn

Processor = Callable[..., Tensor]  # diffusers' attention processors take what their module is given


class Attention(Protocol):
    """The attributes of diffusers' `Attention` that show its form and its processor."""

    processor: Processor
    residual_connection: bool
    rescale_output_factor: float
    norm_cross: object
    spatial_norm: object
    group_norm: object
    norm_q: object
    added_kv_proj_dim: int | None


#: (name, attention module, processor so far) -> processor
Wrap = Callable[[str, Any, Processor], Processor]  # Any: diffusers' own `Attention`, which core does not import
_SWITCHING = threading.RLock()
_STATES: "weakref.WeakKeyDictionary[nn.Module, _State]" = weakref.WeakKeyDictionary()


class _State:
    """The original processors of a UNet, and its current layers: how often each was requested, and how it wraps."""

    def __init__(self, unet: nn.Module) -> None:
        self.before = {name: module.processor for name, module in attentions(unet)}
        self.layers: dict[str, tuple[int, Wrap]] = {}

    def install(self, unet: nn.Module) -> None:
        """Give every module its original processor, wrapped by each layer in the order of their names."""
        for name, module in attentions(unet):
            processor = self.before[name]
            for layer in sorted(self.layers):
                processor = self.layers[layer][1](name, module, processor)
            module.processor = processor


def attentions(unet: nn.Module) -> list[tuple[str, Attention]]:
    """(name, module) of every attention, in the order in which the UNet calls them: down, middle, up."""
    order = {"down_blocks": 0, "mid_block": 1, "up_blocks": 2}
    found = [
        (name, cast(Attention, module))
        for name, module in unet.named_modules()
        if hasattr(module, "set_processor") and hasattr(module, "to_q")
    ]
    return sorted(found, key=lambda item: order.get(item[0].partition(".")[0], 3))


@contextmanager
def original_processors(unet: nn.Module) -> Iterator[dict[str, Processor]]:
    """The processors without any layer, by module name; inside the block no run installs or removes one."""
    with _SWITCHING:
        state = _STATES.get(unet)
        yield dict(state.before) if state is not None else {name: module.processor for name, module in attentions(unet)}


@contextmanager
def wrapped_processors(unet: nn.Module, layer: str, wrap: Wrap) -> Iterator[None]:
    """Wrap every attention processor of a UNet for the length of the block."""
    with _SWITCHING:
        state = _STATES.get(unet)
        if state is None:
            state = _STATES[unet] = _State(unet)
        count, first = state.layers.get(layer, (0, wrap))
        state.layers[layer] = (count + 1, first)
        if count == 0:
            state.install(unet)
    try:
        yield
    finally:
        with _SWITCHING:
            count, first = state.layers.pop(layer)
            if count > 1:
                state.layers[layer] = (count - 1, first)
            else:
                state.install(unet)
            if not state.layers:
                _STATES.pop(unet, None)

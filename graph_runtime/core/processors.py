"""Attention processors on a UNet, for the length of a run: put on in layers, taken off whatever happens.

Several runs, in several threads, may share one UNet. Each kind of layer is put on once, however many runs ask for it,
and goes with the last of them; what was there before comes back with the last layer.
"""

import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, cast

from torch import Tensor, nn

Processor = Callable[..., Tensor]  # diffusers' attention processors take what their module is given


class Attention(Protocol):
    """The part of diffusers' `Attention` that tells which form it has, and by what it computes."""

    processor: Processor
    residual_connection: bool
    rescale_output_factor: float
    norm_cross: object
    spatial_norm: object
    group_norm: object
    norm_q: object
    added_kv_proj_dim: int | None


Wrap = Callable[[str, Attention, Processor], Processor]  # (name, attention module, processor so far) -> processor
_SWITCHING = threading.RLock()
_STATES: "weakref.WeakKeyDictionary[nn.Module, _State]" = weakref.WeakKeyDictionary()


class _State:
    """What a UNet had, and the layers on it now: how often each was asked for, and how it wraps."""

    def __init__(self, unet: nn.Module) -> None:
        self.before = {name: module.processor for name, module in attentions(unet)}
        self.layers: dict[str, tuple[int, Wrap]] = {}

    def put(self, unet: nn.Module) -> None:
        """Every module's processor: what it had, wrapped by each layer in the order of their names."""
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
def usual(unet: nn.Module) -> Iterator[dict[str, Processor]]:
    """Every processor by its module's name as it is without controls; inside the block no run puts one on or off."""
    with _SWITCHING:
        state = _STATES.get(unet)
        yield dict(state.before) if state is not None else {name: module.processor for name, module in attentions(unet)}


@contextmanager
def layered(unet: nn.Module, layer: str, wrap: Wrap) -> Iterator[None]:
    """Wrap every attention processor of a UNet for the length of the block."""
    with _SWITCHING:
        state = _STATES.get(unet)
        if state is None:
            state = _STATES[unet] = _State(unet)
        count, first = state.layers.get(layer, (0, wrap))
        state.layers[layer] = (count + 1, first)
        if count == 0:
            state.put(unet)
    try:
        yield
    finally:
        with _SWITCHING:
            count, first = state.layers.pop(layer)
            if count > 1:
                state.layers[layer] = (count - 1, first)
            else:
                state.put(unet)
            if not state.layers:
                _STATES.pop(unet, None)

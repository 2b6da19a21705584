"""Layers without memory for their weights."""

from collections.abc import Callable, Iterable, Mapping

import torch
from torch.overrides import TorchFunctionMode


class NoMemory(TorchFunctionMode):
    """`torch.empty`, from which layers make their weights, on the meta device."""

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: Iterable[type],
        args: tuple[object, ...] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        settings = dict(kwargs or {})
        if func is torch.empty and settings.get("device") is None:
            settings["device"] = "meta"
        return func(*args, **settings)

"""Move a module's weights between a device and CPU memory, one tensor at a time, bit for bit."""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from .inner_tensors import is_compound, rebuilt, tensor_bytes

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn


def can_move(module: object) -> bool:
    """True for what is known to hold all that it has in its parameters and buffers."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(module, torch.nn.Module)


def module_bytes(module: object) -> int:
    """Bytes of a module's own tensors; one that has several names counts once. 0 for what is no module."""
    if not (hasattr(module, "parameters") and hasattr(module, "buffers")):
        return 0
    return sum(tensor_bytes(tensor) for tensor in [*module.parameters(), *module.buffers()])


def to_host(module: "nn.Module", *, pin: bool) -> None:
    """Move weights to CPU memory; `pin` has it page-locked, where that is possible: a GPU reads it at once.

    With `pin`, weights that are in CPU memory already are page-locked too.
    """
    import torch

    def host(tensor: "Tensor") -> "Tensor":
        if tensor.device.type == "cpu" and (not pin or tensor.is_pinned()):
            return tensor
        try:
            beside = torch.empty_like(tensor, device="cpu", pin_memory=pin)
        except RuntimeError:
            if not pin:
                raise
            if tensor.device.type == "cpu":
                return tensor  # the system locks no more pages
            beside = torch.empty_like(tensor, device="cpu")
        return beside.copy_(tensor)

    _replace(module, host)


def give_back(device: str) -> None:
    """Return to the device what torch has freed of it and keeps."""
    import torch

    if device.startswith("cuda"):
        torch.cuda.empty_cache()
    elif device.startswith("mps"):
        torch.mps.empty_cache()


def to_device(module: "nn.Module", device: str) -> None:
    """Move weights to a device; after an error, a second call goes on with those that are left."""
    import torch

    place = torch.device(device)
    _replace(module, lambda tensor: tensor if tensor.device == place else tensor.to(place))


def _replace(module: "nn.Module", moved: "Callable[[torch.Tensor], torch.Tensor]") -> None:
    """Put what `moved` gives in the place of every parameter and buffer; shared tensors stay shared."""
    import torch

    done: dict[tuple[object, ...], Tensor] = {}

    def once(tensor: "Tensor") -> "Tensor":
        place = (str(tensor.device), tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride())
        if tensor.numel() == 0 or place not in done:
            done[place] = moved(tensor)
        return done[place]

    compound: dict[int, nn.Parameter] = {}  # by the id of what they replace, which lives as long as this does
    kept = []
    with torch.inference_mode(False), torch.no_grad():
        for parameter in module.parameters():
            if not is_compound(parameter.data):
                parameter.data = once(parameter.data)
        for part in module.modules():
            for name, weight in part._parameters.items():
                if weight is None or not is_compound(weight.data):
                    continue
                if id(weight) not in compound:  # its parts cannot be exchanged: another one takes its place
                    kept.append(weight)
                    compound[id(weight)] = torch.nn.Parameter(rebuilt(weight.data, once), weight.requires_grad)
                part._parameters[name] = compound[id(weight)]
            part._buffers.update({name: once(value) for name, value in part._buffers.items() if value is not None})

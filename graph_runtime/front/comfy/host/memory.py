"""The host's memory management: it learns of the weights that a lease holds."""

import inspect
import logging
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING

from ....core.models import AnyDescription, ModelManager, _Resident
from .modules import ask, host_module

if TYPE_CHECKING:
    import torch

logger = logging.getLogger("inlay")


class HostModelManager(ModelManager):
    """Leases whose weights the host manages: it may move them to the CPU when others need the memory, and back."""

    def __init__(self, device: str) -> None:
        super().__init__((device,), log=logger.info, place=self._hand_over)
        self._patchers: dict[int, tuple[object, torch.nn.Module]] = {}  # by module: the host's handle, what it holds

    def _bring_in(self, description: AnyDescription, device: str) -> _Resident:
        """Ask the host to free memory first: it knows what else is on the device."""
        ask("comfy.model_management", "free_memory", description.nbytes() * 1.1, _device(device))
        return super()._bring_in(description, device)

    def _evict(self, key: tuple[AnyDescription, str], reason: str) -> int:
        self._patchers.pop(id(self._resident[key].module), None)
        return super()._evict(key, reason)

    def _hand_over(self, module: object, device: str) -> None:
        management, patching = host_module("comfy.model_management"), host_module("comfy.model_patcher")
        load = getattr(management, "load_models_gpu", None)
        if load is None or not hasattr(patching, "ModelPatcher"):
            return
        if id(module) not in self._patchers:
            holder = _holder(module)
            if holder is None:
                return
            offload = ask("comfy.model_management", "unet_offload_device") or _device("cpu")
            patcher = patching.ModelPatcher(holder, _device(device), offload)  # type: ignore[union-attr]
            self._patchers[id(module)] = (patcher, holder)
        patcher, holder = self._patchers[id(module)]
        whole = {"force_full_load": True} if "force_full_load" in inspect.signature(load).parameters else {}
        load([patcher], **whole)  # fully, because plain layers cannot run half on the CPU
        holder.to(_device(device))


def _device(name: str) -> "torch.device":
    import torch

    return torch.device(name)


def _holder(value: object) -> "torch.nn.Module | None":
    """A plain module around every module in a lease: the host sets `device` on it, read-only on diffusers' models."""
    import torch

    inside = (
        [value]
        if isinstance(value, torch.nn.Module)
        else [
            item
            for item in (
                value.values()
                if isinstance(value, Mapping)
                else value
                if isinstance(value, (list, tuple))
                else vars(value).values()
                if hasattr(value, "__dict__")
                else ()
            )
            if isinstance(item, torch.nn.Module)
        ]
    )
    if not inside:
        return None
    holder = torch.nn.Module()
    for number, module in enumerate(inside):
        holder.add_module(f"part_{number}", module)
    return holder


@cache
def model_manager() -> HostModelManager:
    """One per process, on the device that the host computes on."""
    return HostModelManager(str(ask("comfy.model_management", "get_torch_device") or "cpu"))

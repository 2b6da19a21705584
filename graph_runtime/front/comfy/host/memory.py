"""The host's memory management: it learns of the weights that a lease holds."""

import inspect
import logging
import os
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from ....core.memory.descriptions import AnyDescription
from ....core.memory.manager import ModelManager
from ....core.memory.residents import Key, Resident
from ...device import parse_size
from .modules import HostObject, ask, host_module

if TYPE_CHECKING:
    import torch

MEMORY = (
    "INLAY_MEMORY"  # the environment variable: how much memory our nodes may take inside the host, weights included
)
logger = logging.getLogger("inlay")


class HostModelManager(ModelManager):
    """Leases whose weights the host manages: what it unloads, and no node uses, leaves the memory.

    The host moves its own models to the CPU when it unloads them. Ours are dropped, and read again when they are
    needed: no second copy lies in RAM, and its button to unload models and `/free` give all of it back.
    """

    setting = f"{MEMORY}="

    def __init__(self, device: str, budget: int | None = None) -> None:
        super().__init__((device,), budget, log=logger.info, place=self._hand_over, beside=0)
        self._patchers: dict[int, _Handed] = {}  # by module
        self._ended: list[object] = []  # handles that the host still reads after it has unloaded them

    def _bring_in(self, description: AnyDescription, device: str, most: int | None = None) -> Resident:
        """Ask the host to free memory first: it knows what else is on the device."""
        self._ended.clear()
        ask("comfy.model_management", "free_memory", description.nbytes_on(device) * 1.1, _device(device))
        return super()._bring_in(description, device, most)

    def _evict(self, key: Key, reason: str, *, keep: bool = True) -> int:
        handed = self._patchers.pop(id(self._resident[key].module), None)
        if handed is not None:
            self._ended.append(handed.patcher)
            handed.holder._modules.clear()
        return super()._evict(key, reason, keep=keep)

    def _unloaded(self, patcher: object) -> bool:
        """The host unloads a model: it goes unless a node uses it. True if it is gone."""
        with self._lock:
            for key, entry in list(self._resident.items()):
                handed = self._patchers.get(id(entry.module))
                if handed is not None and handed.patcher is patcher:
                    if entry.pins:
                        return False
                    self._evict(key, "the host unloaded it")
            return True

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
            patcher = _leased(patching.ModelPatcher)(holder, _device(device), offload)  # type: ignore[union-attr]
            patcher.unloaded = self._unloaded
            self._patchers[id(module)] = _Handed(patcher, holder)
        patcher, holder = self._patchers[id(module)]
        whole = {"force_full_load": True} if "force_full_load" in inspect.signature(load).parameters else {}
        load([patcher], **whole)  # fully, because plain layers cannot run half on the CPU
        holder.to(_device(device))


class _Handed(NamedTuple):
    """The host's handle of a module, and what it holds."""

    patcher: object
    holder: "torch.nn.Module"


@cache
def _leased(patcher: HostObject) -> HostObject:
    """The host's handle of a model, for models that are dropped when the host unloads them."""

    class Leased(patcher):  # type: ignore[misc]
        """Keeps a model that a node uses on its device, and lets go of any other one."""

        def detach(self, unpatch_all: bool = True) -> object:
            """Called when the host unloads the model; without `unpatch_all`, when it is about to load it again."""
            if unpatch_all:
                self.unloaded(self)
            return self.model

        def partially_unload(self, device_to: object, memory_to_free: int = 0, *more: object, **options: object) -> int:
            """Called when the host needs some of the model's memory."""
            size = int(self.model_size())
            return size if self.unloaded(self) else 0

    return Leased


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
    """One per process, on the device that the host computes on.

    Raises:
        WorkflowError: INLAY_MEMORY is not a size.
    """
    text = os.environ.get(MEMORY, "").strip()
    budget = parse_size(text, MEMORY, "6GB, 500MB or 2GiB") if text else None
    return HostModelManager(str(ask("comfy.model_management", "get_torch_device") or "cpu"), budget)

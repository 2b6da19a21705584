"""The processes that train one model together, as `accelerate launch` or torchrun started them."""

import atexit
import gc
import os
from typing import Any

import torch
from torch import Tensor, nn


class Workers:
    """This process among those of one training, as `accelerate launch` started them; alone where it did not."""

    def __init__(self, device: str):
        self.rank, self.count, self.device = 0, 1, torch.device(device)
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            from accelerate import PartialState

            state = PartialState(cpu=self.device.type == "cpu")
            atexit.register(_leave)
            self.rank, self.count, self.device = state.process_index, state.num_processes, torch.device(state.device)

    @property
    def main(self) -> bool:
        """True in the one process that writes files."""
        return self.rank == 0

    def wrap(self, module: nn.Module) -> nn.Module:
        """The module, its gradients averaged over the processes."""
        if self.count == 1:
            return module
        ids = None if self.device.type == "cpu" else [self.device.index]
        return nn.parallel.DistributedDataParallel(module, device_ids=ids, gradient_as_bucket_view=True)

    def wait(self) -> None:
        """Go on when every process is here."""
        if self.count > 1:
            torch.distributed.barrier()

    def any(self, flag: bool) -> bool:
        """True in every process where it is true in one of them: all of them have to ask."""
        if self.count == 1:
            return flag
        found = torch.tensor([float(flag)], device=self.device)
        torch.distributed.all_reduce(found)
        return bool(found > 0)

    def mean(self, parts: list[Tensor]) -> float:
        """The sum of some scalars on the device, its mean over the processes; NaN or infinite where any of them is.

        The one moment of a step at which this process waits for its device.
        """
        if self.count == 1:
            return float(sum(torch.stack(parts).tolist()))
        total = torch.zeros(1, dtype=torch.float64, device=self.device)
        for part in parts:
            total += part
        torch.distributed.all_reduce(total)
        return float(total) / self.count


def pinned(value: Any, device: torch.device) -> Any:
    """Tensors in NamedTuples, on the CPU; where `device` is a GPU, in memory that it copies from by itself."""
    if device.type != "cuda":
        return value
    return value.pin_memory() if isinstance(value, Tensor) else type(value)(*(pinned(part, device) for part in value))


def to_device(value: Any, device: torch.device) -> Any:
    """A NamedTuple of tensors on a device; from pinned memory the copy goes on while the CPU does."""
    return type(value)(*(part.to(device, non_blocking=device.type == "cuda") for part in value))


def _leave() -> None:
    """Take leave of the other processes before this one ends.

    A thread of gloo that holds a tensor when the interpreter ends aborts the process (pytorch pull request 179291).
    """
    gc.collect()  # a wrapped module is part of a cycle
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()

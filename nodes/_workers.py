"""The processes that train one model together, as `accelerate launch` or torchrun started them."""

import atexit
import gc
import math
import os

import torch
from torch import nn


class Workers:
    """This process among those of one training, as `accelerate launch` started them; alone where it did not."""

    def __init__(self, device: str):
        self.rank, self.count, self.device = 0, 1, torch.device(device)
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            from accelerate import PartialState

            state = PartialState(cpu=self.device.type == "cpu")
            atexit.register(_leave)
            self.rank, self.count, self.device = state.process_index, state.num_processes, state.device

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

    def worst(self, value: float) -> float:
        """The largest of the processes' values; NaN where one has it."""
        if self.count == 1:
            return value
        both = torch.tensor([value if math.isfinite(value) else math.inf], device=self.device)
        torch.distributed.all_reduce(both, op=torch.distributed.ReduceOp.MAX)
        return float(both)

    def mean(self, value: float) -> float:
        """The mean of the processes' values."""
        if self.count == 1:
            return value
        total = torch.tensor([value], dtype=torch.float64, device=self.device)
        torch.distributed.all_reduce(total)
        return float(total) / self.count


def _leave() -> None:
    """Take leave of the other processes before this one ends.

    A thread of gloo that holds a tensor when the interpreter ends aborts the process (pytorch pull request 179291).
    """
    gc.collect()  # a wrapped module is part of a cycle
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()

"""The processes that train one model together, as `accelerate launch` or torchrun started them."""

import atexit
import gc
import os
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

from ..graph_runtime.core.light.later import Tensor, nn, torch

_LOST = ("gloo", "NCCL", "ProcessGroup", "Connection closed by peer", "Connection reset by peer")  # in torch's messages


class Workers:
    """This process among those of one training; the only one if none were launched together."""

    def __init__(self, device: str) -> None:
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

    def unsynchronised(self, module: nn.Module) -> AbstractContextManager[object]:
        """A backward pass in this block leaves the gradients of the other processes for a later one."""
        wrapped = hasattr(module, "no_sync")  # by DistributedDataParallel
        block: AbstractContextManager[object] = module.no_sync() if wrapped else nullcontext()  # type: ignore[operator]
        return block

    def lost(self, error: BaseException) -> bool:
        """True if an error says that another process ended, or does not answer."""
        return self.count > 1 and isinstance(error, RuntimeError) and any(name in str(error) for name in _LOST)

    def wait(self) -> None:
        """Wait for every process."""
        if self.count > 1:
            torch.distributed.barrier()

    def any(self, flag: bool) -> bool:
        """True in every process if it is true in any of them: all of them have to call this."""
        if self.count == 1:
            return flag
        found = torch.tensor([float(flag)], device=self.device)
        torch.distributed.all_reduce(found)
        return bool(found > 0)

    def mean(self, terms: Sequence[Tensor]) -> float:
        """The sum of some scalars on the device, averaged over the processes; NaN or infinite if any of them is.

        This is the only point of a step at which this process waits for its device.
        """
        if self.count == 1:
            return float(sum(torch.stack(list(terms)).tolist()))
        total = torch.zeros(1, dtype=torch.float64, device=self.device)
        for term in terms:
            total += term
        torch.distributed.all_reduce(total)
        return float(total) / self.count


def _leave() -> None:
    """Leave the group of processes before this one ends.

    A thread of gloo that holds a tensor when the interpreter ends aborts the process (pytorch pull request 179291).
    """
    gc.collect()  # a wrapped module is part of a cycle
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()

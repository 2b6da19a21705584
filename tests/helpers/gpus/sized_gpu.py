"""A simulated GPU with a declared size: it counts the bytes of live tensors, and runs out of them as a real one does.

    with SizedGpu(memory=2**20) as gpu:
        x = torch.ones(2**17, device="cuda")       # half of it
        gpu.live, torch.cuda.memory_allocated()    # 524288, 524288
        torch.ones(2**18, device="cuda")           # raises torch.OutOfMemoryError

What a function of torch takes within itself is not counted (see simulated_gpu.py), nor what an allocator adds.
"""

from typing import Any

import torch
from inlay.graph_runtime.core.memory.counted import CountedMemory
from simulated_gpu import SimulatedGpu
from torch import Tensor


class SizedGpu(SimulatedGpu):
    """`memory` bytes for each of `count` devices; `live`, `peak` and `freed` of the first."""

    def __init__(self, count: int = 1, memory: int = 2**30, **more: Any):
        super().__init__(count=count, memory=memory, **more)
        self.counts = [CountedMemory(memory, torch.device("cuda", number), self.of) for number in range(count)]
        self._peaks = [0] * count
        self.lost = False

    @property
    def live(self) -> int:
        """Bytes on the first device."""
        return self.counts[0].live

    @property
    def peak(self) -> int:
        """Most bytes on the first device at once."""
        return self.counts[0].peak

    def put(self, tensor: Tensor, device: torch.device) -> Tensor:
        """Tag a tensor's storage, and count it.

        Raises:
            torch.OutOfMemoryError: the device has no room for it.
        """
        if self.lost and device.type == "cuda":
            raise getattr(torch, "AcceleratorError", RuntimeError)("CUDA error: unspecified launch failure")
        if tensor.is_meta or tensor.layout != torch.strided:
            return super().put(tensor, device)
        for count in self.counts:
            count.exclude(tensor)
        super().put(tensor, device)
        if device.type == "cuda":
            index = device.index or 0
            try:
                self.counts[index].note([tensor])
            except torch.OutOfMemoryError:
                super().put(tensor, torch.device("cpu"))
                raise
            self._peaks[index] = max(self._peaks[index], self.counts[index].live)
        return tensor

    def _cuda(self) -> dict[str, Any]:
        def index(device: Any = None) -> int:
            named = self.device("cuda" if device is None else device)
            return self.current if named is None else named.index or 0

        def live(device: Any = None) -> int:
            return self.counts[index(device)].live

        def reset(device: Any = None) -> None:
            self._peaks[index(device)] = live(device)

        def bound(share: float, device: Any = None) -> None:
            self.counts[index(device)].limit = int(share * self.memory)

        return super()._cuda() | {
            "mem_get_info": lambda device=None: (self.memory - live(device), self.memory),
            "memory_allocated": live,
            "memory_reserved": live,
            "max_memory_allocated": lambda device=None: self._peaks[index(device)],
            "max_memory_reserved": lambda device=None: self._peaks[index(device)],
            "reset_peak_memory_stats": reset,
            "set_per_process_memory_fraction": bound,
        }

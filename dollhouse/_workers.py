"""Training on several CPU cores: one single-threaded process a core, gradients averaged once a step.

On a shared machine this is much faster than threads inside each operation, which all wait for the slowest in each of
some thousand operations a step.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn
from torch.multiprocessing import spawn


def place() -> tuple[int, int]:
    """This process' rank and the number of workers; (0, 1) outside `in_workers`."""
    if not dist.is_initialized():
        return 0, 1
    return dist.get_rank(), dist.get_world_size()


def share_gradients(module: nn.Module) -> None:
    """Replace every gradient by its mean over the workers."""
    _, workers = place()
    if workers == 1:
        return
    gradients = [value.grad for value in module.parameters() if value.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    flat /= workers
    start = 0
    for gradient in gradients:
        gradient.copy_(flat[start : start + gradient.numel()].view(gradient.shape))
        start += gradient.numel()


def _entry(rank: int, workers: int, meeting: str, function: Callable[..., object], args: tuple) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=workers)
    try:
        function(*args)
        dist.barrier()  # nobody leaves while another still talks to it
    finally:
        dist.destroy_process_group()


def in_workers(workers: int, function: Callable[..., object], *args: object) -> None:
    """Call `function(*args)` in each of `workers` processes, or here when there is one; it must be importable."""
    if workers == 1:
        function(*args)
        return
    with tempfile.TemporaryDirectory() as folder:
        spawn(_entry, (workers, str(Path(folder) / "meeting"), function, args), nprocs=workers)

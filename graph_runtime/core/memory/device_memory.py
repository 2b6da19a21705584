"""How much memory a device has and how much of it is free, as the platform tells."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SHARE, LEAST = 0.05, 2**28  # of all memory, and bytes: what a default budget leaves to others
_GROUP = Path("/sys/fs/cgroup")  # of a container on Linux
_UNLIMITED = 2**60  # bytes: a container's way to say that it has no limit


def total_bytes(device: str) -> int | None:
    """All memory of a device, in bytes; None if nobody says."""
    kind = device.partition(":")[0]
    if kind == "cpu":
        return _cpu()[0]
    if kind == "cuda":
        import torch

        return int(torch.cuda.mem_get_info(torch.device(device))[1])
    return _metal()[0] if kind == "mps" else None


def free_bytes(device: str) -> int | None:
    """What may still be taken of a device's memory, in bytes, by anyone; None if nobody says.

    What torch has reserved and does not use is free.
    """
    kind = device.partition(":")[0]
    if kind == "cpu":
        return _cpu()[1]
    if kind == "cuda":
        import torch

        place = torch.device(device)
        unused = torch.cuda.memory_reserved(place) - torch.cuda.memory_allocated(place)
        return int(torch.cuda.mem_get_info(place)[0]) + max(0, unused)
    return _metal()[1] if kind == "mps" else None


@dataclass(frozen=True)
class Free:
    """A budget of what is free, less a margin: it is read anew at each decision, as other programs come and go."""

    share: float = SHARE
    least: int = LEAST

    def limit(self, device: str, held: int) -> int | None:
        """Bytes that may be in use on a device, of which `held` are already; None if nobody says what is free."""
        free, total = free_bytes(device), total_bytes(device)
        if free is None or total is None:
            return None
        return max(held, held + free - max(int(total * self.share), min(self.least, total // 10)))


@contextlib.contextmanager
def at_most(nbytes: int | None, device: str) -> Iterator[None]:
    """In the block, torch takes no more than that of a GPU: beyond it, it raises what it raises when the GPU is full.

    Of other devices, nothing is bounded here.
    """
    if nbytes is None or not device.startswith("cuda"):
        yield
        return
    import torch

    place = torch.device(device)
    torch.cuda.empty_cache()  # what earlier runs left reserved counts too
    torch.cuda.set_per_process_memory_fraction(min(1.0, nbytes / torch.cuda.mem_get_info(place)[1]), place)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, place)


def _cpu() -> tuple[int, int]:
    """All memory and what is available, of the machine or of the container that this process runs in."""
    import psutil

    machine = psutil.virtual_memory()
    total, free = int(machine.total), int(machine.available)
    for limit, used, count in (
        (_GROUP / "memory.max", _GROUP / "memory.current", _GROUP / "memory.stat"),
        (
            _GROUP / "memory/memory.limit_in_bytes",
            _GROUP / "memory/memory.usage_in_bytes",
            _GROUP / "memory/memory.stat",
        ),
    ):
        with contextlib.suppress(OSError, ValueError):
            most = int(limit.read_text())  # `max` where there is no limit
            if most < _UNLIMITED:
                total = min(total, most)
                free = min(free, max(0, most - int(used.read_text()) + _cached(count)))
            break
    return total, free


def _cached(statistics: Path) -> int:
    """Bytes of files that the kernel lets go of when memory is needed."""
    lines = dict(line.split(None, 1) for line in statistics.read_text().splitlines())
    return int(lines.get("inactive_file", lines.get("total_inactive_file", "0")))


def _metal() -> tuple[int | None, int | None]:
    import torch

    most = getattr(torch.mps, "recommended_max_memory", None)
    if most is None:
        return None, None
    total = int(most())
    return total, max(0, total - int(torch.mps.driver_allocated_memory()))

"""What only a GPU knows: how long its work took, and how often the host waited for it."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TextIO

from .calls import Call

WAIT = "called a synchronizing CUDA operation"


@dataclass
class Waits:
    """How often the host has waited for the GPU."""

    count: int = 0


@contextmanager
def waits_counted(device: str) -> Iterator[Waits]:
    """Count the waits of the host inside the block, as torch itself reports them; on a CPU there are none."""
    found = Waits()
    if not device.startswith("cuda"):
        yield found
        return
    import torch

    before = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that this mode does not know every wait
        torch.cuda.set_sync_debug_mode("warn")
    with warnings.catch_warnings():
        warnings.filterwarnings("always", message=f".*{WAIT}")
        _count_in(found)
        try:
            yield found
        finally:
            torch.cuda.set_sync_debug_mode(before)


def _count_in(found: Waits) -> None:
    """Count warnings of waits in place of showing them; `catch_warnings` around it puts everything back."""
    show = warnings.showwarning

    def counted(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if WAIT in str(message):
            found.count += 1
        else:
            show(message, category, filename, lineno, file, line)

    warnings.showwarning = counted


class GpuMarks:
    """Two events in the GPU's queue around a call; nobody waits for them before the run has ended."""

    def __init__(self) -> None:
        import torch

        self._first = torch.cuda.Event(enable_timing=True)
        self._second = torch.cuda.Event(enable_timing=True)
        self._call: Call | None = None

    def begin(self) -> None:
        """Queue the first event."""
        self._first.record()

    def end(self, call: Call) -> None:
        """Queue the second event."""
        self._second.record()
        self._call = call

    def read(self) -> None:
        """Give the call the time between the events; the GPU must have come past both."""
        if self._call is not None:
            self._call.device_seconds = self._first.elapsed_time(self._second) / 1000

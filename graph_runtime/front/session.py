"""What outlives one run: weights and results that stay warm, the device, and the memory it may take."""

import os
import platform
import re
import threading

from ..core.errors import WorkflowError
from ..core.models import ModelManager
from ..core.run.cache import MemoryCache

_COMPUTES = ("diffusers", "transformers", "peft", "numpy", "scipy", "pillow")  # beside torch: what makes numbers


def _processor() -> str:
    """Which kernels torch picks on this processor; Linux does not always tell its name."""
    import torch

    return f"{platform.machine()} {platform.processor()} {torch.backends.cpu.get_cpu_capability()}"


def environment(device: str) -> str:
    """Everything outside a workflow that bytes may depend on: versions, device, threads."""
    import importlib.metadata

    import torch

    from ... import __version__

    versions = [importlib.metadata.version(package) for package in _COMPUTES]
    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else _processor()
    return "|".join([__version__, torch.__version__, *versions, device, name, str(torch.get_num_threads())])


def local_rank() -> int:
    """This process' number among those of this machine that `accelerate launch` or torchrun started together; else 0.

    Each of them has the GPU of that number to itself, counted anew where it sees fewer (one for each, say).
    """
    together = os.environ.get("WORLD_SIZE", "1")
    return int(os.environ.get("LOCAL_RANK", "0")) if together.isdigit() and int(together) > 1 else 0


def resolve_device(device: str) -> str:
    """`auto` → the best device there is, `cuda` → this process' own GPU; any other name is checked.

    Raises:
        WorkflowError: no such device here.
    """
    import torch

    own = f"cuda:{local_rank() % max(1, torch.cuda.device_count())}"
    best = own if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    if device == "auto":
        return best
    try:
        kind = torch.device(device).type
    except RuntimeError:
        kind = ""
    usable = kind == "cpu" or (
        kind == "cuda" and torch.cuda.is_available() and (torch.device(device).index or 0) < torch.cuda.device_count()
    )
    if usable or (kind == "mps" and best == "mps"):
        return own if device == "cuda" else device
    raise WorkflowError.of(
        "device",
        found=f"device {device!r}",
        expected="auto, cpu, or a device of this machine",
        fix=f"use --device auto (here that is {best}); `inlay doctor` lists what torch sees",
    )


def parse_size(text: str | int | None) -> int | None:
    """Bytes of "6GB", "500 MiB", "1.5g" or a plain number.

    Raises:
        WorkflowError: not a size.
    """
    if text is None or (isinstance(text, int) and text > 0 and not isinstance(text, bool)):
        return text
    units = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30}
    match = re.fullmatch(r"\s*(\d{1,12}(?:\.\d+)?)\s*([kmgt]i?)?b?\s*", str(text).lower())
    if match is None or (size := int(float(match[1]) * units[match[2] or ""])) <= 0:
        raise WorkflowError.of(
            "memory",
            found=f"a memory size {text!r}",
            expected='a size such as "6GB" or "500MB"',
            fix="write it as 6GB, 500MB or 2GiB",
        )
    return size


_BEGINNING = threading.Lock()  # two runs that begin at once share their models too
_sessions: dict[tuple[str, int | None], tuple[ModelManager, MemoryCache]] = {}


def session(device: str, budget: int | None) -> tuple[ModelManager, MemoryCache]:
    """Weights and results that stay warm between runs of one process."""
    key = (device, budget)
    with _BEGINNING:
        if key not in _sessions:
            _sessions[key] = (ModelManager((device,), budget), MemoryCache())
        return _sessions[key]

"""Which device computes, and how much of its memory the weights may take."""

import os
import re

from pydantic import ByteSize, TypeAdapter

from ..core.errors import WorkflowError, shorten

_SIZE = re.compile(r"\s*(\d{1,12}(?:\.\d+)?)\s*([kmgt]i?)?b?\s*", re.IGNORECASE)


def local_rank() -> int:
    """The number of this process among those that `accelerate launch` or torchrun started on this machine, or 0.

    Each process uses the GPU of its number; if it sees fewer GPUs, the numbers wrap around.
    """
    world_size = os.environ.get("WORLD_SIZE", "1")
    return int(os.environ.get("LOCAL_RANK", "0")) if world_size.isdigit() and int(world_size) > 1 else 0


def resolve_device(device: str) -> str:
    """`auto` → the best device there is, `cuda` → the GPU of this process; any other name is checked.

    Raises:
        WorkflowError: no such device here.
    """
    if isinstance(device, str) and device == "cpu":
        return device
    import torch

    own = f"cuda:{local_rank() % max(1, torch.cuda.device_count())}"
    best = own if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    text = str(device) if isinstance(device, (str, torch.device)) else ""
    if text == "auto":
        return best
    try:
        kind = torch.device(text).type
    except (RuntimeError, ValueError, OverflowError):
        kind = ""
    usable = kind == "cpu" or (
        kind == "cuda" and torch.cuda.is_available() and (torch.device(text).index or 0) < torch.cuda.device_count()
    )
    if usable or (kind == "mps" and best == "mps"):
        return own if text == "cuda" else text
    raise WorkflowError.of(
        "device",
        found=f"device {shorten(device)}",
        expected="auto, cpu, or a device of this machine",
        fix=f"use --device auto (here that is {best}); `inlay doctor` lists what torch sees",
    )


def require_device(device: str) -> None:
    """Refuse a device that is not here; torch, which knows that, is imported where there is doubt.

    Raises:
        WorkflowError: no such device here.
    """
    if not (isinstance(device, str) and device in ("auto", "cpu")):
        resolve_device(device)


def parse_memory(text: str | int | None) -> int | None:
    """Bytes of "6GB", "500 MiB", "1.5g" or a plain number; None for no limit.

    Raises:
        WorkflowError: not a size.
    """
    if text is None or (isinstance(text, int) and text > 0 and not isinstance(text, bool)):
        return text
    return parse_size(
        text if isinstance(text, str) else f"{shorten(text)}, which is no text", "memory", "6GB, 500MB or 2GiB"
    )


def parse_size(text: str, setting: str, examples: str, *, none_is_allowed: bool = False) -> int:
    """Bytes of "6GB", "500 MiB", "1.5g" or a plain number.

    Raises:
        WorkflowError: not a size; names the setting.
    """
    match = _SIZE.fullmatch(text)
    size = int(TypeAdapter(ByteSize).validate_python(f"{match[1]}{match[2] or ''}B")) if match else -1
    if size < 0 or (size == 0 and not none_is_allowed):
        raise WorkflowError.of(
            setting,
            found=f"a memory size {shorten(text)}",
            expected='a size such as "6GB" or "500MB"',
            fix=f"write it as {examples}",
        )
    return size

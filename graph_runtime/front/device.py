"""Which devices compute, and how much of its memory the weights may take."""

import os
import re

from pydantic import ByteSize, TypeAdapter

from ..core.errors import WorkflowError, shorten
from ..core.memory.device_memory import total_bytes
from ..core.memory.sizes import size_text

_SIZE = re.compile(r"\s*(\d{1,12}(?:\.\d+)?)\s*([kmgt]i?)?b?\s*", re.IGNORECASE | re.ASCII)


def local_rank() -> int:
    """The number of this process among those that `accelerate launch` or torchrun started on this machine, or 0.

    Each process uses the GPU of its number; if it sees fewer GPUs, the numbers wrap around.
    """
    world_size = os.environ.get("WORLD_SIZE", "1")
    return int(os.environ.get("LOCAL_RANK", "0")) if world_size.isdigit() and int(world_size) > 1 else 0


def resolve_device(device: str) -> str:
    """The first of `resolve_devices`.

    Raises:
        WorkflowError: no such device here.
    """
    return device if isinstance(device, str) and device == "cpu" else resolve_devices(device)[0]


def resolve_devices(device: str) -> tuple[str, ...]:
    """`auto` → every GPU like the first one, or the best device there is; `cuda:0,cuda:1` → these.

    Under `accelerate launch`, each process has its own GPU.

    Raises:
        WorkflowError: no such device here, one that is named twice, or devices that are not alike: their results would
            be other bytes.
    """
    import torch

    text = str(device) if isinstance(device, (str, torch.device)) else ""
    if text == "auto" and torch.cuda.is_available() and "WORLD_SIZE" not in os.environ:
        return tuple(f"cuda:{n}" for n in range(torch.cuda.device_count()) if _kind(f"cuda:{n}") == _kind("cuda:0"))
    names = [name.strip() for name in text.split(",")]
    if len(names) == 1:
        return (_usable(device),)
    found = tuple(_usable(name) for name in names)
    twice = next((name for name in found if found.count(name) > 1), None)
    if twice and "auto" not in names:
        raise WorkflowError.of(
            "device",
            found=f"{twice}, which is named {found.count(twice)} times",
            expected="several devices, each named once",
            fix=f"leave out the others: --device {','.join(dict.fromkeys(found))}",
        )
    if len({_kind(name) for name in found}) > 1 or "auto" in names:
        raise WorkflowError.of(
            "device",
            found=f"devices {', '.join(f'{name} ({_kind(name)})' for name in found)}",
            expected="several devices of one kind: another kind gives other bytes",
            fix="name one of them, or those that are alike",
        )
    return found


def _kind(device: str) -> str:
    """What the bytes of a result depend on: two devices of one kind give the same."""
    import torch

    return torch.cuda.get_device_name(device) if device.startswith("cuda") else device.partition(":")[0]


def _usable(device: str) -> str:
    """One device by its name.

    Raises:
        WorkflowError: no such device here.
    """
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
        expected="auto, cpu, or devices of this machine",
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
    if isinstance(text, int) and not isinstance(text, bool):
        text = str(text) if abs(text) < 10**15 else "a number of many digits"
    return parse_size(
        text if isinstance(text, str) else f"{shorten(text)}, which is no text", "memory", "6GB, 500MB or 2GiB"
    )


def doubt_of(budget: int | None, device: str) -> str | None:
    """A warning about a budget that is larger than the memory of its device; None if there is nothing to say."""
    total = total_bytes(device) if budget is not None else None
    if budget is None or total is None or budget <= total:
        return None
    return (
        f"the memory budget of {size_text(budget)} is more than {device} has ({size_text(total)}): it bounds nothing "
        "there; leave --memory out to use what is free"
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
            expected='a size such as "6GB" or "500MB"' + ", above 0" * (not none_is_allowed),
            fix=f"write it as {examples}",
        )
    return size

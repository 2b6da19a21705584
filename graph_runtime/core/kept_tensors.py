"""Long work done once: tensors kept on disk by what they were made from, and found again in any later run.

The key holds every number that goes in: dtype, shape and bytes of tensors, the model's fingerprint, the settings, and
a digest of the code that does the work (`code_digest`). So an inversion is found again whatever graph, or host, it is
asked for in.
"""

import hashlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .. import Context


def content_key(*parts: Any) -> bytes:
    """A hash of tensors (dtype, shape, bytes) and plain values (their repr), in order."""
    total = hashlib.sha256()
    for part in parts:
        if isinstance(part, Tensor):
            value = part.detach().cpu().contiguous()
            total.update(f"{value.dtype}{list(value.shape)}".encode())
            total.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
        else:
            total.update(repr(part).encode())
        total.update(b"\0")
    return total.digest()


def kept(ctx: Context, key: bytes, names: list[str], make: Callable[[], tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    """The tensors under `key`, from disk if they are there, else made and put there."""
    found = ctx.store.get(key, names) if ctx.store is not None else None
    if found is not None:
        ctx.progress(1, 1, note="kept from an earlier run")
        return found
    made = make()
    if ctx.store is not None:
        ctx.store.put(key, names, made)
    return made

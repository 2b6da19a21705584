"""Results of long computations, stored on disk under what they were computed from, for any later run.

The key holds every number that goes in: dtype, shape and bytes of tensors, the model's fingerprint, the settings, and
a digest of the code that does the work (`code_digest`). So an inversion is found again from any graph
or host.
"""

import math
from collections.abc import Callable, Iterator
from typing import cast

from .context import Context
from .digests import sha256
from .light.later import Tensor, torch


def content_key(*values: object) -> bytes:
    """sha256 of tensors (dtype, shape, bytes) and plain values (their repr), in order."""
    return bytes.fromhex(sha256(*(part for value in values for part in _content(value))))


def _content(value: object) -> Iterator[bytes]:
    if isinstance(value, Tensor):
        numbers = value.detach().cpu().contiguous()
        yield f"{numbers.dtype}{list(numbers.shape)}".encode()
        yield numbers.reshape(-1).view(torch.uint8).numpy().tobytes()
    else:
        yield repr(value).encode()
    yield b"\0"


def stored(ctx: Context, key: bytes, label: str, make: Callable[[], tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    """The tensors under `key`, from disk if they are there, else made by `make` and stored, however quick that was.

    Args:
        ctx: the run.
        key: what they depend on.
        label: what they are, for people.
        make: makes them.
    """
    found = ctx.store.get(key) if ctx.store is not None else None
    if found is not None:
        ctx.progress(1, 1, note="kept from an earlier run")
        return cast(tuple[Tensor, ...], found)
    made = make()
    if ctx.store is not None:
        ctx.store.put(key, made, math.inf, label)
    return made


class Unfinished:
    """The parts of a long computation that are done: kept on disk until all of it is, so that a later start goes on.

    Args:
        ctx: the run.
        key: what the whole depends on.
        label: what it is, for people.
    """

    def __init__(self, ctx: Context, key: bytes, label: str) -> None:
        self._store, self._key, self._label = ctx.store, key, label
        self._keys: list[bytes] = []

    def parts(self) -> Iterator[tuple[Tensor, ...]]:
        """What earlier starts have added, in order; call it once, before `add`."""
        while self._store is not None:
            key = self._next()
            found = self._store.get(key)
            if found is None:
                return
            self._keys.append(key)
            yield cast(tuple[Tensor, ...], found)

    def add(self, *part: Tensor) -> None:
        """Keep one more part."""
        if self._store is not None:
            self._keys.append(self._next())
            self._store.put(self._keys[-1], part, math.inf, f"{self._label} (unfinished)")

    def finished(self) -> None:
        """Remove the parts: the whole is kept."""
        if self._store is not None and self._keys:
            self._store.drop(self._keys)

    def _next(self) -> bytes:
        return content_key(self._key.hex(), "part", len(self._keys))

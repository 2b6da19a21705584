"""Results of long computations, stored on disk under what they were computed from, for any later run.

The key holds every number that goes in: dtype, shape and bytes of tensors, the model's fingerprint, the settings, and
a digest of the code that does the work (`code_digest`). So an inversion is found again from any graph
or host.
"""

import math
import time
from collections.abc import Callable, Iterator
from typing import cast

from .context import Context
from .digests import sha256
from .light.later import Tensor, torch

KEEP_SECONDS = 2.0  # of a long loop that a stopped run loses at most


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
    """The steps of a long loop that are done: kept on disk until all of it is, so that a later start goes on.

    They are written some seconds of work at a time, each part under the number of its first step: where one is missing
    (removed for room, damaged, never written), a later start goes on before it, and what lies behind it is not mixed up
    with what comes in its place.

    Args:
        ctx: the run.
        key: what the whole depends on.
        label: what it is, for people.
        width: tensors of a step.
    """

    def __init__(self, ctx: Context, key: bytes, label: str, width: int) -> None:
        self._store, self._key, self._label, self._width = ctx.store, key, label, width
        self._keys: list[bytes] = []
        self._done = 0  # steps that are written
        self._waiting: list[Tensor] = []
        self._failed = False  # nothing more is written
        self._since = time.monotonic()

    def steps(self, device: torch.device) -> list[tuple[Tensor, ...]]:
        """What earlier starts have done, on a device; call it once, before `add`."""
        found: list[tuple[Tensor, ...]] = []
        while self._store is not None:
            key = self._next()
            part = cast(tuple[Tensor, ...] | None, self._store.get(key))
            if part is None:
                break
            self._wrote(key, part)
            found += zip(*[iter(part)] * self._width, strict=True)
        self._since = time.monotonic()
        return [tuple(value.to(device) for value in step) for step in found]

    def add(self, *step: Tensor) -> None:
        """Note one more step; it is written with those before it when some seconds have passed."""
        if self._store is None or self._failed:
            return
        self._waiting += step
        if time.monotonic() - self._since < KEEP_SECONDS:
            return
        part, key = tuple(value.detach().cpu() for value in self._waiting), self._next()
        finite = all(bool(torch.isfinite(value).all()) for value in part)  # if not, another start may do better
        self._failed = not finite or bool(self._store.put(key, part, math.inf, f"{self._label} (unfinished)"))
        if not self._failed:
            self._wrote(key, part)
        self._waiting, self._since = [], time.monotonic()

    def finished(self) -> None:
        """Remove the parts: the whole is kept."""
        if self._store is not None and self._keys:
            self._store.drop(self._keys)

    def _next(self) -> bytes:
        return content_key(self._key.hex(), "part", self._done)

    def _wrote(self, key: bytes, part: tuple[Tensor, ...]) -> None:
        self._keys.append(key)
        self._done += len(part) // self._width

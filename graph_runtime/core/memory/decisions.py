"""What a manager decides, one step at a time, and who hears of it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal

from .sizes import size_text

Action = Literal["load", "return", "set aside", "evict", "stream", "retry", "hold"]
_WORDS = {
    "load": "loaded",
    "return": "brought back",
    "set aside": "evicted to CPU memory:",
    "evict": "evicted",
    "stream": "streaming",
    "hold": "kept room for",
}


@dataclass(frozen=True, slots=True)
class Decision:
    """One step of a manager.

    Attributes:
        action: `load` reads files; `return` brings weights back from CPU memory; `set aside` moves them there; `evict`
            lets go of them; `stream` leaves them in CPU memory and moves block by block; `hold` keeps room for what a
            node makes itself; `retry` frees what it can after memory ran out.
        what: the label of the weights, or who needs the room.
        nbytes: their size on the device.
        device: where.
        why: the reason, if there is one.
        in_use: bytes that are in use on the device afterwards.
        limit: bytes that may be; None: any number.
    """

    action: Action
    what: str
    nbytes: int
    device: str
    why: str = ""
    in_use: int = 0
    limit: int | None = None

    def __str__(self) -> str:
        if self.action == "retry":
            return f"out of memory {self.what}: {self.why}"
        size = f"({self.nbytes / 2**20:.0f} MiB)"
        if self.action in ("load", "return", "stream"):
            return f"{_WORDS[self.action]} {self.what} on {self.device} {size}" + (f": {self.why}" * bool(self.why))
        return f"{_WORDS[self.action]} {self.what} {size}" + (f": {self.why}" * bool(self.why))


_listener: ContextVar[Callable[[Decision], None] | None] = ContextVar("inlay_decisions", default=None)


@contextmanager
def decisions_reported_to(listener: Callable[[Decision], None]) -> Iterator[None]:
    """Inside the block, and in this thread, managers report their decisions to `listener`: runs may share a manager."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def report(decision: Decision) -> None:
    """Tell the run in this thread of a decision."""
    listener = _listener.get()
    if listener is not None:
        listener(decision)


def table(decisions: Sequence[tuple[str, Decision]]) -> list[str]:
    """Decisions as lines of a table; each with the node that it was made for.

    Returns:
        A heading and a line for each decision; nothing if there are none.
    """
    rows = [
        (
            str(number),
            node or "-",
            one.action,
            one.what,
            size_text(one.nbytes) if one.nbytes else "-",
            f"{size_text(one.in_use)} of {'any' if one.limit is None else size_text(one.limit)}",
            one.why or "-",
        )
        for number, (node, one) in enumerate(decisions, 1)
    ]
    return columns([("step", "node", "decision", "what", "size", "in use on the device", "why"), *rows]) if rows else []


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of words as aligned lines."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip() for row in rows]

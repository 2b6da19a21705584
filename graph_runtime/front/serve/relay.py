"""The events of a run on their way to the server: in few lines, with little progress and fewer previews.

What a node reports thousands of times a second is told some times; of previews, at most four a second and only the
newest. Nothing is held back for longer than `PAUSE`.
"""

import base64
import io
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ...core.errors import clean
from ...core.events import (
    Event,
    ModelMoved,
    NodeFinished,
    NodeMemory,
    NodeProgress,
    NodeStarted,
    Noted,
    RunStarted,
    Saved,
    Warned,
)
from .json_data import Json

if TYPE_CHECKING:
    from PIL.Image import Image

PAUSE = 0.05  # seconds between two lines
GOES_ON = 20  # pauses after a run
PREVIEW = 0.25  # seconds between two previews
SIDE = 512  # pixels of a preview's longer side
LINES = 200  # events of one line
MOST_WARNINGS = 200


class Relay:
    """Hears a run's events, and tells them in bundles.

    Args:
        tell: sends some events.
        out: the folder of the run, below which its files appear.

    Attributes:
        saved: node and path of each file.
        warnings: as `--json` prints them.
        memory: what was decided and measured.
    """

    def __init__(self, tell: Callable[[list[Json]], None], out: Path) -> None:
        self._tell, self._out = tell, out
        self._lock = threading.Lock()
        self._waiting: list[Json] = []
        self._progress: Json | None = None
        self._preview: tuple[str, Image] | None = None
        self._previewed = 0.0
        self._over = False
        self.saved: list[tuple[str, str]] = []
        self.warnings: list[Json] = []
        self.memory: list[Event] = []

    def end(self) -> None:
        """Send nothing more by itself; what was not told yet is the `rest`."""
        self._over = True

    def __call__(self, event: Event) -> None:
        """Hear an event."""
        told = self._told(event)
        if told is None:
            return
        with self._lock:
            if told["kind"] == "progress":
                self._progress = told
                return
            if self._progress is not None and told["kind"] == "node":
                self._waiting.append(self._progress)
                self._progress = None
            self._waiting.append(told)
            full = len(self._waiting) >= LINES
        if full:
            self.send()

    def rest(self) -> list[Json]:
        """What was not told yet."""
        with self._lock:
            rest, self._waiting, self._progress = self._waiting, [], None
        return rest

    def _told(self, event: Event) -> Json | None:
        match event:
            case RunStarted(nodes=nodes):
                return {"kind": "plan", "nodes": nodes}
            case NodeStarted(node=node, type=kind):
                return {"kind": "node", "node": node, "state": "started", "type": kind}
            case NodeFinished(node=node, seconds=seconds, cached=cached):
                return {
                    "kind": "node",
                    "node": node,
                    "state": "cached" if cached else "done",
                    "seconds": round(seconds, 4),
                }
            case NodeProgress(node=node, step=step, total=total, preview=preview, note=note):
                if preview is not None:
                    with self._lock:
                        self._preview = node, preview
                return {"kind": "progress", "node": node, "step": step, "total": total, "note": clean(note)}
            case Noted(message=message):
                return self._noted({"kind": "note", "node": None, "message": clean(message)})
            case Warned(node=node, message=message):
                return self._noted({"kind": "warning", "node": node, "message": clean(message)})
            case NodeMemory():
                self.memory.append(event)
            case ModelMoved(message=message):
                self.memory.append(event)
                return {"kind": "model", "message": clean(message)}
            case Saved(node=node, path=path):
                self.saved.append((node, path))
                return {"kind": "saved", "node": node, "name": Path(path).name}
        return None

    def _noted(self, told: Json) -> Json | None:
        if len(self.warnings) >= MOST_WARNINGS:
            return None
        if told["kind"] == "warning":
            self.warnings.append({"node": told["node"], "message": told["message"]})
        return told

    def send(self) -> None:
        """Tell what waits, and the newest preview, if it is time for one."""
        with self._lock:
            told, self._waiting = self._waiting, []
            if self._progress is not None:
                told.append(self._progress)
                self._progress = None
            preview = None
            if self._preview is not None and time.monotonic() - self._previewed >= PREVIEW:
                preview, self._preview, self._previewed = self._preview, None, time.monotonic()
        if preview is not None:
            told.append({"kind": "preview", "node": preview[0], "image": as_data(preview[1])})
        if told and not self._over:
            self._tell(told)


class Ticker:
    """Has the relay of the current run send now and then, in one thread for all runs of a process."""

    def __init__(self) -> None:
        self._relay: Relay | None = None
        self._busy = threading.Event()
        threading.Thread(target=self._tick, daemon=True).start()

    @contextmanager
    def minding(self, relay: Relay) -> Iterator[None]:
        """In the block, nothing is held back for longer than `PAUSE`."""
        self._relay = relay
        if not self._busy.is_set():
            self._busy.set()
        try:
            yield
        finally:
            self._relay = None
            relay.end()

    def _tick(self) -> None:
        """Tick for a while after a run too: to wake this thread for each of many short runs takes longer."""
        idle = 0
        while self._busy.wait():
            time.sleep(PAUSE)
            if (relay := self._relay) is not None:
                idle = 0
                relay.send()
            elif (idle := idle + 1) > GOES_ON:
                idle = 0
                self._busy.clear()
                if self._relay is not None:  # it began meanwhile
                    self._busy.set()


def as_data(picture: "Image") -> str:
    """A small picture as the address of a JPEG."""
    small = picture.convert("RGB")
    small.thumbnail((SIDE, SIDE))
    made = io.BytesIO()
    small.save(made, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(made.getvalue()).decode()

"""A worker that makes the runs of a server, and tells what happens while they run; see `worker.py` for what it gets.

What it tells leads to no folder of its machine, and what was saved goes back as bytes, in pieces.
"""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import SimpleQueue

from ...core.events import CancelToken
from ..device import resolve_device
from ..installed import installed_nodes
from ..jobs.worker import Message
from ..kept_between_runs import forget
from ..python.keywords import refusing
from ..serve.discreet import Discreet
from ..serve.json_data import Json
from ..serve.made import ended_of, made
from ..serve.relay import Relay, Ticker
from ..serve.settings import Settings
from .contents import PIECE, Ref
from .maker import BaseMaker
from .packing import unpack


class Maker(BaseMaker):
    """Makes the runs of a server; see `BaseMaker`."""

    def __init__(self, told: Message, fetch: Callable[[Ref], bytes]) -> None:
        super().__init__(told, fetch)
        self.device = resolve_device(told["device"])
        self._memory, self._cache = told["memory"], told["cache"]
        self._registry = installed_nodes()
        settings = Settings(out=self._scratch.out(), inputs=self._scratch.folder, folder=self._scratch.folder.parent)
        self._discreet = Discreet(settings)
        self._cancel: dict[str, CancelToken] = {}
        self._ticker = Ticker()

    def stream(self, message: Message) -> Iterator[Json]:
        """What happens in a run, the pieces of its files, and in the end what became of it."""
        told: SimpleQueue[Json | None] = SimpleQueue()
        ended: list[tuple[Json, Path]] = []

        def run() -> None:
            try:
                ended.append(self._made(message, told.put))
            finally:
                told.put(None)

        threading.Thread(target=run, daemon=True).start()
        while (one := told.get()) is not None:
            yield one
        facts, out = ended[0]
        if facts["ended"]["state"] == "done":
            yield from _pieces(out)
        yield facts

    def _made(self, message: Message, tell: Callable[[Json], None]) -> tuple[Json, Path]:
        run = message["run"]
        token = self._cancel.setdefault(run, CancelToken())
        out = self._scratch.out()
        relay = Relay(lambda events: tell({"events": self._told(events)}), out)

        def make() -> Json:
            loaded = unpack(message, self._scratch, self._registry)
            with refusing():
                plan = loaded.plan()
            given = {"device": self.device, "memory": self._memory, "cache": self._cache, "texts": message["texts"]}
            return made(loaded, plan, relay=relay, cancel=token, **given)

        with self._ticker.minding(relay):
            ended, gone = ended_of(make, relay)
        self._cancel.pop(run, None)
        for kind in ("problems", "warnings"):
            if kind in ended:
                ended[kind] = self._told(ended[kind])
        return {"events": self._told(relay.rest()), "ended": ended, "gone": gone}, out

    def _told(self, events: list[Json]) -> list[Json]:
        return [self._discreet.told(one) for one in events]

    def cancel(self, run: str) -> None:
        """Let a run stop at its next step."""
        self._cancel.setdefault(run, CancelToken()).cancel()

    def free(self, results: bool) -> None:
        """Let go of weights, and of results in memory, once no run needs them."""
        forget(results=results)


def _pieces(out: Path) -> Iterator[Json]:
    """The files and folders that a run made."""
    for path in sorted(out.rglob("*")):
        name = path.relative_to(out).as_posix()
        if path.is_dir():
            yield {"folder": name}
            continue
        with path.open("rb") as file:
            first = True
            while (piece := file.read(PIECE)) or first:
                yield {"file": name, "bytes": piece}
                first = False

"""What happens to runs, as a stream that many clients read: bounded, and in order for each run.

An event is a small object with a number that grows, also over restarts. The last ones are kept, so that a client that
lost its connection goes on where it was. Of progress and previews only the newest counts.
"""

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping

from .json_data import Json

KEPT = 4000  # events of all runs
WAITING = 20_000  # events that a client may be behind
NEWEST = frozenset({"progress", "preview"})
END = frozenset({"done", "failed", "cancelled"})


class Subscription:
    """What one client still has to read.

    Attributes:
        behind: it was so slow that events were lost: it is to begin anew.
    """

    def __init__(self, events: "Events", wake: Callable[[], None], run: str | None, client: str | None) -> None:
        self._events, self._wake, self._run, self._client = events, wake, run, client
        self._waiting: OrderedDict[object, Json] = OrderedDict()
        self._lock = threading.Lock()
        self.behind = False

    def wants(self, event: Mapping[str, object], client: str | None) -> bool:
        """True if this client asked for that event."""
        return (self._run is None or event["run"] == self._run) and (self._client is None or client == self._client)

    def put(self, event: Json) -> None:
        """Add an event; of those of which only the newest counts, an older one goes."""
        with self._lock:
            key: object = (event["run"], event["kind"]) if event["kind"] in NEWEST else event["id"]
            self._waiting.pop(key, None)
            if len(self._waiting) >= WAITING:
                self.behind = True
                self._waiting.clear()
            asleep = not self._waiting
            self._waiting[key] = event
        if asleep:
            self._wake()

    def take(self) -> list[Json]:
        """Everything that waits, in order."""
        with self._lock:
            taken, self._waiting = list(self._waiting.values()), OrderedDict()
        return taken

    def close(self) -> None:
        """Hear nothing more."""
        self._events.leave(self)


class Events:
    """All events of a server."""

    def __init__(self) -> None:
        self._number = int(time.time() * 1000) * 1000  # grows over restarts, and is exact in every JSON reader
        self._kept: deque[tuple[Json, str | None]] = deque(maxlen=KEPT)
        self._newest: dict[tuple[str, str], tuple[Json, str | None]] = {}
        self._listeners: list[Subscription] = []
        self._lock = threading.Lock()

    def publish(self, run: str, kind: str, client: str | None = None, **facts: object) -> None:
        """Tell everybody."""
        with self._lock:
            self._number += 1
            event: Json = {"id": self._number, "run": run, "kind": kind, **facts}
            if kind in NEWEST:
                self._newest[run, kind] = (event, client)
            else:
                self._kept.append((event, client))
            if kind in END:
                for one in NEWEST:
                    self._newest.pop((run, one), None)
            for listener in self._listeners:
                if listener.wants(event, client):
                    listener.put(event)

    def subscribe(
        self, wake: Callable[[], None], *, run: str | None = None, client: str | None = None, after: int | None = None
    ) -> Subscription:
        """Listen.

        Args:
            wake: called, in any thread, when there is something to take.
            run: only its events.
            client: only the events of its runs.
            after: begin with the kept events after this number; None: with what comes.
        """
        listener = Subscription(self, wake, run, client)
        with self._lock:
            if after is not None:
                past = [*self._kept, *self._newest.values()]
                for event, owner in sorted(past, key=lambda pair: pair[0]["id"]):
                    if event["id"] > after and listener.wants(event, owner):
                        listener.put(event)
            self._listeners.append(listener)
        return listener

    def leave(self, listener: Subscription) -> None:
        """Forget a listener."""
        with self._lock:
            if listener in self._listeners:
                self._listeners.remove(listener)

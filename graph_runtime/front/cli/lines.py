"""What a person sees of a run where no bar can be drawn, such as in a log file: a line now and then."""

import time
from collections.abc import Callable

from ...core.events import Event, ItemFinished, ItemStarted, NodeFinished, NodeProgress, NodeStarted, RunStarted
from .duration import duration
from .pace import Pace

LOG_SECONDS = 10


class Lines:
    """A listener: a line when the run begins, when a node's steps begin and end, and every ten seconds between.

    Of a job: a line every ten seconds, and at the end.

    Args:
        say: prints a line.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._running = False
        self._since: dict[str, tuple[float, int]] = {}  # by node, when its steps began, and at which one
        self._last: dict[str, int] = {}  # by node, its last step
        self._said = 0.0  # when the last line about them was
        self._pace: Pace | None = None  # of a job

    def __call__(self, event: Event) -> None:
        """Print what an event has to say, if it is time."""
        match event:
            case ItemStarted():
                if self._pace is None:
                    self._pace, self._running, self._said = Pace(), True, time.monotonic()
                self._pace.starts(event)
            case ItemFinished():
                self._item(event)
            case RunStarted(nodes=nodes) if self._pace is None:
                self._running = True
                self._say(f"running {nodes} nodes" if nodes != 1 else "running 1 node")
            case NodeStarted(node=node):
                self._since.pop(node, None)
                if not self._running:
                    self._say(f"{node}: downloading what it needs")
            case NodeProgress(node=node, step=step, total=total, note=note):
                self._step(node, step, total, note)
            case NodeFinished(node=node, seconds=seconds) if (
                node not in self._since and seconds >= LOG_SECONDS and self._pace is None
            ):
                self._say(f"{node}: done in {duration(seconds)}")
            case _:
                pass

    def _item(self, event: ItemFinished) -> None:
        self._pace = self._pace or Pace()
        left, now = self._pace.ends(event), time.monotonic()
        if event.number == event.total or now - self._said >= LOG_SECONDS:
            self._said = now
            self._say(f"{event.number} of {event.total}: {event.name}" + (f", {left}" if left else ""))

    def _step(self, node: str, step: int, total: int, note: str) -> None:
        now = time.monotonic()
        anew = node not in self._since or step < self._last.get(node, 0)
        begins = anew and self._pace is None
        if anew:
            self._since[node] = (now, step)
        self._last[node] = step
        begun, first = self._since[node]
        ends = step == total and self._pace is None
        if total < 2 or not (begins or ends or now - self._said >= LOG_SECONDS):
            return
        left = (now - begun) / (step - first) * (total - step) if step > first else 0.0
        self._said = now
        where = node if self._pace is None else f"{self._pace.name}: {node}"
        words = [f"{where}: {step} of {total}", note, f"about {duration(left)} left" if left else ""]
        self._say(", ".join(word for word in words if word))

"""What a person sees of a run where no bar can be drawn, such as in a log file: a line now and then."""

import time
from collections.abc import Callable

from ...core.events import Event, NodeFinished, NodeProgress, NodeStarted, RunStarted

LOG_SECONDS = 10


class Lines:
    """A listener: a line when the run begins, when a node's steps begin and end, and every ten seconds between.

    Args:
        say: prints a line.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._running = False
        self._since: tuple[float, int] | None = None  # when the node's steps began, and at which one
        self._last = 0  # the last step
        self._said = 0.0  # when the last line about them was

    def __call__(self, event: Event) -> None:
        """Print what an event has to say, if it is time."""
        match event:
            case RunStarted(nodes=nodes):
                self._running = True
                self._say(f"running {nodes} nodes" if nodes != 1 else "running 1 node")
            case NodeStarted(node=node):
                self._since = None
                if not self._running:
                    self._say(f"{node}: downloading what it needs")
            case NodeProgress(node=node, step=step, total=total, note=note):
                self._step(node, step, total, note)
            case NodeFinished(node=node, seconds=seconds) if self._since is None and seconds >= LOG_SECONDS:
                self._say(f"{node}: done in {duration(seconds)}")
            case _:
                pass

    def _step(self, node: str, step: int, total: int, note: str) -> None:
        now = time.monotonic()
        begins = self._since is None or step < self._last
        if self._since is None or begins:
            self._since = (now, step)
        self._last = step
        begun, first = self._since
        if total < 2 or not (begins or step == total or now - self._said >= LOG_SECONDS):
            return
        left = (now - begun) / (step - first) * (total - step) if step > first else 0.0
        self._said = now
        words = [f"{node}: {step} of {total}", note, f"about {duration(left)} left" if left else ""]
        self._say(", ".join(word for word in words if word))


def duration(seconds: float) -> str:
    """A duration in seconds, minutes or hours, never 0."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"

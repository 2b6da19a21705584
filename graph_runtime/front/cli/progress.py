"""Progress bars for a terminal, drawn from the event stream on stderr."""

import sys
import time
from typing import TYPE_CHECKING

from ...core.errors import clean
from ...core.events import Event, ModelMoved, NodeFinished, NodeProgress, NodeStarted, RunStarted, Warned

if TYPE_CHECKING:
    from rich.progress import TaskID

    from ..python.result import Result


LOG_SECONDS = 30


class Bars:
    """A listener: one bar for the workflow, one for the running node, with the time left."""

    def __init__(self, enabled: bool = True) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        self.console = Console(stderr=True, highlight=False, emoji=False)
        self.enabled = enabled
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            console=self.console,
            transient=True,
            disable=not (enabled and self.console.is_terminal),
        )
        self._all: TaskID | None = None
        self._node: TaskID | None = None
        self._since: tuple[float, int] | None = None  # when the current count began, and at which step
        self._logged = time.monotonic()

    def __enter__(self) -> "Bars":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def __call__(self, event: Event) -> None:
        """Draw one event."""
        match event:
            case RunStarted(nodes=nodes):
                self._all = self._progress.add_task("workflow", total=nodes, note="")
            case NodeStarted(node=node):
                if self._node is not None:
                    self._progress.remove_task(self._node)
                self._node = self._progress.add_task(f"  {clean(node)}", total=None, note="")
            case NodeProgress(node=node, step=step, total=total, note=note):
                if self._node is not None:
                    self._progress.update(self._node, completed=step, total=total, note=clean(note))
                if note and self.enabled and not self.console.is_terminal:
                    self._log(node, step, total, note)
            case NodeFinished():
                if self._all is not None:
                    self._progress.advance(self._all)
            case Warned():
                self._print(str(event))
            case ModelMoved(message=message):
                if self.enabled:
                    self._print(message)
            case _:
                pass

    def _log(self, node: str, step: int, total: int, note: str) -> None:
        """Print a line every half minute of long work when there are no bars, for example in a log file."""
        now = time.monotonic()
        if self._since is None or step <= self._since[1]:
            self._since = (now, step)
        elif now - self._logged >= LOG_SECONDS or step == total:
            begun, first = self._since
            left = (now - begun) / (step - first) * (total - step)
            self._print(
                f"{node}: {step} of {total}, {note}" + (f", about {_duration(left)} left" if step < total else "")
            )
            self._logged = now

    def _print(self, text: str) -> None:
        self.console.print(clean(text), markup=False, soft_wrap=True)

    def summary(self, result: "Result") -> None:
        """Print one line: how long the run took, and which nodes took most of it."""
        if not self.enabled:
            return
        slowest = sorted(result.timings.items(), key=lambda item: -item[1])[:3]
        where = ", ".join(f"{node} {seconds:.1f} s" for node, seconds in slowest if seconds >= 0.05)
        spent = f"done in {sum(result.timings.values()):.1f} s" + (f" ({where})" if where else "")
        print(clean(spent), file=sys.stderr)


def _duration(seconds: float) -> str:
    """A duration in seconds, minutes or hours, never 0."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"

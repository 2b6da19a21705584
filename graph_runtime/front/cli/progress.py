"""Progress on stderr, from the event stream: bars in a terminal, lines anywhere else."""

import sys
from typing import TYPE_CHECKING

from ...core.errors import clean
from ...core.events import (
    Event,
    ItemFinished,
    ItemStarted,
    ModelMoved,
    NodeFinished,
    NodeProgress,
    NodeStarted,
    Noted,
    RunStarted,
    Warned,
)
from .lines import Lines
from .pace import Pace

if TYPE_CHECKING:
    from rich.progress import TaskID

    from ..python.result import Result


class Bars:
    """A listener: one bar for the workflow, one for each running node, with the time left; lines without a terminal.

    A job has one bar more, for its pictures.

    Args:
        enabled: show progress; warnings are printed anyway.
        speaks: print warnings and what the model manager decides; otherwise somebody else does.
    """

    shows_previews = False

    def __init__(self, enabled: bool = True, *, speaks: bool = True) -> None:
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
        self._speaks = speaks
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
        self._nodes: dict[str, TaskID] = {}  # those that run: on several devices, several at once
        self._over: list[TaskID] = []  # of nodes that have ended; seen until another begins
        self._job: TaskID | None = None
        self._pace: Pace | None = None  # of a job
        self._warned: set[str] = set()
        drawn = not enabled or self.console.is_terminal
        self._lines = None if drawn else Lines(self._print)

    def __enter__(self) -> "Bars":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def __call__(self, event: Event) -> None:
        """Draw one event."""
        if self._lines is not None:
            self._lines(event)
        match event:
            case ItemStarted() | ItemFinished():
                self._draw_job(event)
            case RunStarted(nodes=nodes):
                self._end(*self._nodes)
                if self._all is not None:
                    self._progress.remove_task(self._all)
                self._all = self._progress.add_task("workflow", total=nodes, note="")
            case NodeStarted(node=node):
                if self._all is None:  # of a download, whose end is not told
                    self._end(*self._nodes)
                while self._over:
                    self._progress.remove_task(self._over.pop())
                self._nodes[node] = self._progress.add_task(f"  {clean(node)}", total=None, note="")
            case NodeProgress(node=node, step=step, total=total, note=note):
                if node in self._nodes:
                    self._progress.update(self._nodes[node], completed=step, total=total, note=clean(note))
            case NodeFinished(node=node):
                self._end(node)
                if self._all is not None:
                    self._progress.advance(self._all)
            case Warned():
                if (self._speaks or isinstance(event, Noted)) and not self._is_known(str(event)):
                    self._print(str(event))
            case ModelMoved(message=message):
                if self.enabled and self._speaks and self._pace is None:
                    self._print(message)
            case _:
                pass

    def _end(self, *nodes: str) -> None:
        for node in nodes:
            if (bar := self._nodes.pop(node, None)) is not None:
                self._over.append(bar)

    def _draw_job(self, event: ItemStarted | ItemFinished) -> None:
        if self._pace is None or self._job is None:
            self._pace = Pace()
            self._job = self._progress.add_task("pictures", total=event.total, note="")
        if isinstance(event, ItemStarted):
            self._pace.starts(event)
            self._progress.update(self._job, note=clean(event.name))
            return
        left = self._pace.ends(event)
        self._progress.update(self._job, completed=event.number, note=f"{clean(self._pace.name)}  {left}")
        if event.status == "failed" and self.enabled and self._speaks:
            self._print(f"failed: {event.name}: {event.message}")

    def _is_known(self, warning: str) -> bool:
        """True for a warning that another picture of the job had too."""
        if self._pace is None:
            return False
        warning = self._pace.without_name(warning)
        known = warning in self._warned
        self._warned.add(warning)
        return known

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

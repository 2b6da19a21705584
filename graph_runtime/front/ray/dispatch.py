"""Which worker makes which run, whatever carries the messages: ready, made, lost.

Each worker makes one run at a time, and the next one for each is prepared meanwhile: no more than that is under way,
however long the sweep is. A run whose worker or GPU was lost is made again by another; only its own answer counts.
"""

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal, Protocol

from ...core.errors import WorkflowError
from ..jobs.outcome import Outcome
from ..jobs.worker import Message

TRIES = 3  # of one run, by workers that were lost
FAULTS = 2  # different runs, one after the other, in which a place lost its device: it is used no longer
STILLBORN = 3  # workers in one place, one after the other, that were lost before they were ready
LOOK = 0.2  # seconds between two looks at whether the user asked to stop
SLOW = 30.0  # seconds without any worker, after which the user is told


@dataclass(frozen=True)
class News:
    """Something that a worker said.

    Attributes:
        slot: the worker's place.
        what: it is ready, has made a run, or was lost.
        value: what it said of itself, what it made, or why it was lost.
    """

    slot: int
    what: Literal["ready", "made", "lost"]
    value: Message


class Cluster(Protocol):
    """Workers somewhere, each in a place with a number."""

    def start(self, slot: int) -> None:
        """Start a worker in a place, instead of the one that is there; news of it come later."""

    def give(self, slot: int, message: Message) -> None:
        """Let a worker that has nothing to do make a run."""

    def news(self, seconds: float) -> Iterator[News]:
        """What workers said; waits for it at most this long."""

    def close(self) -> None:
        """End all workers at once, whatever they are doing."""


@dataclass(frozen=True)
class Ready:
    """A run that is ready to be made, or that needs no worker.

    Attributes:
        number: of the run.
        message: for a worker.
        outcome: it is done already, or cannot be made.
    """

    number: int
    message: Message = field(default_factory=dict)
    outcome: Outcome | None = None


class Runs(Protocol):
    """The runs, as a cluster makes them."""

    def accept(self, hello: Message) -> bool:
        """True if a worker may make runs; one that may not is left alone.

        Raises:
            WorkflowError: the workers cannot be used.
        """

    def next(self, slot: int) -> Ready | None:
        """The next run for a worker; None if there are no more."""

    def begun(self, ready: Ready) -> None:
        """A worker was given a run for the first time."""

    def made(self, number: int, value: Message) -> Outcome:
        """What became of a run that a worker has made; its files are written here."""

    def given_up(self, number: int, why: str) -> Outcome:
        """What became of a run whose workers were lost."""

    def waits(self, seconds: float) -> None:
        """No worker was ready for that long."""


@dataclass
class Losses:
    """What was lost, and made again.

    Attributes:
        workers: that were lost.
        runs: that were made again.
        device: what was said of the last one that did not answer any more.
    """

    workers: int = 0
    runs: int = 0
    device: str = ""


@dataclass
class Dispatch:
    """Gives runs to workers, one each.

    Args:
        cluster: the workers.
        runs: what they make.
        places: how many workers there are to be.
        check: raises if the user asked to stop.
        clock: seconds.
    """

    cluster: Cluster
    runs: Runs
    places: int
    check: Callable[[], None]
    clock: Callable[[], float] = time.monotonic
    losses: Losses = field(default_factory=Losses)
    _free: set[int] = field(default_factory=set)
    _busy: dict[int, Ready] = field(default_factory=dict)
    _ahead: dict[int, Ready] = field(default_factory=dict)
    _again: deque[Ready] = field(default_factory=deque)
    _tries: Counter[int] = field(default_factory=Counter)
    _stillborn: Counter[int] = field(default_factory=Counter)
    _left_out: set[int] = field(default_factory=set)
    _faults: dict[int, set[int]] = field(default_factory=dict)  # by place, the last runs: its device was lost in each
    _lost_at: dict[int, set[int]] = field(default_factory=dict)  # by run, the places that lost their device in it
    _more: bool = True

    def outcomes(self) -> Iterator[tuple[int, Outcome]]:
        """The outcome of each run with its number, as they come.

        Raises:
            WorkflowError: the workers cannot be used, or do not start.
            Cancelled: the user asked to stop.
        """
        for slot in range(self.places):
            self.cluster.start(slot)
        try:
            yield from self._all()
        finally:
            self.cluster.close()

    def _all(self) -> Iterator[tuple[int, Outcome]]:
        began, told = self.clock(), False
        while True:
            self.check()
            for slot in sorted(self._free):
                yield from self._give(slot)
            heard = False
            for news in self.cluster.news(0):
                heard = True
                yield from self._hear(news)
            if heard:
                continue
            if len(self._left_out) >= self.places:  # no device is left
                return
            if not self._more and not (self._busy or self._ahead or self._again):
                return
            if (ready := self._prepare()) is not None:
                if ready.outcome is not None:
                    yield ready.number, ready.outcome
                continue
            for news in self.cluster.news(LOOK):
                yield from self._hear(news)
            if not told and not (self._free or self._busy) and self.clock() - began > SLOW:
                told = True
                self.runs.waits(self.clock() - began)

    def _give(self, slot: int) -> Iterator[tuple[int, Outcome]]:
        """Let a free worker make the next run; those that need no worker are yielded on the way."""
        while True:
            ready = self._to_repeat(slot) or self._ahead.pop(slot, None) or self._next(slot)
            if ready is None and self._ahead:  # help another worker
                ready = self._ahead.pop(next(iter(self._ahead)))
            if ready is None:
                return
            if ready.outcome is None:
                break
            yield ready.number, ready.outcome
            self.check()
        if not self._tries[ready.number]:
            self.runs.begun(ready)
        self._free.discard(slot)
        self._busy[slot] = ready
        self.cluster.give(slot, ready.message)

    def _to_repeat(self, slot: int) -> Ready | None:
        """A run that is to be made again; where the device was lost in it only if no other place is left."""
        used = set(range(self.places)) - self._left_out
        for ready in self._again:
            before = self._lost_at.get(ready.number, set())
            if slot not in before or used <= before:
                self._again.remove(ready)
                return ready
        return None

    def _next(self, slot: int) -> Ready | None:
        ready = self.runs.next(slot) if self._more else None
        self._more = ready is not None
        return ready

    def _prepare(self) -> Ready | None:
        """Prepare a run for a worker that is busy; None if there is nothing to do."""
        slot = next((slot for slot in self._busy if slot not in self._ahead), None)
        ready = self._next(slot) if slot is not None else None
        if slot is not None and ready is not None and ready.outcome is None:
            self._ahead[slot] = ready
        return ready

    def _hear(self, news: News) -> Iterator[tuple[int, Outcome]]:
        if news.what == "ready":
            self._stillborn[news.slot] = 0
            if self._accepted(news):
                self._free.add(news.slot)
            else:
                self._left_out.add(news.slot)
                self._require_some()
        elif news.what == "made" and (said := (news.value.get("outcome") or {}).get("lost")):
            yield from self._device_lost(news, said)
        elif news.what == "made":
            ready = self._busy.pop(news.slot)
            self._faults.pop(news.slot, None)
            self._free.add(news.slot)
            yield from self._give(news.slot)  # first: it works while the files are written
            yield ready.number, self.runs.made(ready.number, news.value)
        else:
            yield from self._lost(news.slot, str(news.value.get("why", "")))

    def _accepted(self, news: News) -> bool:
        try:
            return self.runs.accept(news.value)
        except WorkflowError:
            if news.slot not in self._faults:
                raise
            return False  # its device is still gone: the others go on

    def _device_lost(self, news: News, said: str) -> Iterator[tuple[int, Outcome]]:
        """Another process takes the place; its run is made again elsewhere."""
        slot, ready = news.slot, self._busy.pop(news.slot)
        self.losses.workers += 1
        self.losses.device = said
        faults = self._faults.setdefault(slot, set())
        faults.add(ready.number)
        self._lost_at.setdefault(ready.number, set()).add(slot)
        if len(faults) < FAULTS:
            self.cluster.start(slot)
        else:
            self._left_out.add(slot)
        self._tries[ready.number] += 1
        none_left = len(self._left_out) >= self.places
        if self._tries[ready.number] < TRIES and not none_left:
            self.losses.runs += 1
            self._again.append(ready)
            return
        outcome = self.runs.made(ready.number, news.value)
        outcome.lost = said if none_left else ""  # the run's own fault, as it seems: the others are made
        yield ready.number, outcome

    def _lost(self, slot: int, why: str) -> Iterator[tuple[int, Outcome]]:
        was_ready = slot in self._free or slot in self._busy or slot in self._left_out
        self._free.discard(slot)
        self._left_out.discard(slot)
        self.losses.workers += 1
        ready = self._busy.pop(slot, None)
        if not was_ready:
            self._stillborn[slot] += 1
            if self._stillborn[slot] >= STILLBORN:
                self._give_up_place(slot, why)
                return
        if ready is not None:
            self._tries[ready.number] += 1
            if self._tries[ready.number] < TRIES:
                self.losses.runs += 1
                self._again.append(ready)
            else:
                yield ready.number, self.runs.given_up(ready.number, why)
        self.cluster.start(slot)

    def _give_up_place(self, slot: int, why: str) -> None:
        self._left_out.add(slot)
        if len(self._left_out) >= self.places:
            raise WorkflowError.of(
                "--engine ray",
                found=f"workers that do not start: {why}",
                expected="a cluster that starts inlay's workers",
                fix="see Ray's log on that machine; `inlay doctor` there tells what is missing",
            )

    def _require_some(self) -> None:
        if len(self._left_out) >= self.places and self.losses.device:
            raise WorkflowError.of(
                "--engine ray",
                found=f"no device that answers: {self.losses.device}",
                expected="at least one",
                fix="see what nvidia-smi says of it; the same command goes on from there",
            )
        if len(self._left_out) >= self.places:
            raise WorkflowError.of(
                "--engine ray",
                found="no worker that may be used: the warnings say why",
                expected="at least one worker",
                fix="use machines of one kind",
            )

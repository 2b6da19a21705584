"""Steps of a plan at once, on several devices, with the results of one at a time.

A step is ready when everything that it reads is there. One that writes files, or reads what the run itself writes,
waits until all steps planned before it are done, so files appear in the planned order. Warnings are passed on in that
order too. When a step fails, those planned after it are stopped, and those before it go on: the error is that of the
first one in the planned order. A step whose device is gone is made again on another one. Listeners are called in the
thread that started the run.
"""

import contextvars
import sys
import threading
import time
from bisect import insort
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from queue import Empty, SimpleQueue

from ..current_run import running_in
from ..errors import Cancelled, NodeError
from ..events import Event, NodeFinished, NodeStarted, Warned
from ..memory.descriptions import AnyDescription
from ..memory.device_lost import lost_device
from ..memory.manager import ModelManager
from ..notices import collect_notices
from ..opening import reading
from ..store.memory import Given
from .branch import Branch
from .calls import make
from .crew import Crew, models_of
from .work import Work

AHEAD = 64  # steps for each device that may run before the first one that is not done: their values take memory
LOOK = 0.1  # seconds after which the run looks whether it is cancelled

_within: contextvars.ContextVar[bool] = contextvars.ContextVar("inlay_within_crew", default=False)


def within_a_step() -> bool:
    """True inside a step that runs beside others: a run in it has no device to wait for."""
    return _within.get()


def side_by_side(work: Work, crew: Crew) -> None:
    """Run all steps of `work` that are needed.

    Raises:
        NodeError: a node failed; of several, the first in the planned order.
        Cancelled: the user asked to stop.
    """
    _Run(work, crew).all()


class _Run:
    """The state of one run; `crew.changed` guards it."""

    def __init__(self, work: Work, crew: Crew) -> None:
        self.work, self.crew, self.ctx = work, crew, work.ctx
        self.order = [index for index, needed in enumerate(work.needed) if needed]
        self.first = 0  # in `order`: the first step that is not done
        self.limit = len(work.steps)  # steps from here on are of no use: this one failed
        self.errors: dict[int, BaseException] = {}
        self.done: set[int] = set()
        self.running: set[int] = set()
        self.moved: set[int] = set()  # steps whose device was lost
        self.ready: list[int] = []
        self.since: dict[int, float] = {}  # when a step was ready
        self.models: dict[int, frozenset[AnyDescription]] = {}
        self.warned: dict[int, list[Event]] = {}
        self.events: SimpleQueue[Event | None] = SimpleQueue()
        self.left = {index: len(set(work.steps[index].sources)) for index in self.order if index not in work.cached}
        self.readers: dict[int, list[int]] = {}
        for index in self.left:
            for source in set(work.steps[index].sources):
                self.readers.setdefault(source, []).append(index)
        self.modes = _modes()
        self.in_turn = {  # steps that wait for all before them
            index for index in self.order if work.steps[index].spec.effects or work.steps[index].files is None
        }

    def all(self) -> None:
        """Start the threads, pass on their events, and raise what went wrong first."""
        with self.crew.changed:
            for index in [index for index in self.order if self.left.get(index) == 0]:
                self._is_ready(index)
            for index in self.order:
                if index in self.work.cached:
                    self._known(index)
            for lost in self.crew.lost:
                self.events.put(Warned(None, self.crew.told(lost)))
            self._advance()
            self._end_if_over()
        devices: list[int | None] = [*range(len(self.crew.managers)), *[None] * self.crew.threads]
        threads = [
            threading.Thread(target=contextvars.copy_context().run, args=(self._serve, device), daemon=True)
            for device in devices
        ]
        try:
            for thread in threads:
                thread.start()
            while self._pass_on():
                if self.ctx.cancel.cancelled:
                    self._stop()
        except BaseException:
            self._stop()
            raise
        finally:
            for thread in threads:
                thread.join()
        while not self.events.empty():
            self._pass_on()
        if self.ctx.cancel.cancelled and not self._over_well():
            self.ctx.check_cancelled()
        if self.errors:
            raise self.errors[min(self.errors)]

    def _over_well(self) -> bool:
        return self.first == len(self.order)

    def _pass_on(self) -> bool:
        """Pass one event on to the listeners; false when there are no more."""
        with suppress(Empty):
            event = self.events.get(timeout=LOOK)
            if event is None:
                return False
            if isinstance(event, Warned):
                self.ctx.pass_on(event)
            else:
                self.ctx.emit(event)
        return True

    def _stop(self) -> None:
        with self.crew.changed:
            if self.limit >= 0 and not self._over():
                self.limit = -1
                self.crew.changed.notify_all()
            self._end_if_over()

    def _over(self) -> bool:
        """Nothing runs, and nothing that is of use waits."""
        return not self.running and (self._over_well() or self.order[self.first] >= self.limit)

    def _end_if_over(self) -> None:
        if self._over():
            self.events.put(None)
            self.crew.changed.notify_all()

    def _is_ready(self, index: int) -> None:
        step = self.work.steps[index]
        self.models[index] = models_of(step.spec, self.work.arguments(step, take=False))
        self.since[index] = time.monotonic()
        insort(self.ready, index)

    def _known(self, index: int) -> None:
        step, result = self.work.steps[index], self.work.cached.pop(index)
        if self.ctx.listeners:
            self.events.put(NodeStarted(step.name, step.spec.id))
            self.warned[index] = [Warned(step.name, message) for message in result.warnings]
        self._finish(index, result)
        if self.ctx.listeners:
            self.events.put(NodeFinished(step.name, step.spec.id, 0.0, True))

    def _finish(self, index: int, given: Given) -> None:
        self.work.hold(self.work.steps[index], given[0])
        self.done.add(index)
        for reader in self.readers.get(index, ()):
            self.left[reader] -= 1
            if not self.left[reader]:
                self._is_ready(reader)

    def _advance(self) -> None:
        """Pass on the warnings of steps that are done, in the planned order, up to the first that is not."""
        while self.first < len(self.order):
            index = self.order[self.first]
            if index not in self.done and index not in self.errors:
                return
            for event in self.warned.pop(index, ()):
                self.events.put(event)
            if index in self.errors:
                return
            self.first += 1

    def _serve(self, device: int | None) -> None:
        """Run one step after the other on a device, or without one."""
        _within.set(True)
        try:
            with _in_modes(self.modes, None if device is None else self.crew.managers[device].devices[0]):
                while (index := self._next(device)) is not None:
                    self._step(index, device)
        except BaseException as error:  # noqa: BLE001 - of this loop itself: raised where the run was started
            with self.crew.changed:
                if device in self.crew.lost:  # it could not even be let go
                    return
                self.errors[-1], self.limit = error, -1
                self.crew.changed.notify_all()
                self._end_if_over()

    def _next(self, device: int | None) -> int | None:
        with self.crew.changed:
            while not self._over() and device not in self.crew.lost:
                index, wait = self._pick(device)
                if index is not None:
                    self.ready.remove(index)
                    self.running.add(index)
                    if device is not None:
                        self.crew.take(device, self.models[index])
                    return index
                self.crew.changed.wait(wait)
            return None

    def _pick(self, device: int | None) -> tuple[int | None, float | None]:
        """The step to run next, or how long to wait at most until there may be one."""
        if device is not None and self.crew.busy[device]:
            return None, None  # another run has it
        best, wait, now = None, None, time.monotonic()
        for index in self.ready:
            first = self.order[self.first]
            if index >= self.limit or index > first + AHEAD * len(self.crew.managers):
                break
            models = self.models[index]
            if bool(models) != (device is not None) or (index in self.in_turn and index != first):
                continue
            if device is None:
                return index, None
            patience = self.crew.patience(device, models) - (now - self.since[index])
            if patience > 0:
                wait = patience if wait is None else min(wait, patience)
            elif all(self.crew.managers[device].holds(model) for model in models):
                return index, None
            elif best is None:
                best = index
        return best, wait

    def _step(self, index: int, device: int | None) -> None:
        """Run a step; what becomes of it is noted."""
        work, step = self.work, self.work.steps[index]
        lent: list[int] = [] if device is None else [device]
        branch = Branch(
            self.ctx,
            step.name,
            lambda: index >= self.limit and index not in self.errors,
            (lambda event: self._heard(index, event)) if self.ctx.listeners else None,
            lambda: self._lend(index, lent),
        )
        branch.spent = lambda socket: work.spent(index, socket)
        if self.ctx.listeners and index not in self.moved:
            self.events.put(NodeStarted(step.name, step.spec.id))
        with self.crew.changed:
            arguments = work.arguments(step, take=False)
        started = time.perf_counter()
        result = failed = None
        try:
            branch.check_cancelled()
            with running_in(branch), reading(work.plan.gate), collect_notices() as notices:
                result = make(step, arguments, branch, notices)
                if work.keeping:
                    work.keep(index, result, time.perf_counter() - started, branch)
                for message in notices:
                    branch.pass_on(Warned(None, message))
        except BaseException as error:  # noqa: BLE001 - raised where the run was started
            failed = error
        del arguments
        work.took[index] = time.perf_counter() - started
        with self.crew.changed:
            self.running.discard(index)
            if result is not None and failed is None:
                work.arguments(step)  # what no other step reads is let go
                self._finish(index, result)
                if self.ctx.listeners:
                    self.events.put(NodeFinished(step.name, step.spec.id, work.took[index]))
            elif failed is not None and self._moves(index, failed, lent):
                self._is_ready(index)
            elif failed is not None and index < self.limit:
                self.errors[index] = failed
                self.limit = index
            self._advance()
            for one in lent:
                self.crew.give_back(one)
            self.crew.changed.notify_all()
            self._end_if_over()

    def _moves(self, index: int, failed: BaseException, lent: list[int]) -> bool:
        """True if a step failed because its device is gone, and another device can make it."""
        said = lost_device(failed.__cause__) if isinstance(failed, NodeError) and failed.__cause__ else None
        if said is None or not lent or self.work.steps[index].spec.effects or not self.crew.lose(lent[0], said):
            return False
        self.moved.add(index)
        self.warned.pop(index, None)
        self.events.put(Warned(None, self.crew.told(lent[0])))
        return True

    def _heard(self, index: int, event: Event) -> None:
        if isinstance(event, Warned):
            self.warned.setdefault(index, []).append(event)
        else:
            self.events.put(event)

    def _lend(self, index: int, lent: list[int]) -> ModelManager:
        """The models of a step's device; one that was not known to need a device waits for one."""
        crew = self.crew
        with crew.changed:
            while not lent:
                free = [device for device, busy in enumerate(crew.busy) if not busy and device not in crew.lost]
                if free:
                    crew.take(free[0])
                    lent.append(free[0])
                elif index >= self.limit or self.ctx.cancel.cancelled:
                    raise Cancelled(f"cancelled in node {self.work.steps[index].name}")
                else:
                    crew.changed.wait(LOOK)
        return crew.managers[lent[0]]


def _modes() -> tuple[bool, bool] | None:
    """Whether torch keeps gradients, and whether it infers, in this thread; None before torch is imported."""
    torch = sys.modules.get("torch")
    return None if torch is None else (torch.is_grad_enabled(), torch.is_inference_mode_enabled())


@contextmanager
def _in_modes(modes: tuple[bool, bool] | None, device: str | None) -> Iterator[None]:
    """In the block, this thread has torch's modes of another one, and the device is the current one."""
    with ExitStack() as stack:
        torch = sys.modules.get("torch")
        if torch is not None and modes is not None:
            stack.enter_context(torch.inference_mode(modes[1]))
            stack.enter_context(torch.set_grad_enabled(modes[0]))
            if device is not None and device.startswith("cuda"):
                stack.enter_context(torch.cuda.device(device))
        yield

"""Leases and the memory budget: the manager keeps models resident within a budget, and evicts idle ones for others.

What leaves a GPU goes to CPU memory, page-locked, and comes back from there without a file being read. On the CPU
itself, to evict means to let go. A model that does not fit whole is streamed block by block, if it can be.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar, cast

from ..current_run import report_progress
from ..errors import ModelError
from ..out_of_memory import is_out_of_memory, release_device_memory, retried
from .aside import Aside
from .decisions import Action, Decision, report
from .descriptions import AnyDescription, M, ModelDescription, least_of
from .device_memory import Free
from .leases import watched
from .moving import can_move, give_back, module_bytes, to_device, to_host
from .residents import Hold, Key, Resident
from .sizes import size_text
from .table import too_large, who_holds_what

if TYPE_CHECKING:
    from torch import nn

Placement = Callable[[object, str], None]


class ModelManager:
    """Keeps models resident within a budget.

    Args:
        devices: where modules may live; the first one computes.
        budget: bytes that weights, and what nodes keep room for, may take on a device; `Free` is what is free there;
            None is no limit.
        log: called with one sentence for each decision.
        place: called with (module, device) at each lease; a host that manages memory itself hooks in here.
        beside: bytes of CPU memory for weights that were evicted from another device; 0 lets go of them.

    Attributes:
        moved: how often, and how many bytes: read from files, brought to a device, taken from it.
    """

    setting: ClassVar[str] = "--memory "  # what gives the budget, for messages

    def __init__(
        self,
        devices: Sequence[str] = ("cpu",),
        budget: int | Free | None = None,
        log: Callable[[str], None] | None = None,
        place: Placement | None = None,
        beside: int | Free | None = None,
    ) -> None:
        self.devices = tuple(devices)
        self.budget = budget
        self._log = log
        self.place = place
        self._resident: OrderedDict[Key, Resident] = OrderedDict()
        self._holds: list[Hold] = []
        self._lock = threading.RLock()
        self._released = threading.Condition(self._lock)
        self._aside = Aside(Free() if beside is None else beside)
        self.moved = self._aside.moved
        self.watchers: list[Callable[[bool], None]] = []  # called with true before weights come or go, else after it

    def log(self, action: Action, what: str, nbytes: int = 0, device: str = "", why: str = "") -> None:
        """Report a decision to the maker of this manager, and to the run that it is for (`decisions_reported_to`)."""
        where = device or self.devices[0]
        decision = Decision(action, what, nbytes, where, why, self.in_use(where), self.limit(where))
        if self._log is not None:
            self._log(str(decision))
        report(decision)

    @contextmanager
    def lease(self, description: ModelDescription[M], device: str | None = None) -> Iterator[M]:
        """The module of `description`, kept resident for the length of the block.

        Raises:
            ModelError: it needs more memory than the budget, together with what this thread has leased already.
        """
        where = device or self.devices[0]
        base = description.base()
        with self._lock:
            entry = self._resident.get((base, where))
            if entry is None:
                most = self._make_room(description, where)
                entry = self._resident.get((base, where)) or self._bring_in(base, where, most)
            self._resident.move_to_end((base, where))
            entry.holders.append(threading.get_ident())
            self._note_lease(where)
        try:
            if entry.streamed:
                with (
                    base.streamed(cast(M, entry.module), where, entry.nbytes) as on_device,
                    description.adapted(on_device) as module,
                    watched(description.label, module),
                ):
                    yield module
                return
            if self.place is not None and not base.borrowed:
                self.place(entry.module, where)
            with description.adapted(cast(M, entry.module)) as module, watched(description.label, module):
                yield module
        finally:
            with self._lock:
                entry.holders.remove(threading.get_ident())
                if base.borrowed and not entry.holders:
                    self._resident.pop((base, where), None)
                self._released.notify_all()

    def holds(self, description: AnyDescription) -> bool:
        """True if the weights are in memory now; never waits for a load."""
        return (description.base(), self.devices[0]) in self._resident

    @contextmanager
    def hold(
        self, label: str, nbytes: int, weights: Sequence[AnyDescription] = (), device: str | None = None
    ) -> Iterator[Hold]:
        """Keep room, for the length of the block, for what this thread makes beside weights, and for weights to come.

        Args:
            label: what needs the room, for messages.
            nbytes: of what is made.
            weights: models that the block will lease together; those that are resident stay.
            device: where; None: the one that computes.

        Raises:
            ModelError: it does not fit beside what this thread holds already; names the smallest budget that works.
        """
        where = device or self.devices[0]
        hold = Hold(label, nbytes, where, threading.get_ident(), {})
        with self._lock:
            bases = hold.weights = self._shares(weights, where, nbytes)
            pinned = [entry for base in bases if (entry := self._resident.get((base, where))) is not None]
            for entry in pinned:
                entry.holders.append(hold.thread)
            try:
                self._wait_for_room(hold.missing(self._resident), where, label)
                self._holds.append(hold)
            except BaseException:
                for entry in pinned:
                    entry.holders.remove(hold.thread)
                raise
        try:
            yield hold
        finally:
            with self._lock:
                self._holds.remove(hold)
                for entry in pinned:
                    entry.holders.remove(hold.thread)
                self._released.notify_all()

    def resident(self) -> list[str]:
        """Labels of what is in memory now, least recently used first."""
        with self._lock:
            return [description.label for description, _ in self._resident]

    def modules(self) -> list[object]:
        """What is in memory now, on any device."""
        with self._lock:
            return [entry.module for entry in self._resident.values()] + self._aside.modules()

    def set_aside(self) -> list[str]:
        """Labels of what waits in CPU memory to be brought back, least recently used first."""
        with self._lock:
            return self._aside.labels()

    def resident_bytes(self, device: str | None = None) -> int:
        """Bytes of weights in memory now, on one device or on all."""
        with self._lock:
            return sum(entry.nbytes for (_, where), entry in self._resident.items() if device in (None, where))

    def in_use(self, device: str) -> int:
        """Bytes of weights on a device, and of the room that is kept there."""
        with self._lock:
            kept = sum(hold.missing(self._resident) for hold in self._holds if hold.device == device)
            return self.resident_bytes(device) + kept

    def limit(self, device: str) -> int | None:
        """Bytes that may be in use on a device now; None: any number."""
        if isinstance(self.budget, Free):
            return self.budget.limit(device, self.resident_bytes(device))
        return self.budget

    def holders(self, device: str) -> list[str]:
        """Who holds what on a device, as the lines of a table."""
        with self._lock:
            return who_holds_what(device, self._resident, self._holds, self._aside.sizes(), self.limit(device))

    def evict_idle(self, reason: str = "asked to", *, keep: bool = True) -> int:
        """Evict everything that no lease holds; returns the bytes given back.

        Args:
            reason: for the report.
            keep: what leaves a GPU waits in CPU memory; without, nothing of it is kept anywhere.
        """
        with self._lock:
            idle = [key for key, entry in self._resident.items() if entry.pins == 0]
            freed = sum(self._evict(key, reason, keep=keep) for key in idle)
            if not keep:
                self._aside.clear()
            return freed

    def make_smaller(self, reason: str) -> bool:
        """After this thread ran out of memory: evict what is idle, and from now on stream what it can of its weights.

        Returns:
            True: another try is worth it.
        """
        self.log("retry", "in a node", why=f"{reason}: evicting what is idle and trying once more")
        self.evict_idle(reason)
        with self._lock:
            for hold in self._holds:
                if hold.thread == threading.get_ident():
                    hold.squeezed = True
        return True

    def _note_lease(self, device: str) -> None:
        """Note in the innermost hold of this thread what it leases together."""
        me = threading.get_ident()
        mine = [hold for hold in self._holds if hold.thread == me and hold.device == device]
        if mine:
            own = {
                base.label: entry.nbytes
                for (base, where), entry in self._resident.items()
                if where == device and me in entry.holders
            }
            if sum(own.values()) > mine[-1].leased:
                mine[-1].leased, mine[-1].labels = sum(own.values()), tuple(own)

    def abandon(self) -> None:
        """Forget all weights without touching their device, which is gone."""
        with self._lock:
            self._resident.clear()

    def _evict(self, key: Key, reason: str, *, keep: bool = True) -> int:
        self._changing(before=True)
        entry = self._resident.pop(key)
        base, where = key
        freed = entry.nbytes
        action: Action = "evict"
        if not base.borrowed:
            base.strip(entry.module)
        if keep and self._aside.limit != 0 and not base.borrowed and (entry.streamed or self._may_move(entry, where)):
            try:
                if not entry.streamed:
                    to_host(cast("nn.Module", entry.module), pin=where.startswith("cuda"))
                    self.moved.out += freed
                kept = self._aside.put(key, entry.module)
            except Exception as error:  # CPU memory is full: what is left of it goes
                if not is_out_of_memory(error):
                    raise
                kept = False
            action = "set aside" if kept else "evict"
        del entry
        if action == "set aside":
            give_back(where)
        else:
            release_device_memory()
        self.log(action, base.label, freed, where, reason)
        self._changing(before=False)
        return freed

    def _may_move(self, entry: Resident, where: str) -> bool:
        return where != "cpu" and self.place is None and can_move(entry.module)

    def _changing(self, *, before: bool) -> None:
        for watcher in list(self.watchers):
            watcher(before)

    def _make_room(self, description: AnyDescription, device: str) -> int | None:
        """Evict what is idle until the budget holds one more, or wait for other threads to release what they lease.

        Returns:
            None; or, where it does not fit whole but can be streamed, how many bytes of it may be on the device.

        Raises:
            ModelError: it does not fit beside what this thread holds itself.
        """
        base = description.base()
        me = threading.get_ident()
        needed = description.nbytes_on(device) if self.limit(device) is not None else 0
        for hold in self._holds:
            if hold.thread == me and hold.device == device and base in hold.weights:  # there is room: it was kept
                least = least_of(base, device) if hold.squeezed else None
                kept = hold.weights[base] if least is None else least
                return kept if kept < base.nbytes_on(device) else None
        least = least_of(base, device)
        own, limit = sum(self._own(device).values()), self.limit(device)
        if least is None or limit is None or own + needed <= limit or own + least > limit:
            self._wait_for_room(needed, device, description.label)
            return None
        self._wait_for_room(limit - own, device, description.label)
        return limit - own

    def _shares(self, weights: Sequence[AnyDescription], device: str, nbytes: int) -> dict[AnyDescription, int]:
        """Bytes for each model that a block will lease, beside `nbytes`: those that do not fit whole are streamed."""
        shares = {one.base(): one.nbytes_on(device) for one in weights if not one.base().borrowed}
        limit, taken = self.limit(device), nbytes + sum(self._own(device).values())
        for base, size in sorted(shares.items(), key=lambda item: -item[1]):
            over = taken + sum(shares.values()) - limit if limit is not None else 0
            there = self._resident.get((base, device))
            least = least_of(base, device) if over > 0 and (there is None or there.streamed) else None
            if least is not None:
                shares[base] = max(least, size - over)
            if there is not None and there.streamed:
                if there.nbytes > shares[base] and not there.holders:
                    self._evict((base, device), f"{size_text(nbytes)} beside it are needed")
                else:
                    shares[base] = there.nbytes
        return shares

    def _own(self, device: str) -> dict[str, int]:
        """What this thread itself holds on a device: labels and bytes."""
        me = threading.get_ident()
        leased = {
            base.label: entry.nbytes
            for (base, where), entry in self._resident.items()
            if where == device and me in entry.holders
        }
        held = {
            hold.label: hold.missing(self._resident)
            for hold in self._holds
            if hold.thread == me and hold.device == device
        }
        return leased | held

    def _wait_for_room(self, needed: int, device: str, label: str) -> None:
        """Evict what is idle until so many bytes fit, or wait for other threads.

        Raises:
            ModelError: they do not fit beside what this thread holds itself.
        """
        while (limit := self.limit(device)) is not None:
            for key in [key for key, entry in self._resident.items() if not entry.holders and key[1] == device]:
                if self.in_use(device) + needed <= limit:
                    return
                why = f"the budget of {limit / 2**20:.0f} MiB"
                self._evict(key, f"{why}, for {label}" if self.budget is None else why)
            limit = self.limit(device)
            if limit is None or self.in_use(device) + needed <= limit:
                return
            own = self._own(device)
            if own or needed > limit:  # waiting for others is safe for those alone who hold nothing
                raise too_large({**own, label: needed}, limit, self.setting)
            self._released.wait(0.2)
            report_progress()

    def _bring_in(self, description: AnyDescription, device: str, most: int | None = None) -> Resident:
        def make_room() -> bool:
            why = "evicting what is idle and trying once more"
            self.log("retry", f"while loading {description.label}", 0, device, why)
            self.evict_idle("out of memory")
            return True

        self._changing(before=True)
        try:
            entry = retried(lambda: self._module(description, device, most), make_room)
        except Exception as again:
            if not is_out_of_memory(again):
                raise
            raise ModelError(
                None,
                found=f"not enough memory for {description.label} on {device}",
                expected=f"about {description.nbytes_on(device) / 2**20:.0f} MiB free",
                fix="use a smaller dtype, another --device, or free memory that other programs use",
            ) from again
        self._resident[(description, device)] = entry
        self.log(entry.came, description.label, entry.nbytes, device)
        self._changing(before=False)
        return entry

    def _module(self, description: AnyDescription, device: str, most: int | None) -> Resident:
        """The weights on a device: from CPU memory if they wait there, else from their files."""
        key = (description, device)
        waiting = self._aside.take(key)
        if most is not None:
            module = waiting if waiting is not None else description.load_beside(device)
            self.moved.count_read(waiting is None, module_bytes(module))
            if can_move(module):
                to_host(module, pin=device.startswith("cuda"))
            return Resident(module, most, came="stream", streamed=True)
        if waiting is not None:
            try:
                to_device(waiting, device)
            except BaseException:
                to_host(waiting, pin=False)
                self._aside.put(key, waiting)
                raise
            size = module_bytes(waiting)
            self.moved.into += size
            return Resident(waiting, size, came="return")
        module = description.lend(device)
        size = 0 if description.borrowed else module_bytes(module) or description.nbytes_on(device)
        self.moved.count_read(not description.borrowed, size)
        self.moved.into += size if device != "cpu" else 0
        return Resident(module, size)

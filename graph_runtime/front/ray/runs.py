"""The runs of a sweep as other machines make them: what each reads goes there, and what it saves is written here."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from ...core.context import Context
from ...core.errors import Problem
from ...core.events import ItemStarted
from ...core.files import make_folder, named, replacing_folder
from ..jobs.job import Job
from ..jobs.ledger import Ledger
from ..jobs.outcome import Outcome
from ..jobs.pairs import Item
from ..jobs.part import Part, owner_of, prefixes_of
from ..jobs.quick import Quick
from ..jobs.session import How, around, fail, savers_of
from ..jobs.shared_results import SharedResults
from ..jobs.worker import Message
from ..python.preparation import decide
from ..recipe.find_inputs import remember
from ..recipe.record import record as recipe_of
from .alike import Alike
from .contents import Contents, Ref
from .dispatch import Ready
from .packing import pack


class Deal(Protocol):
    """Which run each worker makes next."""

    def next(self, slot: int) -> int:
        """The number of a run; -1 if none is left."""


@dataclass
class _Begun:
    """A run that a worker was given, or will be."""

    item: Item
    part: Part
    digests: tuple[str, ...]


@dataclass
class SweepRuns:
    """See `Runs`.

    Args:
        job: the runs.
        how: each is made.
        deal: which is next.
        put: puts contents where workers can fetch them.
        ctx: of the sweep.
        whole: how many runs there are.
    """

    job: Job
    how: How
    deal: Deal
    put: Callable[[bytes], Ref]
    ctx: Context
    whole: int
    contents: Contents = field(init=False)
    _around: str = ""
    _begun: dict[int, _Begun] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.contents = Contents(self.put)
        self.ledger = Ledger(self.job.loaded.out)
        self._none = SharedResults(0)
        self._alike = Alike(self.ctx.warn)

    # workers

    def accept(self, hello: Message) -> bool:
        """Refuse other versions; leave out a worker whose results could be other bytes than those of the first one."""
        accepted = self._alike.accept(hello)
        if not self._around and self._alike.parts is not None:
            self._around = around(self._alike.parts, metadata=self.how.metadata)
            self._quick = Quick(self.job, self._around)
        return accepted

    def waits(self, seconds: float) -> None:
        """Say that the cluster is busy."""
        self.ctx.warn(
            f"no worker is ready after {seconds:.0f} s: the cluster may be busy, or still start machines; inlay waits"
        )

    # runs

    def next(self, slot: int) -> Ready | None:
        """Prepare the next run."""
        number = self.deal.next(slot)
        if number < 0:
            return None
        item = self.job.items[number]
        outcome = Outcome(item.name, dict(item.files), "failed")
        try:
            if (before := self._quick.known(item, self.ledger)) is not None:
                outcome.take(before, "known")
                outcome.savers = self._quick.savers
                return Ready(number, outcome=outcome)
            return self._prepared(number, item, outcome)
        except Exception as error:  # noqa: BLE001 - of one run: the others are made all the same
            fail(outcome, error)
            return Ready(number, outcome=outcome)

    def _prepared(self, number: int, item: Item, outcome: Outcome) -> Ready:
        job, out = self.job, self.job.loaded.out
        loaded = job.prepared(item)
        prefixes, owner = prefixes_of(item.name, savers_of(loaded)), owner_of(loaded.workflow)
        plan = loaded.plan()
        if loaded.undecided:
            plan = decide(loaded, plan, self.ctx)
        part = Part(self.ledger, owner, item.name, self._around, prefixes, self._none, None, job.asked, job.measures)
        folders = [*loaded.roots, out]
        record = recipe_of(plan, loaded.registry, loaded.recorded_names, folders) if self.how.metadata else ""
        if part.is_done(plan, record) and part.known is not None:
            outcome.take(part.known, "known")
            outcome.savers = part.savers
            self._quick.note(item, part)
            return Ready(number, outcome=outcome)
        whole = part.asking(plan, loaded.plan)
        remember(plan, loaded.held.holds)
        packed, digests = pack(loaded, whole, self.contents)
        self._begun[number] = _Begun(item, part, digests)
        message = packed | {"name": item.name, "prefixes": dict(prefixes), "record": record}
        return Ready(number, message)

    def begun(self, ready: Ready) -> None:
        """Say so."""
        self.ctx.emit(ItemStarted(self._begun[ready.number].item.name, ready.number + 1, self.whole))

    def made(self, number: int, value: Message) -> Outcome:
        """Write the files of a run, and note it as done."""
        begun = self._begun.pop(number)
        self.contents.give_back(begun.digests)
        outcome = Outcome.from_json(value["outcome"])
        outcome.inputs = dict(begun.item.files)
        for warning in outcome.warnings:
            self.ctx.pass_on(warning)
        if outcome.status != "done":
            return outcome
        try:
            paths = self._written(begun.part, value["files"])
            warnings = [(warning.node, warning.message) for warning in outcome.warnings]
            done = begun.part.done(paths, outcome.seconds, warnings=warnings, values=dict(outcome.values))
        except OSError as error:
            outcome.status, outcome.files = "failed", []
            fail(outcome, error)
            return outcome
        self._quick.note(begun.item, begun.part)
        outcome.files, outcome.savers = done.files, begun.part.savers
        return outcome

    def _written(self, part: Part, files: Iterable[Message]) -> list[Path]:
        paths: list[Path] = []
        for one in files:
            path = self.ledger.out / (one["folder"] if "folder" in one else one["file"])
            make_folder(path.parent)
            if "folder" in one:
                with replacing_folder(path) as new:
                    for name, contents in one["inside"].items():
                        (new / name).parent.mkdir(parents=True, exist_ok=True)
                        (new / name).write_bytes(contents)
                continue
            part.writer = one["node"]
            with named(path.parent, path.stem, path.suffix, part.publish, paths.append) as new:
                new.write_bytes(one["bytes"])
        return paths

    def given_up(self, number: int, why: str) -> Outcome:
        """A run that took its workers with it."""
        begun = self._begun.pop(number)
        self.contents.give_back(begun.digests)
        problem = Problem(
            None,
            "--engine",
            f"the workers that made it were lost, one after the other; the last one: {why}",
            "a worker that finishes",
            "make this one here, with --engine local, to see why; if memory ran out, use a smaller size or dtype",
        )
        item = begun.item
        return Outcome(item.name, dict(item.files), "failed", problems=[problem], ran=True, type="sweep")

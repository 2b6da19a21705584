"""The runs of a sweep as other machines make them: what each reads goes there, and what it saves is written here."""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Protocol

from ...core.context import Context
from ...core.errors import Problem, WorkflowError
from ...core.events import ItemStarted
from ...core.files import make_folder, named, replacing_folder
from ...core.run.plan import Plan
from ...core.workflow import Workflow
from ..environment import environment_parts
from ..jobs.job import Job
from ..jobs.ledger import Ledger
from ..jobs.outcome import Outcome
from ..jobs.pairs import Item
from ..jobs.part import Part, owner_of, prefixes_of
from ..jobs.quick import Quick
from ..jobs.session import How, around, fail, savers_of
from ..jobs.shared_results import SharedResults
from ..jobs.worker import Message
from ..python.load_workflow import LoadedWorkflow
from ..python.preparation import decide
from ..recipe.find_inputs import remember
from ..recipe.record import part_that_ran
from ..recipe.record import record as recipe_of
from .contents import Contents, Parcel, Ref, parcel_of
from .dispatch import Ready

VERSION = "the version of "  # begins the parts of an environment that must be the same everywhere


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
    _parts: dict[str, str] | None = None
    _begun: dict[int, _Begun] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.contents = Contents(self.put)
        self.ledger = Ledger(self.job.loaded.out)
        self._none = SharedResults(0)
        self._own = environment_parts("cpu")

    # workers

    def accept(self, hello: Message) -> bool:
        """Refuse other versions; leave out a worker whose results could be other bytes than those of the first one."""
        node = str(hello["node"])
        if hello.get("error"):
            raise _refused(f"inlay does not start on {node}: {hello['error']}", self._own)
        parts: dict[str, str] = hello["parts"]
        others = [
            f"{name.removeprefix(VERSION)} {parts.get(name, 'missing')} (here {version})"
            for name, version in self._own.items()
            if name.startswith(VERSION) and parts.get(name) != version
        ]
        if others:
            raise _refused(f"{node} has {', '.join(others)}", self._own)
        if self._parts is None:
            self._parts = parts
            self._around = around(parts, metadata=self.how.metadata)
            self._quick = Quick(self.job, self._around)
        if parts != self._parts:
            names = sorted(name for name in parts if parts[name] != self._parts.get(name))
            self.ctx.warn(
                f"the worker on {node} is left out, because its results could be other bytes: {', '.join(names)} "
                "differ from those of the first worker"
            )
            return False
        return True

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
        workflow, paths, parcels, where = _packed(loaded, whole)
        self._begun[number] = _Begun(item, part, tuple(where))
        message = {
            "name": item.name,
            "workflow": workflow.model_dump_json(),
            "paths": paths,
            "parcels": {name: asdict(parcel) for name, parcel in parcels.items()},
            "pieces": self.contents.take(where),
            "prefixes": dict(prefixes),
            "record": record,
        }
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


def _packed(
    loaded: LoadedWorkflow, plan: Plan
) -> tuple[Workflow, list[list[object]], dict[str, Parcel], dict[str, Path]]:
    """The part of a workflow that runs, and what it reads.

    Returns:
        The workflow; which settings are paths: node, setting, number in a list or None, and the parcel's name; the
        parcels; and where the contents are.
    """
    workflow = part_that_ran(loaded.workflow, {step.name for step in plan.steps})
    paths: list[list[object]] = []
    parcels: dict[str, Parcel] = {}
    where: dict[str, Path] = {}
    for step in plan.steps:
        for setting, role in step.spec.path_roles.items():
            value = step.settings.get(setting)
            at = (step.name, setting)
            if isinstance(value, list):
                workflow.nodes[step.name].params[setting] = list(value)
                given: list[tuple[int | None, str]] = [(number, str(path)) for number, path in enumerate(value)]
            else:
                given = [(None, str(plan.files[at]["path"]))] if at in plan.files else []
            for number, path in given:
                parcel, contents = parcel_of(path, model=role.kind == "model")
                where |= contents
                parcels[parcel.key] = parcel
                paths.append([step.name, setting, number, parcel.key])
    return workflow, paths, parcels, where


def _refused(found: str, own: dict[str, str]) -> WorkflowError:
    version = own[f"{VERSION}inlay"]
    return WorkflowError.of(
        "--engine ray",
        found=found,
        expected="the same versions on every machine of the cluster, so that results are the same bytes",
        fix=f"install inlay {version} and the same versions there; `inlay doctor` lists them",
    )

"""The runs of a job one after the other in this process, with one set of models and of shared results."""

import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ...core.disk_errors import disk_error, explain, is_full
from ...core.errors import Cancelled, InlayError, NodeError, Problem, WorkflowError, first_line
from ...core.events import CancelToken, Event, Listener, NodeFinished, Noted, Record, Warned
from ...core.memory.device_lost import lost_device
from ...core.store.disk import DiskStore, not_kept
from ..device import resolve_device
from ..environment import environment_parts
from ..kept_between_runs import disk_store
from ..python.load_workflow import LoadedWorkflow
from .job import Job
from .ledger import Ledger
from .outcome import Outcome, Value
from .pairs import Item
from .part import Part, owner_of, prefixes_of
from .quick import Quick
from .shared_results import SharedResults

if TYPE_CHECKING:
    from ..python.result import Result


@dataclass(frozen=True)
class How:
    """How the runs of a job are made; as of `inlay.run`."""

    device: str = "auto"
    memory: str | int | None = None
    cache: bool = True
    metadata: bool = True


@dataclass
class Session:
    """What the runs of a job share in one process."""

    job: Job
    how: How
    listeners: tuple[Listener, ...] = ()
    cancel: CancelToken | None = None
    around: str = field(init=False)
    memory: SharedResults = field(init=False)
    _quick: Quick = field(init=False)

    def __post_init__(self) -> None:
        """Find the device and the stores.

        Raises:
            WorkflowError: no such device.
        """
        where = resolve_device(self.how.device)
        self.around = around(environment_parts(where), metadata=self.how.metadata)
        self.disk: DiskStore | None = disk_store(where, self.job.loaded.registry) if self.how.cache else None
        self.ledger = Ledger(self.job.loaded.out)
        self._quick = Quick(self.job, self.around)
        self.memory = SharedResults(self.job.room, self.job.unshared)

    def prepared(self, item: Item) -> tuple[LoadedWorkflow, Part]:
        """The workflow of a run, and what it is as a part of the job.

        Raises:
            WorkflowError: as of `Job.prepared`.
        """
        loaded = self.job.prepared(item)
        prefixes = prefixes_of(item.name, savers_of(loaded))
        owner = owner_of(loaded.workflow)
        asked, measures = self.job.asked, self.job.measures
        part = Part(self.ledger, owner, item.name, self.around, prefixes, self.memory, self.disk, asked, measures)
        return loaded, part

    @property
    def trouble(self) -> list[str]:
        """Why nothing can be kept or noted, in words for a user."""
        found = [not_noted(self.ledger.trouble)] if self.ledger.trouble else []
        return found + ([not_kept(self.disk.trouble)] if self.disk is not None and self.disk.trouble else [])

    def run(self, item: Item) -> "tuple[Outcome, Result | None]":
        """Run one; a failure is an outcome too.

        Raises:
            Cancelled, KeyboardInterrupt: the user asked to stop.
        """
        outcome, result = self._run(item)
        outcome.trouble = self.trouble
        return outcome, result

    def _run(self, item: Item) -> "tuple[Outcome, Result | None]":
        from ..python.run_loaded import run_loaded

        began = time.perf_counter()
        heard = Record()
        outcome = Outcome(item.name, dict(item.files), "failed")
        if (before := self._quick.known(item, self.ledger)) is not None:
            outcome.savers = self._quick.savers
            outcome.take(before, "known")
            return outcome, None
        try:
            loaded, part = self.prepared(item)
            result = run_loaded(
                loaded,
                device=self.how.device,
                memory=self.how.memory,
                cache=self.how.cache or self.job.measures,  # runs of a sweep share results in memory at least
                metadata=self.how.metadata,
                listeners=[*self.listeners, heard],
                cancel=self.cancel,
                part=part,
            )
        except Cancelled:
            raise
        except Exception as error:  # noqa: BLE001 - of one picture: the others are run all the same
            fail(outcome, error)
        else:
            outcome.savers = part.savers
            if part.known is not None:
                self._quick.note(item, part)
                outcome.take(part.known, "known")
                return outcome, None
            seconds = time.perf_counter() - began
            values = {name: value for name, value in result.outputs.items() if isinstance(value, Value)}
            done = part.done(
                result.paths, seconds, warnings=[(w.node, w.message) for w in _warnings(heard)], values=values
            )
            self._quick.note(item, part)
            outcome.take(done, "done")
            outcome.reused = _reused(heard, part)
            return outcome, result
        outcome.seconds, outcome.warnings = time.perf_counter() - began, [*_warnings(heard), *outcome.warnings]
        return outcome, None

    def outputs(self, item: Item) -> Mapping[str, object]:
        """The outputs of a run, made once more, mostly from kept results; the files that it saves are thrown away."""
        from ..python.run_loaded import run_loaded

        loaded = self.job.prepared(item)
        with tempfile.TemporaryDirectory(prefix="inlay-") as folder:
            loaded.out = Path(folder)
            return run_loaded(
                loaded,
                device=self.how.device,
                memory=self.how.memory,
                cache=self.how.cache,
                metadata=self.how.metadata,
                cancel=self.cancel,
            ).outputs


def savers_of(loaded: LoadedWorkflow) -> dict[str, tuple[str, bool]]:
    """The nodes that save files under a prefix: the prefix, and whether it is their type's default."""
    found = {}
    for name, entry in loaded.workflow.nodes.items():
        spec = loaded.registry.get(entry.type)
        known = spec.params.model_fields.get("prefix") if spec is not None and spec.effects else None
        if known is not None:
            prefix = entry.params.get("prefix", known.default)
            if isinstance(prefix, str):
                found[name] = prefix, prefix == known.default
    return found


def not_noted(why: str) -> str:
    """A warning that the next start will not know what this one does."""
    return f"what is done could not be noted, so the next start does it again: {why}"


def _reused(events: Iterable[Event], part: Part) -> bool:
    """True if every node but those that save gave what was kept."""
    return all(event.cached for event in events if isinstance(event, NodeFinished) and event.node not in part.writers)


def around(parts: Mapping[str, str], *, metadata: bool) -> str:
    """Everything outside a workflow that the bytes of a job's files may depend on.

    Args:
        parts: of the environment; how many processes share the work makes no other job of it.
        metadata: files carry how they were made.
    """
    kept = {name: value for name, value in parts.items() if name != "the number of threads"}
    return "|".join([*kept.values(), str(metadata)])


def fail(outcome: Outcome, error: Exception) -> None:
    """Write down why a run failed."""
    outcome.full = is_full(error)
    outcome.lost = lost_device(error) or ""
    if not isinstance(error, InlayError):
        error = _unforeseen(error)
    if isinstance(error, NodeError):
        outcome.problems, outcome.type, outcome.ran = [error.problem], error.node_type, True
    elif isinstance(error, WorkflowError):
        outcome.problems, outcome.warnings = list(error.problems), list(error.warnings)
    else:
        outcome.problems = [Problem(None, None, first_line(error), "a run without an error", "see the message")]


def _unforeseen(error: Exception) -> WorkflowError:
    if (cause := disk_error(error)) is not None:
        found, expected, fix = explain(cause)
        return WorkflowError.of(None, found=found, expected=expected, fix=fix)
    return WorkflowError.of(
        None,
        found=f"an unforeseen {type(error).__name__}: {first_line(error)}",
        expected="a picture and settings that can be run",
        fix="run this picture alone with --traceback, and please report it",
    )


def _warnings(events: Iterable[Event]) -> list[Warned]:
    return [event for event in events if isinstance(event, Warned) and not isinstance(event, Noted)]


def slim(events: Iterable[Event]) -> list[Event]:
    """The events of a run that are kept after it: they are kept for each picture of a job."""
    return [event for event in events if isinstance(event, (NodeFinished, Warned))]

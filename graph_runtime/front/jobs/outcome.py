"""What became of the runs of a job, and of the job as a whole."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from ...core.errors import InlayError, NodeError, Problem, WorkflowError
from ...core.events import Warned
from .ledger import Done, Written

Value = str | float | int | bool | None
Status = Literal["done", "known", "failed"]


@dataclass
class Outcome:
    """What became of one run.

    Attributes:
        name: of the picture, below the output folder, without suffix.
        inputs: the path that each input got.
        status: `done` now, `known` from an earlier start, or `failed`.
        files: what was saved, with digests.
        seconds: that it took, when it was made.
        warnings: those of the run.
        values: outputs that are text or numbers.
        savers: by output, the node that saves it; empty for one that is not saved.
        problems: why it failed.
        ran: it failed while it ran, not before.
        type: of the node that failed.
        full: it failed because the disk is full, as the next ones would.
        lost: it failed because its device is gone: what was said of it.
        reused: all of it was kept from before but what it saved.
        trouble: why its process cannot keep or note what it makes; of no single run, so it is not noted with one.
    """

    name: str
    inputs: Mapping[str, str]
    status: Status
    files: list[Written] = field(default_factory=list)
    seconds: float = 0.0
    warnings: list[Warned] = field(default_factory=list)
    values: Mapping[str, Value] = field(default_factory=dict)
    savers: Mapping[str, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    ran: bool = False
    type: str = ""
    full: bool = False
    lost: str = ""
    reused: bool = False
    trouble: list[str] = field(default_factory=list)

    @property
    def error(self) -> InlayError | None:
        """The error of a failed run, as running this picture alone would raise it."""
        if self.status != "failed":
            return None
        if self.ran:
            return NodeError(self.problems[0], self.type)
        return WorkflowError(self.problems, self.warnings)

    @property
    def message(self) -> str:
        """Its first problem, or its warnings, in one line."""
        if self.problems:
            more = f" (and {len(self.problems) - 1} more)" if len(self.problems) > 1 else ""
            return f"{self.problems[0]}{more}"
        return "; ".join(f"{one.node}: {one.message}" if one.node else one.message for one in self.warnings)

    def take(self, done: Done, status: Status) -> None:
        """Take over what a run has done."""
        self.status, self.files, self.seconds, self.values = status, done.files, done.seconds, done.values
        self.warnings = [Warned(node, message) for node, message in done.warnings]

    def as_json(self) -> dict[str, Any]:  # Any: JSON between two processes of one release
        """For another process."""
        return asdict(self) | {"inputs": dict(self.inputs), "values": dict(self.values), "savers": dict(self.savers)}

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> "Outcome":  # Any: what `as_json` gave
        """From another process."""
        return cls(
            **raw
            | {
                "files": [Written(**one) for one in raw["files"]],
                "warnings": [Warned(**one) for one in raw["warnings"]],
                "problems": [Problem(**one) for one in raw["problems"]],
            }
        )


class LazyOutputs(Mapping[str, object]):
    """The outputs of a run of a job: text and numbers are kept; whatever is large is made again when it is asked for.

    Args:
        values: those that are kept.
        names: of all.
        make: makes all.
    """

    def __init__(
        self, values: Mapping[str, object], names: tuple[str, ...], make: Callable[[], Mapping[str, object]]
    ) -> None:
        self._values, self._names, self._make = dict(values), names, make

    def __getitem__(self, name: str) -> object:
        if name not in self._values and name in self._names:
            self._values.update(self._make())
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


@dataclass
class Tally:
    """How many runs there are, and what became of them so far."""

    total: int
    done: int = 0
    known: int = 0
    failed: int = 0

    def add(self, status: Status) -> None:
        """Count one."""
        setattr(self, status, getattr(self, status) + 1)

    @property
    def ended(self) -> int:
        """How many have ended."""
        return self.done + self.known + self.failed

    def __str__(self) -> str:
        parts = [f"{self.done} done"]
        parts += [f"{self.known} known from an earlier start"] if self.known else []
        parts += [f"{self.failed} failed"] if self.failed else []
        return ", ".join(parts) + f" of {self.total}"


def paths_of(outcomes: list[Outcome], out: Path) -> list[Path]:
    """All files of a job, in the order of its pictures."""
    return [out / file.path for one in outcomes for file in one.files]

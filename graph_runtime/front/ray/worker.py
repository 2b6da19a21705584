"""A worker: makes one run after the other, with one set of models and of shared results.

It gets a workflow with all values in it and the contents that this reads, and gives back what was saved, as bytes: it
writes nothing outside inlay's own folder on its machine.
"""

import importlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ...core.events import CancelToken
from ...core.workflow import Workflow
from ..device import resolve_device
from ..jobs.job import Job, Origin
from ..jobs.ledger import Done, Ledger
from ..jobs.outcome import Outcome
from ..jobs.pairs import Item
from ..jobs.part import Part
from ..jobs.session import How, Session, fail
from ..jobs.worker import Message
from ..python.keywords import registry_of
from ..python.load_workflow import LoadedWorkflow
from .contents import Ref
from .maker import BaseMaker
from .packing import unpack

if TYPE_CHECKING:
    from ..python.result import Result


class _NoNotes(Ledger):
    """Notes nothing: whoever asked for the runs does."""

    def known(self, key: bytes, values: object = ()) -> None:
        """Nothing is."""

    def known_by(self, quick: bytes, values: object = ()) -> None:
        """Nothing is."""

    def note_quick(self, quick: bytes, key: bytes) -> None:
        """Note nothing."""

    def note(self, key: bytes, done: Done) -> None:
        """Note nothing."""

    def claim(self, final: Path, sha256: str, owner: str, before: str) -> None:
        """Note nothing."""

    def owned(self, final: Path, owner: str) -> str:
        """Nothing is."""
        return ""


@dataclass
class _AwayPart(Part):
    """A run that was asked for elsewhere.

    Attributes:
        plain: by file, the name that it would have if no other file had it.
    """

    plain: dict[Path, str] = field(default_factory=dict)
    _first: str = ""

    def publish(self, written: Path, final: Path) -> bool | None:
        """As of `Part`; also note the name that was wanted."""
        self._first = self._first or final.name
        answer = super().publish(written, final)
        if answer is not False or not os.path.lexists(final):
            self.plain[final], self._first = self._first, ""
        return answer


class _AwaySession(Session):
    """The runs of one worker; each is told as a whole."""

    def tell(self, loaded: LoadedWorkflow, prefixes: Mapping[str, str]) -> None:
        """What the next run makes."""
        self._told, self._prefixes = loaded, prefixes
        self.ledger = _NoNotes(loaded.out)

    def prepared(self, item: Item) -> tuple[LoadedWorkflow, Part]:
        """The workflow that was told."""
        job = self.job
        self.part = _AwayPart(
            self.ledger, "", item.name, self.around, self._prefixes, self.memory, self.disk, job.asked, job.measures
        )
        return self._told, self.part


class Maker(BaseMaker):
    """Makes the runs of a sweep; see `BaseMaker`."""

    def __init__(self, told: Message, fetch: Callable[[Ref], bytes]) -> None:
        super().__init__(told, fetch)
        nodes = tuple(importlib.import_module(name) for name in told["nodes"])
        self._registry = registry_of(nodes)
        empty = LoadedWorkflow(Workflow(nodes={}), self._registry, [], self._scratch.out())
        job = Job(
            Origin({}, None, nodes),
            empty,
            {},
            {},
            (),
            (),
            asked=told["asked"],
            measures=told["measures"],
            room=told["room"],
            unshared=frozenset(told["unshared"]),
        )
        self._how = How(**told["how"])
        self.device = resolve_device(self._how.device)
        self._session = _AwaySession(job, self._how, (), CancelToken())

    def make(self, message: Message) -> Message:
        """Make a run: its outcome, and its files with their bytes in the order in which they were saved."""
        item = Item(message["name"], {})
        try:
            self._session.tell(unpack(message, self._scratch, self._registry), message["prefixes"])
        except Exception as error:  # noqa: BLE001 - of one run: the others are made all the same
            outcome = Outcome(item.name, {}, "failed")
            fail(outcome, error)
            return {"outcome": outcome.as_json(), "files": []}
        outcome, result = self._session.run(item)
        files = self._files(result) if result is not None else []
        return {"outcome": outcome.as_json(), "files": files}

    def _files(self, result: "Result") -> list[Message]:
        """What was saved, with its bytes; of a folder, each file in it."""
        out, part = self._session.ledger.out, self._session.part
        found: list[Message] = []
        for path in map(Path, map(os.path.realpath, result.paths)):
            below = path.relative_to(out)
            if path.is_dir():
                inside = {
                    one.relative_to(path).as_posix(): one.read_bytes() for one in path.rglob("*") if one.is_file()
                }
                found.append({"folder": below.as_posix(), "inside": inside})
            elif path.is_file():
                name = part.plain.get(path, path.name)
                file = below.with_name(name).as_posix()
                found.append({"file": file, "node": part.node_of(path), "bytes": path.read_bytes()})
        return found

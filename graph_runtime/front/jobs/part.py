"""One run of a job: what it is known by, and what its files are called."""

import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path, PurePosixPath
from unicodedata import category

from ...core.context import safe_prefix
from ...core.digests import sha256, short_digest
from ...core.file_digests import file_sha256
from ...core.run.plan import Plan
from ...core.store.disk import DiskStore
from ...core.workflow import Workflow
from .ledger import Done, Ledger, Written
from .shared_results import SharedResults

LONGEST = 150  # bytes of a name, to which a prefix, a number and a suffix are added
ODD = frozenset('<>:"|?*\\')  # not in names on Windows


@dataclass
class OwnFiles:
    """Files of one owner, which only that owner replaces, and only as long as nobody else has changed them.

    Attributes:
        ledger: of the output folder.
        owner: who may replace the files: the same workflow with the same settings and paths.
        files: what was saved, with digests.
    """

    ledger: Ledger
    owner: str
    files: dict[Path, str] = field(default_factory=dict, kw_only=True)

    def publish(self, written: Path, final: Path) -> bool | None:
        """Note a file before it gets its name; true if what has that name is this owner's from an earlier start.

        None if that has the same contents: an earlier start was killed before it could say that it was done.
        """
        before = ""
        if os.path.lexists(final):
            before = "" if final in self.files else self.ledger.owned(final, self.owner)
            if not before:
                return False
        digest = file_sha256(written)
        self.ledger.claim(final, digest, self.owner, before)
        self.files[final] = digest
        return None if before == digest else bool(before)


@dataclass
class Part(OwnFiles):
    """What a run needs to know as a part of a job; it names the files (`FileNames`).

    Attributes:
        name: of the picture, below the output folder, without suffix.
        around: everything outside the workflow that the files' bytes may depend on.
        prefixes: the name that the files of each saving node get, by node.
        memory: results that the runs of this job share.
        disk: the store of results; None for none.
        asked: a number of a node, as `node.output`, that the run gives besides its outputs; empty: none.
        measures: it also gives what its nodes measure.
        known: what an earlier start has done, if it is the same.
        key: what the run is known by.
        savers: by output, the node that saves it; empty for one that is not saved.
        writers: the nodes that write files.
        plan: of the run, once it was planned.
        record: the text that saved pictures carry, or nothing.
        wanted: numbers of nodes that the run gives besides its outputs.
        writer: the node that saves the next file.
    """

    name: str
    around: str
    prefixes: Mapping[str, str]
    memory: SharedResults
    disk: DiskStore | None
    asked: str = ""
    measures: bool = False
    known: Done | None = None
    key: bytes | None = None
    savers: Mapping[str, str] = field(default_factory=dict)
    writers: frozenset[str] = frozenset()
    plan: Plan | None = None
    record: str = ""
    wanted: list[str] = field(default_factory=list)
    writer: str = ""
    _nodes: dict[Path, str] = field(default_factory=dict)

    def is_done(self, plan: Plan, record: str) -> bool:
        """True if an earlier start has done this run, and its files are there and unchanged.

        Args:
            plan: of the run; its keys tell settings, code, models and the contents of files.
            record: the text that saved pictures carry, or nothing.
        """
        self.savers = dict.fromkeys(plan.outputs, "") | dict(plan.savers)
        self.writers = frozenset(step.name for step in plan.steps if step.spec.effects)
        self.memory.leave_out(plan)
        self.plan, self.record, self.wanted = plan, record, self._wanted(plan)
        keys = [key for key in plan.keys if key is not None]
        if len(keys) == len(plan.keys):
            self.key = short_digest(b"1", json.dumps([self.name, self.around, record]).encode(), *keys, size=20)
            self.known = self.ledger.known(self.key, self.wanted)
        return self.known is not None

    def _wanted(self, plan: Plan) -> list[str]:
        """The numbers of nodes that this run gives besides its outputs."""
        measured = [f"{step.name}.{output}" for step in plan.steps for output in step.spec.better if self.measures]
        return list(dict.fromkeys([*measured, *([self.asked] if self.asked else [])]))

    def asking(self, plan: Plan, whole: Callable[[Mapping[str, str]], Plan]) -> Plan:
        """The plan that also gives what this run is asked for, which no picture records.

        Args:
            plan: of the workflow as it is.
            whole: plans it with more outputs, by name.

        Raises:
            WorkflowError: what is asked for does not exist.
        """
        wanted = self._wanted(plan)
        slots = {
            f"{step.name}.{output}": step.first_slot + number
            for step in plan.steps
            for number, output in enumerate(step.spec.outputs)
        }
        if slots.keys() >= set(wanted):
            return replace(plan, outputs=plan.outputs | {link: slots[link] for link in wanted}) if wanted else plan
        free = (f"asked_{number}" for number in count() if f"asked_{number}" not in plan.outputs)
        names = dict(zip(free, wanted, strict=False))
        found = whole(names)
        return replace(found, outputs={names.get(name, name): slot for name, slot in found.outputs.items()})

    def prefix(self, node: str, prefix: str) -> str:
        """The name of a file that a node saves: the picture's, where nothing tells it from another's."""
        self.writer = node
        return self.prefixes.get(node) or name_for(self.name, prefix)

    def publish(self, written: Path, final: Path) -> bool | None:
        """As of `OwnFiles`; also note which node has written it."""
        self._nodes[final] = self.writer
        return super().publish(written, final)

    def node_of(self, path: Path) -> str:
        """The node that saved a file; empty if none of this run did."""
        return self._nodes.get(path, "")

    def done(self, paths: Iterable[Path], seconds: float, **more: object) -> Done:
        """What this run has done; noted, if it can be known again."""
        files = []
        for path in paths:
            real = Path(os.path.realpath(path))
            if real.is_file():
                digest = self.files.get(real) or file_sha256(real)
                files.append(Written(real.relative_to(self.ledger.out).as_posix(), digest, self.node_of(real)))
        done = Done(files, seconds, **more)  # type: ignore[arg-type]  # the fields of Done
        if self.key is not None and files:
            self.ledger.note(self.key, done)
        return done


def owner_of(workflow: Workflow) -> str:
    """Who may replace a file of a job: runs of the same workflow with the same settings, inputs and paths."""
    return sha256(workflow.to_json())


def prefixes_of(name: str, savers: Mapping[str, tuple[str, bool]]) -> dict[str, str]:
    """The name of the files of each saving node.

    A single one gets the picture's name. Of several, those whose prefix is the type's default do; another prefix is
    added: `room_found`.

    Args:
        name: the picture's, below the output folder.
        savers: by node, its prefix, and whether that is its type's default.
    """
    alone = len(savers) == 1
    return {
        node: name_for(name, str(PurePosixPath(prefix).with_name("_")) if alone or default else prefix)
        for node, (prefix, default) in savers.items()
        if safe_prefix(prefix)
    }


def name_for(name: str, prefix: str) -> str:
    """`folder/_` → `folder/<name>`, `folder/found` → `folder/<name>_found`; always one that can be written."""
    *folders, last = PurePosixPath(prefix).parts
    parts = [*folders, *map(_writable, PurePosixPath(name).parts)]
    own = PurePosixPath(name).name  # a workflow may be made with the picture's name in its prefixes
    last = "" if last in ("_", own) else last.removeprefix(f"{own}_")
    return "/".join(parts) + (f"_{last}" if last else "")


def _writable(part: str) -> str:
    """A part of a name as it is if it can be written; else without what cannot, and with a digest of what it was."""
    if safe_prefix(part) and len(part.encode()) <= LONGEST:
        return part
    kept = "".join("_" if category(letter).startswith("C") or letter in ODD else letter for letter in part)
    kept = kept.encode()[:LONGEST].decode("utf-8", "ignore").rstrip(" .")
    named = f"{kept}-{sha256(part)[:8]}"
    return named if safe_prefix(named) else f"picture-{sha256(part)[:8]}"

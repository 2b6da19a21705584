"""What was done is known without planning it again: in one job, most of what a run depends on is the same for all.

The key of a run is made of its plan (`Part.is_done`), and planning many thousand runs again takes longer than anybody
waits for the first new one. So the first plan of a process is looked at: which files and settings each run has of its
own, and a digest of everything else. That digest, with what a run has of its own, then stands for its key.
"""

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ...core.digests import short_digest
from ...core.file_digests import file_sha256
from ...core.memory.descriptions import ModelDescription
from ...core.reads import Reads
from ...core.run.plan import Plan
from ...core.run.reread import same_listings, untouched
from .job import Job
from .ledger import Done, Ledger
from .pairs import Item
from .part import Part

PAUSE = 1.0  # seconds after which it is looked whether shared files are still as they were


@dataclass
class Base:
    """What all runs of a job have in common, as the plan of one of them shows it.

    Attributes:
        digest: of workflow, code, models, shared files and everything outside that results depend on.
        savers: by output, the node that saves it.
        wanted: numbers of nodes that each run gives besides its outputs.
        reads: the shared files, as they were.
    """

    digest: bytes
    savers: Mapping[str, str]
    wanted: list[str]
    reads: Reads
    looked: float = 0.0

    def holds(self) -> bool:
        """True if no shared file has changed."""
        now = time.monotonic()
        if now - self.looked < PAUSE:
            return True
        self.looked = now
        return untouched(self.reads) and same_listings(self.reads)


class Quick:
    """Finds what was done by what a run has of its own; only for workflows whose nodes are the same in every run."""

    def __init__(self, job: Job, around: str) -> None:
        self._job, self._around = job, around
        self._base: Base | None = None
        self._usable = job.loaded.expander is None

    @property
    def savers(self) -> Mapping[str, str]:
        """By output, the node that saves it, in every run."""
        return self._base.savers if self._base is not None else {}

    def known(self, item: Item, ledger: Ledger) -> Done | None:
        """What an earlier start has done of a run, if nothing has changed."""
        key = self._key(item)
        return ledger.known_by(key, self._base.wanted) if key is not None and self._base is not None else None

    def note(self, item: Item, part: Part) -> None:
        """Note a run that is done, or known by its plan."""
        if part.plan is None or part.key is None or not self._usable:
            return
        if self._base is None:
            self._base = self._learned(item, part, part.plan)
        if self._base is not None and (key := self._key(item)) is not None:
            part.ledger.note_quick(key, part.key)

    def _key(self, item: Item) -> bytes | None:
        if self._base is None:
            return None
        if not self._base.holds():
            self._base = None
            return None
        try:
            files = {name: [Path(path).name, file_sha256(Path(path))] for name, path in item.files.items()}
        except (OSError, ValueError):
            return None
        own = json.dumps([item.name, files, dict(item.values), dict(item.settings)], sort_keys=True)
        return short_digest(self._base.digest, own.encode("utf-8", "backslashreplace"), size=20)

    def _learned(self, item: Item, part: Part, plan: Plan) -> Base | None:
        """What a plan shows; None if a run has a path of its own that is no picture."""
        workflow = self._job.loaded.workflow
        own = {target for name in (*item.files, *item.values) for target in workflow.targets(name)} | {*item.settings}
        pictures = {target for name in item.files for target in workflow.targets(name)}
        specs = {step.name: step.spec for step in plan.steps}
        for target in own - pictures:
            node, _, setting = target.partition(".")
            if node in specs and setting in specs[node].path_roles:
                self._usable = False
                return None
        plain = json.loads(plan.workflow.to_json())
        for target in own:
            node, _, setting = target.partition(".")
            plain["nodes"].get(node, {}).get("params", {}).pop(setting, None)
        record = json.loads(part.record) if part.record else {}
        material = [
            plain,
            {name: record.get(name) for name in ("made_with", "packages")},
            {f"{node}.{name}": file for (node, name), file in plan.files.items() if f"{node}.{name}" not in own},
            [[step.name, step.spec.id, step.spec.version, step.spec.digest] for step in plan.steps],
            [v.fingerprint for step in plan.steps for v in step.known or () if isinstance(v, ModelDescription)],
            [part.asked, part.measures, self._around],
        ]
        paths = {os.path.abspath(path) for path in item.files.values()} | {
            os.path.realpath(p) for p in item.files.values()
        }
        reads = Reads(
            files={path: found for path, found in plan.reads.files.items() if path not in paths},
            listings=plan.reads.listings,
            unsure={path for path in plan.reads.unsure if path not in paths},
        )
        digest = short_digest(json.dumps(material, sort_keys=True, default=repr).encode(), size=20)
        return Base(digest, part.savers, part.wanted, reads)

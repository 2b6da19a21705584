"""Why a result was made anew: what it depends on now, against what it depended on in the last runs of the file."""

import os
import time
from dataclasses import dataclass, field

from ..core.errors import WorkflowError, did_you_mean, shorten
from ..core.memory.account import told
from ..core.run.history import Made, RunNote, differences, note
from .device import resolve_device
from .environment import environment_parts
from .kept_between_runs import CACHE, disk_store
from .python.load_workflow import LoadedWorkflow

FOUND = ("memory", "disk")


@dataclass
class Explanation:
    """What can be said about a node's result.

    Attributes:
        kept: true if it is on disk, and the next run would use it.
        now: sentences about the next run.
        then: sentences about the last run.
    """

    kept: bool = False
    now: list[str] = field(default_factory=list)
    then: list[str] = field(default_factory=list)


def explain(loaded: LoadedWorkflow, node: str, device: str) -> Explanation:
    """Whether the next run makes a node's result anew, and whether the last one did, with the reasons.

    Raises:
        WorkflowError: the workflow has problems, or no such node.
    """
    if node not in loaded.workflow.nodes:
        raise WorkflowError.of(
            None,
            found=f"no node {shorten(node)} in this workflow",
            expected="one of its nodes",
            fix=did_you_mean(node, loaded.workflow.nodes),
        )
    where = resolve_device(device)
    disk = disk_store(where, loaded.registry)
    if disk is None:
        return Explanation(now=[f"nothing is kept: {CACHE} is 0"])
    plan = loaded.plan()
    now = note(plan, environment_parts(where), {})
    made = now.nodes.get(node)
    if made is None:
        return Explanation(now=[f"no output needs {node}, so it does not run"])
    runs: list[tuple[int, RunNote]] = []
    for at, packed in disk.runs(os.path.realpath(loaded.file or "")):
        try:
            runs.append((at, RunNote.unpacked(packed)))
        except (ValueError, TypeError):
            continue
    found = Explanation()
    if not made.key or made.outcome.startswith("described"):
        return Explanation(now=[f"{node} is never kept: {made.outcome}"])
    key = bytes.fromhex(made.key)
    place = disk.place(key)
    found.kept = made.outcome.startswith("not needed") and place in disk.holds([place])
    if made.outcome.startswith("it writes"):
        found.now = [f"{node} is never kept: {made.outcome}"]
    elif found.kept:
        found.now = [f"the result of {node} is kept on disk: the next run uses it"]
    else:
        found.now = [f"the next run makes {node} anew:", *_indented(_reasons(node, now, runs, disk.why_gone(key)))]
    if runs:
        found.then = _last_run(node, runs)
    return found


def _reasons(node: str, now: RunNote, runs: list[tuple[int, RunNote]], gone: str) -> list[str]:
    """Why a result that a run would look for is not there."""
    if gone:
        return [f"it was kept, and then removed: {gone}"]
    for _, before in runs:
        old = before.nodes.get(node)
        if old is not None and old.key == now.nodes[node].key and before.environment == now.environment:
            return [_not_kept(old)]
    if not runs:
        return ["no run of this file is noted"]
    return differences(node, now, runs[0][1]) or ["what was noted of the last run does not tell"]


def _not_kept(old: Made) -> str:
    if old.outcome.startswith("made; not kept on disk: "):
        return f"it is never kept: {old.outcome.removeprefix('made; not kept on disk: ')}"
    if old.outcome in (*FOUND, "made"):
        return "it was kept, and is not there any more"
    return old.outcome


def _last_run(node: str, runs: list[tuple[int, RunNote]]) -> list[str]:
    """What became of the result in the last run, and why."""
    at, last = runs[0]
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at / 1e9))
    made = last.nodes.get(node)
    if made is None:
        return [f"the last run ({when}) did not need {node}"]
    if not made.outcome.startswith("made"):
        return [f"the last run ({when}): {'found in ' if made.outcome in FOUND else ''}{made.outcome}"]
    memory = _indented(told(last.memory, node))
    earlier = [before for _, before in runs[1:] if node in before.nodes]
    if not earlier:
        return [f"the last run ({when}) made it: no earlier run of this file is noted", *memory]
    same = [one for one in earlier if one.nodes[node].key == made.key and one.environment == last.environment]
    reasons = [_not_kept(same[0].nodes[node])] if same else differences(node, last, earlier[0])
    return [f"the last run ({when}) made it anew:", *_indented(reasons or ["what was noted does not tell"]), *memory]


def _indented(lines: list[str]) -> list[str]:
    return [f"  {line}" for line in lines]

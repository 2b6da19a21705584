"""Run every check on a workflow in order, then its static nodes; the result is `Checked`."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..bounded.effort import checking, uncollected
from ..current_run import searching
from ..errors import WorkflowError
from ..events import Warned
from ..memory.descriptions import AnyDescription
from ..opening import Gate, reading
from ..reading.reader import Reader
from ..spec import NodeSpec, Registry
from ..workflow import Link, Override, Workflow
from .draft import Draft
from .graph import needed_nodes, no_cycle, nodes_are_there, something_comes_out
from .interface import INPUT_CHECKS, OUTPUT_CHECKS
from .links import links_fit, required_sockets_are_wired
from .nodes import NODE_CHECKS, NodeCheck
from .static_nodes import run_static_nodes

LINKS_OF_A_NODE: tuple[NodeCheck, ...] = (links_fit, required_sockets_are_wired)


@dataclass
class Checked:
    """A workflow without problems, from which `plan.py` makes the plan.

    Attributes:
        order: the nodes that are needed, in execution order.
        specs: types of the nodes.
        settings: validated settings, paths resolved.
        links: for each node, the links to its sockets.
        digests: for each node, those of the files it reads; None if one of them will only exist during the run.
        known: outputs of static nodes.
        beside: for each node, the models that the values at its sockets ask for.
        targets: (node, output) of each output of the workflow.
        files: the files that are read: name, digest, path.
        warnings: findings that do not stop the run.
        gate: what the nodes may read.
        contents: by the path that a node receives, the digest of what is there.
        seen: for each node, what is known before the run of its inputs and of its outputs.
    """

    order: list[str]
    specs: dict[str, NodeSpec]
    settings: dict[str, dict[str, object]]
    links: dict[str, list[Link]]
    digests: dict[str, list[str] | None]
    known: dict[str, tuple[object, ...]]
    beside: dict[str, tuple[AnyDescription, ...]]
    targets: dict[str, tuple[str, str]]
    files: dict[Override, dict[str, str]]
    warnings: list[Warned]
    gate: Gate
    contents: dict[str, str]
    seen: Mapping[str, tuple[Mapping[str, object], Mapping[str, object]]] = field(default_factory=dict)


def check_workflow(
    workflow: Workflow, registry: Registry, *, roots: Sequence[Path], out: Path | None, trusted: Collection[Override]
) -> Checked:
    """Check everything; see `make_plan` for the arguments.

    Raises:
        WorkflowError: with every problem found.
    """
    draft = Draft(workflow, registry, Reader(roots, out), trusted)
    with checking() as effort:
        with uncollected():
            _find_problems(draft)
            order = needed_nodes(draft)
        blamed = {problem.node for problem in draft.found.problems}
        ready = [name for name in order if name not in blamed and name in draft.settings]
        typed = {str(draft.settings[node].get(name)) for node, name in trusted if node in draft.settings}
        with searching(tuple(roots), typed), reading(draft.reader.gate):
            known = run_static_nodes(ready, draft, effort)
    if draft.found.problems:
        raise WorkflowError(draft.found.problems, draft.found.warnings)
    return Checked(
        order,
        draft.specs,
        draft.settings,
        draft.links,
        draft.digests,
        known,
        draft.beside,
        draft.targets,
        draft.files,
        draft.found.warnings,
        draft.reader.gate,
        draft.reader.contents,
        draft.seen,
    )


def _find_problems(draft: Draft) -> None:
    nodes_are_there(draft)
    _check_nodes(draft, draft.workflow.nodes, NODE_CHECKS)
    _check_nodes(draft, (name for name in draft.workflow.nodes if name in draft.specs), LINKS_OF_A_NODE)
    for name in draft.workflow.inputs:
        for check in INPUT_CHECKS:
            check(draft, name)
    for name in draft.workflow.outputs:
        for check in OUTPUT_CHECKS:
            check(draft, name)
    something_comes_out(draft)
    no_cycle(draft)


def _check_nodes(draft: Draft, names: Iterable[str], checks: Sequence[NodeCheck]) -> None:
    for name in names:
        for check in checks:
            if not check(draft, name):
                break

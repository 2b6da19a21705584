"""Run the plain workflow that a name stands for inside one node of the host."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ...core.errors import NodeError, Problem, WorkflowError
from ...core.events import Event, NodeStarted
from ...core.expander import Expander
from ...core.memory.watch import Watch
from ...core.run.execute import execute
from ...core.run.plan import Plan
from ...core.store.kept import Kept
from ...core.workflow import Workflow
from ..environment import environment
from ..installed import installed_nodes
from ..kept_between_runs import disk_store
from ..python.load_workflow import LoadedWorkflow, load
from ..python.preparation import fetch_models
from ..python.values import held_pictures
from .host.running import show_text
from .menu_words import in_menu_words, problem_in_menu_words
from .node_names import display_name
from .node_run import HostRun

if TYPE_CHECKING:
    from torch import Tensor

SHEET = "sheet"  # an output that shows the others side by side; the host has a batch
ALSO = 5  # further problems that a message lists


def filled(name: str, expander: Expander, run: HostRun, given: Mapping[str, object]) -> "Tensor":
    """The pictures `[v h w 3]` of one run, in the order of the variations.

    Args:
        name: of the expander.
        expander: makes the workflow.
        run: of the node.
        given: the options, with tensors for pictures.

    Raises:
        NodeError: with the name of the widget or of the step, what was found, expected, and how to fix it.
    """
    import torch

    loaded = load(name, out=run.ctx.out)
    with held_pictures() as held:
        try:
            held.set_values(loaded, held.paths_for(dict(given)), {})  # type: ignore[arg-type]  # a dict stays one
            if loaded.undecided:
                loaded.decide()
            plan = _plan(loaded)
            if fetch_models(plan, run.ctx):
                plan = _plan(loaded)
            for warning in (*held.warnings, *plan.warnings):
                run.ctx.pass_on(replace(warning, node=None))
            values = _run(run, plan)
        except WorkflowError as error:
            raise _of_this_node(name, expander, error.problems, loaded.workflow) from None
        except NodeError as error:
            raise _of_this_node(name, expander, [error.problem], loaded.workflow) from error
    return torch.cat([value for value in values.values() if isinstance(value, torch.Tensor)])


class _Steps:
    """A listener that says on the node which of its steps is at work."""

    shows_previews = False

    def __init__(self, total: int) -> None:
        self._count, self._total = 0, total

    def __call__(self, event: Event) -> None:
        if isinstance(event, NodeStarted):
            self._count += 1
            show_text(f"{self._count} of {self._total}: {display_name(event.type)}")


def _run(run: HostRun, plan: Plan) -> dict[str, object]:
    """Run the steps."""
    ctx = run.ctx
    title, listeners = ctx.node, ctx.listeners
    disk = disk_store(ctx.device, installed_nodes())
    here = disk.environment if disk is not None else environment(ctx.device)
    ctx.listeners = (*listeners, _Steps(len(plan.steps)))
    if isinstance(ctx.models.budget, int):
        ctx.memory = Watch(plan, ctx.device, measure=True, makes={})
    try:
        return execute(plan, ctx, Kept(None, disk, here))
    finally:
        ctx.node, ctx.listeners, ctx.memory = title, listeners, None
        if disk is not None:
            disk.flush()


def _of_this_node(name: str, expander: Expander, problems: Sequence[Problem], workflow: Workflow) -> NodeError:
    """Problems of steps as one of this node, each with the widget that sets it, or with the step's title."""
    first, *others = [_in_widgets(name, expander, problem, workflow) for problem in problems]
    also = "".join(f"; also {other.port or 'a step'}: {other.found}; {other.fix}" for other in others[:ALSO])
    return NodeError(replace(first, fix=first.fix + also), name)


def _in_widgets(name: str, expander: Expander, problem: Problem, workflow: Workflow) -> Problem:
    target, names = f"{problem.node}.{problem.port}", {option.name for option in expander.options}
    own = next((one for one in names if one in workflow.inputs and target in workflow.targets(one)), None)
    if own is None and problem.port is not None and problem.port.removeprefix("--") in names:
        own = problem.port.removeprefix("--")
    step = workflow.nodes.get(problem.node or "")
    found = problem.found if own is not None or step is None else f"{problem.found}, in {step.type}"
    here = replace(problem, node=display_name(name), port=own, found=in_menu_words(found))
    return problem_in_menu_words(here)


def _plan(loaded: LoadedWorkflow) -> Plan:
    """The plan without what saves, and without the sheet of several pictures.

    Raises:
        WorkflowError: with every problem.
    """
    workflow, registry = loaded.workflow, loaded.registry
    saving = [name for name, entry in workflow.nodes.items() if registry[entry.type].effects]
    for name in saving:
        del workflow.nodes[name]
    for name in list(workflow.inputs):
        left = [target for target in workflow.targets(name) if target.partition(".")[0] in workflow.nodes]
        if left:
            workflow.inputs[name] = left
        else:
            del workflow.inputs[name]
    workflow.outputs.pop(SHEET, None)
    return loaded.plan()

"""A job: which inputs of a workflow were given several pictures, and the runs that follow from it."""

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from ..python.load_workflow import LoadedWorkflow, WorkflowSource
from ..python.save_outputs import save_outputs
from .pairs import Item, pair
from .sources import find, is_many


@dataclass(frozen=True)
class Origin:
    """Where a workflow came from, so that another process can load it too: as of `load`."""

    source: WorkflowSource
    inputs: str | os.PathLike[str] | None = None
    nodes: tuple[object, ...] = ()
    partial: bool = False


@dataclass(frozen=True)
class Job:
    """A workflow, what all its runs share, and what each run has of its own.

    Attributes:
        origin: where the workflow came from.
        loaded: the workflow without the person's values.
        values: those of inputs that all runs share, by name.
        settings: `node.parameter` → value.
        inputs: the inputs that each run has of its own; the first one names the results.
        items: the runs.
        notes: what to tell before the first one.
        asked: a number of a node, as `node.output`, that each run gives besides the outputs of the workflow; empty:
            none.
        measures: each run also gives what its nodes measure.
        room: bytes of results that runs share in memory: a prompt, an example, one mask for all.
        unshared: nodes whose results no two runs share.
    """

    origin: Origin
    loaded: LoadedWorkflow
    values: Mapping[str, object]
    settings: Mapping[str, object]
    inputs: tuple[str, ...]
    items: Sequence[Item]
    notes: tuple[str, ...] = ()
    asked: str = ""
    measures: bool = False
    room: int = 128 * 2**20
    unshared: frozenset[str] = frozenset()

    def prepared(self, item: Item) -> LoadedWorkflow:
        """The workflow of one run, with all values in it.

        Raises:
            WorkflowError: a value that the workflow does not take, or a file that is not found.
        """
        loaded = replace(
            self.loaded,
            workflow=self.loaded.workflow.model_copy(deep=True),
            trusted=set(self.loaded.trusted),
            recorded_names=dict(self.loaded.recorded_names),
        )  # an expander makes the workflow anew
        values = {**self.values, **item.files, **item.values}
        loaded.held.set_values(loaded, values, {**self.settings, **item.settings})
        save_outputs(loaded)
        return loaded


def find_job(
    loaded: LoadedWorkflow, values: Mapping[str, object], settings: Mapping[str, object], origin: Origin
) -> Job | None:
    """The job that a person's values ask for; None if each picture input was given one picture.

    Raises:
        WorkflowError: no pictures are found, or pictures and masks do not belong together.
    """
    values = values or loaded.options
    many = many_of(loaded, values)
    if not many:
        return None
    sources = [find(name, values[name], loaded.out) for name in many]
    notes = tuple(one.note for one in sources if one.note)
    shared = {name: value for name, value in values.items() if name not in many}
    items = tuple(pair(sources))
    return Job(origin, loaded, shared, dict(settings), tuple(many), items, notes)


def many_of(loaded: LoadedWorkflow, values: Mapping[str, object]) -> list[str]:
    """The picture inputs that were given several pictures."""
    return [name for name in pictures_of(loaded) if is_many(values.get(name)) and values[name] not in _batches(loaded)]


def _batches(loaded: LoadedWorkflow) -> Collection[object]:
    """The folders that hold an array of several pictures, which are one batch of one run."""
    return list(loaded.held.names)


def pictures_of(loaded: LoadedWorkflow) -> list[str]:
    """The inputs that are pictures of which each run takes one."""
    if loaded.expander is not None:
        return [option.name for option in loaded.expander.options if option.kind == "file"]
    return [name for name in loaded.workflow.inputs if takes_one(loaded, name)]


def takes_one(loaded: LoadedWorkflow, name: str) -> bool:
    """True if an input is a picture of which each run takes one."""
    targets = loaded.workflow.targets(name)
    for target in targets:
        node, _, parameter = target.partition(".")
        entry = loaded.workflow.nodes.get(node)
        spec = loaded.registry.get(entry.type) if entry is not None else None
        role = spec.path_roles.get(parameter) if spec is not None else None
        if role is None or not role.each:
            return False
    return bool(targets)

"""A workflow with what it reads, as it travels, and as it is made again on another machine."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from ...core.run.plan import Plan
from ...core.spec import Registry
from ...core.workflow import Workflow
from ..jobs.worker import Message
from ..python.load_workflow import LoadedWorkflow
from ..recipe.record import part_that_ran
from .contents import Contents, Parcel, parcel_of
from .scratch import Scratch


def pack(loaded: LoadedWorkflow, plan: Plan, contents: Contents) -> tuple[Message, tuple[str, ...]]:
    """What another machine needs to make a run; and the digests that `contents` holds for it until they are given back.

    Raises:
        OSError: a file cannot be read.
        BadInput: a folder with too many files.
    """
    workflow, paths, parcels, where = _packed(loaded, plan)
    message = {
        "workflow": workflow.model_dump_json(),
        "paths": paths,
        "parcels": {name: asdict(parcel) for name, parcel in parcels.items()},
        "pieces": contents.take(where),
    }
    return message, tuple(where)


def unpack(message: Message, scratch: Scratch, registry: Registry) -> LoadedWorkflow:
    """The workflow with the places of its files on this machine.

    Raises:
        OSError: there is no room.
        Damaged: what came is not what was sent.
    """
    parcels = {name: Parcel(**one) for name, one in message["parcels"].items()}
    paths: Mapping[str, str] = scratch.paths(parcels, message["pieces"])
    workflow = Workflow.model_validate_json(message["workflow"])
    trusted = set()
    for node, setting, number, name in message["paths"]:
        params = workflow.nodes[node].params
        given = params.get(setting)
        if number is not None and isinstance(given, list):
            given[number] = paths[name]
        else:
            params[setting] = paths[name]
        trusted.add((node, setting))
    return LoadedWorkflow(workflow, registry, [], scratch.out(), trusted=trusted, recorded=message["record"])


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

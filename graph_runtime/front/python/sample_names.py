"""Samples in a workflow by the names that ComfyUI's loaders list: `inlay/photo.jpg`, wherever the file lies."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ...core.workflow import Override, Workflow
from ..comfy.host.samples import FOLDER, name_of_sample, sample
from ..installed import shipped_workflows


def find_samples(workflow: Workflow, settings: Iterable[Override], roots: Sequence[Path]) -> list[Override]:
    """Put the paths of samples in the place of their names, where no file is called so; the settings that changed."""
    changed = []
    for (node, parameter), value in _texts(workflow, settings):
        path = sample(value) if value.startswith(f"{FOLDER}/") else None
        if path is not None and not any((root / value).exists() for root in roots):
            workflow.nodes[node].params[parameter] = path
            changed.append((node, parameter))
    return changed


def name_samples(workflow: Workflow, settings: Iterable[Override], file: Path | None) -> None:
    """Put their names in the place of the paths of samples.

    Args:
        settings: those that name files.
        file: where the workflow was read; what lies beside a shipped one are samples.
    """
    shipped = file is not None and file.resolve() in {path.resolve() for path in shipped_workflows().values()}
    for (node, parameter), value in _texts(workflow, settings):
        beside = f"{FOLDER}/{value}" if shipped else ""
        name = beside if sample(beside) is not None else name_of_sample(value)
        if name is not None:
            workflow.nodes[node].params[parameter] = name


def _texts(workflow: Workflow, settings: Iterable[Override]) -> Iterator[tuple[Override, str]]:
    for node, parameter in settings:
        if isinstance(value := workflow.nodes[node].params[parameter], str):
            yield (node, parameter), value

"""Where a workflow comes from: a file, a picture or a caller's object; ours or ComfyUI's."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ....nodes.pack import PACK
from ...core.bounded.effort import uncollected
from ...core.bounded.json_text import read_bytes
from ...core.bounded.plain import plain
from ...core.errors import Problem
from ...core.events import Warned
from ...core.spec import Registry
from ...core.workflow import Override, Workflow, build, from_python
from ..comfy.formats.read import Converted, is_host_graph, read_host
from ..comfy.formats.sent import read_sent
from ..recipe.read import NoRecipe, RecordedFile, host_graphs, read_recipe


@dataclass(frozen=True)
class Found:
    """A workflow as it was found.

    Attributes:
        files: files that a picture names.
        labels: what a message calls a node, where the file calls it otherwise than the workflow.
        aliases: other names of `node.setting`: with the node's id or title in the file.
        warnings: what was noticed while it was converted.
        problems: what is wrong with the file, where the rest of it can be checked too.
    """

    workflow: Workflow
    files: Mapping[Override, RecordedFile] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[Warned, ...] = ()
    problems: tuple[Problem, ...] = ()


def from_caller(source: Workflow | Mapping[str, object], registry: Registry, *, partial: bool) -> Found:
    """The workflow that a caller passes.

    Raises:
        WorkflowError: what no file could hold, or every problem of the file that it could come from.
    """
    if not isinstance(source, Workflow) and is_host_graph(raw := _plain(source)):
        return _converted(read_host(raw, registry, partial=partial))
    return Found(from_python(source))


def owned(source: Workflow | Mapping[str, object]) -> Workflow | Mapping[str, object]:
    """A copy of a caller's object, which shares nothing with it.

    Raises:
        WorkflowError: it holds what no file could hold, or is no workflow.
    """
    if not isinstance(source, Workflow) and is_host_graph(raw := _plain(source)):
        return raw
    return from_python(source)


def from_file(path: Path, registry: Registry, *, partial: bool) -> Found:
    """The workflow of a JSON file, or of a picture that carries one: ours, if it carries two.

    Raises:
        WorkflowError: every problem of the file.
    """
    if path.suffix.lower() in PACK.workflow_suffixes:
        try:
            return Found(*read_recipe(path))
        except NoRecipe:
            graphs = host_graphs(path)
            if graphs is None:
                raise
        return _converted(read_host(graphs.ran, registry, partial=partial, seen=graphs.seen))
    with uncollected():
        sent = read_sent(read_bytes(path), path.name)
        if isinstance(raw := sent.given, dict) and is_host_graph(raw):
            return _converted(read_host(raw, registry, partial=partial), sent.spoiled)
        return Found(build(raw))


def _converted(made: Converted, spoiled: tuple[Problem, ...] = ()) -> Found:
    return Found(made.workflow, {}, made.labels, made.aliases, made.warnings, (*spoiled, *made.problems))


def _plain(source: Mapping[str, object]) -> Mapping[str, object]:
    found = plain(source, lambda at: (None, ".".join(map(str, at)) or None))
    assert isinstance(found, dict), "a mapping becomes a dict"
    return found

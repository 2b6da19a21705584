"""Reading the workflow that a saved picture carries."""

from collections.abc import Mapping, Set
from dataclasses import dataclass
from pathlib import Path

from ....nodes.pack import PACK
from ...core.bounded.json_text import decode
from ...core.errors import BadInput, WorkflowError
from ...core.user_paths import is_possible
from ...core.workflow import Override, Workflow, build
from ..comfy.formats.read import is_host_graph
from .record import CHUNK


@dataclass(frozen=True)
class RecordedFile:
    """A file that a recorded run has read.

    Attributes:
        name: without its folder.
        digest: of its content.
        kind: `file`, `files` or `model`; empty in old pictures.
        size: in bytes; empty in old pictures.
    """

    name: str
    digest: str
    kind: str = ""
    size: str = ""


class NoRecipe(WorkflowError):
    """A file without a workflow of ours."""


@dataclass(frozen=True)
class HostGraphs:
    """What ComfyUI wrote into a picture: the graph that ran, and the one that its editor showed."""

    ran: Mapping[str, object]
    seen: Mapping[str, object] | None = None


def host_graphs(picture: Path) -> HostGraphs | None:
    """The graphs of ComfyUI that a picture carries; None if there are none.

    What ran is what the host was told ("prompt"); where that is missing or damaged, what its editor showed.

    Raises:
        WorkflowError: there are texts of that name, but none holds a graph.
    """
    graphs: dict[str, Mapping[str, object]] = {}
    trouble: WorkflowError | None = None
    for name in ("prompt", "workflow"):
        try:
            text, _ = PACK.recorded_text(picture, name)
            found = decode(text.rstrip("\0"), f"{name} in {picture.name}", nan=True) if text is not None else None
        except WorkflowError as error:
            trouble = trouble or error
        else:
            if isinstance(found, dict) and is_host_graph(found):
                graphs[name] = found
    if not graphs and trouble is not None:
        raise trouble
    ran = graphs.get("prompt", graphs.get("workflow"))
    return None if ran is None else HostGraphs(ran, graphs.get("workflow"))


def read_recipe(picture: Path) -> tuple[Workflow, dict[Override, RecordedFile]]:
    """The workflow that a picture carries, and the files it names.

    Raises:
        NoRecipe: a picture without a workflow of ours.
        WorkflowError: not a picture, or one with a damaged workflow.
    """
    raw = decode(_recorded_text(picture), picture.name)
    if not isinstance(raw, dict) or not isinstance(recorded := raw.get("files", {}), dict):
        raise _no_recipe(picture, "a damaged inlay record")
    files = {}
    for target, file in recorded.items():
        node, _, parameter = str(target).partition(".")
        if isinstance(file, dict) and all(isinstance(file.get(key), str) for key in ("name", "digest")):
            name = Path(file["name"]).name
            if is_possible(name) and name != "..":
                kind, size = (str(file.get(key, "")) for key in ("kind", "size"))
                files[node, parameter] = RecordedFile(name, file["digest"], kind, size)
    workflow = build(raw.get("workflow"))
    if isinstance(packages := raw.get("packages"), dict):
        workflow.packages.update({str(kind): str(name) for kind, name in packages.items()})
    return workflow, files


def _recorded_text(picture: Path) -> str:
    """The JSON text of a picture, not parsed yet."""
    try:
        text, names = PACK.recorded_text(picture, CHUNK)
    except BadInput as error:
        raise _no_recipe(picture, f"{error.found} (not a readable picture)") from None
    if text is None or not text.lstrip().startswith("{"):
        raise NoRecipe(_no_recipe(picture, _recipe_of_another(names) or "a picture without a workflow").problems)
    return text


def _recipe_of_another(chunks: Set[str]) -> str:
    """What another program recorded in the picture instead; empty if unknown."""
    if chunks & {"workflow", "prompt"}:
        return "a picture from ComfyUI, with a workflow that cannot be read"
    if "parameters" in chunks:
        return "a picture from AUTOMATIC1111's web UI: it carries that program's settings"
    if chunks & {"invokeai_metadata", "invokeai_workflow", "sd-metadata"}:
        return "a picture from InvokeAI: it carries that program's settings"
    return ""


def _no_recipe(picture: Path, found: str) -> WorkflowError:
    return WorkflowError.of(
        None,
        found=f"{picture.name}: {found}",
        expected="a workflow (.json), or a picture that inlay or ComfyUI saved with its workflow",
        fix="give the workflow file itself; pictures saved with --no-metadata carry no workflow",
    )

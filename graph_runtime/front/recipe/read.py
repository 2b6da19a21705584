"""Reading the workflow that a saved picture carries."""

from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path

from ....nodes.pack import PACK
from ...core.bounded.json_text import decode
from ...core.errors import BadInput, WorkflowError
from ...core.user_paths import is_possible
from ...core.workflow import Override, Workflow, build
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


def read_recipe(picture: Path) -> tuple[Workflow, dict[Override, RecordedFile]]:
    """The workflow that a picture carries, and the files it names.

    Raises:
        WorkflowError: not a picture, or one without a workflow.
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
        raise _no_recipe(picture, _recipe_of_another(names) or "a picture without an inlay workflow")
    return text


def _recipe_of_another(chunks: Set[str]) -> str:
    """What another program recorded in the picture instead; empty if unknown."""
    if chunks & {"workflow", "prompt"}:
        return "a picture from ComfyUI: it carries a ComfyUI workflow, which inlay cannot convert yet"
    if "parameters" in chunks:
        return "a picture from AUTOMATIC1111's web UI: it carries that program's settings"
    if chunks & {"invokeai_metadata", "invokeai_workflow", "sd-metadata"}:
        return "a picture from InvokeAI: it carries that program's settings"
    return ""


def _no_recipe(picture: Path, found: str) -> WorkflowError:
    return WorkflowError.of(
        None,
        found=f"{picture.name}: {found}",
        expected="a workflow (.json), or a picture that inlay saved with metadata",
        fix="give the workflow file itself; pictures saved with --no-metadata carry no workflow",
    )

"""A saved picture carries the workflow that made it: what goes in, and how its inputs are found again.

The text chunk `inlay` of a PNG (EXIF ImageDescription of a JPEG or WebP) is one JSON object:

    {"workflow": {…}, "files": {"photo.path": {"name": "room.png", "digest": "<sha256>"}}, "made_with": {"inlay": …}}

Only file names are recorded, never folders: a picture that is shared does not tell where its author keeps things.
"""

import contextlib
import importlib.metadata
import json
import platform
import threading
import warnings
from collections.abc import Iterable, Mapping, Set
from functools import cache
from pathlib import Path
from typing import Any

from ...core.errors import Problem, WorkflowError
from ...core.file_digests import holds
from ...core.files import write_text
from ...core.run.plan import Plan
from ...core.spec import NodeSpec, Registry
from ...core.user_paths import home, is_possible
from ...core.workflow import Override, Workflow, build, decode

CHUNK = "inlay"
_MADE_WITH = ("torch", "diffusers", "transformers", "pillow", "numpy")
_KNOWN_LIMIT = 500
_REMEMBERING = threading.Lock()  # runs in several threads add to one file


def record(plan: Plan, registry: Registry, named: Mapping[Override, str]) -> str:
    """The JSON text to embed: the workflow as it ran, each file by name and digest.

    Args:
        plan: what is about to run.
        registry: the node types, which say what is a path.
        named: names to record instead of those on disk (a file that was found again under another name).
    """
    workflow = plan.workflow.model_copy(deep=True)
    for node, entry in workflow.nodes.items():
        spec = registry.get(entry.type)
        for parameter, role in (spec.path_roles if spec is not None else {}).items():
            value = entry.params.get(parameter)
            if isinstance(value, str) and (role.kind != "model" or (node, parameter) in plan.files or _is_path(value)):
                entry.params[parameter] = Path(value).name
            elif isinstance(value, list):
                entry.params[parameter] = [Path(str(item)).name for item in value]
    files = {}
    for (node, parameter), file in plan.files.items():
        name = named.get((node, parameter), file["name"])
        workflow.nodes[node].params[parameter] = name
        files[f"{node}.{parameter}"] = {"name": name} | {key: file[key] for key in ("digest", "kind", "size")}
    packages = {step.spec.id: name for step in plan.steps if (name := package_of(step.spec))}
    return json.dumps(
        {"workflow": json.loads(workflow.to_json()), "files": files, "made_with": _versions()}
        | ({"packages": packages} if packages else {}),
        ensure_ascii=True,
        separators=(",", ":"),
    )


def package_of(spec: NodeSpec) -> str:
    """The package that brings a node, as `name version`; nothing for inlay's own nodes and for loose modules."""
    module = spec.function.__module__
    if module.startswith(__package__.rsplit(".", 3)[0] + "."):
        return ""
    for name in _distributions().get(module.split(".")[0], []):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            return f"{name} {importlib.metadata.version(name)}"
    return ""


@cache
def _distributions() -> Mapping[str, list[str]]:
    return importlib.metadata.packages_distributions()


def _is_path(source: str) -> bool:
    """True for a model's source that names a place on this machine rather than a hub id."""
    return Path(source).is_absolute() or source.startswith((".", "~"))


@cache  # reading package metadata takes some milliseconds
def _versions() -> dict[str, str]:
    from .... import __version__

    found = {"inlay": __version__, "python": platform.python_version()}
    for package in _MADE_WITH:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def read(picture: Path) -> tuple[Workflow, dict[Override, dict[str, str]]]:
    """The workflow that a picture carries, and the files it names.

    Raises:
        WorkflowError: not a picture, or one without a workflow.
    """
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(picture, formats=("PNG", "WEBP", "JPEG")) as image:
                there = set(image.info)
                # a PNG's own chunk is read with its header; asking it for EXIF would decode the pixels
                text = image.info.get(CHUNK) if image.format == "PNG" else image.getexif().get(0x010E)
    except Exception as error:  # Pillow raises many kinds for damaged files
        raise _no_recall(picture, f"a file that is no readable picture ({error})") from None
    if not isinstance(text, str) or not text.lstrip().startswith("{"):
        raise _no_recall(picture, _recipe_of_another(there) or "a picture without an inlay workflow")
    raw = decode(text, picture.name)
    if not isinstance(raw, dict) or not isinstance(raw.get("files", {}), dict):
        raise _no_recall(picture, "a damaged inlay record")
    files: dict[Override, dict[str, str]] = {}
    for target, file in raw.get("files", {}).items():
        node, _, parameter = str(target).partition(".")
        if isinstance(file, dict) and all(isinstance(file.get(key), str) for key in ("name", "digest")):
            name = Path(file["name"]).name
            if is_possible(name) and name != "..":
                kind, size = (str(file.get(key, "")) for key in ("kind", "size"))
                files[node, parameter] = {"name": name, "digest": file["digest"], "kind": kind, "size": size}
    workflow = build(raw.get("workflow"))
    if isinstance(packages := raw.get("packages"), dict):
        workflow.packages.update({str(kind): str(name) for kind, name in packages.items()})
    return workflow, files


def _recipe_of_another(chunks: Set[Any]) -> str:
    """What a picture carries instead, where that is known."""
    if chunks & {"workflow", "prompt"}:
        return "a picture from ComfyUI: it carries a ComfyUI workflow, which inlay cannot convert yet"
    if "parameters" in chunks:
        return "a picture from AUTOMATIC1111's web UI: it carries that program's settings"
    if chunks & {"invokeai_metadata", "invokeai_workflow", "sd-metadata"}:
        return "a picture from InvokeAI: it carries that program's settings"
    return ""


def _no_recall(picture: Path, found: str) -> WorkflowError:
    return WorkflowError.of(
        None,
        found=f"{picture.name}: {found}",
        expected="a workflow (.json), or a picture that image.save wrote with metadata",
        fix="name the workflow file itself; pictures saved with --no-metadata carry none",
    )


def find_files(
    files: Mapping[Override, dict[str, str]], folders: Iterable[Path], given: Iterable[Override]
) -> tuple[dict[Override, str], list[Problem]]:
    """Where the recorded files are now: by digest, in `folders` and among files of earlier runs.

    Args:
        files: what the picture names.
        folders: beside the picture, and the input folder.
        given: parameters that the user sets anyway.
    """
    known = _known_paths()
    skip = set(given)
    found: dict[Override, str] = {}
    problems = []
    for target, file in files.items():
        if target in skip:
            continue
        path = _find(file, folders, known)
        if path is not None:
            found[target] = str(path)
        else:
            searched = ", ".join(str(folder) for folder in folders)
            problems.append(
                Problem(
                    target[0],
                    target[1],
                    f"no file with the content of {file['name']!r} (sha256 {file['digest'][:12]}…)",
                    f"it in {searched}, or among the files of earlier runs",
                    "put it there, name its folder with --inputs, or type its path (the workflow's own "
                    f"flag such as --image, or --set {target[0]}.{target[1]}=PATH)",
                )
            )
    return found, problems


def _find(file: dict[str, str], folders: Iterable[Path], known: Mapping[str, str]) -> Path | None:
    """The first place where that content is. Of other files in the folders only those of its kind and size are read."""
    places = list(folders)
    candidates = [folder / file["name"] for folder in places]
    if remembered := known.get(file["digest"]):
        candidates.append(Path(remembered))
    if ":" not in file["digest"]:  # a whole ordinary file: it may have been renamed
        suffix = Path(file["name"]).suffix.lower()
        for folder in places:
            candidates += sorted(path for path in folder.glob("*") if path.suffix.lower() == suffix and path.is_file())
    for path in candidates:
        try:
            if file["size"] and str(path.stat().st_size) != file["size"]:
                continue
            if path.is_dir() and not file["digest"].startswith("folder:"):
                continue
            if holds(path, file["digest"], weights=file["kind"] == "model"):
                return path.resolve()
        except OSError:
            continue
    return None


def remember(plan: Plan) -> None:
    """Note where the files of a run lie, by digest, so that pictures made from them find them again."""
    with _REMEMBERING:
        _remember({file["digest"]: file["path"] for file in plan.files.values()})


def _remember(new: dict[str, str]) -> None:
    known = _known_paths()
    if not new or all(known.get(key) == value for key, value in new.items()):
        return
    merged = {key: value for key, value in known.items() if key not in new} | new
    merged = dict(list(merged.items())[-_KNOWN_LIMIT:])
    with contextlib.suppress(OSError):
        write_text(_known_file(), json.dumps(merged, indent=1), parents=True)


def _known_file() -> Path:
    return home() / "known-inputs.json"


def _known_paths() -> dict[str, str]:
    try:
        known: Any = json.loads(_known_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(key): str(value) for key, value in known.items()} if isinstance(known, dict) else {}

"""What nodes may read inside the host, and the paths that their widgets name."""

import os
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from ....core.current_run import DOWNLOADED
from ....core.errors import BadInput, did_you_mean, shorten
from ....core.opening import Gate, reading
from ....core.reading.reader import resolve_inside
from ....core.spec import PathRole
from ....core.user_paths import home
from .folders import host_folder, model_folders
from .models import vocabularies
from .samples import FOLDER, sample


def limits() -> AbstractContextManager[None]:
    """In the block, nodes read below the host's folders only; no limits without a host."""
    folders = [folder for kind in ("input", "output", "temp") if (folder := host_folder(kind)) is not None]
    if not folders:
        return nullcontext()
    own = [
        path(folder)
        for folder in (*model_folders(), *vocabularies(), home())
        for path in (os.path.abspath, os.path.realpath)
    ]
    return reading(
        Gate(
            frozenset(os.path.normcase(os.path.realpath(folder)) for folder in folders),
            frozenset(map(os.path.normcase, own)),
        )
    )


def resolve_path(parameter: str, value: str, role: PathRole, kinds: Iterable[str] = ()) -> str:
    """The path that a widget names, below the host's folders; without a host, the path as it is.

    `name [output]` and `name [temp]` name the host's other folders, as its own loaders and mask editor write them;
    `inlay/name` is a sample where the input folder has no such file.

    Args:
        parameter: for messages.
        value: what the widget says.
        role: what the path is for.
        kinds: the host's kinds of models in whose folders a model is looked for before the others.

    Raises:
        BadInput: the path leaves those folders (also through a link), does not exist, or cannot be a path.
    """
    try:
        return _resolved(parameter, value, role, kinds)
    except (OSError, ValueError) as error:  # a name that is longer than a file's can be
        raise BadInput(
            parameter,
            found=f"{shorten(value)}: {getattr(error, 'strerror', None) or error}",
            expected="a path",
            fix="choose a file of the host's input folder",
        ) from None


def _resolved(parameter: str, value: str, role: PathRole, kinds: Iterable[str]) -> str:
    text, kind = value, "input"
    for other in ("input", "output", "temp"):
        if value.endswith(f" [{other}]"):
            text, kind = value.removesuffix(f" [{other}]"), other
    root = host_folder(kind)
    if root is None:
        return value
    output = host_folder("output")
    text = _slashed(text, [root, *([output] if output else []), *model_folders()])
    if role.kind == "model":
        return _model_path(parameter, text, kinds)
    roots = [root]
    if text.endswith(".safetensors") and output is not None:
        roots.append(output)
    try:
        place = resolve_inside(text, roots)
    except BadInput as error:
        raise BadInput(
            parameter,
            found=error.found,
            expected=error.expected,
            fix="copy the file into the host's input folder and choose it there",
        ) from None
    path = place.path
    shipped = sample(text) if kind == "input" and not path.exists() else None
    if shipped is not None:
        return shipped
    if not (place.base.is_dir() if place.pattern else path.exists()):
        there = [item.name for item in path.parent.iterdir()] if path.parent.is_dir() else []
        raise BadInput(
            parameter,
            found=f"no such file: {value!r}",
            expected=f"a file below {roots[0]}",
            fix=f"choose {f'{FOLDER}/{text}'!r}, the sample of that name"
            if sample(f"{FOLDER}/{text}") is not None
            else did_you_mean(path.name, there),
        )
    return str(path)


def _slashed(text: str, folders: list[Path]) -> str:
    """A path written on Windows, with slashes if only that path exists."""
    slashed = text.replace("\\", "/")
    if os.sep != "/" or slashed == text or os.pardir in slashed.split("/"):
        return text
    there = [any((folder / name).exists() for folder in folders) for name in (text, slashed)]
    return slashed if there == [False, True] else text


def _model_path(parameter: str, value: str, kinds: Iterable[str]) -> str:
    """A model's folder or file among the host's models, in its input or output folder; else the name as it is."""
    relative = not Path(value).is_absolute() and ".." not in Path(value).parts and not value.startswith("~")
    local = value.endswith((".safetensors", ".ckpt", ".bin", ".pt", ".pth")) or "/" in value or os.sep in value
    for folder in model_folders(kinds) if relative else ():
        found = folder / value
        if (found / DOWNLOADED).is_file():
            return value  # its revision counts too
        if found.is_file() or (found / "model_index.json").is_file() or (local and found.exists()):
            return str(found)
    roots = [root for root in (host_folder("input"), host_folder("output")) if root is not None]
    if local and not any((root / value).exists() for root in roots) and (shipped := sample(value)) is not None:
        return shipped
    if relative and local and any((root / value).exists() for root in roots):
        return str(resolve_inside(value, roots).path)
    if not relative or value.endswith((".safetensors", ".ckpt", ".bin", ".pt", ".pth")):
        raise BadInput(
            parameter,
            found=repr(value),
            fix="put it there, or choose an embedded model or a hub id",
            expected="a model below " + " or ".join(str(root) for root in [*model_folders(), *roots]),
        )
    return value

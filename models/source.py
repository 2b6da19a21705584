"""Resolve the source of a model: an embedded name, a folder, a single file or a hub id."""

import os
import re
from difflib import get_close_matches
from itertools import islice
from pathlib import Path

from ..graph_runtime import ModelError
from ..graph_runtime.core.current_run import search_folders
from ..graph_runtime.core.errors import did_you_mean, shorten
from ..graph_runtime.core.notices import notice
from ..graph_runtime.core.reading.places import PICKLES
from ..graph_runtime.core.user_paths import exists, expand
from .component import Origin
from .folder import EMBEDDED, FLAT, ModelFolder, pickled

#: The node that takes a model of each family.
NODES = {
    "stable_diffusion": "model.stable_diffusion",
    "paint_by_example": "model.paint_by_example",
    "pixel": "model.pixel_diffusion",
    "clip": "model.clip",
    "dino": "model.dino",
    "captioner": "model.captioner",
    "detector": "model.detector",
}
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")


def locate(
    source: str,
    *,
    revision: str | None = None,
    variant: str | None = None,
    prediction: str | None = None,
    family: str = "stable_diffusion",
) -> Origin:
    """The origin of a model of `family` (see FAMILIES) that `source` names.

    An absolute path is local (the runtime has resolved and permitted it); anything else is an embedded name or a hub
    id.

    Raises:
        ModelError: no such model; the message lists the places that were searched.
    """
    if source in EMBEDDED:
        return _embedded(source, variant, prediction, family)
    path = Path(source).expanduser()
    if path.is_absolute():
        return _local(path, variant, prediction, family)
    if HUB_ID.fullmatch(source):
        from .hub.repository import HubModel
        from .hub.snapshots import require_revision

        require_revision(revision)
        near = near_local(source)
        model = HubModel(source, revision, variant, prediction, family, near)
        if not model.known:
            notice(not_here(model.name, near))
        return model
    if re.match(r"[A-Za-z]:[\\\\/]", source) or "\\" in source:
        raise ModelError(
            "source",
            found=f"{shorten(source)}, a Windows path",
            expected="a path on this machine, with /",
            fix="check the path: it does not exist with / either",
        )
    names = [name for name, (_, kind) in EMBEDDED.items() if kind == family]
    if is_there(source):
        raise ModelError(
            "source",
            found=f"{shorten(source)}, which exists but is not a model",
            expected="a diffusers folder, with a model_index.json in it, or a .safetensors file",
            fix=f"give the folder that holds model_index.json; ./{source} means this one anyway",
        )
    raise ModelError(
        "source",
        found=shorten(source),
        expected=", ".join([*map(repr, names), "a hub id such as 'owner/name'"])
        + ", a diffusers folder or a .safetensors file that exists",
        fix=f"{did_you_mean(source, [*names, *_beside(source)])}; a path must exist where it is looked for",
    )


def local_path(source: str) -> Path | None:
    """The path of a model that a person named on this machine; None for an embedded name or a hub id."""
    path = expand(source)
    if path.is_absolute() or source.startswith((".", "~")) or path.suffix == ".safetensors":
        return path.absolute()
    here = ("/" in source.rstrip("/") and exists(path)) or exists(path / "model_index.json")
    return path.absolute() if here else None


def is_there(source: str) -> bool:
    """True if a relative name that is not a model's exists on this machine."""
    return bool(source) and any(os.path.lexists(root / source) for root in search_folders(source))


def not_here(name: str, near: str) -> str:
    """The warning of a check about a hub id that is not in the cache."""
    if near:
        return f"{name!r} is no folder or file here and is used as a hub id; did you mean {near!r}?"
    return f"{name} is not on this machine: a run downloads it first, and its files are checked then"


def near_local(source: str) -> str:
    """A local folder or file with a name similar to `source`, or empty: a misspelt path looks like a hub id."""
    inner = Path(source)
    for root in search_folders(source):
        folder = _nearly(root, inner.parent.name, exact=True) if len(inner.parts) == 2 else None
        if folder is not None and (found := _nearly(folder, inner.name)) is not None:
            return found.relative_to(root).as_posix()
    return ""


def _nearly(folder: Path, name: str, exact: bool = False) -> Path | None:
    """The entry of a folder called `name`, or a similar one; `exact`: only a folder of that name."""
    names = [entry for entry in _entries(folder) if not exact or (folder / entry).is_dir()]
    small = {entry.lower(): entry for entry in names}
    near = [name] if name in names else [small[one] for one in get_close_matches(name.lower(), small, n=1, cutoff=0.7)]
    return folder / near[0] if near else None


def _entries(folder: Path) -> list[str]:
    """Names in a folder to suggest, without links: what they lead to may be nobody's business."""
    try:
        with os.scandir(folder) as entries:
            shown = [one for one in islice(entries, 2000) if not one.name.startswith(".") and not one.is_symlink()]
    except OSError:
        return []
    return sorted(entry.name for entry in shown)


def _beside(source: str) -> list[str]:
    """Names of possible models in the folders where a relative path is looked up."""
    return [
        name
        for root in search_folders(source)
        for name in _entries(root)
        if name.endswith(".safetensors") or (root / name / "model_index.json").is_file()
    ]


def _embedded(name: str, variant: str | None, prediction: str | None, family: str) -> ModelFolder:
    folder, kind = EMBEDDED[name]
    if kind != family:
        raise ModelError(
            "source",
            found=f"{name!r}, a model for {NODES[kind]}",
            expected=f"a model for {NODES[family]}",
            fix=f"use {NODES[kind]}, or use another source",
        )
    root = Path(__file__).resolve().parent.parent / "dollhouse" / folder
    if not root.is_dir():
        raise ModelError(
            "source",
            found=f"no weights of {name!r} in {root}",
            expected="the embedded model",
            fix="install inlay again, train it (python -m inlay.dollhouse.train), or use another source",
        )
    return ModelFolder(
        root,
        name,
        variant,
        flat=family in FLAT,
        prediction=prediction,
        shared=root.with_name("weights") if family == "paint_by_example" else None,
    )


def _local(path: Path, variant: str | None, prediction: str | None, family: str) -> Origin:
    if not path.exists():
        raise ModelError(
            "source", found=f"{path}, which does not exist", expected="a model folder or a file", fix=_nearby(path)
        )
    if path.is_dir():
        return _folder(path, variant, prediction, family)
    if path.suffix in PICKLES:
        raise pickled(path.name)
    if path.suffix != ".safetensors":
        raise ModelError(
            "source",
            found=f"the file {path.name}",
            expected="a diffusers folder or a .safetensors file",
            fix="give the folder that holds model_index.json",
        )
    if family in FLAT:
        raise ModelError(
            "source",
            found=f"the single file {path.name}",
            expected="a folder with config.json",
            fix="give the folder that holds config.json and the weights",
        )
    from .checkpoint.single_file import SingleFile

    return SingleFile.read(path, prediction, family)


def _folder(path: Path, variant: str | None, prediction: str | None, family: str) -> ModelFolder:
    flat = family in FLAT and (path / "config.json").is_file() and not (path / "unet").is_dir()
    if not flat and not any((path / part).is_dir() for part in ("unet", "vae", "transformer")):
        pickles = sorted(entry.name for entry in path.glob("*") if entry.suffix in PICKLES)
        if pickles:
            raise pickled(f"{path.name}/{pickles[0]}")
        if family in ("clip", "dino", "captioner", "detector"):
            raise ModelError(
                "source",
                found=f"{path}, a folder with no config.json in it",
                expected="a folder of transformers: config.json, model.safetensors",
                fix="give the folder that holds both",
            )
        single = sorted(entry.name for entry in path.glob("*.safetensors"))
        fix = f"give the file itself: {path / single[0]}" if single else "give the folder that holds model_index.json"
        if (path.parent / "model_index.json").is_file():  # one component of a model
            fix = f"give the folder that holds model_index.json: {path.parent}"
        raise ModelError(
            "source", found=f"{path}, a folder with no unet/ in it", expected="a diffusers folder", fix=fix
        )
    if (path / "transformer").is_dir() and not (path / "unet").is_dir():
        raise ModelError(
            "source",
            found=f"{path.name}, a model with a transformer instead of a UNet",
            expected="a Stable Diffusion 1.x or 2.x model",
            fix="SD3, Flux and the like are not supported",
        )
    return ModelFolder(path, path.name, variant, flat=flat, prediction=prediction)


def _nearby(path: Path) -> str:
    parent = path.parent
    if not parent.is_dir():
        return f"the folder {parent} does not exist either: check the path"
    names = sorted(entry.name for entry in parent.iterdir())
    return did_you_mean(path.name, names)

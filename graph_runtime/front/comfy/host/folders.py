"""The host's folders, and what lies in them."""

import os
from pathlib import Path

from .....nodes.pack import PACK
from .modules import ask, host_module
from .samples import sample_pictures


def host_folder(kind: str) -> Path | None:
    """The host's `input`, `output` or `temp` folder."""
    found = ask("folder_paths", f"get_{kind}_directory")
    return Path(found) if isinstance(found, (str, os.PathLike)) else None


def model_folders() -> tuple[Path, ...]:
    """The folders in which the host keeps models; links in them are followed."""
    folders: list[Path] = []
    for kind in ("checkpoints", "diffusers", "loras", "diffusion_models"):
        try:
            folders += [Path(folder) for folder in ask("folder_paths", "get_folder_paths", kind) or []]
        except KeyError:  # this host has no such kind
            continue
    models = getattr(host_module("folder_paths"), "models_dir", None)
    return (*folders, Path(models)) if isinstance(models, str) else tuple(folders)


_listed: dict[tuple[str, bool], tuple[int, list[str]]] = {}


def input_pictures(folders: bool) -> list[str] | None:
    """Pictures (and folders) to choose from: in the input folder, then samples. None without a host.

    One `stat` if nothing has changed.
    """
    folder = host_folder("input")
    if folder is None:
        return None
    key = (str(folder), folders)
    try:
        changed = folder.stat().st_mtime_ns
        if key not in _listed or _listed[key][0] != changed:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
            names = [entry.name for entry in entries if Path(entry.name).suffix.lower() in PACK.picture_suffixes]
            names += [entry.name for entry in entries if folders and entry.is_dir()]
            names += [name for name in sample_pictures(folders) if name not in names]
            _listed[key] = (changed, names)
    except OSError:
        return []
    return _listed[key][1]

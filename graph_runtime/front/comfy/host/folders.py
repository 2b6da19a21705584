"""The host's folders, and what lies in them."""

import os
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from .....nodes.pack import PACK
from .modules import ask, host_module
from .samples import sample_pictures


def host_folder(kind: str) -> Path | None:
    """The host's `input`, `output` or `temp` folder."""
    found = ask("folder_paths", f"get_{kind}_directory")
    return Path(found) if isinstance(found, (str, os.PathLike)) else None


KINDS = ("checkpoints", "diffusers", "loras", "diffusion_models", "vae", "text_encoders", "clip_vision")


def model_folders(first: Iterable[str] = ()) -> tuple[Path, ...]:
    """The folders in which the host keeps models, those of the kinds in `first` before others; links are followed."""
    folders = [folder for kind in dict.fromkeys((*first, *KINDS)) for folder in kind_folders(kind, made_up=False)]
    models = _models()
    return (*dict.fromkeys(folders), models) if models is not None else tuple(folders)


def kind_folders(kind: str, made_up: bool = True) -> list[Path]:
    """The host's folders for models of a kind, its default first.

    Args:
        kind: as the host calls it.
        made_up: for a kind that the host does not have, a folder of that name among its models.
    """
    try:
        found = ask("folder_paths", "get_folder_paths", kind) or []
    except KeyError:
        found = []
    models = _models()
    return [Path(folder) for folder in found] or ([models / kind] if made_up and models is not None else [])


def _models() -> Path | None:
    models = getattr(host_module("folder_paths"), "models_dir", None)
    return Path(models) if isinstance(models, str) else None


MOST_FOLDERS = 200  # listed below the input folder
DEEPEST = 4  # folders in one another
_SCRATCH = frozenset({"clipspace"})  # what the mask editor of older hosts has saved


class _Listing(NamedTuple):
    """What lies directly in a folder of the input folder.

    Attributes:
        changed: when, in nanoseconds, an entry came or went.
    """

    changed: int
    pictures: tuple[str, ...]
    folders: tuple[str, ...]


_listed: dict[str, _Listing] = {}


def input_pictures(folders: bool) -> list[str] | None:
    """Pictures (and folders) to choose from: in the input folder, in folders in it, then samples. None without a host.

    Only folders that have changed are read again. Links to folders are not followed.
    """
    root = host_folder("input")
    if root is None:
        return None
    pictures: list[str] = []
    below: list[str] = []
    waiting = deque([""])
    while waiting and len(below) < MOST_FOLDERS:
        name = waiting.popleft()
        try:
            listing = _listing(root / name)
        except OSError:
            continue
        begin = f"{name}/" if name else ""
        pictures += [begin + picture for picture in listing.pictures]
        inside = [begin + folder for folder in listing.folders]
        below += inside
        waiting.extend(inside if begin.count("/") < DEEPEST else ())
    names = pictures + (below if folders else [])
    known = set(names)
    return names + [name for name in sample_pictures(folders) if name not in known]


def _listing(folder: Path) -> _Listing:
    changed = folder.stat().st_mtime_ns
    known = _listed.get(str(folder))
    if known is None or known.changed != changed:
        with os.scandir(folder) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
        inside = [entry.name for entry in found if entry.is_dir(follow_symlinks=False) and entry.name[0] != "."]
        known = _Listing(
            changed,
            tuple(one.name for one in found if Path(one.name).suffix.lower() in PACK.picture_suffixes),
            tuple(name for name in inside if name not in _SCRATCH),
        )
        _listed[str(folder)] = known
    return known

"""Models in the host's folders: what a node can choose from, and where downloads go."""

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from .....nodes.pack import PACK
from ....core.current_run import ModelFolders
from ....core.pack import ModelChoices
from .folders import kind_folders, model_folders
from .modules import ask, host_module
from .samples import sample_loras

DEEPEST = 3  # folders in each other in which a model is looked for
MOST = 1000  # names in a list


def choices(node_id: str) -> list[str] | None:
    """The models that a node can take and that are on this machine; None without a host.

    Embedded ones first, then those in the host's folders by the name that the host itself shows, then what else was
    downloaded from the hub.
    """
    wanted = PACK.models.get(node_id)
    if wanted is None or not model_folders():
        return None
    found = [*wanted.embedded, *_files(wanted), *_folders(wanted)]
    found += sample_loras() if "loras" in wanted.files else []
    found += [name for name, folder in PACK.downloaded() if wanted.fits(folder)]
    return list(dict.fromkeys(found))[:MOST]


def _files(wanted: ModelChoices) -> Iterator[str]:
    for kind in wanted.files:
        try:
            names = ask("folder_paths", "get_filename_list", kind) or []
        except (KeyError, OSError):  # this host has no such kind, or a folder is gone
            continue
        yield from (name for name in names if str(name).endswith(".safetensors"))


def _folders(wanted: ModelChoices) -> Iterator[str]:
    for kind in (*wanted.folders, *wanted.files):
        for root in kind_folders(kind):
            for folder in islice(_below(root), MOST):
                if wanted.fits(folder):
                    yield folder.relative_to(root).as_posix()


def _below(root: Path, depth: int = DEEPEST) -> Iterator[Path]:
    """Folders below a folder, links followed, hidden ones left out."""
    try:
        with os.scandir(root) as entries:
            inside = sorted(Path(entry.path) for entry in entries if entry.is_dir() and not entry.name.startswith("."))
    except OSError:
        return
    for folder in inside:
        yield folder
        if depth > 1 and not (folder / "model_index.json").is_file():
            yield from _below(folder, depth - 1)


def kinds_of(node_id: str) -> tuple[str, ...]:
    """The kinds of the host's folders in which a node's models lie."""
    wanted = PACK.models.get(node_id, ModelChoices())
    return (*wanted.folders, *wanted.files)


def own_folders(node_id: str) -> ModelFolders | None:
    """Where a node's models are downloaded to, and where earlier downloads lie; None without a host."""
    if not model_folders():
        return None
    known = {kind for one in PACK.models.values() for kind in (*one.folders, *one.files)}
    places = [folder for kind in (*kinds_of(node_id), *sorted(known)) for folder in kind_folders(kind)]
    return ModelFolders(places[0], tuple(dict.fromkeys(places)), vocabularies())


def vocabularies() -> tuple[Path, ...]:
    """Folders with the tokenizers that the host brings: CLIP's, which every Stable Diffusion 1.x and 2.x uses."""
    file = getattr(host_module("comfy.sd1_clip"), "__file__", None)
    return (Path(file).with_name("sd1_tokenizer"),) if isinstance(file, str) else ()

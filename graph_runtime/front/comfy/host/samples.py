"""The pictures that the example workflows read: the host's loaders list them, and nothing is copied anywhere.

They are called `inlay/NAME`, as files of a folder `inlay` in the host's input folder would be; such a file comes first.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path, PurePosixPath
from types import MappingProxyType

from .....nodes.pack import PACK
from ...installed import shipped_samples

FOLDER = "inlay"


@cache
def samples() -> Mapping[str, Path]:
    """Every shipped sample, and every folder of samples, by the name that a widget gives it."""
    found: dict[str, Path] = {}
    for name, path in shipped_samples().items():
        found[f"{FOLDER}/{name}"] = path
        if len(parts := PurePosixPath(name).parts) > 1:
            found[f"{FOLDER}/{parts[0]}"] = path.parents[len(parts) - 2]
    return MappingProxyType(dict(sorted(found.items())))


def sample(name: str) -> str | None:
    """The path of the sample that a widget names; None for any other name."""
    path = samples().get(name.replace("\\", "/").rstrip("/"))
    return None if path is None else str(path)


def name_of_sample(path: str) -> str | None:
    """What a widget calls the sample at a path; None for any other path."""
    return next((name for name, found in samples().items() if str(found) == path), None)


def sample_pictures(folders: bool) -> list[str]:
    """The samples to choose from where a picture (or a folder of pictures) is asked for; single ones first."""
    names = sorted(samples(), key=lambda name: name.count("/"))
    pictures = [name for name in names if PurePosixPath(name).suffix.lower() in PACK.picture_suffixes]
    return pictures + [name for name in names if folders and not PurePosixPath(name).suffix]


def sample_loras() -> list[str]:
    """The LoRAs among the samples."""
    return [name for name in samples() if name.endswith(".safetensors")]

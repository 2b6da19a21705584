"""What `inlay doctor` checks for this pack: torchvision, and the files of the embedded models.

Importing this file imports no library.
"""

import importlib.util
import json
import struct
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from ...graph_runtime.core.pack import Diagnosis

EMBEDDED = Path(__file__).resolve().parents[2] / "dollhouse"
REINSTALL = "pip install --force-reinstall inlay, or check the repository out again"
WITH_WEIGHTS = ("unet", "vae", "text_encoder", "image_encoder")


def embedded_models() -> dict[str, Path]:
    """The folder of each model that ships, by name."""
    return {
        _name_of(path): path
        for path in sorted(EMBEDDED.glob("*"))
        if (path / "model_index.json").is_file() or (path / "config.json").is_file()
    }


def torchvision() -> Iterable[Diagnosis]:
    """inlay does not need it, but a build that does not fit the installed torch breaks diffusers and transformers."""
    if importlib.util.find_spec("torchvision") is None:
        yield Diagnosis("torchvision", None, "not installed (not needed)")
        return
    try:
        importlib.import_module("torchvision")
    except Exception as error:  # noqa: BLE001 - a build that does not fit may raise anything
        yield Diagnosis(
            "torchvision",
            False,
            f"installed, but it does not work with this torch: {error}",
            "pip uninstall torchvision (inlay does not need it; a broken one keeps diffusers from loading), "
            "or install the build that matches your torch",
        )
        return
    yield Diagnosis("torchvision", True, metadata.version("torchvision"))


def embedded_weights() -> Iterable[Diagnosis]:
    """Each component that a model's index names has its files, and the header of each file agrees with its size."""
    indexes = sorted(EMBEDDED.glob("**/model_index.json"))
    if not indexes:
        yield Diagnosis("dollhouse", False, f"no embedded model in {EMBEDDED}", REINSTALL)
    alone = sorted(path for path in EMBEDDED.glob("*/config.json") if path.with_name("model.safetensors").is_file())
    for index in indexes + alone:
        folder = index.parent
        problems = [problem for path in sorted(folder.rglob("*.safetensors")) if (problem := _damage(path))]
        problems += [] if index in alone else _missing(index)
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 2**20
        yield Diagnosis(
            folder.parent.name if folder.name == "weights" else _name_of(folder),
            not problems,
            "; ".join(problems) or f"embedded, {size:.1f} MiB",
            REINSTALL if problems else "",
        )


def _name_of(folder: Path) -> str:
    return "dollhouse" if folder.name == "weights" else f"dollhouse-{folder.name}"


def _missing(index: Path) -> Iterable[str]:
    components = {name: value for name, value in json.loads(index.read_text()).items() if isinstance(value, list)}
    for name, (library, _) in components.items():
        folder = index.parent / name
        if library is not None and not any(folder.glob("*.json")):
            yield f"{name}: no configuration"
        elif library is not None and name in WITH_WEIGHTS and not any(folder.glob("*.safetensors")):
            yield f"{name}: no weights"


def _damage(path: Path) -> str:
    """What is wrong with a safetensors file, from its header alone; empty if it is whole."""
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            if length > size - 8:
                return f"{path.name}: cut off"
            header = json.loads(stream.read(length))
        end = max((entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"), default=0)
    except (OSError, struct.error, ValueError, KeyError, TypeError) as error:
        return f"{path.name}: not readable ({error})"
    return "" if 8 + length + end == size else f"{path.name}: cut off"
